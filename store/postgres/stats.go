package postgres

import "sync/atomic"

// Stats has what a store has done since it was opened.
type Stats struct {
	Connected    bool   // Follow's last attempt to read the database succeeded
	Reconnects   uint64 // connections of the writer and of Follow that were made
	Commits      uint64 // commits that were made
	Batches      uint64 // transactions that made them
	Rows         uint64 // items that they wrote or deleted
	Retries      uint64 // batches that were sent again
	Resolved     uint64 // commits whose answer was lost and whose outcome was found out
	Unresolved   uint64 // commits whose connection was lost and whose outcome was not found out
	OwnSteps     uint64 // steps of Follow from memory
	ReadSteps    uint64 // steps of Follow with changes that were read from the database
	ReadRows     uint64 // rows that were read for them
	SkippedRows  uint64 // bad rows that Follow and Views have read and not served
	Purged       uint64 // rows that were removed because nobody needs them any more
	Polls        uint64 // how often attached tables were asked for changes
	Sweeps       uint64 // comparisons of all rows of an attached table
	AttachedRows uint64 // rows of attached tables that were found to differ
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
