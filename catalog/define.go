package catalog

import (
	"context"
	"time"

	"nearby/collection"
	"nearby/replica"
	"nearby/store"
)

// Defined is a definition and the version that it is.
type Defined struct {
	collection.Definition
	Version store.CommitID // of the commit that wrote it; Seq 0: there is no such collection
}

// Edit makes the next definition of a collection from the newest one. If it returns an error,
// nothing is changed, and Define returns that error. It may be called several times, since
// others change the definition, too. It must not wait for anything.
type Edit func(Defined) (collection.Definition, error)

// Made is what Define has made.
type Made struct {
	Collection *collection.Collection // nil: somebody else has deleted it since
	Snapshot   *collection.Snapshot   // shows the definition, or a later one
	Version    store.CommitID
	Created    bool
}

// maxEdits bounds how often a definition is made again because it was changed meanwhile.
const maxEdits = 64

var errRedefined = collection.Refuse(collection.ErrContended, "others change the definition all the time, or this server cannot read it")

// Put creates a collection, or replaces the definition of the one that has the
// name. A definition that is not valid gives one or more *DefinitionError,
// joined.
func (c *Catalog) Put(ctx context.Context, def collection.Definition) (col *collection.Collection, created bool, err error) {
	made, err := c.Define(ctx, def.Name, func(Defined) (collection.Definition, error) { return def, nil })
	if err == nil && made.Collection == nil {
		err = collection.Uncertain(collection.Refuse(collection.ErrNotFound, "collection %q was deleted", def.Name))
	}
	return made.Collection, made.Created, err
}

// Define creates a collection, or changes the definition of the one with this name. edit is
// given the newest definition, so no change that somebody else makes at the same time is
// lost. A definition that is not valid gives one or more *DefinitionError, joined.
//
// If the definition asks for another index, or other queryables, they are built while the present
// ones answer, and then take their place. Define waits for this. If ctx ends first, the building
// goes on.
func (c *Catalog) Define(ctx context.Context, name string, edit Edit) (Made, error) {
	if name == collection.Keys {
		return Made{}, collection.CheckName(name)
	}
	return c.history.define(ctx, name, edit)
}

// Drop deletes a collection with all its items.
func (c *Catalog) Drop(ctx context.Context, name string) error { return c.DropIf(ctx, name, nil) }

// DropIf calls allow with the newest definition, also if the collection does not exist. If
// allow returns an error, DropIf returns it and drops nothing. allow may be nil.
func (c *Catalog) DropIf(ctx context.Context, name string, allow func(Defined) error) error {
	gen, err := c.ready()
	if err != nil {
		return err
	}
	if name == collection.Keys {
		return notThere(undefined(gen, name), allow)
	}
	return c.history.drop(ctx, name, allow)
}

// open is ready of a catalog that is not closed.
func (c *Catalog) open() (*replica.Generation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.openLocked()
}

// openLocked is open where the mutex is held.
func (c *Catalog) openLocked() (*replica.Generation, error) {
	if c.closed {
		return nil, collection.ErrClosed
	}
	return c.ready()
}

// made is what a collection has now.
func made(col *collection.Collection, created bool) Made {
	s := col.Snapshot()
	return Made{col, s, col.At(s.Defined()), created}
}

// edited is the next definition, checked and as the store keeps it.
func (c *Catalog) edited(old Defined, edit Edit) (def collection.Definition, data []byte, err error) {
	if def, err = edit(old); err != nil {
		return def, nil, err
	}
	def.Name = old.Name
	if err := def.Check(c.opt.Kinds, &old.Definition); err != nil {
		return def, nil, err
	}
	def.Source = old.Source // a table is attached in the database
	def.Created, def.Updated = old.Created, max(time.Now().UnixMilli(), old.Created, old.Updated)
	if old.Version.Seq == 0 {
		def.Created = def.Updated
	}
	data, err = def.Marshal()
	return def, data, err
}

// definedIn is the definition that a snapshot shows.
func definedIn(gen *replica.Generation, s *collection.Snapshot) Defined {
	return Defined{s.Definition(), store.CommitID{Epoch: gen.Epoch(), Seq: store.Seq(s.Defined())}}
}

// undefined stands for a collection that does not exist.
func undefined(gen *replica.Generation, name string) Defined {
	return Defined{collection.Definition{Name: name}, store.CommitID{Epoch: gen.Epoch()}}
}

// room fails if there are as many collections as there may be.
func (c *Catalog) room(gen *replica.Generation, name string) error {
	if name == collection.Keys {
		return nil
	}
	n := len(gen.All())
	if gen.All()[collection.Keys] != nil {
		n--
	}
	if n >= c.opt.MaxCollections {
		return collection.Refuse(collection.ErrFull, "there are %d collections, which is as many as there may be", n)
	}
	return nil
}

// notThere is why a collection that does not exist is not dropped.
func notThere(none Defined, allow func(Defined) error) error {
	if allow != nil {
		if err := allow(none); err != nil {
			return err
		}
	}
	return collection.NotFound(none.Name)
}

// awaitBuilding waits until what the definition asks for is in use, if ctx lasts. The
// definition is made, whatever becomes of the collection now.
func awaitBuilding(ctx context.Context, col *collection.Collection) {
	var building <-chan struct{}
	err := col.InWriter(ctx, func(w *collection.Writer) error { building = w.Building(); return nil })
	if err != nil || building == nil {
		return
	}
	select {
	case <-building:
	case <-ctx.Done():
	case <-col.Stopped():
	}
}
