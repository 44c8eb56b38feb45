// Package storetest is the conformance suite of store.Store: the invariants S1
// to S6 of that package, for whoever implements it.
package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nearby/item"
	"nearby/store"
)

// Opener opens the store that lives in a folder; the same folder gives the same
// store again after it was closed.
type Opener func(dir string) (store.Store, error)

// Seed returns the seed of a random test and logs it; NEARBY_TEST_SEED replays.
func Seed(t testing.TB) uint64 {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("NEARBY_TEST_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("NEARBY_TEST_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("NEARBY_TEST_SEED=%d", seed)
	return seed
}

// Run holds an implementation to the contract.
func Run(t *testing.T, open Opener) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *fixture)
	}{
		{"Batch", testBatch},
		{"DropAndAgain", testDrop},
		{"Refused", testRefused},
		{"Shares", testShares},
		{"Model", testModel},
		{"Concurrent", testConcurrent},
		{"ViewStands", testViewStands},
		{"Follow", testFollow},
		{"FollowFromView", testFollowFromView},
		{"Closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fixture{t: t, open: open, dir: t.TempDir()}
			f.start()
			defer f.stop()
			c.test(t, f)
		})
	}
}

type fixture struct {
	t    *testing.T
	open Opener
	dir  string
	store.Store
}

func (f *fixture) start() {
	f.t.Helper()
	s, err := f.open(f.dir)
	if err != nil {
		f.t.Fatal(err)
	}
	f.Store = s
}

func (f *fixture) stop() {
	f.t.Helper()
	if f.Store != nil {
		if err := f.Store.Close(); err != nil {
			f.t.Error(err)
		}
		f.Store = nil
	}
}

func (f *fixture) reopen() { f.t.Helper(); f.stop(); f.start() }

func (f *fixture) commit(changes ...store.Change) store.Seq {
	f.t.Helper()
	seq, err := f.Commit(context.Background(), changes)
	if err != nil {
		f.t.Fatal(err)
	}
	return seq
}

// Content is all items of all collections.
type Content map[string]map[string]item.Item

// Read reads everything that a store shows.
func Read(t testing.TB, s store.Store, parts int) (Content, store.Seq) {
	t.Helper()
	ctx := context.Background()
	v, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	all, err := v.Collections(ctx)
	if err != nil {
		t.Fatal(err)
	}
	content := Content{}
	for _, c := range all {
		items := map[string]item.Item{}
		last := make([]string, parts)
		var mu sync.Mutex
		err := v.Items(ctx, c.Name, parts, func(part int, it *item.Item) error {
			mu.Lock()
			defer mu.Unlock()
			own := *it
			own.ID, own.Properties = strings.Clone(it.ID), bytes.Clone(it.Properties)
			if _, twice := items[own.ID]; twice {
				t.Errorf("%s: %q came twice", c.Name, own.ID)
			}
			if own.ID <= last[part] {
				t.Errorf("%s: in part %d %q came after %q", c.Name, part, own.ID, last[part])
			}
			last[part] = own.ID
			items[own.ID] = own
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		content[c.Name] = items
	}
	return content, v.Position().Seq
}

// Equal compares what a store shows with what it should.
func Equal(t testing.TB, got, want Content) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d collections, want %d", len(got), len(want))
	}
	for name, items := range want {
		if len(got[name]) != len(items) {
			t.Fatalf("%s: %d items, want %d", name, len(got[name]), len(items))
		}
		for id, w := range items {
			g, ok := got[name][id]
			if !ok || g.Lon != w.Lon || g.Lat != w.Lat || !bytes.Equal(g.Properties, w.Properties) ||
				g.Created != w.Created || g.Updated != w.Updated || g.Seq != w.Seq {
				t.Fatalf("%s: %q is %+v, want %+v", name, id, g, w)
			}
		}
	}
}

func define(name string) store.Change {
	return store.Change{Op: store.PutCollection, Collection: name, Definition: []byte(`{"of":"` + name + `"}`)}
}

func put(collection, id string, lon float64) store.Change {
	return store.Change{Op: store.PutItem, Collection: collection, Item: item.Item{
		ID: id, Lon: lon, Lat: -lon / 2, Properties: []byte(`{"id":"` + id + `"}`), Created: 5, Updated: int64(lon),
	}}
}

func del(collection, id string) store.Change {
	return store.Change{Op: store.DeleteItem, Collection: collection, Item: item.Item{ID: id}}
}

// apply is what a commit does, on a plain map.
func (c Content) apply(seq store.Seq, changes []store.Change) {
	for _, ch := range changes {
		switch ch.Op {
		case store.PutCollection:
			if c[ch.Collection] == nil {
				c[ch.Collection] = map[string]item.Item{}
			}
		case store.DropCollection:
			delete(c, ch.Collection)
		case store.PutItem:
			it := ch.Item
			it.Seq = uint64(seq)
			it.Properties = bytes.Clone(it.Properties)
			c[ch.Collection][it.ID] = it
		case store.DeleteItem:
			delete(c[ch.Collection], ch.Item.ID)
		}
	}
}

// A batch is applied in order, the last change of an item wins, and it is there
// after a restart.
func testBatch(t *testing.T, f *fixture) {
	want := Content{}
	batch := []store.Change{define("c"), put("c", "a", 1), put("c", "b", 2), del("c", "a"), put("c", "a", 3), put("c", "b", 4), del("c", "b"), del("c", "never")}
	seq := f.commit(batch...)
	want.apply(seq, batch)
	for range 2 {
		got, at := Read(t, f, 1)
		if at != seq {
			t.Errorf("the view is at %d, the commit was %d", at, seq)
		}
		Equal(t, got, want)
		f.reopen()
	}
	if next := f.commit(put("c", "z", 9)); next <= seq {
		t.Errorf("after a restart came %d, before %d", next, seq)
	}
	if head, err := f.Commit(context.Background(), nil); err != nil || head <= seq {
		t.Errorf("the empty batch gave %d, %v", head, err)
	}
}

// A collection made again under a name has nothing of the one before.
func testDrop(t *testing.T, f *fixture) {
	f.commit(define("c"), define("d"), put("c", "old", 1), put("d", "stays", 1))
	f.commit(store.Change{Op: store.DropCollection, Collection: "c"})
	if _, err := f.Commit(context.Background(), []store.Change{put("c", "x", 1)}); !errors.Is(err, store.ErrNoCollection) {
		t.Errorf("writing to a dropped collection: %v", err)
	}
	f.commit(define("c"), put("c", "new", 2), store.Change{Op: store.DropCollection, Collection: "c"}, define("c"), put("c", "newer", 3))
	for range 2 {
		got, _ := Read(t, f, 2)
		if len(got["c"]) != 1 || got["c"]["newer"].Lon != 3 || len(got["d"]) != 1 {
			t.Errorf("left: %v", got)
		}
		f.reopen()
	}
}

// A batch with a fault leaves nothing behind.
func testRefused(t *testing.T, f *fixture) {
	f.commit(define("c"), put("c", "a", 1))
	before, _ := Read(t, f, 1)
	for name, batch := range map[string][]store.Change{
		"unknown collection": {put("c", "b", 2), put("none", "x", 1)},
		"no id":              {put("c", "b", 2), put("c", "", 1)},
		"no operation":       {put("c", "b", 2), {Collection: "c"}},
		"defined, then not":  {define("new"), put("other", "x", 1)},
	} {
		if _, err := f.Commit(context.Background(), batch); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := f.Commit(ctx, []store.Change{put("c", "b", 2)}); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	after, _ := Read(t, f, 1)
	Equal(t, after, before)
}

// Any number of parts shows each item once; odd ids and large properties are
// kept byte for byte.
func testShares(t *testing.T, f *fixture) {
	want := Content{}
	batch := []store.Change{define("a"), define("b"), define("empty")}
	for i := range 3000 {
		batch = append(batch, put("a", fmt.Sprintf("%05d", i*7919%3000), float64(i%180)))
	}
	for i, id := range []string{" ", "\x7f", "é", "日本", strings.Repeat("x", item.MaxIDBytes), "018f0000-0000-7000-8000-000000000000", "a/b", "\u00ff"} {
		ch := put("b", id, float64(i))
		ch.Item.Properties = bytes.Repeat([]byte("p"), i*item.MaxPropertiesBytes/8)
		if len(ch.Item.Properties) == 0 {
			ch.Item.Properties = nil
		}
		batch = append(batch, ch)
	}
	want.apply(f.commit(batch...), batch)
	f.reopen()
	for _, parts := range []int{1, 2, 3, 7} {
		got, _ := Read(t, f, parts)
		Equal(t, got, want)
	}
	v, err := f.View(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for id, w := range want["b"] {
		if it, ok, err := v.Get(context.Background(), "b", id); err != nil || !ok || it.Lon != w.Lon || !bytes.Equal(it.Properties, w.Properties) {
			t.Errorf("Get(%q) = %+v, %v, %v", id, it, ok, err)
		}
	}
	if _, ok, err := v.Get(context.Background(), "b", "none"); ok || err != nil {
		t.Errorf("Get of nothing: %v, %v", ok, err)
	}
	stop := errors.New("enough")
	if err := v.Items(context.Background(), "a", 2, func(int, *item.Item) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error from yield came back as %v", err)
	}
	if err := v.Items(context.Background(), "none", 1, func(int, *item.Item) error { return nil }); !errors.Is(err, store.ErrNoCollection) {
		t.Errorf("items of no collection: %v", err)
	}
}

// A long random history with restarts is that of a map.
func testModel(t *testing.T, f *fixture) {
	rng := rand.New(rand.NewPCG(Seed(t), 1))
	want := Content{}
	names := []string{"c", "d", "e"}
	for range 600 {
		var batch []store.Change
		defined := map[string]bool{}
		for n := range want {
			defined[n] = true
		}
		for range 1 + rng.IntN(60) {
			name := names[rng.IntN(len(names))]
			id := fmt.Sprint(rng.IntN(300))
			switch r := rng.IntN(100); {
			case r == 0 && defined[name]:
				batch = append(batch, store.Change{Op: store.DropCollection, Collection: name})
				delete(defined, name)
			case !defined[name]:
				batch = append(batch, define(name))
				defined[name] = true
			case r < 30:
				batch = append(batch, del(name, id))
			default:
				batch = append(batch, put(name, id, float64(rng.IntN(180))))
			}
		}
		want.apply(f.commit(batch...), batch)
		if rng.IntN(60) == 0 {
			f.reopen()
		}
		if rng.IntN(30) == 0 {
			got, _ := Read(t, f, 1+rng.IntN(3))
			Equal(t, got, want)
		}
	}
	got, _ := Read(t, f, 2)
	Equal(t, got, want)
}

// Sequence numbers of concurrent commits are all different, and the content is
// that of applying them in their order.
func testConcurrent(t *testing.T, f *fixture) {
	f.commit(define("c"))
	type done struct {
		seq   store.Seq
		batch []store.Change
	}
	const writers, each = 16, 40
	results := make([][]done, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewPCG(2, uint64(w)))
			for i := range each {
				batch := []store.Change{put("c", fmt.Sprint(rng.IntN(20)), float64(w)), put("c", fmt.Sprint(rng.IntN(20)), float64(i))}
				seq, err := f.Commit(context.Background(), batch)
				if err != nil {
					t.Error(err)
					return
				}
				if n := len(results[w]); n > 0 && results[w][n-1].seq >= seq {
					t.Errorf("%d came after %d", seq, results[w][n-1].seq)
				}
				results[w] = append(results[w], done{seq, batch})
			}
		}()
	}
	wg.Wait()
	all := slices.Concat(results...)
	slices.SortFunc(all, func(a, b done) int { return cmp.Compare(a.seq, b.seq) })
	want := Content{"c": {}}
	for i, d := range all {
		if i > 0 && d.seq == all[i-1].seq {
			t.Fatalf("two commits have the number %d", d.seq)
		}
		want.apply(d.seq, d.batch)
	}
	got, _ := Read(t, f, 1)
	Equal(t, got, want)
}

// A view does not change, whatever is committed meanwhile, and shows whole
// commits only.
func testViewStands(t *testing.T, f *fixture) {
	f.commit(define("c"))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			batch := make([]store.Change, 10) // ten items that always say the same
			for j := range batch {
				batch[j] = put("c", fmt.Sprint(j), float64(i%180))
			}
			if _, err := f.Commit(context.Background(), batch); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for range 50 {
		v, err := f.View(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var first []item.Item
		for round := range 2 {
			var items []item.Item
			if err := v.Items(context.Background(), "c", 1, func(_ int, it *item.Item) error {
				own := *it
				own.ID, own.Properties = strings.Clone(it.ID), bytes.Clone(it.Properties)
				items = append(items, own)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			for _, it := range items {
				if it.Lon != items[0].Lon || it.Seq != items[0].Seq || store.Seq(it.Seq) > v.Position().Seq {
					t.Fatalf("half a commit: %+v beside %+v at %d", it, items[0], v.Position().Seq)
				}
			}
			if round == 0 {
				first = items
			} else if fmt.Sprint(first) != fmt.Sprint(items) {
				t.Fatal("one view gave two answers")
			}
		}
		v.Close()
	}
	close(stop)
	wg.Wait()
}

// Follow delivers every commit once and in order, while commits go on.
func testFollow(t *testing.T, f *fixture) {
	f.commit(define("c"))
	before, from := Read(t, f, 1)
	const writers, each = 8, 50
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	got := before
	last, seen := from, 0
	followed := make(chan error, 1)
	go func() {
		followed <- f.Follow(ctx, from, func(seq store.Seq, changes []store.Change) error {
			if seq <= last {
				return fmt.Errorf("%d came after %d", seq, last)
			}
			last = seq
			got.apply(seq, changes)
			if seen++; seen == writers*each {
				return errors.New("all are here")
			}
			return nil
		})
	}()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				if _, err := f.Commit(ctx, []store.Change{put("c", fmt.Sprint(w, i), 1), del("c", fmt.Sprint(w, i-1))}); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	select {
	case err := <-followed:
		if err == nil || err.Error() != "all are here" {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("%d of %d commits were delivered", seen, writers*each)
	}
	want, _ := Read(t, f, 1)
	Equal(t, got, want)

	// What lies too far back is refused, not left out.
	big := put("c", "big", 1)
	big.Item.Properties = bytes.Repeat([]byte("x"), item.MaxPropertiesBytes)
	for range 400 {
		f.commit(big)
	}
	err := f.Follow(ctx, from, func(seq store.Seq, _ []store.Change) error {
		if seq != from+1 {
			return fmt.Errorf("the first after %d was %d", from, seq)
		}
		return context.Canceled // it keeps everything: good too
	})
	if !errors.Is(err, store.ErrGone) && !errors.Is(err, context.Canceled) {
		t.Errorf("following from far back: %v", err)
	}
}

// A reader of a view can go on from its Seq while commits go on, also after
// having closed it, and misses none. It may have to begin anew, but not for ever.
func testFollowFromView(t *testing.T, f *fixture) {
	ctx := context.Background()
	f.commit(define("c"), put("c", "count", 0))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := f.Commit(ctx, []store.Change{put("c", "count", float64(i))}); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	defer wg.Wait()
	defer close(stop)
	enough := errors.New("enough")
	gone := 0
	for round := 0; round < 20; {
		v, err := f.View(ctx)
		if err != nil {
			t.Fatal(err)
		}
		it, ok, err := v.Get(ctx, "c", "count")
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		count, n := it.Lon, 0
		err = f.Follow(ctx, v.Seq(), func(_ store.Seq, changes []store.Change) error {
			if count++; len(changes) != 1 || changes[0].Item.Lon != count {
				t.Errorf("after %g came %+v", count-1, changes)
			}
			if n++; n == 20 {
				return enough
			}
			return nil
		})
		switch {
		case errors.Is(err, enough):
			round++
		case errors.Is(err, store.ErrGone) && gone < 200:
			gone++
		default:
			t.Fatalf("following in round %d, having begun anew %d times: %v", round, gone, err)
		}
	}
}

// After Close everything says so.
func testClosed(t *testing.T, f *fixture) {
	f.commit(define("c"))
	s := f.Store
	f.stop()
	if _, err := s.Commit(context.Background(), []store.Change{put("c", "a", 1)}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("commit: %v", err)
	}
	if _, err := s.View(context.Background()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("view: %v", err)
	}
	if err := s.Follow(context.Background(), 1, func(store.Seq, []store.Change) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("follow: %v", err)
	}
	if err := s.Close(); !errors.Is(err, store.ErrClosed) {
		t.Errorf("closing again: %v", err)
	}
}
