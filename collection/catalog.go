package collection

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"nearby/store"
)

// Catalog holds the collections of one store. All methods may be called
// concurrently.
type Catalog struct {
	opt    Options
	shared store.Shared // nil: nobody else writes the store

	mu         sync.Mutex // held while the set of collections changes
	closed     bool
	generation atomic.Pointer[generation] // nil: not everything in the store is in memory
	hinders    atomic.Pointer[error]      // why it cannot be read, at last; nil: it is being read
	waiting    atomic.Int64               // readers that wait for freshness

	stopFollowing context.CancelFunc
	followed      chan struct{} // closed when nothing follows the store any more
	rebuilt       atomic.Int64
	verification  verification

	replacedMu sync.Mutex
	replaced   chan struct{} // closed when the generation is replaced
}

// New returns a catalog that is not ready: Load must read the store first.
func New(opt Options) *Catalog {
	c := &Catalog{opt: opt.withDefaults(), replaced: make(chan struct{})}
	c.shared, _ = opt.Store.(store.Shared)
	return c
}

// Ready reports whether everything in the store is in memory.
func (c *Catalog) Ready() bool { return c.generation.Load() != nil }

// generationNow returns the generation and what is closed when another takes its place.
func (c *Catalog) generationNow() (*generation, <-chan struct{}) {
	c.replacedMu.Lock()
	defer c.replacedMu.Unlock()
	return c.generation.Load(), c.replaced
}

// Get returns a collection, or ErrNotFound, or ErrNotReady before all is
// loaded.
func (c *Catalog) Get(name string) (*Collection, error) {
	gen := c.generation.Load()
	if gen == nil {
		return nil, c.notReady()
	}
	return gen.get(name)
}

// List returns all collections by name.
func (c *Catalog) List() ([]*Collection, error) {
	gen := c.generation.Load()
	if gen == nil {
		return nil, c.notReady()
	}
	return gen.list(), nil
}

// notReady is ErrNotReady with what hinders the catalog from being ready.
func (c *Catalog) notReady() error {
	if why := c.hinders.Load(); why != nil {
		return fmt.Errorf("%w: %w", ErrNotReady, *why)
	}
	return ErrNotReady
}

// Close finishes all accepted writes and stops the collections. It does not
// close the store.
func (c *Catalog) Close() {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return
	}
	for gen := c.generation.Load(); gen != nil; {
		var all sync.WaitGroup
		for _, col := range *gen.byName.Load() {
			all.Go(func() { c.finish(col) })
		}
		all.Wait()
		now := c.generation.Load()
		if now == gen {
			break
		}
		gen = now // it was replaced meanwhile
	}
	if c.stopFollowing != nil {
		c.stopFollowing()
		<-c.followed
	}
}

// finish closes a collection. What the store does not take in the time of a commit
// is given up.
func (c *Catalog) finish(col *Collection) {
	if col.shared {
		giveUp := time.AfterFunc(c.opt.CommitTimeout, func() {
			if n := col.unflushed.Load(); n > 0 {
				c.opt.Log.Error("acknowledged writes are lost: the store did not take them in time", "collection", col.name, "writes", n)
			}
			col.end(ending{err: &store.UnavailableError{Reason: "the server is stopping, and the store did not take the write in time"}})
		})
		defer giveUp.Stop()
	}
	col.close()
}
