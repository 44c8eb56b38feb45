package catalog

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"nearby/access"
	"nearby/collection"
	"nearby/item"
	"nearby/store"
)

// The API keys are the items of one hidden collection, collection.Keys. So a store needs nothing
// new for them, backups have them, and a replica learns of a new or a revoked key as it learns of
// any other change. Only what is in this file sees that collection.

// keyring is all keys, as the newest snapshot of their collection has them.
type keyring struct {
	newest atomic.Pointer[keysIn]
}

// keysIn are the keys of one snapshot.
type keysIn struct {
	snap *collection.Snapshot
	ring *access.Ring
}

// of returns the keys of a snapshot. They are read once for each snapshot.
func (k *keyring) of(snap *collection.Snapshot) *access.Ring {
	if now := k.newest.Load(); now != nil && now.snap == snap {
		return now.ring
	}
	ring := access.NewRing()
	for it := range snap.All() {
		ring.Add(it.ID(), it.Properties)
	}
	k.newest.Store(&keysIn{snap, ring})
	return ring
}

// Keys returns the API keys, nil if none was ever made. It is cheap.
func (c *Catalog) Keys() (*access.Ring, error) {
	gen, err := c.ready()
	if err != nil {
		return nil, err
	}
	col := gen.All()[collection.Keys]
	if col == nil {
		return nil, nil
	}
	snap := col.Snapshot()
	if snap.Len() == 0 {
		return nil, nil
	}
	return c.keys.of(snap), nil
}

// ChangeKeys makes changes of the API keys durable and visible. If one is refused, those after it are
// not made.
func (c *Catalog) ChangeKeys(ctx context.Context, changes []access.Change) error {
	if len(changes) == 0 {
		return nil
	}
	writes, err := keyWrites(changes)
	if err != nil {
		return err
	}
	gen, err := c.ready()
	if err != nil {
		return err
	}
	col := gen.All()[collection.Keys]
	if col == nil {
		made, err := c.history.define(ctx, collection.Keys, func(old Defined) (collection.Definition, error) { return old.Definition, nil })
		if err != nil {
			return err
		}
		if col = made.Collection; col == nil {
			return collection.Refuse(collection.ErrContended, "others change the keys at the same time")
		}
	}
	wait, err := col.BeginStrict(writes)
	if err != nil {
		return err
	}
	results, err := wait(ctx)
	if err != nil {
		return err
	}
	for i := range results {
		if err := results[i].Err; err != nil && !changes[i].Remove { // that one was removed before
			return err
		}
	}
	return nil
}

func keyWrites(changes []access.Change) ([]collection.Write, error) {
	writes := make([]collection.Write, len(changes))
	for i := range changes {
		ch, w := &changes[i], &writes[i]
		w.Item.ID = ch.ID
		var err error
		switch {
		case ch.Remove:
			w.Action = collection.Delete
		case ch.Make != nil:
			w.Action = collection.Insert
			w.Item.Properties, err = ch.Make.Marshal()
		default:
			w.Action, w.NoPosition = collection.Patch, true
			w.Item.Properties, err = ch.Patch()
		}
		if err != nil {
			return nil, err
		}
	}
	return writes, nil
}

// StoredKeys returns the API keys of a store that has no catalog; nil if none was ever made.
func StoredKeys(ctx context.Context, st store.Store) (_ *access.Ring, err error) {
	view, err := st.View(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	if there, err := hasKeys(ctx, view); err != nil || !there {
		return nil, err
	}
	ring := access.NewRing()
	err = view.Items(ctx, collection.Keys, 1, func(_ int, it *item.Item) error {
		ring.Add(string([]byte(it.ID)), it.Properties)
		return nil
	})
	if err != nil || ring.Len() == 0 {
		return nil, err
	}
	return ring, nil
}

// hasKeys reports whether a store has the collection of keys.
func hasKeys(ctx context.Context, view store.View) (bool, error) {
	all, err := view.Collections(ctx)
	for _, col := range all {
		if col.Name == collection.Keys {
			return true, err
		}
	}
	return false, err
}

// ChangeStoredKeys makes changes of the API keys of a store that has no catalog, all together or
// none.
func ChangeStoredKeys(ctx context.Context, st store.Store, changes []access.Change) error {
	for range maxEdits {
		commit, err := keyCommit(ctx, st, changes)
		if err != nil || len(commit) == 0 {
			return err
		}
		_, err = st.Commit(ctx, commit)
		if stale := (*store.StaleError)(nil); !errors.As(err, &stale) {
			return err
		}
	}
	return errRedefined
}

// keyCommit returns the changes as those of a store.
func keyCommit(ctx context.Context, st store.Store, changes []access.Change) (commit []store.Change, err error) {
	view, err := st.View(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	there, err := hasKeys(ctx, view)
	if err != nil {
		return nil, err
	}
	now := time.Now().UnixMilli()
	if !there && len(changes) > 0 {
		def, err := collection.KeysDefinition(now)
		if err != nil {
			return nil, err
		}
		commit = append(commit, store.Change{Op: store.PutCollection, Collection: collection.Keys, Definition: def, Expects: true})
	}
	for i := range changes {
		ch := &changes[i]
		out := store.Change{Op: store.PutItem, Collection: collection.Keys, Expects: true}
		var key *access.Key
		if ch.Make != nil {
			key = ch.Make
			out.Item.Created = now
		} else {
			it, known, err := view.Get(ctx, collection.Keys, ch.ID)
			if err != nil {
				return nil, err
			}
			if !known {
				return nil, fmt.Errorf("key %q: %w", ch.ID, access.ErrNoKey)
			}
			if key, err = access.Unmarshal(ch.ID, it.Properties); err != nil {
				return nil, fmt.Errorf("key %q cannot be read: %w", ch.ID, err)
			}
			ch.Apply(key)
			out.Item.Created, out.Expected = it.Created, store.Seq(it.Seq)
		}
		out.Item.ID, out.Item.Updated = ch.ID, now
		if out.Item.Properties, err = key.Marshal(); err != nil {
			return nil, err
		}
		if ch.Remove {
			out.Op = store.DeleteItem
		}
		commit = append(commit, out)
	}
	return commit, nil
}
