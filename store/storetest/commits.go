package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"nearby/item"
	"nearby/store"
)

var epochs = regexp.MustCompile(`^[0-9A-Za-z]{1,32}$`)

// The changes of a batch are applied in order, so the last change of an item wins. The result
// is the same after a restart.
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

// A definition is kept byte for byte. To replace it does not change the items.
func testDefinitions(t *testing.T, f *fixture) {
	of := func(name, definition string) store.Change {
		return store.Change{Op: store.PutCollection, Collection: name, Definition: []byte(definition)}
	}
	long := strings.Repeat("n", 64)
	first := f.commit(of("b", `{"first":1}`), put("b", "x", 1), of(long, `{"z":1, "a":[1.0,"é"]}`))
	second := f.commit(of("b", `{"second":2}`))
	f.commit(put("b", "y", 1), put(long, "y", 1)) // this does not change the definitions
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

// A new collection has no items of an earlier one with the same name.
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

// If a batch is refused, nothing of it is made.
func testRefused(t *testing.T, f *fixture) {
	f.commit(define("c"), put("c", "a", 1))
	before, _ := Read(t, f, 1)
	for name, batch := range map[string][]store.Change{
		"unknown collection": {put("c", "b", 2), put("none", "x", 1)},
		"no id":              {put("c", "b", 2), put("c", "", 1)},
		"no id to delete":    {put("c", "b", 2), {Op: store.DeleteItem, Collection: "c"}},
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

// Items yields each item once, with any number of parts. Unusual ids and numbers, and large
// properties, are kept bit for bit.
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

// After a long random history with restarts, the content is that of the model.
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

// After Close all calls fail with store.ErrClosed.
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
