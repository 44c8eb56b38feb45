package catalog_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"nearby/collection"
	"nearby/item"
	"nearby/store"
)

// fullStore has no space for anything but deletions, once it is full. While it is held
// commits wait, so that requests gather.
type fullStore struct {
	store.Store
	full, held chan struct{}
}

func (f *fullStore) Commit(ctx context.Context, changes []store.Change, receipts ...store.Receipt) (store.Seq, error) {
	select {
	case <-f.full:
		<-f.held
		if slices.ContainsFunc(changes, func(ch store.Change) bool { return ch.Op != store.DeleteItem }) {
			return 0, store.ErrNoSpace
		}
	default:
	}
	return f.Store.Commit(ctx, changes, receipts...)
}

// On a full disk a deletion is made also when it is in a group with writes for which
// there is no space, and those are refused.
func TestDeletionsAmongWritesOnAFullDisk(t *testing.T) {
	full := &fullStore{full: make(chan struct{}), held: make(chan struct{})}
	h := openOn(t, t.TempDir(), func(s store.Store) store.Store { full.Store = s; return full })
	defer h.shut()
	c := h.make(collection.Definition{Name: "c"})
	for _, id := range []string{"a", "b", "c"} {
		write(t, c, upsert(id, 1, 1, `{}`))
	}
	close(full.full)
	begin := func(writes ...collection.Write) func(context.Context) ([]collection.Result, error) {
		t.Helper()
		wait, err := c.Begin(writes)
		if err != nil {
			t.Fatal(err)
		}
		return wait
	}
	remove := func(id string) collection.Write {
		return collection.Write{Action: collection.Delete, Item: item.Item{ID: id}}
	}
	first := begin(upsert("x", 1, 1, `{}`)) // is held; the others gather behind it
	put1, gone1, put2, gone2, both := begin(upsert("y", 1, 1, `{}`)), begin(remove("a")), begin(upsert("b", 2, 2, `{}`)), begin(remove("none")), begin(remove("c"), upsert("z", 1, 1, `{}`))
	close(full.held)
	for i, wait := range []func(context.Context) ([]collection.Result, error){first, put1, put2, both} {
		if _, err := wait(context.Background()); !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	if res, err := gone1(context.Background()); err != nil || res[0].Err != nil {
		t.Errorf("a deletion: %v, %v", res, err)
	}
	if res, err := gone2(context.Background()); err != nil || !errors.Is(res[0].Err, collection.ErrNotFound) {
		t.Errorf("a deletion of what is not there: %v, %v", res, err)
	}
	if n := c.Snapshot().Len(); n != 2 {
		t.Errorf("there are %d items, want 2", n)
	}
}
