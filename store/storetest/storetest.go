// Package storetest holds stores to the contracts of the package store: Run holds a
// store.Store to S1 to S6, and RunShared a store.Shared to S7 and S8, alone and beside
// another one that is open at once on the same data. Who implements a store runs them.
//
// Everything is compared with a model, a plain map to which the batches are applied
// in the order of their sequence numbers.
//
// Database is a store.Shared in memory, for tests of what uses one.
package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nearby/item"
	"nearby/store"
)

// Opener opens the store that lives in a folder; the same folder gives the same
// store again after it was closed. Where stores do not live in folders, the folder
// stands for one: its name tells it from others.
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

// Run holds an implementation to the contract of store.Store.
func Run(t *testing.T, open Opener) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *fixture)
	}{
		{"Batch", testBatch},
		{"Definitions", testDefinitions},
		{"DropAndAgain", testDrop},
		{"Refused", testRefused},
		{"Shares", testShares},
		{"Model", testModel},
		{"Concurrent", testConcurrent},
		{"ViewStands", testViewStands},
		{"Receipts", testReceipts},
		{"ReceiptsRefused", testReceiptsRefused},
		{"ReceiptsOfCollections", testReceiptsOfCollections},
		{"ReceiptsConcurrent", testReceiptsConcurrent},
		{"Closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t, newFixture(t, open))
		})
	}
}

type fixture struct {
	t    *testing.T
	open Opener
	dir  string
	store.Store
}

// newFixture opens a store until the test ends.
func newFixture(t *testing.T, open Opener) *fixture {
	t.Helper()
	f := &fixture{t: t, open: open, dir: t.TempDir()}
	f.start()
	t.Cleanup(f.stop)
	return f
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
func Read(t testing.TB, s store.Store, parts int) (Content, store.CommitID) {
	t.Helper()
	v, err := s.View(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	return ReadView(t, v, parts), v.At()
}

// ReadView is Read of a view.
func ReadView(t testing.TB, v store.View, parts int) Content {
	t.Helper()
	content, err := readView(v, parts)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func readView(v store.View, parts int) (Content, error) {
	ctx := context.Background()
	all, err := v.Collections(ctx)
	if err != nil {
		return nil, err
	}
	content := Content{}
	for i, c := range all {
		if i > 0 && c.Name <= all[i-1].Name {
			return nil, fmt.Errorf("collection %q came after %q", c.Name, all[i-1].Name)
		}
		items := map[string]item.Item{}
		var mu sync.Mutex
		err := v.Items(ctx, c.Name, parts, func(part int, it *item.Item) error {
			mu.Lock()
			defer mu.Unlock()
			if part < 0 || part >= parts {
				return fmt.Errorf("%s: part %d of %d", c.Name, part, parts)
			}
			if _, twice := items[it.ID]; twice {
				return fmt.Errorf("%s: %q came twice", c.Name, it.ID)
			}
			own := detached(it)
			items[own.ID] = own
			return nil
		})
		if err != nil {
			return nil, err
		}
		content[c.Name] = items
	}
	return content, nil
}

// detached returns a copy of an item with memory of its own.
func detached(it *item.Item) item.Item {
	own := *it
	own.ID, own.Properties = strings.Clone(it.ID), bytes.Clone(it.Properties)
	return own
}

// Equal compares what a store shows with what it should.
func Equal(t testing.TB, got, want Content) {
	t.Helper()
	if err := got.differs(want); err != nil {
		t.Fatal(err)
	}
}

// differs says where the content is not the wanted one.
func (c Content) differs(want Content) error {
	if len(c) != len(want) {
		return fmt.Errorf("%d collections, want %d", len(c), len(want))
	}
	for name, items := range want {
		if len(c[name]) != len(items) {
			return fmt.Errorf("%s: %d items, want %d", name, len(c[name]), len(items))
		}
		for id, w := range items {
			if g, ok := c[name][id]; !ok || !same(&g, &w) {
				return fmt.Errorf("%s: %q is %+v, want %+v", name, id, g, w)
			}
		}
	}
	return nil
}

// same compares items bit for bit.
func same(a, b *item.Item) bool {
	return math.Float64bits(a.Lon) == math.Float64bits(b.Lon) && math.Float64bits(a.Lat) == math.Float64bits(b.Lat) &&
		a.ID == b.ID && bytes.Equal(a.Properties, b.Properties) &&
		a.Created == b.Created && a.Updated == b.Updated && a.Seq == b.Seq
}

func (c Content) clone() Content {
	own := make(Content, len(c))
	for name, items := range c {
		own[name] = maps.Clone(items) // the items' memory is never written to
	}
	return own
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

func drop(collection string) store.Change {
	return store.Change{Op: store.DropCollection, Collection: collection}
}

// payload is a JSON object of n bytes; nil for 0.
func payload(n int) []byte {
	if n == 0 {
		return nil
	}
	const frame = `{"p":""}`
	return []byte(`{"p":"` + strings.Repeat("p", n-len(frame)) + `"}`)
}

// apply is what a commit does, on a plain map.
func (c Content) apply(seq store.Seq, changes []store.Change) {
	for i := range changes {
		ch := changes[i]
		ch.Item.Seq = uint64(seq)
		if err := c.change(&ch); err != nil {
			panic(err) // the test has made a batch that no store may take
		}
	}
}

// change makes one change, whose item carries its Seq.
func (c Content) change(ch *store.Change) error {
	items, exists := c[ch.Collection]
	switch ch.Op {
	case store.PutCollection:
		if !exists {
			c[ch.Collection] = map[string]item.Item{}
		}
	case store.DropCollection:
		delete(c, ch.Collection)
	case store.PutItem:
		if !exists {
			return fmt.Errorf("%q is put into %q, which does not exist", ch.Item.ID, ch.Collection)
		}
		own := detached(&ch.Item)
		items[own.ID] = own
	case store.DeleteItem:
		delete(items, ch.Item.ID)
	default:
		return fmt.Errorf("unknown operation %d", ch.Op)
	}
	return nil
}

var epochs = regexp.MustCompile(`^[0-9A-Za-z]{1,32}$`)

// A batch is applied in order, the last change of an item wins, and it is there
// after a restart.
func testBatch(t *testing.T, f *fixture) {
	want := Content{}
	batch := []store.Change{define("c"), put("c", "a", 1), put("c", "b", 2), del("c", "a"), put("c", "a", 3), put("c", "b", 4), del("c", "b"), del("c", "never")}
	seq := f.commit(batch...)
	want.apply(seq, batch)
	epoch := store.Epoch("")
	for range 2 {
		got, at := Read(t, f, 1)
		if at.Seq != seq {
			t.Errorf("the view is at %d, the commit was %d", at.Seq, seq)
		}
		if !epochs.MatchString(string(at.Epoch)) || epoch != "" && at.Epoch != epoch {
			t.Errorf("the epoch is %q, was %q", at.Epoch, epoch)
		}
		epoch = at.Epoch
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

// A definition is kept as it came, and replaced without the items.
func testDefinitions(t *testing.T, f *fixture) {
	of := func(name, definition string) store.Change {
		return store.Change{Op: store.PutCollection, Collection: name, Definition: []byte(definition)}
	}
	long := strings.Repeat("n", 64)
	first := f.commit(of("b", `{"first":1}`), put("b", "x", 1), of(long, `{"z":1, "a":[1.0,"é"]}`))
	second := f.commit(of("b", `{"second":2}`))
	f.commit(put("b", "y", 1), put(long, "y", 1)) // no other definition
	want := []store.Collection{
		{Name: "b", Definition: []byte(`{"second":2}`), Seq: second},
		{Name: long, Definition: []byte(`{"z":1, "a":[1.0,"é"]}`), Seq: first},
	}
	for range 2 {
		v, err := f.View(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.Collections(context.Background())
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the collections are %v, %v; want %v", got, err, want)
		}
		if _, ok, err := v.Get(context.Background(), "b", "x"); !ok || err != nil {
			t.Errorf("after a new definition an item is there: %v, %v", ok, err)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		f.reopen()
	}
}

// A collection made again under a name has nothing of the one before.
func testDrop(t *testing.T, f *fixture) {
	f.commit(define("c"), define("d"), put("c", "old", 1), put("d", "stays", 1))
	f.commit(drop("c"))
	if _, err := f.Commit(context.Background(), []store.Change{put("c", "x", 1)}); !errors.Is(err, store.ErrNoCollection) {
		t.Errorf("writing to a dropped collection: %v", err)
	}
	f.commit(define("c"), put("c", "new", 2), drop("c"), define("c"), put("c", "newer", 3))
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

// Any number of parts shows each item once; odd ids and numbers and large
// properties are kept bit for bit.
func testShares(t *testing.T, f *fixture) {
	want := Content{}
	batch := []store.Change{define("a"), define("b"), define("empty")}
	for i := range 3000 {
		batch = append(batch, put("a", fmt.Sprintf("%05d", i*7919%3000), float64(i%180)))
	}
	for i, id := range []string{" ", "é", "日本", strings.Repeat("x", item.MaxIDBytes), "018f0000-0000-7000-8000-000000000000", "a/b", "\u00ff"} {
		ch := put("b", id, float64(i))
		ch.Item.Properties = payload(i * item.MaxPropertiesBytes / 8)
		batch = append(batch, ch)
	}
	for i, n := range []float64{math.Copysign(0, -1), 5e-324, 0.1 + 0.2, math.Nextafter(180, 0), -180} {
		ch := put("b", fmt.Sprint("number ", i), 0)
		ch.Item.Lon, ch.Item.Lat = n, n/2
		ch.Item.Created, ch.Item.Updated = -62_135_596_800_000>>i, 253_402_300_799_999>>i // years 1 to 9999
		ch.Item.Properties = []byte(`{ "spaces" : 1.0,"again":1,"again":2 ,"é":"\u00e9"}`)
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
		if it, ok, err := v.Get(context.Background(), "b", id); err != nil || !ok || !same(&it, &w) {
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
				batch = append(batch, drop(name))
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
	const writers, each = 16, 40
	results := make([][]made, writers)
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
				results[w] = append(results[w], made{seq: seq, batch: batch})
			}
		}()
	}
	wg.Wait()
	all := slices.Concat(results...)
	slices.SortFunc(all, func(a, b made) int { return cmp.Compare(a.seq, b.seq) })
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
	var made atomic.Int64
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
			made.Add(1)
		}
	}()
	defer wg.Wait()
	defer close(stop)
	for range 50 {
		v, err := f.View(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var first []item.Item
		opened := made.Load()
		for round := range 2 {
			for end := time.Now().Add(patience); round == 1 && made.Load() < opened+2; time.Sleep(100 * time.Microsecond) {
				if time.Now().After(end) {
					t.Fatal("while a view is open no commits are made")
				}
			}
			var items []item.Item
			if err := v.Items(context.Background(), "c", 1, func(_ int, it *item.Item) error {
				items = append(items, detached(it))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			for _, it := range items {
				if it.Lon != items[0].Lon || it.Seq != items[0].Seq || store.Seq(it.Seq) > v.At().Seq {
					t.Fatalf("half a commit: %+v beside %+v at %d", it, items[0], v.At().Seq)
				}
			}
			if round == 0 {
				first = items
			} else if !slices.EqualFunc(byID(first), byID(items), func(a, b item.Item) bool { return same(&a, &b) }) {
				t.Fatal("one view gave two answers")
			}
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func byID(items []item.Item) []item.Item {
	return slices.SortedFunc(slices.Values(items), func(a, b item.Item) int { return cmp.Compare(a.ID, b.ID) })
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
	if _, _, err := s.Receipt(context.Background(), "c", "key"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("receipt: %v", err)
	}
	if err := s.Close(); !errors.Is(err, store.ErrClosed) {
		t.Errorf("closing again: %v", err)
	}
}
