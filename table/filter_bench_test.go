package table_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"nearby/bench/dataset"
	"nearby/index"
	"nearby/item"
	"nearby/table"
	"nearby/value"
)

// benchItems are points of the set world, with properties that filters ask for: of each n
// in names, one item in n has the value 0. The properties do not depend on one another. far has
// a value in America alone, for one item in 20 there.
func benchItems(b *testing.B, n int) []item.Item {
	positions, err := dataset.Generate("world", n, 1)
	if err != nil {
		b.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	items := make([]item.Item, n)
	for i, p := range positions {
		far := ""
		if p.Lon < -30 && rnd.IntN(20) == 0 {
			far = `,"far":"here"`
		}
		items[i] = item.Item{
			ID: "p" + strconv.Itoa(i), Lon: p.Lon, Lat: p.Lat,
			Properties: fmt.Appendf(nil, `{"of20":"c%d","of100":"c%d","also100":"c%d","of10000":"c%d"%s}`, rnd.IntN(20), rnd.IntN(100), rnd.IntN(100), rnd.IntN(10_000), far),
		}
	}
	return items
}

// benchTable makes a table of the items at once, as a start does.
func benchTable(tb testing.TB, kind string, items []item.Item, queryables ...string) *table.Table {
	loader := table.NewLoader(1)
	for i := range items {
		loader.Part(0).Add(&items[i])
	}
	loader.Join(kinds, table.Schema{Index: table.IndexSpec{Kind: kind}, Queryables: value.Untyped(queryables...)})
	if err := loader.BuildIndex(); err != nil {
		tb.Fatal(err)
	}
	if err := loader.BuildMaps(); err != nil {
		tb.Fatal(err)
	}
	return loader.Table()
}

// BenchmarkFiltered is a search for ten of 10^6 items, near one of those items, with filters
// of which each bounds another way to answer.
func BenchmarkFiltered(b *testing.B) {
	items := benchItems(b, 1_000_000)
	var east []item.Item
	for _, it := range items {
		if it.Lon > 0 {
			east = append(east, it)
		}
	}
	filters := []struct {
		name  string
		equal map[string]string
	}{
		{"all", nil},
		{"1in20", map[string]string{"of20": "c0"}},
		{"1in100", map[string]string{"of100": "c0"}},
		{"1in10000", map[string]string{"of10000": "c0"}},
		{"none", map[string]string{"of10000": "other"}},
		{"1in100x1in100", map[string]string{"of100": "c0", "also100": "c0"}},
		{"1in20x1in100", map[string]string{"of20": "c0", "also100": "c0"}},
		{"far", map[string]string{"far": "here"}},
		{"far1in100", map[string]string{"far": "here", "of100": "c0"}},
	}
	for _, kind := range kinds {
		s := benchTable(b, kind.Name, items, "of20", "of100", "also100", "of10000", "far").Snapshot()

		for _, f := range filters {
			b.Run(kind.Name+"/"+f.name, func(b *testing.B) {
				var filter table.Filter
				for name, text := range f.equal {
					filter.Add(name, text)
				}
				var hits []index.Hit
				i := 0
				b.ReportAllocs()
				for b.Loop() {
					it := &east[i*7919%len(east)]
					q := index.Query{Lon: it.Lon + 0.001, Lat: it.Lat, K: 10, MaxDistance: index.Everywhere}
					var err error
					if hits, _, err = s.Nearest(hits[:0], &q, &filter); err != nil {
						b.Fatal(err)
					}
					i++
				}
			})
		}
	}
}

// BenchmarkQueryables is what queryables cost a load and batches of 500 changes, which move
// items or give them other properties. The ratios of the rows with and without queryables are
// what counts.
func BenchmarkQueryables(b *testing.B) {
	items := benchItems(b, 1_000_000)
	for _, queryables := range [][]string{nil, {"of20", "of100", "of10000"}} {
		name := fmt.Sprintf("queryables=%d/", len(queryables))
		b.Run(name+"load", func(b *testing.B) {
			for b.Loop() {
				benchTable(b, "quadtree", items, queryables...)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(items)), "ns/item")
			b.ReportMetric(float64(benchTable(b, "quadtree", items, queryables...).Snapshot().Stats().TableBytes)/float64(len(items)), "table-B/item")
		})
		for _, moves := range []bool{true, false} {
			what := "change"
			if moves {
				what = "move"
			}
			b.Run(name+what, func(b *testing.B) {
				t := benchTable(b, "quadtree", items, queryables...)
				rnd := rand.New(rand.NewPCG(3, 4))
				const batch = 500
				changes := make([]table.Replacement, batch)
				for b.Loop() {
					first := rnd.IntN(len(items))
					for i := range changes {
						// Items that lie far apart in the batch, none of them twice.
						it := items[(first+i*1999)%len(items)]
						if moves {
							it.Lon = max(-180, min(180, it.Lon+0.01*rnd.NormFloat64()))
						} else {
							it.Properties = items[rnd.IntN(len(items))].Properties
						}
						changes[i] = table.Replacement{Place: t.Find(table.HashOf(it.ID), it.ID), Item: &it}
					}
					if _, err := t.Apply(batch, slices.Values(changes)); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/change")
			})
		}
	}
}
