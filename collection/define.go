package collection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nearby/store"
	"nearby/table"
)

// Defined is a definition and the version that it is.
type Defined struct {
	Definition
	Version store.Position // of the commit that wrote it; Seq 0: there is no such collection
}

// Edit makes a collection's next definition of the newest one. An error of it is that
// of who called it, and nothing is changed. It may be called several times, since
// others change the definition, too, and must not wait.
type Edit func(Defined) (Definition, error)

// Made is what Define has made.
type Made struct {
	Collection *Collection // nil: somebody else has deleted it since
	Snapshot   *Snapshot   // shows the definition, or a later one
	Version    store.Position
	Created    bool
}

// maxEdits bounds how often a definition is made anew because it was changed meanwhile.
const maxEdits = 64

var errRedefined = fmt.Errorf("%w: or this server cannot read the definition", ErrContended)

// Put creates a collection, or replaces the definition of the one that has the
// name. A definition that is not valid gives one or more *DefinitionError,
// joined.
func (c *Catalog) Put(ctx context.Context, def Definition) (col *Collection, created bool, err error) {
	made, err := c.Define(ctx, def.Name, func(Defined) (Definition, error) { return def, nil })
	if err == nil && made.Collection == nil {
		err = uncertain(fmt.Errorf("%w: collection %q was deleted", ErrNotFound, def.Name))
	}
	return made.Collection, made.Created, err
}

// Define creates a collection, or gives the one that has the name another definition,
// made of the newest one: no change that somebody else makes at the same time is lost.
// A definition that is not valid gives one or more *DefinitionError, joined.
//
// If another index follows from it, that is built beside the present one, which goes
// on answering, and then takes its place. Define waits for this; if ctx ends first,
// the building goes on without it.
func (c *Catalog) Define(ctx context.Context, name string, edit Edit) (Made, error) {
	if c.shared != nil {
		return c.defineShared(ctx, name, edit)
	}
	for range maxEdits {
		col, err := c.lookup(name)
		if err != nil {
			return Made{}, err
		}
		created := col == nil
		if created {
			col, err = c.create(ctx, name, edit)
		} else {
			err = col.define(ctx, edit)
		}
		switch {
		case errors.Is(err, ErrClosed): // it was dropped, or the catalog closed, which the next look tells
		case err != nil:
			return Made{}, err
		case col != nil: // else somebody else has made it
			return col.made(created), nil
		}
	}
	return Made{}, errRedefined
}

// made is what the collection has now.
func (c *Collection) made(created bool) Made {
	s := c.Snapshot()
	return Made{c, s, c.At(s.defined), created}
}

// lookup finds a collection, or nil, when nobody is about to create or drop one.
func (c *Catalog) lookup(name string) (*Collection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	gen := c.generation.Load()
	if gen == nil {
		return nil, c.notReady()
	}
	return (*gen.byName.Load())[name], nil
}

// edited is the next definition, checked and as the store keeps it.
func (o *Options) edited(old Defined, edit Edit) (def Definition, data []byte, err error) {
	if def, err = edit(old); err != nil {
		return def, nil, err
	}
	def.Name = old.Name
	if err := def.check(o.Kinds, &old.Definition); err != nil {
		return def, nil, err
	}
	if _, shared := o.Store.(store.Shared); def.WritePolicy == WriteBack && !shared {
		return def, nil, &DefinitionError{"writePolicy", def.WritePolicy, "needs a store that is shared; with this one every write is durable before it is acknowledged"}
	}
	def.Source = old.Source // a table is attached in the database
	def.Created, def.Updated = old.Created, max(time.Now().UnixMilli(), old.Created, old.Updated)
	if old.Version.Seq == 0 {
		def.Created = def.Updated
	}
	data, err = def.marshal()
	return def, data, err
}

// definedIn is the definition that a snapshot shows.
func (s *Snapshot) definedIn(gen *generation) Defined {
	return Defined{s.def, store.Position{Epoch: gen.epoch, Seq: store.Seq(s.defined)}}
}

// undefined stands for a collection that does not exist.
func (gen *generation) undefined(name string) Defined {
	return Defined{Definition{Name: name}, store.Position{Epoch: gen.epoch}}
}

// create makes a new collection, or returns nil if the name is taken.
func (c *Catalog) create(ctx context.Context, name string, edit Edit) (*Collection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	gen := c.generation.Load()
	all := *gen.byName.Load()
	if all[name] != nil {
		return nil, nil
	}
	def, data, err := c.opt.edited(gen.undefined(name), edit)
	if err != nil {
		return nil, err
	}
	if err := c.room(gen); err != nil {
		return nil, err
	}
	empty, err := table.New(c.opt.Kinds, def.schema())
	if err != nil {
		return nil, err
	}
	commitCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opt.CommitTimeout)
	defer cancel()
	seq, err := c.opt.Store.Commit(commitCtx, []store.Change{{Op: store.PutCollection, Collection: name, Definition: data, Expects: true}})
	if !stands(seq, err) {
		return nil, err
	}
	col := newCollection(c.opt, gen, &Snapshot{empty.Snapshot(), def, uint64(seq), uint64(seq)}, empty)
	gen.set(func(m map[string]*Collection) { m[name] = col })
	return col, err
}

// room fails if there are as many collections as there may be.
func (c *Catalog) room(gen *generation) error {
	if n := len(*gen.byName.Load()); n >= c.opt.MaxCollections {
		return fmt.Errorf("%w: there are %d collections", ErrFull, n)
	}
	return nil
}

// define gives the collection another definition, where nobody else writes the store.
func (c *Collection) define(ctx context.Context, edit Edit) error {
	var building chan struct{}
	err := c.inWriter(ctx, func() error {
		if c.failed != nil {
			return c.failed
		}
		def, data, err := c.opt.edited(c.tip.definedIn(c.generation), edit)
		if err != nil {
			return err
		}
		commitCtx, cancel := context.WithTimeout(context.Background(), c.opt.CommitTimeout)
		defer cancel()
		seq, doubt := c.store.Commit(commitCtx, []store.Change{{
			Op: store.PutCollection, Collection: c.name, Definition: data, Expects: true, Expected: store.Seq(c.tip.defined),
		}})
		if !stands(seq, doubt) {
			return doubt
		}
		if building, err = c.redefine(uint64(seq), uint64(seq), def); err != nil {
			return uncertain(err)
		}
		return doubt
	})
	if err == nil {
		c.awaitBuilding(ctx, building)
	}
	return err
}

// awaitBuilding waits for an index, if ctx lasts; nil: there is none to wait for.
func (c *Collection) awaitBuilding(ctx context.Context, building <-chan struct{}) {
	if building == nil {
		return
	}
	select {
	case <-building:
	case <-ctx.Done():
	case <-c.stopped:
	}
}

// defineShared is Define where others write the store, too: the store makes the change
// only if the definition is the one that it was made of (S7), and it comes back from
// there.
func (c *Catalog) defineShared(ctx context.Context, name string, edit Edit) (Made, error) {
	want := Freshness{Strong: true} // others may have made it
	for range maxEdits {
		gen, err := c.newest(ctx, &want)
		if err != nil {
			return Made{}, err
		}
		old := gen.undefined(name)
		if col, _ := gen.get(name); col != nil {
			old = col.Snapshot().definedIn(gen)
		}
		def, data, err := c.opt.edited(old, edit)
		if err != nil {
			return Made{}, err
		}
		created := old.Version.Seq == 0
		if created {
			if err := c.room(gen); err != nil {
				return Made{}, err
			}
		}
		seq, err := c.opt.Store.Commit(ctx, []store.Change{{
			Op: store.PutCollection, Collection: name, Definition: data, Expects: true, Expected: old.Version.Seq,
		}})
		var stale *store.StaleError
		if errors.As(err, &stale) {
			want = Freshness{After: store.Position{Epoch: gen.epoch, Seq: stale.Head}}
			continue
		}
		if err != nil {
			return Made{}, err
		}
		at := store.Position{Epoch: gen.epoch, Seq: seq}
		if gen, err = c.catchUp(ctx, &Freshness{After: at}); err != nil {
			return Made{}, uncertain(err)
		}
		col, err := gen.get(name)
		if err != nil {
			empty, err := table.New(c.opt.Kinds, def.schema())
			if err != nil {
				return Made{}, uncertain(err)
			}
			return Made{nil, &Snapshot{empty.Snapshot(), def, uint64(seq), 0}, at, created}, nil
		}
		// The definition is made, whatever becomes of the collection now.
		var building chan struct{}
		_ = col.inWriter(ctx, func() error { building = col.building; return nil })
		col.awaitBuilding(ctx, building)
		return col.made(created), nil
	}
	return Made{}, errRedefined
}

// newest is catchUp for a catalog that may have nothing yet, or be closed.
func (c *Catalog) newest(ctx context.Context, f *Freshness) (*generation, error) {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if !c.Ready() {
		return nil, c.notReady()
	}
	return c.catchUp(ctx, f)
}

// Drop deletes a collection with all its items.
func (c *Catalog) Drop(ctx context.Context, name string) error { return c.DropIf(ctx, name, nil) }

// DropIf is Drop if allow returns nil for the newest definition; else its error is
// returned, also where the collection does not exist. allow may be nil.
func (c *Catalog) DropIf(ctx context.Context, name string, allow func(Defined) error) error {
	if c.shared != nil {
		return c.dropShared(ctx, name, allow)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	gen := c.generation.Load()
	if gen == nil {
		return c.notReady()
	}
	col, err := gen.get(name)
	if err != nil {
		return notThere(gen.undefined(name), allow)
	}
	var doubt error
	err = col.inWriter(ctx, func() error {
		if allow != nil {
			if err := allow(col.tip.definedIn(gen)); err != nil {
				return err
			}
		}
		commitCtx, cancel := context.WithTimeout(context.Background(), c.opt.CommitTimeout)
		defer cancel()
		var seq store.Seq
		if seq, doubt = c.opt.Store.Commit(commitCtx, []store.Change{{Op: store.DropCollection, Collection: name}}); !stands(seq, doubt) {
			return doubt
		}
		col.failed = fmt.Errorf("%w: collection %q was deleted", ErrClosed, name)
		return nil
	})
	if errors.Is(err, ErrClosed) {
		return notThere(gen.undefined(name), allow)
	}
	if err != nil {
		return err
	}
	gen.set(func(m map[string]*Collection) { delete(m, name) })
	col.close()
	return doubt
}

// notThere is why a collection that does not exist is not dropped.
func notThere(none Defined, allow func(Defined) error) error {
	if allow != nil {
		if err := allow(none); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: collection %q", ErrNotFound, none.Name)
}

// dropShared is DropIf where others write the store, too.
func (c *Catalog) dropShared(ctx context.Context, name string, allow func(Defined) error) error {
	if err := CheckName(name); err != nil {
		return fmt.Errorf("%w: collection %q", ErrNotFound, name)
	}
	want := Freshness{Strong: true}
	for range maxEdits {
		gen := c.generation.Load()
		if gen == nil {
			return c.notReady()
		}
		change := store.Change{Op: store.DropCollection, Collection: name}
		if allow != nil {
			var err error
			if gen, err = c.newest(ctx, &want); err != nil {
				return err
			}
			col, err := gen.get(name)
			if err != nil {
				return notThere(gen.undefined(name), allow)
			}
			old := col.Snapshot().definedIn(gen)
			if err := allow(old); err != nil {
				return err
			}
			change.Expects, change.Expected = true, old.Version.Seq
		}
		seq, err := c.opt.Store.Commit(ctx, []store.Change{change})
		var stale *store.StaleError
		switch {
		case errors.As(err, &stale):
			want = Freshness{After: store.Position{Epoch: gen.epoch, Seq: stale.Head}}
			continue
		case errors.Is(err, store.ErrNoCollection):
			return notThere(gen.undefined(name), allow)
		case err != nil:
			return err
		}
		if _, err = c.catchUp(ctx, &Freshness{After: store.Position{Epoch: gen.epoch, Seq: seq}}); err != nil {
			return uncertain(err)
		}
		return nil
	}
	return errRedefined
}
