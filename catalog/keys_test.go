package catalog_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"nearby/access"
	"nearby/catalog"
	"nearby/collection"
	"nearby/store"
)

// create makes a key with the changes that a function makes.
func create(t testing.TB, ring *access.Ring, change func([]access.Change) error) (k access.Key, text string) {
	t.Helper()
	k, text, changes, err := ring.Create(access.Key{Scope: access.Read}, time.Now())
	if err == nil {
		err = change(changes)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k, text
}

func keysOf(t testing.TB, c *catalog.Catalog) *access.Ring {
	t.Helper()
	ring, err := c.Keys()
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func find(t testing.TB, c *catalog.Catalog, text string) access.Refusal {
	t.Helper()
	_, why := keysOf(t, c).Find(text, time.Now())
	return why
}

// TestKeys: a key that was made, by a server or without one, is known from then on, also after the
// next start. One that was revoked is not.
func TestKeys(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	if ring := keysOf(t, h.Catalog); ring != nil {
		t.Fatalf("a new folder has the keys %v", ring.List())
	}
	ctx := t.Context()
	change := func(changes []access.Change) error { return h.ChangeKeys(ctx, changes) }
	first, firstText := create(t, nil, change)
	_, secondText := create(t, keysOf(t, h.Catalog), change)
	if a, b := find(t, h.Catalog, firstText), find(t, h.Catalog, secondText); a != "" || b != "" {
		t.Fatalf("new keys are refused: %q, %q", a, b)
	}
	next, nextText, changes, err := keysOf(t, h.Catalog).Rotate(first.ID, time.Hour, time.Now())
	if err != nil || change(changes) != nil {
		t.Fatal(err, change(changes))
	}
	h.shut()

	h = open(t, dir)
	for _, text := range []string{firstText, secondText, nextText} {
		if why := find(t, h.Catalog, text); why != "" {
			t.Errorf("after a start, %.15s… is refused: %s", text, why)
		}
	}
	if old := keysOf(t, h.Catalog).Get(first.ID); old.Successor != next.ID || old.Expires.IsZero() || old.Hash != first.Hash {
		t.Errorf("the rotated key is %+v", old)
	}
	for _, id := range []string{first.ID, next.ID} {
		changes, err := keysOf(t, h.Catalog).Revoke(id, time.Now())
		if err == nil {
			err = change(changes)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if a, b, c := find(t, h.Catalog, firstText), find(t, h.Catalog, nextText), find(t, h.Catalog, secondText); a != access.Revoked || b != access.Revoked || c != "" {
		t.Errorf("after revocations: %q, %q, %q", a, b, c)
	}
}

// TestStoredKeys: without a catalog the keys of a store are the same.
func TestStoredKeys(t *testing.T) {
	for _, in := range []string{"folder", "database"} {
		t.Run(in, func(t *testing.T) {
			ctx := t.Context()
			var st store.Store
			var h *fixture
			var all *copies
			if in == "folder" {
				h = open(t, t.TempDir())
				st = h.store
			} else {
				all = openCopies(t, 1, collection.Options{})
				st = all.store
			}
			if ring, err := catalog.StoredKeys(ctx, st); ring != nil || err != nil {
				t.Fatalf("a new store has the keys %v, %v", ring, err)
			}
			change := func(changes []access.Change) error { return catalog.ChangeStoredKeys(ctx, st, changes) }
			k, text := create(t, nil, change)
			_, other := create(t, nil, change)
			ring, err := catalog.StoredKeys(ctx, st)
			if err != nil {
				t.Fatal(err)
			}
			changes, err := ring.Revoke(k.ID, time.Now())
			if err != nil || change(changes) != nil {
				t.Fatal(err, change(changes))
			}
			if ring, err = catalog.StoredKeys(ctx, st); err != nil || ring.Len() != 2 {
				t.Fatalf("%d keys, %v", ring.Len(), err)
			}
			now := time.Now()
			_, a := ring.Find(text, now)
			if _, b := ring.Find(other, now); a != access.Revoked || b != "" {
				t.Errorf("the revoked key: %q, the other: %q", a, b)
			}
			if err := change([]access.Change{{ID: "none", Revoked: now}}); !errors.Is(err, access.ErrNoKey) {
				t.Errorf("a change of no key: %v", err)
			}
			if all == nil {
				return
			}
			deadline := time.Now().Add(patience)
			for find(t, all.all[0], text) != access.Revoked || find(t, all.all[0], other) != "" {
				if time.Now().After(deadline) {
					t.Fatal("the catalog that follows the store has not seen the changes")
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// TestKeysOfCopies: catalogs of one store have the same keys, also if several make the first key at
// the same time.
func TestKeysOfCopies(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		c := open(t, 2, collection.Options{})
		type one struct {
			text string
			err  error
		}
		made := make(chan one, 2)
		for _, cat := range c.all {
			go func() {
				var r *access.Ring
				_, text, changes, err := r.Create(access.Key{Scope: access.Read}, time.Now())
				if err == nil {
					err = cat.ChangeKeys(context.Background(), changes)
				}
				made <- one{text, err}
			}()
		}
		deadline := time.Now().Add(patience)
		for range c.all {
			k := <-made
			if k.err != nil {
				t.Fatal(k.err)
			}
			for _, cat := range c.all {
				for find(t, cat, k.text) != "" {
					if time.Now().After(deadline) {
						t.Fatal("a catalog does not have the key of the other")
					}
					time.Sleep(time.Millisecond)
				}
			}
		}
	})
}

// TestKeysAreHidden: no caller reaches the collection that has the keys.
func TestKeysAreHidden(t *testing.T) {
	check := func(t *testing.T, c *catalog.Catalog) {
		t.Helper()
		ctx := t.Context()
		_, text := create(t, nil, func(changes []access.Change) error { return c.ChangeKeys(ctx, changes) })
		if _, err := c.Get(collection.Keys); !errors.Is(err, collection.ErrNotFound) {
			t.Errorf("Get: %v", err)
		}
		if _, _, err := c.Read(ctx, collection.Keys, catalog.Freshness{Strong: true}); !errors.Is(err, collection.ErrNotFound) {
			t.Errorf("Read: %v", err)
		}
		if all, err := c.List(); err != nil || len(all) != 0 {
			t.Errorf("List: %v, %v", all, err)
		}
		var fault *collection.DefinitionError
		if _, _, err := c.Put(ctx, collection.Definition{Name: collection.Keys}); !errors.As(err, &fault) {
			t.Errorf("Put: %v", err)
		}
		if err := c.Drop(ctx, collection.Keys); !errors.Is(err, collection.ErrNotFound) {
			t.Errorf("Drop: %v", err)
		}
		if _, err := (collection.Definition{Name: collection.Keys}).Encode(kinds); !errors.As(err, &fault) {
			t.Errorf("Encode: %v", err)
		}
		if why := find(t, c, text); why != "" {
			t.Errorf("the key is refused: %s", why)
		}
		// It is none of the collections that are counted.
		if _, _, err := c.Put(ctx, collection.Definition{Name: "one"}); err != nil {
			t.Errorf("the only collection: %v", err)
		}
		if _, _, err := c.Put(ctx, collection.Definition{Name: "two"}); !errors.Is(err, collection.ErrFull) {
			t.Errorf("one collection too many: %v", err)
		}
	}
	limits := collection.Options{MaxCollections: 1}
	t.Run("shared", func(t *testing.T) { check(t, openCopies(t, 1, limits).all[0]) })
	t.Run("folder", func(t *testing.T) {
		h := open(t, t.TempDir())
		own := limits
		own.Store, own.Kinds = h.store, kinds
		c := catalog.New(own)
		t.Cleanup(c.Close)
		if err := c.Load(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		check(t, c)
	})
}

// TestKeysDefinition: whatever others have written as the definition of the keys, the keys are read.
// Otherwise there would be none, and a server without keys asks for none.
func TestKeysDefinition(t *testing.T) {
	c := openCopies(t, 1, collection.Options{})
	ctx := t.Context()
	_, text := create(t, nil, func(changes []access.Change) error { return c.all[0].ChangeKeys(ctx, changes) })
	if _, err := c.store.Commit(ctx, []store.Change{{Op: store.PutCollection, Collection: collection.Keys, Definition: []byte(`{"index":7,"source":{}}`)}}); err != nil {
		t.Fatal(err)
	}
	for _, cat := range []*catalog.Catalog{c.all[0], c.open(collection.Options{})} {
		if why := find(t, cat, text); why != "" {
			t.Errorf("the key is refused: %s", why)
		}
		if err := cat.ChangeKeys(ctx, []access.Change{{ID: keysOf(t, cat).List()[0].ID, Successor: "other"}}); err != nil {
			t.Error(err)
		}
	}
}
