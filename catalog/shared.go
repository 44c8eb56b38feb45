package catalog

import (
	"context"
	"errors"
	"time"

	"nearby/collection"
	"nearby/replica"
	"nearby/store"
)

// shared is the history of a store that others write, too: what is visible comes from
// following it.
type shared struct {
	catalog *Catalog
	store   store.Shared
	*replica.Replica
}

func newShared(c *Catalog, s store.Shared) *shared {
	return &shared{c, s, replica.New(c.opt, s, func(ctx context.Context) (*replica.Generation, error) {
		return c.readGeneration(ctx, func(Progress) {})
	})}
}

func (h *shared) generation() *replica.Generation { return h.Generation() }

func (h *shared) start(gen *replica.Generation) { h.Start(gen) }

func (h *shared) stop() { h.Stop() }

func (h *shared) committer(gen *replica.Generation) func(*collection.Writer) collection.Committer {
	return h.Committer(gen)
}

// errLeftOut: others may write what they like.
var errLeftOut = errors.New("the definition is not valid")

func (h *shared) readable(def *collection.Definition, err error) error {
	if err == nil {
		err = def.Normalise(h.catalog.opt.Kinds)
	}
	if err != nil {
		h.catalog.opt.Log.Error("a collection is left out: its definition is not valid", "collection", def.Name, "error", err)
		return errLeftOut
	}
	return nil
}

func (h *shared) fresh(ctx context.Context, f Freshness) (*replica.Generation, error) {
	gen := h.Generation()
	if !f.Strong && (f.After == store.CommitID{} || f.After.Epoch == gen.Epoch() && gen.Applied() >= uint64(f.After.Seq)) {
		return gen, nil
	}
	return h.catchUp(ctx, f)
}

// catchUp waits until the generation is as fresh as demanded.
func (h *shared) catchUp(ctx context.Context, f Freshness) (*replica.Generation, error) {
	leave, err := h.catalog.queue()
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, h.catalog.wait(f))
	defer cancel()
	return h.CatchUp(ctx, f.After, f.Strong)
}

func (h *shared) read(_ context.Context, gen *replica.Generation, col *collection.Collection, at uint64, _ Freshness) (Reading, error) {
	r := Reading{Snapshot: col.Snapshot(), At: store.CommitID{Epoch: gen.Epoch()}, Staleness: gen.Staleness()}
	r.At.Seq = store.Seq(max(at, r.Seq()))
	return r, nil
}

func (h *shared) now(gen *replica.Generation) (store.CommitID, time.Duration) {
	return gen.At(), gen.Staleness()
}

func (h *shared) verify(ctx context.Context) (*replica.Verification, error) { return h.Verify(ctx) }

func (h *shared) status(st *Status) {
	st.Rebuilt = h.Rebuilt()
	st.Verified, st.Mismatches, st.VerifyErr = h.Verified()
}

// finish closes a collection. What the store does not take in the time of a commit
// is given up.
func (h *shared) finish(col *collection.Collection) {
	giveUp := time.AfterFunc(h.catalog.opt.CommitTimeout, func() {
		if n := col.Pending(); n > 0 {
			h.catalog.opt.Log.Error("acknowledged writes are lost: the store did not take them in time", "collection", col.Name(), "writes", n)
		}
		replica.GiveUp(col, &store.UnavailableError{Reason: "the server is stopping, and the store did not take the write in time"})
	})
	defer giveUp.Stop()
	col.Close()
}

// define commits the new definition. The store makes the change only if the old definition is
// still the newest (S7). The new one becomes visible when it comes back from the store.
func (h *shared) define(ctx context.Context, name string, edit Edit) (Made, error) {
	want := Freshness{Strong: true} // others may have made it
	for range maxEdits {
		gen, err := h.newest(ctx, want)
		if err != nil {
			return Made{}, err
		}
		old := undefined(gen, name)
		if col, _ := gen.Get(name); col != nil {
			old = definedIn(gen, col.Snapshot())
		}
		def, data, err := h.catalog.edited(old, edit)
		if err != nil {
			return Made{}, err
		}
		created := old.Version.Seq == 0
		if created {
			if err := h.catalog.room(gen, name); err != nil {
				return Made{}, err
			}
		}
		seq, err := h.store.Commit(ctx, []store.Change{{
			Op: store.PutCollection, Collection: name, Definition: data, Expects: true, Expected: old.Version.Seq,
		}})
		var stale *store.StaleError
		if errors.As(err, &stale) {
			want = Freshness{After: store.CommitID{Epoch: gen.Epoch(), Seq: stale.Head}}
			continue
		}
		if err != nil {
			return Made{}, err
		}
		at := store.CommitID{Epoch: gen.Epoch(), Seq: seq}
		if gen, err = h.catchUp(ctx, Freshness{After: at}); err != nil {
			return Made{}, collection.Uncertain(err)
		}
		col, err := gen.Get(name)
		if err != nil {
			empty, err := collection.Empty(h.catalog.opt.Kinds, def, uint64(seq))
			if err != nil {
				return Made{}, collection.Uncertain(err)
			}
			return Made{nil, empty, at, created}, nil
		}
		awaitBuilding(ctx, col)
		return made(col, created), nil
	}
	return Made{}, errRedefined
}

// newest is catchUp for a catalog that may be closed.
func (h *shared) newest(ctx context.Context, f Freshness) (*replica.Generation, error) {
	if _, err := h.catalog.open(); err != nil {
		return nil, err
	}
	return h.catchUp(ctx, f)
}

func (h *shared) drop(ctx context.Context, name string, allow func(Defined) error) error {
	if err := collection.CheckName(name); err != nil {
		return collection.NotFound(name)
	}
	want := Freshness{Strong: true}
	for range maxEdits {
		gen := h.Generation()
		change := store.Change{Op: store.DropCollection, Collection: name}
		if allow != nil {
			var err error
			if gen, err = h.newest(ctx, want); err != nil {
				return err
			}
			col, err := gen.Get(name)
			if err != nil {
				return notThere(undefined(gen, name), allow)
			}
			old := definedIn(gen, col.Snapshot())
			if err := allow(old); err != nil {
				return err
			}
			change.Expects, change.Expected = true, old.Version.Seq
		}
		seq, err := h.store.Commit(ctx, []store.Change{change})
		var stale *store.StaleError
		switch {
		case errors.As(err, &stale):
			want = Freshness{After: store.CommitID{Epoch: gen.Epoch(), Seq: stale.Head}}
			continue
		case errors.Is(err, store.ErrNoCollection):
			return notThere(undefined(gen, name), allow)
		case err != nil:
			return err
		}
		if _, err = h.catchUp(ctx, Freshness{After: store.CommitID{Epoch: gen.Epoch(), Seq: seq}}); err != nil {
			return collection.Uncertain(err)
		}
		return nil
	}
	return errRedefined
}
