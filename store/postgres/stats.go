package postgres

import "sync/atomic"

// Stats tells what a store has done since it was opened.
type Stats struct {
	Connected    bool   // the last attempt to read the database succeeded
	Reconnects   uint64 // connections of the writer and of Follow that were made anew
	Commits      uint64 // made
	Batches      uint64 // transactions that made them
	Rows         uint64 // items written and deleted by them
	Retries      uint64 // batches that were sent again
	Resolved     uint64 // commits whose answer was lost and whose outcome was found out
	Unresolved   uint64 // commits that ended with store.ErrUncertain
	OwnSteps     uint64 // steps of Follow from memory
	ReadSteps    uint64 // steps of Follow that were read
	ReadRows     uint64 // rows that were read for them
	SkippedRows  uint64 // bad rows that were met and not served, by Follow and Views
	Purged       uint64 // rows that nobody needs any more and that were removed
	Polls        uint64 // questions for the changes of attached tables
	Sweeps       uint64 // comparisons of all rows of attached tables
	AttachedRows uint64 // rows of them that were found to differ
}

type counters struct {
	connected                                   atomic.Bool
	reconnects, commits, batches, rows, retries atomic.Uint64
	resolved, unresolved, ownSteps, readSteps   atomic.Uint64
	readRows, skippedRows, purged               atomic.Uint64
}

// Stats returns the counters as they are now.
func (s *Store) Stats() Stats {
	c, attached := &s.stats, s.attached.Stats()
	return Stats{
		Connected: c.connected.Load(), Reconnects: c.reconnects.Load(), Commits: c.commits.Load(), Batches: c.batches.Load(),
		Rows: c.rows.Load(), Retries: c.retries.Load(), Resolved: c.resolved.Load(), Unresolved: c.unresolved.Load(),
		OwnSteps: c.ownSteps.Load(), ReadSteps: c.readSteps.Load(), ReadRows: c.readRows.Load(),
		SkippedRows: c.skippedRows.Load(), Purged: c.purged.Load(),
		Polls: attached.Polls, Sweeps: attached.Sweeps, AttachedRows: attached.Rows,
	}
}
