package embedded

import (
	"context"
	"sync"

	"nearby/store"
)

// durability has the number of the newest durable commit. The log is written in order, so
// when a commit is synced, all commits before it are durable, too.
type durability struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced when seq or ended changes
	seq     store.Seq
	ended   error // why no more commits become durable; nil: they may
}

// reach says that all commits up to seq are durable.
func (d *durability) reach(seq store.Seq) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if seq > d.seq {
		d.seq = seq
		d.wake()
	}
}

func (d *durability) wake() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// end says that no more commits become durable. Every wait for one fails with err.
func (d *durability) end(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended == nil {
		d.ended = err
		d.wake()
	}
}

// reached returns the number of the newest durable commit.
func (d *durability) reached() store.Seq {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seq
}

// wait waits until all commits up to seq are durable. It fails when ctx ends, or with the
// error that end was given.
func (d *durability) wait(ctx context.Context, seq store.Seq) error {
	for {
		d.mu.Lock()
		done, ended, changed := d.seq >= seq, d.ended, d.changed
		d.mu.Unlock()
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
