package catalog_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"nearby/catalog"
	"nearby/collection"
	"nearby/index"
	"nearby/indexes"
	"nearby/item"
	"nearby/sphere"
	"nearby/store"
	"nearby/store/embedded"
	"nearby/table"
	"nearby/value"
)

var kinds = indexes.Kinds()

// equal is a filter by the values that properties may have.
func equal(want map[string][]string) *table.Filter {
	f := &table.Filter{}
	for name, texts := range want {
		for _, text := range texts {
			f.Add(name, text)
		}
	}
	return f
}

// fixture is a catalog on a real store in a folder.
type fixture struct {
	t     testing.TB
	dir   string
	store store.Store
	*catalog.Catalog
}

func open(t testing.TB, dir string) *fixture {
	t.Helper()
	return openOn(t, dir, func(s store.Store) store.Store { return s })
}

// openOn has a store between the catalog and the one in the folder.
func openOn(t testing.TB, dir string, between func(store.Store) store.Store) *fixture {
	t.Helper()
	in, err := embedded.Open(dir, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := between(in)
	h := &fixture{t: t, dir: dir, store: s, Catalog: catalog.New(collection.Options{Store: s, Kinds: kinds})}
	if _, err := h.Get("any"); !errors.Is(err, collection.ErrNotReady) {
		t.Fatalf("before loading, Get answered %v", err)
	}
	if err := h.Load(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.shut)
	return h
}

func (h *fixture) shut() {
	if h.store != nil {
		h.Catalog.Close()
		if err := h.store.Close(); err != nil {
			h.t.Error(err)
		}
		h.store = nil
	}
}

func (h *fixture) make(def collection.Definition) *collection.Collection {
	h.t.Helper()
	c, created, err := h.Put(context.Background(), def)
	if err != nil || !created {
		h.t.Fatalf("creating %q: created %v, %v", def.Name, created, err)
	}
	return c
}

func write(t testing.TB, c *collection.Collection, writes ...collection.Write) []collection.Result {
	t.Helper()
	res, err := c.Write(context.Background(), writes)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func upsert(id string, lon, lat float64, properties string) collection.Write {
	return collection.Write{Action: collection.Upsert, Item: item.Item{ID: id, Lon: lon, Lat: lat, Properties: []byte(properties)}}
}

// verify compares a whole snapshot with what should be in it.
func verify(t testing.TB, s *collection.Snapshot, want map[string]item.Item) {
	t.Helper()
	if s.Len() != len(want) {
		t.Fatalf("the snapshot has %d items, want %d", s.Len(), len(want))
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	refs, reached, err := s.List(nil, "", len(want)+1, 0, nil)
	if err != nil || reached != "" || len(refs) != len(want) {
		t.Fatalf("the list has %d items, reached %q, %v; want %d", len(refs), reached, err, len(want))
	}
	for _, ref := range refs {
		it := s.Item(ref)
		w, ok := want[it.ID()]
		if !ok || it.Lon != w.Lon || it.Lat != w.Lat || !bytes.Equal(it.Properties, w.Properties) {
			t.Fatalf("item %+v, want %+v", it.Copy(), w)
		}
		if got, ok := s.Get(w.ID); !ok || got.Lon != w.Lon || got.Seq != it.Seq {
			t.Fatalf("Get(%q) = %+v, %v", w.ID, got, ok)
		}
	}
	// What is told of the properties is true of the items, and of no others.
	told, have := map[string]bool{}, map[string]bool{}
	for _, p := range s.Properties() {
		told[p.Name] = p.Types != 0
	}
	for _, w := range want {
		var properties map[string]json.RawMessage
		if err := json.Unmarshal(w.Properties, &properties); err != nil && w.Properties != nil {
			t.Fatal(err)
		}
		for name := range properties {
			have[name] = true
		}
	}
	if !maps.Equal(told, have) {
		t.Fatalf("the properties are said to be %v, and are %v", told, have)
	}
	// The index holds the same: all of it, by brute force and in order.
	for _, q := range []index.Position{{Lon: 0, Lat: 0}, {Lon: 180, Lat: 90}, {Lon: -110, Lat: 44}} {
		hits, proof, err := s.Nearest(nil, &index.Query{Lon: q.Lon, Lat: q.Lat, K: len(want) + 1, MaxDistance: index.Everywhere}, nil)
		if err != nil || !proof.Exact || len(hits) != len(want) {
			t.Fatalf("nearest to %v: %d hits, proof %+v, %v; want %d", q, len(hits), proof, err, len(want))
		}
		type place struct {
			distance float64
			id       string
		}
		var brute []place
		for id, w := range want {
			brute = append(brute, place{sphere.Distance(sphere.FromDegrees(q.Lon, q.Lat), sphere.FromDegrees(w.Lon, w.Lat)), id})
		}
		slices.SortFunc(brute, func(a, b place) int {
			return cmp.Or(cmp.Compare(a.distance, b.distance), strings.Compare(a.id, b.id))
		})
		for i, h := range hits {
			it := s.Item(h.Ref)
			if it.ID() != brute[i].id || h.Distance != brute[i].distance {
				t.Fatalf("nearest to %v, place %d: %s at %v m, want %s at %v m", q, i, it.ID(), h.Distance, brute[i].id, brute[i].distance)
			}
		}
	}
}

// Random writes from several goroutines give what a map gives, now, after the
// index was changed, and after a restart.
func TestCollectionEqualsMap(t *testing.T) {
	const seed = 7
	dir := t.TempDir()
	h := open(t, dir)
	c := h.make(collection.Definition{Name: "places", Index: table.IndexSpec{Kind: "quadtree", Settings: table.Settings{{Name: "maxPointsPerNode", Value: 4}}}, Queryables: value.Untyped("kind")})
	const writers, rounds = 4, 40
	twins := make([]map[string]item.Item, writers)
	var wg sync.WaitGroup
	for w := range writers {
		twins[w] = map[string]item.Item{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for range rounds {
				var batch []collection.Write
				for range 1 + rng.IntN(20) {
					id := fmt.Sprintf("%d-%d", w, rng.IntN(120))
					if rng.IntN(3) == 0 {
						batch = append(batch, collection.Write{Action: collection.Delete, Item: item.Item{ID: id}})
						continue
					}
					lon, lat := -110+rng.NormFloat64()*5, 44+rng.NormFloat64()*3
					if rng.IntN(5) == 0 {
						lon, lat = float64(rng.IntN(5)-2)*90, float64(rng.IntN(3)-1)*90
					}
					batch = append(batch, upsert(id, lon, lat, fmt.Sprintf(`{"kind":"%c","n":%d}`, 'a'+rng.IntN(3), rng.IntN(9))))
				}
				for i, r := range write(t, c, batch...) {
					b := batch[i]
					_, existed := twins[w][b.Item.ID]
					switch {
					case b.Action == collection.Delete && existed != (r.Err == nil):
						t.Errorf("deleting %q: %v, it existed: %v", b.Item.ID, r.Err, existed)
					case b.Action == collection.Upsert && (r.Err != nil || r.Created == existed):
						t.Errorf("writing %q: %+v, it existed: %v", b.Item.ID, r, existed)
					}
					if b.Action == collection.Delete {
						delete(twins[w], b.Item.ID)
					} else {
						twins[w][b.Item.ID] = b.Item
					}
				}
			}
		}()
	}
	wg.Wait()
	want := map[string]item.Item{}
	for _, twin := range twins {
		for id, it := range twin {
			want[id] = it
		}
	}
	verify(t, c.Snapshot(), want)

	// Filters keep exactly the items with one of the values.
	for _, f := range []map[string][]string{{"kind": {"a"}}, {"kind": {"a", "c"}}, {"kind": {"nothing"}}} {
		n := 0
		for _, it := range want {
			for _, v := range f["kind"] {
				if strings.Contains(string(it.Properties), `"kind":"`+v+`"`) {
					n++
				}
			}
		}
		hits, _, err := c.Snapshot().Nearest(nil, &index.Query{K: 1000, MaxDistance: index.Everywhere}, equal(f))
		if err != nil || len(hits) != n {
			t.Errorf("filter %v: %d hits, %v; want %d", f, len(hits), err, n)
		}
	}
	if _, _, err := c.Snapshot().List(nil, "", 10, 0, equal(map[string][]string{"knd": {"a"}})); !errors.Is(err, table.ErrUnknownQueryable) {
		t.Errorf("a misspelt property gave %v", err)
	}

	order := func(s *collection.Snapshot) (ids []string) {
		refs, _, _ := s.List(nil, "", 1<<20, 0, nil)
		for _, ref := range refs {
			it := s.Item(ref)
			ids = append(ids, it.ID())
		}
		return ids
	}
	before := order(c.Snapshot())
	if _, _, err := h.Put(context.Background(), collection.Definition{Name: c.Name(), Index: table.IndexSpec{Kind: "geohash", Settings: table.Settings{{Name: "bits", Value: 24}}}}); err != nil {
		t.Fatal(err)
	}
	if st := c.Snapshot().Stats(); st.Kind != "geohash" || st.Index.Kind != "geohash" || st.Rebuilding {
		t.Fatalf("after the change of the index: %+v", st)
	}
	verify(t, c.Snapshot(), want)

	h.shut()
	h = open(t, dir)
	c, err := h.Get("places")
	if err != nil {
		t.Fatal(err)
	}
	verify(t, c.Snapshot(), want)
	if !slices.Equal(before, order(c.Snapshot())) {
		t.Error("the list has another order after a restart")
	}
	if k := c.Snapshot().Definition().Index.Kind; k != "geohash" {
		t.Errorf("after a restart the index is %q", k)
	}
}

// Preconditions hold against the newest state, within one request and a group.
func TestPreconditions(t *testing.T) {
	h := open(t, t.TempDir())
	c := h.make(collection.Definition{Name: "c"})
	one := write(t, c, collection.Write{Action: collection.Insert, Item: item.Item{ID: "a"}})[0]
	if one.Err != nil || !one.Created || one.Seq == 0 {
		t.Fatalf("insert: %+v", one)
	}
	for _, s := range []struct {
		name string
		w    collection.Write
		want error
	}{
		{"insert again", collection.Write{Action: collection.Insert, Item: item.Item{ID: "a"}}, collection.ErrExists},
		{"absent", collection.Write{Action: collection.Upsert, Item: item.Item{ID: "a"}, IfAbsent: true}, collection.ErrPrecondition},
		{"exists", collection.Write{Action: collection.Upsert, Item: item.Item{ID: "b"}, IfExists: true}, collection.ErrPrecondition},
		{"version of none", collection.Write{Action: collection.Upsert, Item: item.Item{ID: "b"}, IfSeq: []uint64{1}}, collection.ErrPrecondition},
		{"old version", collection.Write{Action: collection.Upsert, Item: item.Item{ID: "a"}, IfSeq: []uint64{one.Seq + 1}}, collection.ErrPrecondition},
		{"delete none", collection.Write{Action: collection.Delete, Item: item.Item{ID: "b"}}, collection.ErrNotFound},
		{"this version", collection.Write{Action: collection.Upsert, Item: item.Item{ID: "a", Lon: 1}, IfSeq: []uint64{one.Seq}}, nil},
		{"no longer this version", collection.Write{Action: collection.Delete, Item: item.Item{ID: "a"}, IfSeq: []uint64{one.Seq}}, collection.ErrPrecondition},
	} {
		if r := write(t, c, s.w)[0]; !errors.Is(r.Err, s.want) || (s.want == nil) != (r.Err == nil) {
			t.Errorf("%s: %v, want %v", s.name, r.Err, s.want)
		}
	}
	res := write(t, c,
		collection.Write{Action: collection.Insert, Item: item.Item{ID: "x"}},
		collection.Write{Action: collection.Insert, Item: item.Item{ID: "x"}},
		collection.Write{Action: collection.Delete, Item: item.Item{ID: "x"}},
		collection.Write{Action: collection.Insert, Item: item.Item{ID: "x", Lon: 5}},
		collection.Write{Action: collection.Upsert, Item: item.Item{Lon: 6}},
		collection.Write{Action: collection.Upsert, Item: item.Item{ID: "bad", Lat: 91}},
		collection.Write{Action: collection.Upsert, Item: item.Item{ID: "bad\n"}},
	)
	var field *item.FieldError
	if res[0].Err != nil || !errors.Is(res[1].Err, collection.ErrExists) || res[2].Err != nil || res[3].Err != nil ||
		len(res[4].ID) != 36 || !errors.As(res[5].Err, &field) || !errors.As(res[6].Err, &field) {
		t.Errorf("a request with several writes of one id: %+v", res)
	}
	if it, ok := c.Snapshot().Get("x"); !ok || it.Lon != 5 {
		t.Errorf("x is %+v, %v", it, ok)
	}
	if err := c.Snapshot().Check(); err != nil {
		t.Error(err)
	}
}

// Of many writers that each add one to the version they read, none is lost.
func TestCompareAndSwap(t *testing.T) {
	h := open(t, t.TempDir())
	c := h.make(collection.Definition{Name: "c"})
	write(t, c, upsert("n", 0, 0, `{}`))
	var wg sync.WaitGroup
	const writers, rounds = 8, 20
	for range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for done := 0; done < rounds; {
				it, _ := c.Snapshot().Get("n")
				w := upsert("n", it.Lon+0.125, 0, `{}`)
				w.IfSeq = []uint64{it.Seq}
				if write(t, c, w)[0].Err == nil {
					done++
				}
			}
		}()
	}
	wg.Wait()
	if it, _ := c.Snapshot().Get("n"); it.Lon != writers*rounds*0.125 {
		t.Errorf("counted to %v, want %v", it.Lon/0.125, writers*rounds)
	}
}

// Each version of an item has a name of its own, or, if it was replaced before it was
// to be seen, none: who demands the version that it wrote replaces no other. A repeated
// request is told the same.
func TestVersionsOfOneCommit(t *testing.T) {
	h := open(t, t.TempDir())
	c := h.make(collection.Definition{Name: "c"})
	const writers, rounds = 8, 50
	replaced := 0
	for round := range rounds {
		var results [writers]collection.Result
		var wg sync.WaitGroup
		put := func(i int) (collection.Result, bool) {
			once := collection.IdempotencyKey{Key: fmt.Sprint(round, "/", i), Fingerprint: []byte{byte(i)}}
			res, repeated, err := c.WriteOnce(context.Background(), once, []collection.Write{upsert("n", float64(i), 0, `{}`)})
			if err != nil || res[0].Err != nil {
				t.Error(err, res)
				return collection.Result{}, false
			}
			return res[0], repeated
		}
		for i := range writers {
			wg.Go(func() { results[i], _ = put(i) })
		}
		wg.Wait()
		versions := map[uint64]int{}
		for i, res := range results {
			if again, repeated := put(i); !repeated || again != res {
				t.Fatalf("writer %d was told %+v, and %+v when it asked again", i, res, again)
			}
			if res.Replaced {
				replaced++
				continue
			}
			if other, taken := versions[res.Seq]; taken {
				t.Fatalf("writers %d and %d both wrote version %d", other, i, res.Seq)
			}
			versions[res.Seq] = i
		}
		if it, _ := c.Snapshot().Get("n"); versions[it.Seq] != int(it.Lon) {
			t.Fatalf("version %d is that of writer %v, who was told so is %d", it.Seq, it.Lon, versions[it.Seq])
		}
	}
	if replaced == 0 {
		t.Error("no version was replaced before it was to be seen")
	}
}

// While the index changes kind again and again under writes, every read finds
// the items that are always there, and one snapshot answers alike for ever.
func TestIndexChangesUnderLoad(t *testing.T) {
	h := open(t, t.TempDir())
	c := h.make(collection.Definition{Name: "c", Index: table.IndexSpec{Kind: "quadtree"}})
	const fixed = 500
	var batch []collection.Write
	for i := range fixed {
		batch = append(batch, upsert(fmt.Sprintf("fixed-%d", i), 10+float64(i)*1e-3, 50, `{}`))
	}
	write(t, c, batch...)
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Add(2)
	go func() {
		defer wg.Done()
		rng := rand.New(rand.NewPCG(8, 8))
		for !stop.Load() {
			var batch []collection.Write
			for range 50 {
				id := fmt.Sprintf("moving-%d", rng.IntN(300))
				if rng.IntN(3) == 0 {
					batch = append(batch, collection.Write{Action: collection.Delete, Item: item.Item{ID: id}})
				} else {
					batch = append(batch, upsert(id, -60+rng.Float64(), 20+rng.Float64(), `{}`))
				}
			}
			write(t, c, batch...)
		}
	}()
	reads := 0
	go func() {
		defer wg.Done()
		for !stop.Load() {
			s := c.Snapshot()
			q := index.Query{Lon: 10.25, Lat: 50, K: fixed, MaxDistance: 100_000}
			first, _, err := s.Nearest(nil, &q, nil)
			if err != nil || len(first) != fixed {
				t.Errorf("%d hits, %v; want %d", len(first), err, fixed)
				return
			}
			again, _, _ := s.Nearest(nil, &q, nil)
			if !slices.Equal(first, again) {
				t.Error("one snapshot gave two answers")
				return
			}
			reads++
		}
	}()
	specs := []table.IndexSpec{{Kind: "geohash", Settings: table.Settings{{Name: "bits", Value: 18}}}, {Kind: "quadtree", Settings: table.Settings{{Name: "maxPointsPerNode", Value: 2}}}, {Kind: "geohash"}, {Kind: "auto"}, {Kind: "quadtree"}}
	for i := range 20 {
		if _, _, err := h.Put(context.Background(), collection.Definition{Name: c.Name(), Index: specs[i%len(specs)]}); err != nil {
			t.Fatal(err)
		}
		if err := c.Snapshot().Check(); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	wg.Wait()
	if reads == 0 {
		t.Error("nothing was read meanwhile")
	}
	want := map[string]item.Item{}
	s := c.Snapshot()
	refs, _, _ := s.List(nil, "", 1<<20, 0, nil)
	for _, ref := range refs {
		it := s.Item(ref)
		want[it.ID()] = it.Copy()
	}
	verify(t, s, want)
}

// Rewriting the same items for ever takes no more memory than a few copies.
func TestRecordsAreCompacted(t *testing.T) {
	h := open(t, t.TempDir())
	c := h.make(collection.Definition{Name: "c", Index: table.IndexSpec{Kind: "quadtree"}})
	properties := `{"text":"` + strings.Repeat("x", 200) + `"}`
	want := map[string]item.Item{}
	var peak int64
	for round := range 40 {
		var batch []collection.Write
		for i := range 2000 {
			w := upsert(fmt.Sprintf("%d", i), float64(i%360)-180, float64(round), properties)
			batch = append(batch, w)
			want[w.Item.ID] = w.Item
		}
		write(t, c, batch...)
		peak = max(peak, c.Snapshot().Stats().RecordBytes)
	}
	// Half of a chunk may be dead, and a few chunks are part filled or waiting
	// to be emptied; without compaction this comes to 20 MB.
	const live, chunk = 2000 * 260, 1 << 20
	if limit := int64(2*live + 4*chunk); peak > limit {
		t.Errorf("records of 2000 items took %d bytes, more than %d", peak, limit)
	}
	verify(t, c.Snapshot(), want)
}

// Dropped collections are gone, also after a restart, and their names are free.
func TestDrop(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	c := h.make(collection.Definition{Name: "c"})
	write(t, c, upsert("old", 1, 1, `{}`))
	if err := h.Drop(context.Background(), "c"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Get("c"); !errors.Is(err, collection.ErrNotFound) {
		t.Errorf("a dropped collection: %v", err)
	}
	if err := h.Drop(context.Background(), "c"); !errors.Is(err, collection.ErrNotFound) {
		t.Errorf("dropping twice: %v", err)
	}
	if _, err := c.Write(context.Background(), []collection.Write{upsert("late", 0, 0, `{}`)}); !errors.Is(err, collection.ErrClosed) {
		t.Errorf("writing to a dropped collection: %v", err)
	}
	c = h.make(collection.Definition{Name: "c", Title: "again"})
	write(t, c, upsert("new", 2, 2, `{}`))
	h.shut()
	if err := h.Drop(context.Background(), "c"); !errors.Is(err, collection.ErrClosed) {
		t.Errorf("dropping when all is closed: %v", err)
	}
	h = open(t, dir)
	c, err := h.Get("c")
	if err != nil {
		t.Fatal(err)
	}
	verify(t, c.Snapshot(), map[string]item.Item{"new": {ID: "new", Lon: 2, Lat: 2, Properties: []byte(`{}`)}})
}

// auto says why, and measures again when the collection has grown.
func TestAutoRebuildsWhenOutgrown(t *testing.T) {
	h := open(t, t.TempDir())
	c := h.make(collection.Definition{Name: "c", Index: table.IndexSpec{Kind: "auto"}})
	rng := rand.New(rand.NewPCG(9, 9))
	n := 0
	for c.Snapshot().Stats().Kind != "geohash" && n < 50_000 {
		var batch []collection.Write
		for range 1000 {
			batch = append(batch, upsert(fmt.Sprint(n), rng.Float64()*10, 5, `{}`))
			n++
		}
		write(t, c, batch...)
	}
	st := c.Snapshot().Stats()
	if st.Kind != "geohash" || !strings.Contains(st.Reason, "even density along lines") {
		t.Errorf("with %d even points: %s, because %q", n, st.Kind, st.Reason)
	}
	if e, ok := c.Snapshot().Extent(); !ok || !e.Contains(5, 5) || e.East > 10 {
		t.Errorf("extent %v, %v", e, ok)
	}
}

// Where auto picks the same tree again, that stays, with what was written while
// it was measured.
func TestAutoKeepsTheTree(t *testing.T) {
	h := open(t, t.TempDir())
	c := h.make(collection.Definition{Name: "c", Index: table.IndexSpec{Kind: "auto"}})
	rng := rand.New(rand.NewPCG(9, 10))
	want := map[string]item.Item{}
	for !strings.Contains(c.Snapshot().Stats().Reason, "uneven density") && len(want) < 50_000 {
		var batch []collection.Write
		for range 500 {
			spread := 0.01 // a city
			if rng.IntN(4) == 0 {
				spread = 20 // and its wilderness
			}
			w := upsert(fmt.Sprint(len(want)), rng.NormFloat64()*spread, rng.NormFloat64()*spread, `{}`)
			want[w.Item.ID] = w.Item
			batch = append(batch, w)
		}
		write(t, c, batch...)
	}
	if st := c.Snapshot().Stats(); st.Kind != "quadtree" || !strings.Contains(st.Reason, "uneven density") {
		t.Errorf("with %d uneven points: %s, because %q", len(want), st.Kind, st.Reason)
	}
	verify(t, c.Snapshot(), want)
}

func TestDefinitionFaults(t *testing.T) {
	h := open(t, t.TempDir())
	for _, c := range []struct {
		def    collection.Definition
		fields []string
	}{
		{collection.Definition{Name: "a/b"}, []string{"name"}},
		{collection.Definition{Name: "a", Index: table.IndexSpec{Kind: "rtree"}}, []string{"index.kind"}},
		{collection.Definition{Name: "a", Index: table.IndexSpec{Kind: "auto", Settings: table.Settings{{Name: "bits", Value: 3}}}}, []string{"index"}},
		{collection.Definition{Name: "a", Index: table.IndexSpec{Kind: "quadtree", Settings: table.Settings{{Name: "bits", Value: 3}}}}, []string{"index.bits"}},
		{collection.Definition{Name: "a", Index: table.IndexSpec{Kind: "geohash", Settings: table.Settings{{Name: "bits", Value: 99}}}}, []string{"index"}},
		{collection.Definition{Name: "a", Index: table.IndexSpec{Kind: "quadtree", Settings: table.Settings{{Name: "maxPointsPerNode", Value: -1}}}}, []string{"index"}},
		{collection.Definition{Name: "", Queryables: value.Untyped("ok", "limit", "ok", "")}, []string{"name", "queryables[1]", "queryables[2]", "queryables[3]"}},
	} {
		_, _, err := h.Put(context.Background(), c.def)
		if err == nil {
			t.Errorf("%+v was taken", c.def)
			continue
		}
		for _, f := range c.fields {
			if !strings.Contains(err.Error(), f) {
				t.Errorf("%+v: %v does not name %s", c.def, err, f)
			}
		}
	}
	if all, err := h.List(); err != nil || len(all) != 0 {
		t.Errorf("left behind: %v, %v", all, err)
	}
}

// Pages of the list show each item that stays exactly once while others come
// and go.
func TestPagesUnderWrites(t *testing.T) {
	h := open(t, t.TempDir())
	c := h.make(collection.Definition{Name: "c"})
	rng := rand.New(rand.NewPCG(10, 10))
	var batch []collection.Write
	for i := range 2000 {
		batch = append(batch, upsert(fmt.Sprintf("stay-%d", i), rng.Float64(), rng.Float64(), `{}`))
	}
	write(t, c, batch...)
	seen := map[string]int{}
	after := ""
	for pages := 0; ; pages++ {
		s := c.Snapshot()
		refs, reached, err := s.List(nil, after, 37, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range refs {
			it := s.Item(ref)
			seen[it.ID()]++
		}
		if after = reached; after == "" {
			break
		}
		if pages > 2000 {
			t.Fatal("the pages do not end")
		}
		var churn []collection.Write
		for range 60 {
			churn = append(churn, upsert(fmt.Sprintf("go-%d", rng.IntN(100)), rng.Float64(), rng.Float64(), `{}`))
			churn = append(churn, collection.Write{Action: collection.Delete, Item: item.Item{ID: fmt.Sprintf("go-%d", rng.IntN(100))}})
			churn = append(churn, upsert(fmt.Sprintf("stay-%d", rng.IntN(2000)), rng.Float64(), rng.Float64(), `{"moved":true}`))
		}
		write(t, c, churn...)
	}
	for i := range 2000 {
		if n := seen[fmt.Sprintf("stay-%d", i)]; n != 1 {
			t.Fatalf("stay-%d was shown %d times", i, n)
		}
	}
}

// However little a list may look at, and however rare what it looks for, its
// parts put together are the whole.
func TestListInSteps(t *testing.T) {
	h := open(t, t.TempDir())
	c := h.make(collection.Definition{Name: "c", Queryables: value.Untyped("kind")})
	var batch []collection.Write
	for i := range 500 {
		batch = append(batch, upsert(fmt.Sprintf("item-%d", i), 0, 0, fmt.Sprintf(`{"kind":%d}`, i%100)))
	}
	write(t, c, batch...)
	s := c.Snapshot()
	for _, f := range []map[string][]string{nil, {"kind": {"7"}}, {"kind": {"7", "8", "9"}}, {"kind": {"none"}}} {
		want, reached, err := s.List(nil, "", 1000, 0, equal(f))
		if err != nil || reached != "" {
			t.Fatalf("at once: reached %q, %v", reached, err)
		}
		for _, limit := range []int{1, 3, 5, 1000} {
			for _, budget := range []int{1, 2, 7, 99, 499, 500, 501} {
				var got []index.Ref
				after, steps := "", 0
				for {
					n := len(got)
					got, after, err = s.List(got, after, limit, budget, equal(f))
					if err != nil || len(got)-n > min(limit, budget) {
						t.Fatalf("limit %d, budget %d: %d items, %v", limit, budget, len(got)-n, err)
					}
					if after == "" {
						break
					}
					if steps++; steps > 500 {
						t.Fatalf("limit %d, budget %d: the steps do not end", limit, budget)
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("filter %v, limit %d, budget %d: %d items in steps, %d at once", f, limit, budget, len(got), len(want))
				}
				if f != nil && budget > 500 && limit > len(want) && steps > 0 {
					t.Errorf("filter %v, limit %d, budget %d: %d steps too many", f, limit, budget, steps)
				}
			}
		}
	}
}

// TestItemsOfManyRefs: what is read of many refs at once is what is read of each.
func TestItemsOfManyRefs(t *testing.T) {
	h := open(t, t.TempDir())
	c := h.make(collection.Definition{Name: "c"})
	writes := make([]collection.Write, 100)
	for i := range writes {
		writes[i] = upsert(fmt.Sprint(i), float64(i), -float64(i)/2, fmt.Sprintf(`{"a":%d}`, i))
		if i%3 == 0 {
			writes[i].Item.ID, writes[i].Item.Properties = item.NewID(), nil
		}
	}
	write(t, c, writes...)
	s := c.Snapshot()
	refs, _, err := s.List(nil, "", len(writes), 0, nil)
	if err != nil || len(refs) != len(writes) {
		t.Fatalf("%d refs, %v", len(refs), err)
	}
	for _, n := range []int{0, 1, 15, 16, 17, 32, 33, len(refs)} {
		got := make([]table.Item, n+1)
		s.Items(got, refs[:n])
		for i, ref := range refs[:n] {
			one := s.Item(ref)
			if a, b := got[i].Copy(), one.Copy(); !reflect.DeepEqual(a, b) {
				t.Fatalf("item %d of %d is %+v, want %+v", i, n, a, b)
			}
		}
		if got[n].ID() != "" {
			t.Fatalf("more than %d items were written: %+v", n, got[n])
		}
	}
}

// Whoever is told that an item exists finds it, though the group that made it is
// durable before it is visible.
func TestRefusalsFollowWhatIsVisible(t *testing.T) {
	h := open(t, t.TempDir())
	c := h.make(collection.Definition{Name: "c", Index: table.IndexSpec{Kind: "quadtree"}})
	const rounds, size = 20, 1000
	var loading sync.WaitGroup
	loading.Go(func() {
		for round := range rounds {
			batch := make([]collection.Write, size)
			for i := range batch {
				batch[i] = upsert(fmt.Sprintf("%d-%d", round, i), float64(i%180), float64(round), `{}`)
			}
			if _, err := c.Write(context.Background(), batch); err != nil {
				t.Error(err)
			}
		}
	})
	// A write that is refused in any case, for another reason once the item is there.
	for round := range rounds {
		w := upsert(fmt.Sprintf("%d-%d", round, size-1), 0, 0, `{}`)
		w.IfSeq = []uint64{1 << 60}
		for known := false; !known; {
			res := write(t, c, w)
			if !errors.Is(res[0].Err, collection.ErrPrecondition) {
				t.Fatalf("answered %v", res[0].Err)
			}
			known = strings.Contains(res[0].Err.Error(), "changed since")
			if _, ok := c.Snapshot().Get(w.Item.ID); known && !ok {
				t.Fatalf("%v, but it is not to be seen", res[0].Err)
			}
		}
	}
	loading.Wait()
}
