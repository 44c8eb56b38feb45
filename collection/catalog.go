package collection

import (
	"context"
	"errors"
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

	mu      sync.Mutex // held while the set of collections changes
	closed  bool
	world   atomic.Pointer[world] // nil: not everything in the store is in memory
	waiting atomic.Int64          // readers that wait for freshness

	stopFollowing context.CancelFunc
	followed      chan struct{} // closed when nothing follows the store any more
	rebuilt       atomic.Int64
	verification  verification

	replacedMu sync.Mutex
	replaced   chan struct{} // closed when the world is replaced
}

// New returns a catalog that is not ready: Load must read the store first.
func New(opt Options) *Catalog {
	c := &Catalog{opt: opt.withDefaults(), replaced: make(chan struct{})}
	c.shared, _ = opt.Store.(store.Shared)
	return c
}

// Ready reports whether everything in the store is in memory.
func (c *Catalog) Ready() bool { return c.world.Load() != nil }

// worldNow returns the world and what is closed when another takes its place.
func (c *Catalog) worldNow() (*world, <-chan struct{}) {
	c.replacedMu.Lock()
	defer c.replacedMu.Unlock()
	return c.world.Load(), c.replaced
}

// Get returns a collection, or ErrNotFound, or ErrNotReady before all is
// loaded.
func (c *Catalog) Get(name string) (*Collection, error) {
	w := c.world.Load()
	if w == nil {
		return nil, ErrNotReady
	}
	return w.get(name)
}

// List returns all collections by name.
func (c *Catalog) List() ([]*Collection, error) {
	w := c.world.Load()
	if w == nil {
		return nil, ErrNotReady
	}
	return w.list(), nil
}

// Put creates a collection, or replaces the definition of the one that has the
// name. A definition that is not valid gives one or more *DefinitionError,
// joined.
func (c *Catalog) Put(ctx context.Context, def Definition) (col *Collection, created bool, err error) {
	if !c.Ready() {
		return nil, false, ErrNotReady
	}
	if err := def.normalise(c.opt.Kinds); err != nil {
		return nil, false, err
	}
	def.Source = nil // a table is attached in the database
	if def.WritePolicy == WriteBack && c.shared == nil {
		return nil, false, &DefinitionError{"writePolicy", def.WritePolicy, "needs a store that is shared; with this one every write is durable before it is acknowledged"}
	}
	if c.shared != nil { // others may have made it
		if _, err := c.catchUp(ctx, &Freshness{Strong: true}); err != nil {
			return nil, false, err
		}
	}
	col, err = c.create(ctx, def)
	if err != nil || col != nil {
		return col, err == nil, err
	}
	if col, err = c.Get(def.Name); err != nil {
		return nil, false, err
	}
	return col, false, col.Update(ctx, def)
}

// create makes a new collection, or returns nil if the name is taken.
func (c *Catalog) create(ctx context.Context, def Definition) (*Collection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	w := c.world.Load()
	all := *w.byName.Load()
	if all[def.Name] != nil {
		return nil, nil
	}
	if len(all) >= c.opt.MaxCollections {
		return nil, fmt.Errorf("%w: there are %d collections", ErrFull, len(all))
	}
	def.Created = time.Now().UnixMilli()
	def.Updated = def.Created
	tip, err := emptySnapshot(c.opt.Kinds, def)
	if err != nil {
		return nil, err
	}
	data, err := def.marshal()
	if err != nil {
		return nil, err
	}
	commitCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opt.CommitTimeout)
	defer cancel()
	seq, err := c.opt.Store.Commit(commitCtx, []store.Change{{Op: store.PutCollection, Collection: def.Name, Definition: data}})
	if err != nil {
		return nil, err
	}
	if c.shared != nil { // it comes back from there
		w, err := c.catchUp(ctx, &Freshness{After: store.Position{Epoch: w.epoch, Seq: seq}})
		if err != nil {
			return nil, uncertain(err)
		}
		col, err := w.get(def.Name)
		if err != nil { // others have dropped it
			return nil, uncertain(err)
		}
		return col, nil
	}
	tip.seq = uint64(seq)
	col := newCollection(c.opt, w, tip, arena{}, refPool{})
	w.set(func(m map[string]*Collection) { m[def.Name] = col })
	return col, nil
}

// Drop deletes a collection with all its items.
func (c *Catalog) Drop(ctx context.Context, name string) error {
	if c.shared != nil {
		return c.dropShared(ctx, name)
	}
	col, err := c.Get(name)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err = col.inWriter(ctx, func() error {
		commitCtx, cancel := context.WithTimeout(context.Background(), c.opt.CommitTimeout)
		defer cancel()
		if _, err := c.opt.Store.Commit(commitCtx, []store.Change{{Op: store.DropCollection, Collection: name}}); err != nil {
			return err
		}
		col.failed = fmt.Errorf("%w: collection %q was deleted", ErrClosed, name)
		return nil
	})
	if errors.Is(err, ErrClosed) {
		return fmt.Errorf("%w: collection %q", ErrNotFound, name)
	}
	if err != nil {
		return err
	}
	c.world.Load().set(func(m map[string]*Collection) { delete(m, name) })
	col.close()
	return nil
}

// dropShared is Drop where others write the store, too.
func (c *Catalog) dropShared(ctx context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return fmt.Errorf("%w: collection %q", ErrNotFound, name)
	}
	w := c.world.Load()
	if w == nil {
		return ErrNotReady
	}
	seq, err := c.opt.Store.Commit(ctx, []store.Change{{Op: store.DropCollection, Collection: name}})
	if errors.Is(err, store.ErrNoCollection) {
		return fmt.Errorf("%w: collection %q", ErrNotFound, name)
	}
	if err != nil {
		return err
	}
	if _, err = c.catchUp(ctx, &Freshness{After: store.Position{Epoch: w.epoch, Seq: seq}}); err != nil {
		return uncertain(err)
	}
	return nil
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
	for w := c.world.Load(); w != nil; {
		var all sync.WaitGroup
		for _, col := range *w.byName.Load() {
			all.Go(func() { c.finish(col) })
		}
		all.Wait()
		now := c.world.Load()
		if now == w {
			break
		}
		w = now // it was replaced meanwhile
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
			col.end(ending{err: fmt.Errorf("%w: shutting down", store.ErrUnavailable)})
		})
		defer giveUp.Stop()
	}
	col.close()
}
