package embedded

import (
	"context"
	"fmt"
	"sync"
	"time"

	"nearby/store"
)

// recent knows how far commits are durable and keeps the last ones for Follow.
// The log is one file written in order, so a commit that is synced makes those
// before it durable too.
//
// Commits are kept from the moment somebody may follow: a view was opened, from
// whose Seq to go on, or Follow was called. While views are open or Follow runs
// the newest commits are kept, as many as fit the limit; and for whoever comes
// back, until as much again was committed after the last one left. Then all go,
// and commits cost nothing again.
type recent struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced when durable grows or nothing more comes
	last    store.Seq     // of all commits
	durable store.Seq
	ended   error // why nothing more becomes durable

	keeping  bool
	audience int       // open views and running Follows
	unheard  int       // bytes committed since there is no audience
	commits  []commit  // in order, without gaps, up to last
	floor    store.Seq // if keeping, the commits after it are kept
	bytes    int
	limit    int
}

type commit struct {
	seq     store.Seq
	at      time.Time // it was not acknowledged before
	changes []store.Change
	bytes   int
}

func (r *recent) init(limit int) { r.limit, r.changed = limit, make(chan struct{}) }

func (r *recent) start(head store.Seq) { r.last, r.durable = head, head }

// enter is called by who may follow; leave when it no longer does.
func (r *recent) enter() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.audience++
	r.unheard = 0
	if !r.keeping {
		r.keeping, r.floor = true, r.last
	}
}

func (r *recent) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.audience--
	r.unheard = 0
}

// add notes a commit that is not durable yet. Calls come in order.
func (r *recent) add(seq store.Seq, changes []store.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = seq
	if !r.keeping {
		return
	}
	c := commit{seq: seq, at: time.Now(), bytes: 64}
	for i := range changes {
		c.bytes += 160 + len(changes[i].Item.ID) + len(changes[i].Item.Properties) + len(changes[i].Definition)
	}
	if r.audience == 0 {
		r.unheard += c.bytes
	}
	if c.bytes > r.limit || r.unheard > r.limit {
		r.commits, r.bytes, r.floor = nil, 0, seq
		r.keeping = r.audience > 0
		return
	}
	c.changes = clone(seq, changes)
	r.commits = append(r.commits, c)
	r.bytes += c.bytes
	drop := 0
	for ; r.bytes > r.limit; drop++ {
		r.bytes -= r.commits[drop].bytes
		r.floor = r.commits[drop].seq
		r.commits[drop] = commit{}
	}
	r.commits = r.commits[drop:]
}

func clone(seq store.Seq, changes []store.Change) []store.Change {
	own := make([]store.Change, len(changes))
	for i := range changes {
		own[i] = changes[i].Clone()
		own[i].Item.Seq = uint64(seq)
	}
	return own
}

// made notes that all commits up to seq are durable.
func (r *recent) made(seq store.Seq) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq > r.durable {
		r.durable = seq
		r.wake()
	}
}

func (r *recent) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// end says that what is not durable now never will be.
func (r *recent) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended == nil {
		r.ended = err
		r.wake()
	}
}

func (r *recent) durableSeq() store.Seq {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.durable
}

// wait returns when all commits up to seq are durable.
func (r *recent) wait(ctx context.Context, seq store.Seq) error {
	for {
		r.mu.Lock()
		done, ended, changed := r.durable >= seq, r.ended, r.changed
		r.mu.Unlock()
		switch {
		case done:
			return nil
		case ended != nil:
			return ended
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// deliverAtOnce bounds how many commits a follower holds while it works.
const deliverAtOnce = 64

// after returns durable commits after seq, waiting for one if there is none, and a
// time before which no others were acknowledged.
func (r *recent) after(ctx context.Context, seq store.Seq) ([]commit, time.Time, error) {
	if err := r.wait(ctx, seq+1); err != nil {
		return nil, time.Time{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq < r.floor {
		return nil, time.Time{}, store.ErrGone
	}
	from := int(seq - r.floor)
	n := min(int(r.durable-seq), deliverAtOnce)
	until := time.Now()
	if from+n < len(r.commits) {
		until = r.commits[from+n].at
	}
	return append([]commit(nil), r.commits[from:from+n]...), until, nil
}

// Follow is part of store.Store.
func (s *Store) Follow(ctx context.Context, after store.Position, deliver func(*store.Step) error) error {
	if after.Epoch != store.Epoch(s.epoch) {
		return fmt.Errorf("%w: its epoch is %s, not %s", store.ErrForked, s.epoch, after.Epoch)
	}
	s.recent.enter()
	defer s.recent.leave()
	for seq := after.Seq; ; {
		commits, until, err := s.recent.after(ctx, seq)
		if err != nil {
			return err
		}
		for i, c := range commits {
			at := until
			if i+1 < len(commits) {
				at = commits[i+1].at
			}
			if err := deliver(&store.Step{Seq: c.seq, Changes: c.changes, At: at}); err != nil {
				return err
			}
			seq = c.seq
		}
	}
}
