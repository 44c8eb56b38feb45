package catalog

import (
	"context"
	"time"

	"nearby/collection"
	"nearby/store"
)

// Freshness is what a reader demands. The zero value takes what there is.
type Freshness struct {
	// After: every commit up to it must be shown. A position in another history
	// than the present one counts as Strong.
	After store.CommitID
	// Strong: everything must be shown that was acknowledged, by whomever, before
	// the call.
	Strong bool
	// Wait bounds the time until then; ErrBehind after it. It is at most
	// Options.MaxWait, which 0 stands for.
	Wait time.Duration
}

// Reading is a snapshot and the place in the history that it was found good for.
type Reading struct {
	*collection.Snapshot
	// At: the snapshot shows every commit to its collection up to it.
	At store.CommitID
	// Staleness is how long ago At was known to be the newest position. It is 0
	// where nobody else writes the store.
	Staleness time.Duration
}

// Read returns a collection with a snapshot that is as fresh as demanded, or
// collection.ErrBehind, ErrNotFound or ErrNotReady, or store.ErrUnavailable if it is Strong
// and the store cannot be asked.
func (c *Catalog) Read(ctx context.Context, name string, f Freshness) (*collection.Collection, Reading, error) {
	if _, err := c.ready(); err != nil {
		return nil, Reading{}, err
	}
	gen, err := c.history.fresh(ctx, f)
	if err != nil {
		return nil, Reading{}, err
	}
	at := gen.Applied() // before the snapshot is loaded, which is that new or newer
	col, err := visible(gen, name)
	if err != nil {
		return nil, Reading{}, err
	}
	r, err := c.history.read(ctx, gen, col, at, f)
	if err != nil {
		return nil, Reading{}, err
	}
	return col, r, nil
}

// Now returns the position that every reader sees, as fresh as demanded, and how long ago it
// was known to be the newest.
func (c *Catalog) Now(ctx context.Context, f Freshness) (store.CommitID, time.Duration, error) {
	if _, err := c.ready(); err != nil {
		return store.CommitID{}, 0, err
	}
	gen, err := c.history.fresh(ctx, f)
	if err != nil {
		return store.CommitID{}, 0, err
	}
	at, staleness := c.history.now(gen)
	return at, staleness, nil
}

// queue counts a reader that waits; leave ends that.
func (c *Catalog) queue() (leave func(), err error) {
	if c.waiting.Add(1) > int64(c.opt.MaxWaiters) {
		c.waiting.Add(-1)
		return nil, collection.Refuse(collection.ErrBehind, "%d requests wait already until this server is as new as they demand", c.opt.MaxWaiters)
	}
	return func() { c.waiting.Add(-1) }, nil
}

// wait is how long a reader may wait.
func (c *Catalog) wait(f Freshness) time.Duration {
	if f.Wait <= 0 || f.Wait > c.opt.MaxWait {
		return c.opt.MaxWait
	}
	return f.Wait
}
