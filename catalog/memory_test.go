package catalog_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"nearby/catalog"
	"nearby/collection"
	"nearby/index"
	"nearby/item"
	"nearby/store/embedded"
	"nearby/table"
	"nearby/value"
)

const (
	holders   = 1000 // items
	valueSize = 1000 // bytes of a queryable
)

// updated is item i with new values of its queryables.
func updated(i, version, names int) collection.Write {
	var b strings.Builder
	for n := range names {
		fmt.Fprintf(&b, `,"q%d":"%d %d %0*d"`, n, n, i, valueSize-10, version)
	}
	return collection.Write{Action: collection.Upsert, Item: item.Item{
		ID: fmt.Sprint("item-", i), Lon: float64(i%360) - 180, Lat: float64(version%80) + 1e-3*float64(i%100),
		Properties: []byte("{" + b.String()[1:] + "}"),
	}}
}

// liveHeap is what is in use when the garbage has been collected.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What memory holds follows from what the items are, however often they were written:
// each value once in its record and once as a value of a queryable, at most as much
// again of dead records, and what is fixed.
func TestMemoryFollowsFromTheItems(t *testing.T) {
	updates := 30_000
	if *huge {
		updates = 1_000_000
	}
	for name, tt := range map[string]struct {
		names  int // queryables
		batch  int
		writes func(i, version int) []collection.Write
		beside func(int, *fixture, *collection.Collection) // now and then
	}{
		"none queryable": {batch: 500},
		"one":            {names: 1, batch: 100},
		"one by one":     {names: 1, batch: 1},
		"several":        {names: 4, batch: 500},
		"all at once":    {names: 1, batch: 2 * holders},
		"deleted and inserted": {names: 1, batch: 100, writes: func(i, version int) []collection.Write {
			w := updated(i, version, 1)
			return []collection.Write{{Action: collection.Delete, Item: item.Item{ID: w.Item.ID}}, w}
		}},
		"values that return": {names: 1, batch: 100, writes: func(i, version int) []collection.Write {
			return []collection.Write{updated(i, version%7, 1)}
		}},
		"definitions that change": {names: 2, batch: 100, beside: func(n int, h *fixture, c *collection.Collection) {
			def := c.Snapshot().Definition()
			def.Queryables = value.Untyped([][]string{{"q0"}, {"q1", "q0"}, {}, {"q0", "q1"}}[n%4]...)
			def.Index = table.IndexSpec{Kind: []string{"geohash", "quadtree"}[n%2]}
			if _, _, err := h.Put(context.Background(), def); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := embedded.Open(t.TempDir(), embedded.Options{MemTableBytes: 1 << 20, CacheBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			h := &fixture{t: t, store: s, Catalog: catalog.New(collection.Options{Store: s, Kinds: kinds})}
			defer h.shut()
			if err := h.Load(context.Background(), nil); err != nil {
				t.Fatal(err)
			}
			members := max(1, tt.names)
			def := collection.Definition{Name: "c"}
			for n := range tt.names {
				def.Queryables = append(def.Queryables, value.Queryable{Name: fmt.Sprint("q", n)})
			}
			c := h.make(def)
			if tt.writes == nil {
				tt.writes = func(i, version int) []collection.Write { return []collection.Write{updated(i, version, members)} }
			}
			n := 0
			write := func(upTo int) {
				for n < upTo {
					var batch []collection.Write
					for range tt.batch {
						batch = append(batch, tt.writes(n%holders, 1+n/holders)...)
						n++
					}
					res, err := c.Write(context.Background(), batch)
					if err != nil {
						t.Fatal(err)
					}
					for i := range res {
						if res[i].Err != nil && n > 2*holders {
							t.Fatal(res[i].Err)
						}
					}
					if tt.beside != nil && n%1000 == 0 {
						tt.beside(n/1000, h, c)
					}
				}
			}
			total := updates
			if tt.batch == 1 {
				total /= 10 // each waits for the disk
			}
			write(3 * holders)
			before := liveHeap()
			write(total)
			grown := liveHeap() - before

			const (
				fixed  = 1 << 20  // tables and chunks that are begun
				record = 100      // of an item beside its values
				slack  = 16 << 20 // heap: what store and runtime take and give back
			)
			values := int64(holders * members * valueSize)
			st := c.Snapshot().Stats()
			tables, records := values*int64(tt.names)/int64(members)*5/4+fixed, 2*(values+holders*record)+3*fixed
			t.Logf("%d updates: tables %d, records %d bytes, heap grown by %d", n, st.TableBytes, st.RecordBytes, grown)
			if st.Items != holders || st.TableBytes > tables || st.RecordBytes > records {
				t.Errorf("%d items of %d bytes: tables have %d, at most %d are right; records have %d, at most %d are right",
					st.Items, values/holders, st.TableBytes, tables, st.RecordBytes, records)
			}
			if most := tables + records + slack; grown > most {
				t.Errorf("the heap grew by %d bytes between %d and %d updates, at most %d are right", grown, 3*holders, n, most)
			}
			if tt.names > 0 && len(c.Snapshot().Definition().Queryables) > 0 && st.TableBytes < values/int64(members) {
				t.Errorf("tables have %d bytes, less than the values that are there, %d", st.TableBytes, values/int64(members))
			}
		})
	}
}

// A snapshot that is held answers by the values of its time, whatever became of them:
// their numbers may be those of others by now.
func TestHeldSnapshotKeepsItsValues(t *testing.T) {
	h := open(t, t.TempDir())
	c := h.make(collection.Definition{Name: "c", Queryables: value.Untyped("status")})
	const n = 50
	at := func(i int, status string) collection.Write {
		return collection.Write{Action: collection.Upsert, Item: item.Item{
			ID: fmt.Sprint("item-", i), Lon: float64(i), Lat: 1, Properties: fmt.Appendf(nil, `{"status":%q}`, status),
		}}
	}
	status := func(round, i int) string { return fmt.Sprintf("round %d of %d", round, i) }
	check := func(s *collection.Snapshot, round, now int) {
		t.Helper()
		for r := range now + 1 {
			for i := range n {
				q := index.Query{Lon: float64(i), Lat: 1, K: n, MaxDistance: index.Everywhere}
				hits, _, err := s.Nearest(nil, &q, equal(map[string][]string{"status": {status(r, i)}}))
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case r != round && len(hits) > 0:
					it := s.Item(hits[0].Ref)
					t.Fatalf("the snapshot of round %d finds %s with %s for %q", round, it.ID(), it.Properties, status(r, i))
				case r == round && len(hits) != 1:
					t.Fatalf("the snapshot of round %d finds %d items with %q, want 1", round, len(hits), status(r, i))
				case r == round:
					if it := s.Item(hits[0].Ref); it.ID() != fmt.Sprint("item-", i) {
						t.Fatalf("the snapshot of round %d finds %s for %q", round, it.ID(), status(r, i))
					}
				}
			}
		}
	}
	var held []*collection.Snapshot
	const rounds = 6
	for round := range rounds {
		var batch []collection.Write
		for i := range n {
			if round == 3 {
				batch = append(batch, collection.Write{Action: collection.Delete, Item: item.Item{ID: fmt.Sprint("item-", i)}})
			}
			batch = append(batch, at(i, status(round, i)))
		}
		write(t, c, batch...)
		held = append(held, c.Snapshot())
		if round == 4 {
			def := c.Snapshot().Definition()
			def.Queryables = value.Untyped("other", "status")
			if _, _, err := h.Put(context.Background(), def); err != nil {
				t.Fatal(err)
			}
		}
	}
	for round, s := range held {
		check(s, round, rounds)
	}
}

// A copy that follows the store forgets values as the one does that writes them.
func TestFollowersForgetValues(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		c := open(t, 2, collection.Options{})
		c.make(collection.Definition{Name: "c", Queryables: value.Untyped("q0")})
		rounds := 12
		if *huge {
			rounds = 1000
		}
		var seq uint64
		for round := range rounds {
			var batch []collection.Write
			for i := range holders {
				batch = append(batch, updated(i, round, 1))
			}
			res, err := c.get(round%2, "c").Write(context.Background(), batch)
			if err != nil {
				t.Fatal(err)
			}
			seq = res[0].Seq
		}
		c.after(c.get(0, "c").Epoch(), seq)
		const values, fixed = holders * valueSize, 1 << 20
		for i := range c.all {
			st := c.get(i, "c").Snapshot().Stats()
			if st.TableBytes < values || st.TableBytes > values*5/4+fixed || st.RecordBytes > 2*values+3*fixed {
				t.Errorf("copy %d: after %d updates of %d items tables have %d bytes, records %d", i, rounds*holders, st.Items, st.TableBytes, st.RecordBytes)
			}
		}
		c.agree()
	})
}
