package catalog

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"nearby/collection"
	"nearby/replica"
	"nearby/store"
	"nearby/table"
)

// own is the history of a store that nobody else writes: what is committed is visible at
// once, and there is one generation for ever.
type own struct {
	catalog *Catalog
	all     atomic.Pointer[replica.Generation]
}

func (h *own) generation() *replica.Generation { return h.all.Load() }

func (h *own) start(gen *replica.Generation) { h.all.Store(gen) }

func (h *own) committer(*replica.Generation) func(*collection.Writer) collection.Committer {
	return nil
}

func (h *own) readable(_ *collection.Definition, err error) error { return err }

func (h *own) fresh(context.Context, Freshness) (*replica.Generation, error) {
	return h.all.Load(), nil
}

func (h *own) now(gen *replica.Generation) (store.CommitID, time.Duration) {
	at := store.CommitID{Epoch: gen.Epoch()}
	for _, col := range gen.All() {
		at.Seq = max(at.Seq, store.Seq(col.Snapshot().Seq()))
	}
	return at, 0
}

func (h *own) verify(context.Context) (*replica.Verification, error) {
	return nil, collection.ErrNotShared
}

func (h *own) status(*Status) {}

func (h *own) finish(col *collection.Collection) { col.Close() }

func (h *own) stop() {}

func (h *own) read(ctx context.Context, gen *replica.Generation, col *collection.Collection, _ uint64, f Freshness) (Reading, error) {
	r := Reading{Snapshot: col.Snapshot(), At: store.CommitID{Epoch: gen.Epoch()}}
	if want := uint64(f.After.Seq); r.Seq() < want && f.After.Epoch == gen.Epoch() {
		leave, err := h.catalog.queue()
		if err != nil {
			return Reading{}, err
		}
		defer leave()
		if r.Snapshot, err = h.raise(ctx, col, want, h.catalog.wait(f)); err != nil {
			return Reading{}, err
		}
	}
	r.At.Seq = store.Seq(r.Seq())
	return r, nil
}

// raise returns a snapshot that shows every commit up to want. Commits to other collections
// have numbers, too. So if nothing is under way in this collection, its newest snapshot shows
// every commit up to the head of the store. Nobody else commits: a number above the head was
// never given to a commit, and waiting would not help.
func (h *own) raise(ctx context.Context, col *collection.Collection, want uint64, wait time.Duration) (*collection.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := col.InWriter(ctx, func(w *collection.Writer) error {
		head, err := h.catalog.opt.Store.Commit(ctx, nil)
		if err == nil && uint64(head) > w.Newest().Seq() {
			w.Show(uint64(head))
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	s := col.Snapshot()
	if s.Seq() < want {
		return nil, collection.Refuse(collection.ErrBehind, "collection %q shows commit %d, and not yet %d", col.Name(), s.Seq(), want)
	}
	return s, nil
}

// define changes the definition in the collection's writer. If the collection does not exist,
// define creates it, and no other can be created or dropped at that time.
func (h *own) define(ctx context.Context, name string, edit Edit) (Made, error) {
	for range maxEdits {
		col, err := h.lookup(name)
		if err != nil {
			return Made{}, err
		}
		created := col == nil
		if created {
			col, err = h.create(ctx, name, edit)
		} else {
			err = h.redefine(ctx, col, edit)
		}
		switch {
		case errors.Is(err, collection.ErrClosed): // it was dropped, or the catalog closed, which the next look tells
		case err != nil:
			return Made{}, err
		case col != nil: // else somebody else has made it
			return made(col, created), nil
		}
	}
	return Made{}, errRedefined
}

// lookup finds a collection, or nil, when nobody is about to create or drop one.
func (h *own) lookup(name string) (*collection.Collection, error) {
	gen, err := h.catalog.open()
	if err != nil {
		return nil, err
	}
	return gen.All()[name], nil
}

// edited is Catalog.edited for a store of one's own.
func (h *own) edited(old Defined, edit Edit) (def collection.Definition, data []byte, err error) {
	def, data, err = h.catalog.edited(old, edit)
	if err == nil && def.WritePolicy == collection.WriteBack {
		err = &collection.DefinitionError{Field: "writePolicy", Got: def.WritePolicy, Reason: "needs a store that is shared; with this one every write is durable before it is acknowledged"}
	}
	return def, data, err
}

// create makes a new collection, or returns nil if the name is taken.
func (h *own) create(ctx context.Context, name string, edit Edit) (*collection.Collection, error) {
	c := h.catalog
	c.mu.Lock()
	defer c.mu.Unlock()
	gen, err := c.openLocked()
	if err != nil {
		return nil, err
	}
	if gen.All()[name] != nil {
		return nil, nil
	}
	def, data, err := h.edited(undefined(gen, name), edit)
	if err != nil {
		return nil, err
	}
	if err := c.room(gen, name); err != nil {
		return nil, err
	}
	empty, err := table.New(c.opt.Kinds, def.Schema())
	if err != nil {
		return nil, err
	}
	commitCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opt.CommitTimeout)
	defer cancel()
	seq, err := c.opt.Store.Commit(commitCtx, []store.Change{{Op: store.PutCollection, Collection: name, Definition: data}})
	if !collection.Stands(seq, err) {
		return nil, err
	}
	col := collection.New(c.opt, collection.State{
		Epoch: gen.Epoch(), Table: empty, Definition: def, Defined: uint64(seq), Seq: uint64(seq),
	}, nil)
	gen.Edit(func(m map[string]*collection.Collection) { m[name] = col })
	return col, err
}

// redefine gives a collection another definition.
func (h *own) redefine(ctx context.Context, col *collection.Collection, edit Edit) error {
	err := col.InWriter(ctx, func(w *collection.Writer) error {
		if err := w.Failed(); err != nil {
			return err
		}
		def, data, err := h.edited(definedIn(h.all.Load(), w.Newest()), edit)
		if err != nil {
			return err
		}
		commitCtx, cancel := context.WithTimeout(context.Background(), h.catalog.opt.CommitTimeout)
		defer cancel()
		seq, doubt := h.catalog.opt.Store.Commit(commitCtx, []store.Change{{
			Op: store.PutCollection, Collection: col.Name(), Definition: data,
		}})
		if !collection.Stands(seq, doubt) {
			return doubt
		}
		w.Redefine(uint64(seq), uint64(seq), def)
		return doubt
	})
	if err == nil {
		awaitBuilding(ctx, col)
	}
	return err
}

func (h *own) drop(ctx context.Context, name string, allow func(Defined) error) error {
	c := h.catalog
	c.mu.Lock()
	defer c.mu.Unlock()
	gen, err := c.openLocked()
	if err != nil {
		return err
	}
	col, err := gen.Get(name)
	if err != nil {
		return notThere(undefined(gen, name), allow)
	}
	var doubt error
	err = col.InWriter(ctx, func(w *collection.Writer) error {
		if allow != nil {
			if err := allow(definedIn(gen, w.Newest())); err != nil {
				return err
			}
		}
		commitCtx, cancel := context.WithTimeout(context.Background(), c.opt.CommitTimeout)
		defer cancel()
		var seq store.Seq
		if seq, doubt = c.opt.Store.Commit(commitCtx, []store.Change{{Op: store.DropCollection, Collection: name}}); !collection.Stands(seq, doubt) {
			return doubt
		}
		w.Fail(collection.Refuse(collection.ErrClosed, "collection %q was deleted", name))
		return nil
	})
	if errors.Is(err, collection.ErrClosed) {
		return notThere(undefined(gen, name), allow)
	}
	if err != nil {
		return err
	}
	gen.Edit(func(m map[string]*collection.Collection) { delete(m, name) })
	col.Close()
	return doubt
}
