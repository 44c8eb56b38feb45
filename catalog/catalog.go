package catalog

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nearby/collection"
	"nearby/replica"
	"nearby/store"
	"nearby/table"
)

// Catalog holds the collections of one store. All methods may be called
// concurrently.
type Catalog struct {
	opt     collection.Options
	history history

	mu      sync.Mutex // held while the set of collections changes
	closed  bool
	hinders atomic.Pointer[error] // why the store cannot be read, at last; nil: it is being read
	waiting atomic.Int64          // readers that wait for freshness
	keys    keyring
}

// history is what differs between a store that nobody else writes (own.go) and one that
// others write, too (shared.go).
type history interface {
	// generation is what is in memory; nil: not yet everything that is in the store.
	generation() *replica.Generation
	// start is given what Load has read.
	start(*replica.Generation)
	// committer is for the collections of a generation.
	committer(*replica.Generation) func(*collection.Writer) collection.Committer
	// readable looks at a definition that was read, with the error err. errLeftOut leaves the
	// collection out; with any other error the store cannot be read.
	readable(def *collection.Definition, err error) error
	// fresh returns the generation as fresh as demanded, as far as that is not up to a
	// single collection.
	fresh(context.Context, Freshness) (*replica.Generation, error)
	// read returns a snapshot of a collection, as fresh as demanded. at is a commit up to
	// which the generation was known to be applied before.
	read(ctx context.Context, gen *replica.Generation, col *collection.Collection, at uint64, f Freshness) (Reading, error)
	// now is Catalog.Now of a generation.
	now(*replica.Generation) (store.CommitID, time.Duration)
	define(context.Context, string, Edit) (Made, error)
	drop(ctx context.Context, name string, allow func(Defined) error) error
	verify(context.Context) (*replica.Verification, error)
	status(*Status)
	// finish closes a collection.
	finish(*collection.Collection)
	// stop is called when all collections are finished.
	stop()
}

// New returns a catalog that is not ready: Load must read the store first.
func New(opt collection.Options) *Catalog {
	c := &Catalog{opt: opt.WithDefaults()}
	if shared, ok := opt.Store.(store.Shared); ok {
		c.history = newShared(c, shared)
	} else {
		c.history = &own{catalog: c}
	}
	return c
}

// Kinds are the kinds of index that a definition can name.
func (c *Catalog) Kinds() table.Kinds { return c.opt.Kinds }

// Ready reports whether everything in the store is in memory.
func (c *Catalog) Ready() bool { return c.history.generation() != nil }

// ready returns the generation, or ErrNotReady with what hinders the catalog from being ready.
func (c *Catalog) ready() (*replica.Generation, error) {
	if gen := c.history.generation(); gen != nil {
		return gen, nil
	}
	if why := c.hinders.Load(); why != nil {
		return nil, fmt.Errorf("%w: %w", collection.ErrNotReady, *why)
	}
	return nil, collection.ErrNotReady
}

// Get returns a collection, or collection.ErrNotFound, or collection.ErrNotReady before all
// is loaded.
func (c *Catalog) Get(name string) (*collection.Collection, error) {
	gen, err := c.ready()
	if err != nil {
		return nil, err
	}
	return visible(gen, name)
}

// visible returns a collection of a generation, if callers may see it.
func visible(gen *replica.Generation, name string) (*collection.Collection, error) {
	if name == collection.Keys {
		return nil, collection.NotFound(name)
	}
	return gen.Get(name)
}

// List returns all collections by name.
func (c *Catalog) List() ([]*collection.Collection, error) {
	gen, err := c.ready()
	if err != nil {
		return nil, err
	}
	all := gen.List()
	return slices.DeleteFunc(all, func(col *collection.Collection) bool { return col.Name() == collection.Keys }), nil
}

// Verify compares every collection with the store at one position, cell by cell,
// and repairs what differs. If it cannot compare them, the error is
// collection.ErrNotCompared; while another comparison is under way, it is
// collection.ErrComparing.
func (c *Catalog) Verify(ctx context.Context) (*replica.Verification, error) {
	if _, err := c.ready(); err != nil {
		return nil, err
	}
	return c.history.verify(ctx)
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
	for gen := c.history.generation(); gen != nil; {
		var all sync.WaitGroup
		for _, col := range gen.All() {
			all.Go(func() { c.history.finish(col) })
		}
		all.Wait()
		now := c.history.generation()
		if now == gen {
			break
		}
		gen = now // it was replaced meanwhile
	}
	c.history.stop()
}
