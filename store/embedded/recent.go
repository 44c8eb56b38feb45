package embedded

import (
	"bytes"
	"context"
	"strings"
	"sync"

	"nearby/store"
)

// recent keeps the last commits for Follow and knows how far commits are
// durable. The log is one file written in order, so a commit that is synced
// makes those before it durable too.
type recent struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced when durable grows or the store closes
	durable store.Seq
	closed  bool

	commits []commit  // in order, without gaps
	floor   store.Seq // the commits after it are kept
	bytes   int
	limit   int
}

type commit struct {
	seq     store.Seq
	changes []store.Change
	bytes   int
}

func (r *recent) init(limit int) { r.limit, r.changed = limit, make(chan struct{}) }

func (r *recent) start(head store.Seq) { r.durable, r.floor = head, head }

// add keeps a copy of a commit that is not durable yet. Calls come in order.
func (r *recent) add(seq store.Seq, changes []store.Change) {
	c := commit{seq: seq}
	for i := range changes {
		c.bytes += 160 + len(changes[i].Item.ID) + len(changes[i].Item.Properties) + len(changes[i].Definition)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.bytes > r.limit { // larger than all that may be kept
		r.commits, r.bytes, r.floor = nil, 0, seq
		return
	}
	c.changes = make([]store.Change, len(changes))
	for i := range changes {
		ch := changes[i]
		ch.Collection = strings.Clone(ch.Collection)
		ch.Definition = bytes.Clone(ch.Definition)
		ch.Item.ID = strings.Clone(ch.Item.ID)
		ch.Item.Properties = bytes.Clone(ch.Item.Properties)
		if ch.Op == store.PutItem {
			ch.Item.Seq = uint64(seq)
		}
		c.changes[i] = ch
	}
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

func (r *recent) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.wake()
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
		done, closed, changed := r.durable >= seq, r.closed, r.changed
		r.mu.Unlock()
		switch {
		case done:
			return nil
		case closed:
			return store.ErrClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// after returns the durable commits after seq, waiting for one if there is none.
func (r *recent) after(ctx context.Context, seq store.Seq) ([]commit, error) {
	if err := r.wait(ctx, seq+1); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq < r.floor {
		return nil, store.ErrGone
	}
	var found []commit
	for _, c := range r.commits {
		if c.seq > seq && c.seq <= r.durable {
			found = append(found, c)
		}
	}
	return found, nil
}

// Follow is part of store.Store.
func (s *Store) Follow(ctx context.Context, after store.Seq, deliver func(store.Seq, []store.Change) error) error {
	for {
		commits, err := s.recent.after(ctx, after)
		if err != nil {
			return err
		}
		for _, c := range commits {
			if err := deliver(c.seq, c.changes); err != nil {
				return err
			}
			after = c.seq
		}
	}
}
