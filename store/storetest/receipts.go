package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"nearby/store"
)

// kept fails the test if a store does not have exactly this receipt.
func kept(t *testing.T, s store.Store, want store.Receipt) {
	t.Helper()
	got, ok, err := s.Receipt(context.Background(), want.Collection, want.Key)
	if err != nil || !ok || !sameReceipt(got, want) {
		t.Errorf("the receipt %.20q is %+v, %v, %v; want %+v", want.Key, got, ok, err, want)
	}
}

func sameReceipt(a, b store.Receipt) bool {
	return a.Collection == b.Collection && a.Key == b.Key && a.Seq == b.Seq && bytes.Equal(a.Outcome, b.Outcome)
}

// repeated makes a commit that the store must refuse with a *store.RepeatedError. It fails the
// test if the error does not have the wanted receipts, or if the commit has changed something.
func repeated(t *testing.T, s store.Store, want []store.Receipt, changes []store.Change, receipts ...store.Receipt) {
	t.Helper()
	before, _ := Read(t, s, 1)
	_, err := s.Commit(context.Background(), changes, receipts...)
	var refused *store.RepeatedError
	if !errors.As(err, &refused) {
		t.Errorf("a commit with a key that is taken gave %v", err)
		return
	}
	byKey := func(a, b store.Receipt) int { return cmp.Compare(a.Key, b.Key) }
	got := slices.SortedFunc(slices.Values(refused.Receipts), byKey)
	want = slices.SortedFunc(slices.Values(want), byKey)
	if !slices.EqualFunc(got, want, sameReceipt) {
		t.Errorf("the refusal has the receipts %+v, want %+v", got, want)
	}
	after, _ := Read(t, s, 1)
	if err := after.differs(before); err != nil {
		t.Errorf("a refused commit has changed something: %v", err)
	}
}

// S6: receipts are kept with the changes, and found again; a key is taken once.
func testReceipts(t *testing.T, f *fixture) {
	ctx := context.Background()
	head := f.commit(define("c"))
	if _, ok, err := f.Receipt(ctx, "c", "a"); ok || err != nil {
		t.Errorf("a receipt that was never kept: %v, %v", ok, err)
	}
	all := []store.Receipt{
		{Collection: "c", Key: "a", Outcome: []byte(`{"ids":["x"]}`)},
		{Collection: "c", Key: strings.Repeat("k", store.MaxKeyBytes), Outcome: []byte{0, 255, 0, 128}},
		{Collection: "c", Key: "é \x01\U0001F600", Outcome: bytes.Repeat([]byte{7}, 100_000)},
		{Collection: "c", Key: "nothing"},
	}
	given := slices.Clone(all)
	given[0].Outcome = bytes.Clone(all[0].Outcome)
	given[0].Seq = 12345 // the store sets this field itself
	seq, err := f.Commit(ctx, []store.Change{put("c", "x", 1)}, given[:2]...)
	if err != nil || seq <= head {
		t.Fatal(seq, err)
	}
	clear(given[0].Outcome) // the caller may reuse the memory
	all[0].Seq, all[1].Seq = seq, seq
	// Receipts alone are a commit of their own.
	alone, err := f.Commit(ctx, nil, given[2:]...)
	if err != nil || alone <= seq {
		t.Fatalf("after %d came %d, %v", seq, alone, err)
	}
	all[2].Seq, all[3].Seq = alone, alone
	if _, at := Read(t, f, 1); at.Seq != alone {
		t.Errorf("the view is at %d, the commit was %d", at.Seq, alone)
	}
	for range 2 {
		for _, r := range all {
			kept(t, f, r)
			repeated(t, f, []store.Receipt{r}, []store.Change{put("c", "y", 1)}, store.Receipt{Collection: "c", Key: r.Key, Outcome: []byte("other")})
		}
		repeated(t, f, all[:1], nil, store.Receipt{Collection: "c", Key: "a"})
		// If one key is taken, the commit is refused, and its other keys stay free.
		repeated(t, f, []store.Receipt{all[0], all[3]}, []store.Change{del("c", "x"), put("c", "z", 1)}, store.Receipt{Collection: "c", Key: "free"}, store.Receipt{Collection: "c", Key: "nothing"}, store.Receipt{Collection: "c", Key: "a"})
		if _, ok, err := f.Receipt(ctx, "c", "free"); ok || err != nil {
			t.Errorf("a receipt of a refused commit: %v, %v", ok, err)
		}
		f.reopen()
	}
	// A writer that repeats a commit, because it does not know whether the commit was made,
	// is told that it was.
	retried := []store.Change{put("c", "x", 2)}
	once, err := f.Commit(ctx, retried, store.Receipt{Collection: "c", Key: "retried"})
	if err != nil {
		t.Fatal(err)
	}
	repeated(t, f, []store.Receipt{{Collection: "c", Key: "retried", Seq: once}}, retried, store.Receipt{Collection: "c", Key: "retried"})
	for _, key := range []string{"free", "A", "a ", " a", "nothing\u0301"} { // none of them is taken
		free, err := f.Commit(ctx, []store.Change{put("c", key, 1)}, store.Receipt{Collection: "c", Key: key})
		if err != nil {
			t.Fatalf("the key %q: %v", key, err)
		}
		kept(t, f, store.Receipt{Collection: "c", Key: key, Seq: free})
	}
}

// If a commit is refused, its receipts are not kept. Keys that are not valid are refused.
func testReceiptsRefused(t *testing.T, f *fixture) {
	ctx := context.Background()
	f.commit(define("c"), put("c", "a", 2))
	before, _ := Read(t, f, 1)
	for name, c := range map[string]struct {
		changes  []store.Change
		receipts []store.Receipt
	}{
		"unknown collection": {[]store.Change{put("none", "x", 1)}, []store.Receipt{{Collection: "c", Key: "key"}}},
		"no collection":      {[]store.Change{put("c", "b", 1)}, []store.Receipt{{Collection: "c", Key: "key"}, {Key: "key"}}},
		"none of the name":   {[]store.Change{put("c", "b", 1)}, []store.Receipt{{Collection: "c", Key: "key"}, {Collection: "none", Key: "key"}}},
		"empty key":          {[]store.Change{put("c", "b", 1)}, []store.Receipt{{Collection: "c", Key: "key"}, {Collection: "c", Key: ""}}},
		"long key":           {[]store.Change{put("c", "b", 1)}, []store.Receipt{{Collection: "c", Key: "key"}, {Collection: "c", Key: strings.Repeat("k", store.MaxKeyBytes+1)}}},
		"no UTF-8":           {[]store.Change{put("c", "b", 1)}, []store.Receipt{{Collection: "c", Key: "key"}, {Collection: "c", Key: "\xff"}}},
		"NUL":                {nil, []store.Receipt{{Collection: "c", Key: "key"}, {Collection: "c", Key: "a\x00b"}}},
		"a key twice":        {[]store.Change{put("c", "b", 1)}, []store.Receipt{{Collection: "c", Key: "key"}, {Collection: "c", Key: "key"}}},
	} {
		if _, err := f.Commit(ctx, c.changes, c.receipts...); err == nil {
			t.Errorf("%s: was taken", name)
		}
		if _, ok, err := f.Receipt(ctx, "c", "key"); ok || err != nil {
			t.Errorf("%s: the receipt is there: %v, %v", name, ok, err)
		}
	}
	after, _ := Read(t, f, 1)
	Equal(t, after, before)
}

// When a collection is dropped, its receipts are gone: a new collection with the same name does
// not have them, and their keys are free. Each collection has keys of its own. A new definition
// does not change the receipts.
func testReceiptsOfCollections(t *testing.T, f *fixture) {
	ctx := context.Background()
	f.commit(define("c"), define("d"))
	of := func(collection, outcome string) store.Receipt {
		return store.Receipt{Collection: collection, Key: "key", Outcome: []byte(outcome)}
	}
	take := func(r store.Receipt, changes ...store.Change) store.Receipt {
		t.Helper()
		var err error
		if r.Seq, err = f.Commit(ctx, changes, r); err != nil {
			t.Fatalf("the receipt %+v: %v", r, err)
		}
		return r
	}
	free := func(when, collection string) {
		t.Helper()
		if r, ok, err := f.Receipt(ctx, collection, "key"); ok || err != nil {
			t.Errorf("%s there is a receipt: %+v, %v", when, r, err)
		}
	}
	first := take(of("c", "1"), put("c", "x", 1))
	free("in another collection", "d")
	other := take(of("d", "2"), put("d", "x", 1))
	f.commit(define("c"))
	kept(t, f, first)
	f.commit(del("c", "x"))
	kept(t, f, first)
	repeated(t, f, []store.Receipt{first}, nil, of("c", "again"))
	for n := range 3 {
		f.commit(drop("c"))
		free("without the collection", "c")
		if _, err := f.Commit(ctx, nil, of("c", "late")); !errors.Is(err, store.ErrNoCollection) {
			t.Errorf("a receipt of a collection that was dropped: %v", err)
		}
		if n == 1 {
			f.reopen()
		}
		if n < 2 {
			f.commit(define("c"))
			free("in a new collection", "c")
			f.reopen()
			free("in a new collection, after a restart", "c")
			first = take(of("c", "3"), put("c", "x", 1))
		} else {
			first = take(of("c", "4"), define("c"), put("c", "x", 1)) // in the commit that makes the collection
		}
		kept(t, f, first)
		repeated(t, f, []store.Receipt{first}, []store.Change{put("c", "y", 1)}, of("c", "again"))
		f.reopen()
		kept(t, f, first)
		kept(t, f, other)
	}
	f.commit(drop("c"), define("c")) // in one commit
	free("in a collection that was replaced", "c")
	take(of("c", "5"))
}

// contest lets writers on several stores commit with the same keys at the same time. Each key
// must be taken by one writer, and the others must get that writer's receipt.
func contest(t *testing.T, stores ...store.Store) {
	t.Helper()
	const writers, keys = 8, 20
	type outcome struct {
		seq  store.Seq
		kept []store.Receipt
		err  error
	}
	var results [keys][writers]outcome
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for k := range keys {
				o := &results[k][w]
				o.seq, o.err = stores[w%len(stores)].Commit(context.Background(),
					[]store.Change{put("c", fmt.Sprint(k, " by ", w), 1)}, store.Receipt{Collection: "c", Key: fmt.Sprint("key ", k), Outcome: []byte(fmt.Sprint(w))})
				var refused *store.RepeatedError
				if errors.As(o.err, &refused) {
					o.kept, o.err = refused.Receipts, nil
				}
			}
		})
	}
	wg.Wait()
	want := map[string]store.Seq{}
	for k := range keys {
		var taken []store.Receipt
		for w, o := range results[k] {
			if o.err != nil {
				t.Fatal(o.err)
			}
			if o.kept == nil {
				taken = append(taken, store.Receipt{Collection: "c", Key: fmt.Sprint("key ", k), Outcome: []byte(fmt.Sprint(w)), Seq: o.seq})
				want[fmt.Sprint(k, " by ", w)] = o.seq
			}
		}
		if len(taken) != 1 {
			t.Fatalf("key %d was taken %d times", k, len(taken))
		}
		for w, o := range results[k] {
			if o.kept != nil && (len(o.kept) != 1 || !sameReceipt(o.kept[0], taken[0])) {
				t.Errorf("writer %d was told %+v, want %+v", w, o.kept, taken)
			}
		}
		for _, s := range stores {
			kept(t, s, taken[0])
		}
	}
	got, _ := Read(t, stores[0], 1)
	if len(got["c"]) != len(want) {
		t.Errorf("%d items of %d commits", len(got["c"]), len(want))
	}
	for id, seq := range want {
		if got["c"][id].Seq != uint64(seq) {
			t.Errorf("%q is of commit %d, not %d", id, got["c"][id].Seq, seq)
		}
	}
}

// S6 under concurrency.
func testReceiptsConcurrent(t *testing.T, f *fixture) {
	f.commit(define("c"))
	contest(t, f)
}
