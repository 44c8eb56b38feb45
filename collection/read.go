package collection

import (
	"context"
	"fmt"
	"time"

	"nearby/store"
)

// Freshness is what a reader demands. The zero value takes what there is.
type Freshness struct {
	// After: every commit up to it must be shown. A position in another history
	// than the present one counts as Strong.
	After store.Position
	// Strong: everything must be shown that was acknowledged, by whomever, before
	// the call.
	Strong bool
	// Wait bounds the time until then; ErrBehind after it. It is at most
	// Options.MaxWait, which 0 stands for.
	Wait time.Duration
}

// Reading is a snapshot and the place in the history that it was found good for.
type Reading struct {
	*Snapshot
	// At: the snapshot shows every commit to its collection up to it.
	At store.Position
	// Staleness is how long ago At was known to be the newest position. It is 0
	// where nobody else writes the store.
	Staleness time.Duration
}

// Read returns a collection with a snapshot that is as fresh as demanded, or
// ErrBehind, ErrNotFound, ErrNotReady, or store.ErrUnavailable if it is Strong and
// the store cannot be asked.
func (c *Catalog) Read(ctx context.Context, name string, f Freshness) (*Collection, Reading, error) {
	gen, err := c.fresh(ctx, &f)
	if err != nil {
		return nil, Reading{}, err
	}
	at := gen.applied.Load() // before the snapshot is loaded, which is that new or newer
	col, err := gen.get(name)
	if err != nil {
		return nil, Reading{}, err
	}
	r := Reading{Snapshot: col.Snapshot(), At: store.Position{Epoch: gen.epoch}}
	if c.shared != nil {
		r.At.Seq, r.Staleness = store.Seq(max(at, r.seq)), gen.staleness()
		return col, r, nil
	}
	if want := uint64(f.After.Seq); r.seq < want && f.After.Epoch == gen.epoch {
		leave, err := c.queue()
		if err != nil {
			return nil, Reading{}, err
		}
		defer leave()
		if r.Snapshot, err = col.raise(ctx, want, c.wait(f)); err != nil {
			return nil, Reading{}, err
		}
	}
	r.At.Seq = store.Seq(r.seq)
	return col, r, nil
}

// fresh returns the generation, as fresh as demanded where others write the store, too.
func (c *Catalog) fresh(ctx context.Context, f *Freshness) (*generation, error) {
	gen := c.generation.Load()
	if gen == nil {
		return nil, c.notReady()
	}
	if c.shared == nil || (!f.Strong && f.After == store.Position{}) {
		return gen, nil
	}
	if !f.Strong && f.After.Epoch == gen.epoch && gen.applied.Load() >= uint64(f.After.Seq) {
		return gen, nil
	}
	return c.catchUp(ctx, f)
}

// catchUp waits until the generation is as fresh as demanded.
func (c *Catalog) catchUp(ctx context.Context, f *Freshness) (*generation, error) {
	leave, err := c.queue()
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, c.wait(*f))
	defer cancel()
	want, strong := f.After, f.Strong
	for {
		gen, replaced := c.generationNow()
		if !strong && want.Epoch != gen.epoch {
			strong = true // the token is of another history than ours: which one is the store's?
		}
		if strong {
			head, err := c.shared.Head(ctx)
			switch {
			case ctx.Err() != nil:
				return nil, fmt.Errorf("%w: the store does not tell how far it is", ErrBehind)
			case err != nil:
				return nil, err
			}
			want, strong = head, false
		}
		if want.Epoch == gen.epoch {
			if err := gen.await(ctx, uint64(want.Seq)); err != nil {
				return nil, behind(gen, want)
			}
			return gen, nil
		}
		select {
		case <-replaced:
		case <-ctx.Done():
			return nil, behind(gen, want)
		}
	}
}

// queue counts a reader that waits; leave ends that.
func (c *Catalog) queue() (leave func(), err error) {
	if c.waiting.Add(1) > int64(c.opt.MaxWaiters) {
		c.waiting.Add(-1)
		return nil, fmt.Errorf("%w: %d requests wait already", ErrBehind, c.opt.MaxWaiters)
	}
	return func() { c.waiting.Add(-1) }, nil
}

func behind(gen *generation, want store.Position) error {
	if want.Epoch != gen.epoch {
		return fmt.Errorf("%w: it has another history than the one that was asked for", ErrBehind)
	}
	return fmt.Errorf("%w: it is at %d, before %d", ErrBehind, gen.applied.Load(), want.Seq)
}

// wait is how long a reader may wait.
func (c *Catalog) wait(f Freshness) time.Duration {
	if f.Wait <= 0 || f.Wait > c.opt.MaxWait {
		return c.opt.MaxWait
	}
	return f.Wait
}

// raise returns a snapshot that shows every commit up to want, where nobody else
// writes the store. Commits to other collections have numbers, too: if nothing is
// under way here, the snapshot shows all there is to show.
func (c *Collection) raise(ctx context.Context, want uint64, wait time.Duration) (*Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		err := c.inWriter(ctx, func() error {
			head, err := c.store.Commit(ctx, nil)
			if err == nil && uint64(head) > c.tip.seq {
				c.publish(uint64(head))
			}
			return err
		})
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		if s := c.Snapshot(); s.seq >= want {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: it is at %d, before %d", ErrBehind, c.Snapshot().seq, want)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Now returns the newest position of which a reader without demands is sure, and
// how long ago it was known to be the newest.
func (c *Catalog) Now(ctx context.Context, f Freshness) (store.Position, time.Duration, error) {
	gen, err := c.fresh(ctx, &f)
	if err != nil {
		return store.Position{}, 0, err
	}
	if c.shared != nil {
		return store.Position{Epoch: gen.epoch, Seq: store.Seq(gen.applied.Load())}, gen.staleness(), nil
	}
	at := store.Position{Epoch: gen.epoch}
	for _, col := range gen.list() {
		at.Seq = max(at.Seq, store.Seq(col.Snapshot().seq))
	}
	return at, 0, nil
}
