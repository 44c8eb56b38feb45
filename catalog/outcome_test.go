package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"nearby/catalog"
	"nearby/collection"
	"nearby/store"
	"nearby/store/embedded"
	"nearby/store/storetest"
)

// held is a store whose commits wait, and may then fail.
type held struct {
	store.Store
	began   chan struct{} // a commit waits
	release chan error    // it goes on, or fails
	deaf    error         // of asking for receipts
}

func (h *held) Commit(ctx context.Context, changes []store.Change, receipts ...store.Receipt) (store.Seq, error) {
	if h.release != nil && len(changes) > 0 {
		h.began <- struct{}{}
		if err := <-h.release; err != nil {
			return 0, err
		}
	}
	return h.Store.Commit(ctx, changes, receipts...)
}

func (h *held) Receipt(ctx context.Context, collection, key string) (store.Receipt, bool, error) {
	if h.deaf != nil {
		return store.Receipt{}, false, h.deaf
	}
	return h.Store.Receipt(ctx, collection, key)
}

// uncertain fails if the error does not say that the write may have been made, or says
// that it was not.
func uncertain(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, store.ErrUncertain) || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the error is %v, which does not say that the write may have been made", err)
	}
}

// A write whose time ends while its commit is under way may have been made, and so may
// one with a key when it cannot be found out whether it was.
func TestOutcomeUnderWay(t *testing.T) {
	s, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &held{Store: s}
	cat := catalog.New(collection.Options{Store: h, Kinds: kinds})
	t.Cleanup(func() {
		cat.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := cat.Load(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	c, _, err := cat.Put(context.Background(), collection.Definition{Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	h.began, h.release = make(chan struct{}), make(chan error)
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error)
	go func() {
		_, err := c.Write(ctx, []collection.Write{upsert("a", 1, 1, `{}`)})
		failed <- err
	}()
	<-h.began
	cancel()
	err = <-failed
	uncertain(t, err)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not say that the caller's time ended", err)
	}
	h.release <- nil
	h.release = nil
	write(t, c, upsert("b", 1, 1, `{}`)) // comes after it
	if _, ok := c.Snapshot().Get("a"); !ok {
		t.Error("the write was not made in the end")
	}

	h.deaf = store.ErrUnavailable
	_, _, err = c.WriteOnce(context.Background(), collection.IdempotencyKey{Key: "k"}, []collection.Write{upsert("c", 1, 1, `{}`)})
	uncertain(t, err)
}

// A change to the set of collections that was committed, and is not seen to become
// visible, is not called one that was not made.
func TestOutcomeBeforeVisible(t *testing.T) {
	c := openCopies(t, 1, collection.Options{})
	cat := c.all[0]
	c.make(collection.Definition{Name: "old"})
	stall := &c.stores[0].following.mu
	for name, change := range map[string]func(context.Context) error{
		"create": func(ctx context.Context) error {
			_, _, err := cat.Put(ctx, collection.Definition{Name: "new"})
			return err
		},
		"update": func(ctx context.Context) error {
			_, _, err := cat.Put(ctx, collection.Definition{Name: "old", Title: "Old"})
			return err
		},
		"drop": func(ctx context.Context) error { return cat.Drop(ctx, "old") },
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := cat.Now(context.Background(), catalog.Freshness{Strong: true}); err != nil {
				t.Fatal(err)
			}
			if name == "update" && c.dropped("old") {
				c.make(collection.Definition{Name: "old"})
			}
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			defer cancel()
			stall.Lock()
			err := change(ctx)
			stall.Unlock()
			uncertain(t, err)
		})
	}
	c.agree()
}

func (c *copies) dropped(name string) bool {
	_, err := c.all[0].Get(name)
	return errors.Is(err, collection.ErrNotFound)
}

// heldShared is a shared store whose commits are held.
type heldShared struct {
	store.Shared
	held *held
}

func (s heldShared) Commit(ctx context.Context, changes []store.Change, receipts ...store.Receipt) (store.Seq, error) {
	return s.held.Commit(ctx, changes, receipts...)
}

// A catalog that closes does not say of a commit whose outcome is not known that it
// was not made.
func TestOutcomeAtTheEnd(t *testing.T) {
	db := storetest.NewDatabase().Open()
	h := &held{Store: db}
	c := &copies{T: t, store: db, join: func() store.Shared { return heldShared{db, h} }}
	cat := c.open(collection.Options{CommitTimeout: 50 * time.Millisecond})
	c.make(collection.Definition{Name: "c"})
	h.began, h.release = make(chan struct{}), make(chan error)
	failed := make(chan error)
	go func() {
		_, err := c.get(0, "c").Write(context.Background(), []collection.Write{upsert("a", 1, 1, `{}`)})
		failed <- err
	}()
	<-h.began
	closed := make(chan struct{})
	go func() { cat.Close(); close(closed) }()
	time.Sleep(300 * time.Millisecond) // so long that closing has given up, mostly; both ways are right
	h.release <- store.ErrUncertain
	uncertain(t, <-failed)
	<-closed
}

// doubtful makes commits and says, while it is asked to, that the next start may not find
// them.
type doubtful struct {
	store.Store
	doubts atomic.Bool
}

func (d *doubtful) Commit(ctx context.Context, changes []store.Change, receipts ...store.Receipt) (store.Seq, error) {
	seq, err := d.Store.Commit(ctx, changes, receipts...)
	if err == nil && d.doubts.Load() {
		err = fmt.Errorf("%w: the folder is elsewhere", store.ErrUncertain)
	}
	return seq, err
}

// A commit that the store has, though the next start may not find it, is uncertain for its
// caller and shown, and everything goes on from it.
func TestGoesOnAfterADoubt(t *testing.T) {
	ctx := context.Background()
	d := &doubtful{}
	dir := t.TempDir()
	h := openOn(t, dir, func(s store.Store) store.Store { d.Store = s; return d })
	in := func(change func() error) {
		t.Helper()
		d.doubts.Store(true)
		defer d.doubts.Store(false)
		uncertain(t, change())
	}
	named := func(title string) error {
		_, _, err := h.Put(ctx, collection.Definition{Name: "c", Title: title})
		return err
	}
	in(func() error { return named("doubted") })
	c, err := h.Get("c")
	if err != nil {
		t.Fatal(err)
	}
	in(func() error { _, err := c.Write(ctx, []collection.Write{upsert("a", 1, 1, `{}`)}); return err })
	write(t, c, upsert("b", 1, 1, `{}`), upsert("a", 2, 2, `{}`))
	in(func() error { return named("once more") })
	if err := named("certain"); err != nil {
		t.Fatal(err)
	}
	if s := c.Snapshot(); s.Len() != 2 || s.Definition().Title != "certain" {
		t.Errorf("there are %d items, and the title is %q", s.Len(), s.Definition().Title)
	}
	in(func() error { return h.Drop(ctx, "c") })
	if _, err := h.Get("c"); !errors.Is(err, collection.ErrNotFound) {
		t.Errorf("the collection that was dropped: %v", err)
	}
	write(t, h.make(collection.Definition{Name: "c"}), upsert("z", 1, 1, `{}`))
	h.shut()
	h = open(t, dir)
	if c, err = h.Get("c"); err != nil || c.Snapshot().Len() != 1 {
		t.Errorf("the next start: %v", err)
	}
}
