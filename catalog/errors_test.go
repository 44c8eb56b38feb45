package catalog_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"nearby/catalog"
	"nearby/collection"
	"nearby/item"
	"nearby/store"
	"nearby/store/embedded"
)

// What is refused is named in one sentence, without the names of packages, and is still an
// error that callers decide on.
func TestRefusalsAreSentences(t *testing.T) {
	ctx := context.Background()
	folder, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &fixture{t: t, store: folder, Catalog: catalog.New(collection.Options{Store: folder, Kinds: kinds, MaxItems: 1, MaxCollections: 1})}
	defer h.shut()
	_, err = h.Get("c")
	check := func(err, kind error, want string) {
		t.Helper()
		if !errors.Is(err, kind) || err.Error() != want {
			t.Errorf("%q, of the kind %q: %v; want %q", err, kind, errors.Is(err, kind), want)
		}
	}
	check(err, collection.ErrNotReady, "the collections are not read yet")
	if err := h.Load(ctx, nil); err != nil {
		t.Fatal(err)
	}
	_, err = h.Get("ctiy")
	check(err, collection.ErrNotFound, `collection "ctiy" does not exist`)
	check(h.Drop(ctx, "ctiy"), collection.ErrNotFound, `collection "ctiy" does not exist`)
	check(folderError(ctx, folder), store.ErrNoCollection, `collection "ctiy" does not exist`)

	c := h.make(collection.Definition{Name: "c"})
	_, _, err = h.Put(ctx, collection.Definition{Name: "d"})
	check(err, collection.ErrFull, "there are 1 collections, which is as many as there may be")
	write(t, c, upsert("a", 1, 1, `{}`))
	of := func(op collection.Action, id string, change func(*collection.Write)) error {
		t.Helper()
		w := collection.Write{Action: op, Item: item.Item{ID: id, Properties: []byte(`{}`)}}
		if change != nil {
			change(&w)
		}
		return write(t, c, w)[0].Err
	}
	check(of(collection.Insert, "a", nil), collection.ErrExists, `item "a" exists already`)
	check(of(collection.Upsert, "b", nil), collection.ErrFull, `the collection holds 1 items, which is the most that it may hold`)
	check(of(collection.Delete, "b", nil), collection.ErrNotFound, `item "b" does not exist`)
	check(of(collection.Patch, "b", func(w *collection.Write) { w.NoPosition = true }), collection.ErrNotFound, `item "b" does not exist`)
	check(of(collection.Merge, "b", func(w *collection.Write) { w.NoPosition = true }), collection.ErrNotFound,
		"geometry: is missing, and there is no item with this id that has a position")
	check(of(collection.Upsert, "b", func(w *collection.Write) { w.IfExists = true }), collection.ErrPrecondition, `item "b" does not exist`)
	check(of(collection.Upsert, "a", func(w *collection.Write) { w.IfSeq = []uint64{1} }), collection.ErrPrecondition, `item "a" was changed since`)
	check(of(collection.Upsert, "a", func(w *collection.Write) { w.IfAbsent = true }), collection.ErrPrecondition, `item "a" exists`)
	check(of(collection.Upsert, "a", func(w *collection.Write) { w.IfUnmodified = time.Unix(1, 0) }), collection.ErrPrecondition, `item "a" was written after that time`)

	at, _, err := h.Now(ctx, catalog.Freshness{})
	if err != nil {
		t.Fatal(err)
	}
	at.Seq += 100
	_, _, err = h.Read(ctx, "c", catalog.Freshness{After: at, Wait: time.Millisecond})
	check(err, collection.ErrBehind, `collection "c" shows commit 2, and not yet 102`)
	if err := h.Drop(ctx, "c"); err != nil {
		t.Fatal(err)
	}
	_, err = c.Write(ctx, []collection.Write{upsert("a", 1, 1, `{}`)})
	check(err, collection.ErrClosed, "the collection is closed")
}

// folderError is what the store says to a change in a collection that does not exist.
func folderError(ctx context.Context, s store.Store) error {
	_, err := s.Commit(ctx, []store.Change{{Op: store.DeleteItem, Collection: "ctiy", Item: item.Item{ID: "a"}}})
	return err
}

// ErrContended is an ErrBusy, and does not say that the queue is full.
func TestContendedIsBusy(t *testing.T) {
	if err := collection.ErrContended; !errors.Is(err, collection.ErrBusy) || err.Error() != "others change the same items all the time" {
		t.Errorf("%q", err)
	}
}

// An error about one collection names it once.
func TestUnreadableDefinitionIsNamedOnce(t *testing.T) {
	folder, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &fixture{t: t, store: folder, Catalog: catalog.New(collection.Options{Store: folder, Kinds: kinds})}
	defer h.shut()
	ctx := context.Background()
	if _, err := folder.Commit(ctx, []store.Change{{Op: store.PutCollection, Collection: "odd", Definition: []byte(`{"title":1}`)}}); err != nil {
		t.Fatal(err)
	}
	err = h.Load(ctx, nil)
	if err == nil || strings.Count(err.Error(), "odd") != 1 || !strings.HasPrefix(err.Error(), `collection "odd": its stored definition cannot be read: `) {
		t.Errorf("%v", err)
	}
}
