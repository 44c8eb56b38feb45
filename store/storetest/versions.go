package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"nearby/store"
)

// expecting makes a change expect a version.
func expecting(ch store.Change, version store.Seq) store.Change {
	ch.Expects, ch.Expected = true, version
	return ch
}

// stale makes a commit that the store must refuse with a *store.StaleError. It fails the test if
// the commit has changed something. It returns the Head of the error.
func stale(t *testing.T, s store.Store, name string, changes ...store.Change) store.Seq {
	t.Helper()
	before, _ := Read(t, s, 1)
	_, err := s.Commit(context.Background(), changes)
	var refused *store.StaleError
	if !errors.As(err, &refused) {
		t.Errorf("%s: the commit gave %v", name, err)
		return 0
	}
	after, at := Read(t, s, 1)
	if err := after.differs(before); err != nil {
		t.Errorf("%s: a refused commit has changed something: %v", name, err)
	}
	if refused.Head > at.Seq {
		t.Errorf("%s: the newest version is said to be seen at %d, the head is %d", name, refused.Head, at.Seq)
	}
	return refused.Head
}

// S7: a change that expects the newest version is made. If it expects another version, the
// whole commit is refused, and the Head of the error is not before the newest version.
func testExpects(t *testing.T, f *sharedFixture) {
	defined := f.commit(define("c"), define("d"))
	first := f.commit(put("c", "a", 1), put("c", "b", 1))
	second := f.commit(expecting(put("c", "a", 2), first))
	for range 2 {
		if head := stale(t, f, "replaced", expecting(put("c", "a", 3), first)); head < second {
			t.Errorf("commit %d replaced the version, the refusal says %d", second, head)
		}
		stale(t, f, "never was", expecting(put("c", "a", 3), defined))
		stale(t, f, "of the future", expecting(put("c", "a", 3), second+1000))
		stale(t, f, "exists", expecting(put("c", "a", 3), 0))
		stale(t, f, "absent", expecting(put("c", "none", 3), first))
		stale(t, f, "of another collection", expecting(put("d", "a", 3), second))
		stale(t, f, "beside good ones", put("c", "x", 1), expecting(put("c", "b", 3), first), expecting(put("c", "a", 3), first), del("c", "b"), define("e"), put("e", "y", 1))
		stale(t, f, "beside good ones, first", expecting(put("c", "a", 3), first), expecting(put("c", "b", 3), first))
		stale(t, f, "beside a drop", drop("d"), expecting(put("c", "a", 3), first))
		stale(t, f, "deleting a replaced one", expecting(del("c", "a"), first))
		stale(t, f, "deleting an absent one", expecting(del("c", "none"), first))
		stale(t, f, "deleting what should be absent", expecting(del("c", "a"), 0))
		f.reopen() // versions are as durable as items
	}
	// Changes of other items, and changes that expect nothing, do not cause a refusal.
	f.commit(put("c", "b", 4))
	both := f.commit(expecting(put("c", "a", 5), second), put("c", "b", 6))
	// Only the first change of an item may expect a version. It is the one before the commit.
	third := f.commit(expecting(put("c", "a", 7), both), put("c", "a", 8), expecting(put("c", "b", 9), both), del("c", "b"))
	want := Content{"c": {}, "d": {}}
	want.apply(third, []store.Change{put("c", "a", 8)})
	got, _ := Read(t, f, 1)
	Equal(t, got, want)
	f.commit(expecting(del("c", "a"), third))
	if got, _ := Read(t, f, 1); len(got["c"]) != 0 {
		t.Errorf("after the deletion there is %v", got)
	}
}

// S7 for items that do not exist: an item that never existed, one that was deleted, and one of
// an earlier collection with the same name.
func testExpectsNothing(t *testing.T, f *sharedFixture) {
	first := f.commit(define("new"), expecting(put("new", "a", 1), 0))
	stale(t, f, "exists now", expecting(put("new", "a", 2), 0))
	f.commit(expecting(del("new", "never"), 0))
	gone := f.commit(del("new", "a"))
	for range 2 {
		if head := stale(t, f, "was deleted", expecting(put("new", "a", 2), first)); head < gone {
			t.Errorf("commit %d deleted the version, the refusal says %d", gone, head)
		}
		stale(t, f, "the number of the deletion", expecting(put("new", "a", 2), gone))
		f.reopen()
	}
	second := f.commit(expecting(put("new", "a", 2), 0))
	f.commit(drop("new"))
	again := f.commit(define("new"))
	stale(t, f, "of the collection before", expecting(put("new", "a", 3), second))
	f.reopen()
	stale(t, f, "of the collection before, later", expecting(put("new", "a", 3), second), put("new", "b", 1))
	stale(t, f, "the collection's number", expecting(put("new", "a", 3), again))
	third := f.commit(expecting(put("new", "a", 3), 0))
	f.commit(expecting(put("new", "a", 4), third))
}

// count adds one to an item, n times. Each time it reads the item, makes a commit that expects
// the version that it has read, and tries again if that was replaced. It waits with the first
// commit until all writers are ready. It returns the numbers that it has written.
func count(s store.Store, n int, ready *sync.WaitGroup) ([]int64, error) {
	once := sync.OnceFunc(func() { ready.Done(); ready.Wait() })
	defer once()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var counted []int64
	for atLeast := store.Seq(0); len(counted) < n; {
		v, err := s.View(ctx)
		if err != nil {
			return nil, err
		}
		it, _, err := v.Get(ctx, "c", "count")
		if err := errors.Join(err, v.Close()); err != nil {
			return nil, err
		}
		if v.At().Seq < atLeast {
			time.Sleep(time.Millisecond) // a view of a copy that is behind
			continue
		}
		next := put("c", "count", 1)
		next.Item.Updated = it.Updated + 1
		once()
		_, err = s.Commit(ctx, []store.Change{expecting(next, store.Seq(it.Seq))})
		var refused *store.StaleError
		switch {
		case err == nil:
			counted = append(counted, next.Item.Updated)
		case errors.As(err, &refused):
			if refused.Head <= store.Seq(it.Seq) {
				return nil, fmt.Errorf("version %d is said to be replaced, by %d or before", it.Seq, refused.Head)
			}
			atLeast = refused.Head
		default:
			return nil, err
		}
	}
	return counted, nil
}

// counts lets writers on several stores count with one item. No number may be lost or written
// twice.
func counts(t *testing.T, writers, each int, stores ...store.Store) {
	t.Helper()
	all := make([][]int64, writers)
	var wg, ready sync.WaitGroup
	ready.Add(writers)
	for w := range writers {
		wg.Go(func() {
			var err error
			if all[w], err = count(stores[w%len(stores)], each, &ready); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	seen := map[int64]bool{}
	for _, counted := range all {
		for _, n := range counted {
			if seen[n] {
				t.Errorf("%d was counted twice", n)
			}
			seen[n] = true
		}
	}
	for _, s := range stores {
		got, _ := Read(t, s, 1)
		if n := got["c"]["count"].Updated; n != int64(writers*each) {
			t.Errorf("%d commits were made, the count is %d", writers*each, n)
		}
	}
}

// S7 under concurrency: a counter that writers read and write back increased by one.
func testCounter(t *testing.T, f *sharedFixture) {
	f.commit(define("c"))
	counts(t, 16, 6, f)
}

// S7 for definitions: a change of a collection that expects the newest definition is made. If it
// expects another one, the whole commit is refused.
func testExpectsDefinition(t *testing.T, f *sharedFixture) {
	first := f.commit(expecting(define("c"), 0))
	stale(t, f, "exists", expecting(define("c"), 0))
	item := f.commit(put("c", "a", 1)) // this does not change the definition
	stale(t, f, "the number of an item", expecting(define("c"), item))
	second := f.commit(expecting(define("c"), first))
	for range 2 {
		if head := stale(t, f, "replaced", expecting(define("c"), first)); head < second {
			t.Errorf("commit %d replaced the definition, the refusal says %d", second, head)
		}
		stale(t, f, "of the future", expecting(define("c"), second+1000))
		stale(t, f, "absent", expecting(define("none"), first))
		stale(t, f, "dropping a replaced one", expecting(drop("c"), first))
		stale(t, f, "beside good ones", put("c", "b", 1), define("e"), expecting(define("c"), first))
		f.reopen()
	}
	third := f.commit(expecting(define("c"), second), put("c", "b", 1))
	f.commit(expecting(drop("c"), third))
	stale(t, f, "was dropped", expecting(define("c"), third))
	fourth := f.commit(expecting(define("c"), 0))
	stale(t, f, "of the collection before", expecting(define("c"), third))
	stale(t, f, "dropping the collection before", expecting(drop("c"), third))
	got, _ := Read(t, f, 1)
	Equal(t, got, Content{"c": {}})
	f.commit(expecting(drop("c"), fourth), expecting(define("d"), 0))
}

// redefine adds one to a number in a collection's definition, n times, as count does with an
// item.
func redefine(s store.Store, n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for atLeast := store.Seq(0); n > 0; {
		v, err := s.View(ctx)
		if err != nil {
			return err
		}
		all, err := v.Collections(ctx)
		if err := errors.Join(err, v.Close()); err != nil {
			return err
		}
		if v.At().Seq < atLeast {
			time.Sleep(time.Millisecond) // a view of a copy that is behind
			continue
		}
		at := slices.IndexFunc(all, func(c store.Collection) bool { return c.Name == "c" })
		count := 0
		if _, err := fmt.Sscanf(string(all[at].Definition), `{"count":%d}`, &count); err != nil {
			count = 0 // as it was made
		}
		next := store.Change{Op: store.PutCollection, Collection: "c", Definition: fmt.Appendf(nil, `{"count":%d}`, count+1)}
		_, err = s.Commit(ctx, []store.Change{expecting(next, all[at].Seq)})
		var refused *store.StaleError
		switch {
		case err == nil:
			n--
		case errors.As(err, &refused):
			atLeast = refused.Head
		default:
			return err
		}
	}
	return nil
}

// redefines lets writers on several stores count with one definition. None may overwrite what
// another has written.
func redefines(t *testing.T, writers, each int, stores ...store.Store) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			if err := redefine(stores[w%len(stores)], each); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	v, err := stores[0].View(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	all, err := v.Collections(context.Background())
	if err := errors.Join(err, v.Close()); err != nil {
		t.Fatal(err)
	}
	if got, want := string(all[0].Definition), fmt.Sprintf(`{"count":%d}`, writers*each); all[0].Name != "c" || got != want {
		t.Errorf("the definition is %s, want %s", got, want)
	}
}

// S7 for definitions, under concurrency.
func testRedefine(t *testing.T, f *sharedFixture) {
	f.commit(define("c"))
	redefines(t, 8, 6, f)
}

// S6 and S7: a writer repeats a commit, because it does not know whether it was made. It is told
// that the commit was made, although the version that the commit expects was replaced, by the
// commit itself. The receipt of a stale commit is not kept.
func testReceiptsStale(t *testing.T, f *sharedFixture) {
	ctx := context.Background()
	first := f.commit(define("c"), put("c", "x", 1))
	retried := []store.Change{expecting(put("c", "x", 2), first)}
	seq, err := f.Commit(ctx, retried, store.Receipt{Collection: "c", Key: "retried"})
	if err != nil {
		t.Fatal(err)
	}
	made := store.Receipt{Collection: "c", Key: "retried", Seq: seq}
	for range 2 {
		repeated(t, f, []store.Receipt{made}, retried, store.Receipt{Collection: "c", Key: "retried"})
		if _, err := f.Commit(ctx, retried, store.Receipt{Collection: "c", Key: "free"}); !errors.As(err, new(*store.StaleError)) {
			t.Errorf("a stale commit with a receipt: %v", err)
		}
		if _, ok, err := f.Receipt(ctx, "c", "free"); ok || err != nil {
			t.Errorf("a receipt of a stale commit: %v, %v", ok, err)
		}
		kept(t, f, made)
		f.reopen()
	}
}
