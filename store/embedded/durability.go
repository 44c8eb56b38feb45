package embedded

import (
	"context"
	"sync"

	"nearby/store"
)

// durability knows how far commits are durable. The log is one file written in order,
// so a commit that is synced makes those before it durable too.
type durability struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced when seq grows or nothing more comes
	seq     store.Seq
	ended   error // why nothing more becomes durable
}

// reach notes that all commits up to seq are durable.
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

// end says that what is not durable now never will be.
func (d *durability) end(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended == nil {
		d.ended = err
		d.wake()
	}
}

// reached is the last commit that is durable.
func (d *durability) reached() store.Seq {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seq
}

// wait returns when all commits up to seq are durable.
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
