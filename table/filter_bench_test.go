package table_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"nearby/bench/dataset"
	"nearby/cql2"
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

// numeric are queryables whose values numbers makes.
var numeric = value.Queryables{{Name: "random", Type: value.Number}, {Name: "stars", Type: value.Number}, {Name: "at", Type: value.DateTime}}

// numbers returns the end of a JSON object: a random number from 0 to 1, stars from 0 to 5 by
// halves, and a second of a year.
func numbers(rnd *rand.Rand) []byte {
	at := time.Unix(1_577_836_800+rnd.Int64N(366*24*3600), 0).UTC()
	return fmt.Appendf(nil, `,"random":%v,"stars":%v,"at":%q}`, rnd.Float64(), float64(rnd.IntN(11))/2, at.Format(time.RFC3339))
}

// benchTable makes a table of the items at once, as a start does.
func benchTable(tb testing.TB, kind string, items []item.Item, queryables value.Queryables) *table.Table {
	loader := table.NewLoader(1)
	for i := range items {
		loader.Part(0).Add(&items[i])
	}
	loader.Join(kinds, table.Schema{Index: table.IndexSpec{Kind: kind}, Queryables: queryables})
	if err := loader.BuildIndex(); err != nil {
		tb.Fatal(err)
	}
	loader.BuildMap()
	if err := loader.BuildColumns(); err != nil {
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
		s := benchTable(b, kind.Name, items, value.Untyped("of20", "of100", "also100", "of10000", "far")).Snapshot()

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

// BenchmarkRanges is a search for ten of 10^6 items with a range of numbers or times that keeps
// some of the items.
func BenchmarkRanges(b *testing.B) {
	items := benchItems(b, 1_000_000)
	for i := range items {
		items[i].Properties = append([]byte(`{"x":0`), numbers(rand.New(rand.NewPCG(5, uint64(i))))...)
	}
	for _, kind := range kinds {
		s := benchTable(b, kind.Name, items, numeric).Snapshot()
		for _, q := range numeric {
			one := benchTable(b, kind.Name, items, value.Queryables{q}).Snapshot()
			b.Run(kind.Name+"/memory/"+q.Name, func(b *testing.B) {
				without := benchTable(b, kind.Name, items, nil).Snapshot()
				b.ReportMetric(float64(one.Stats().TableBytes-without.Stats().TableBytes)/float64(len(items)), "B/item")
			})
		}
		for _, f := range []struct{ name, text string }{
			{"1in2", "random > 0.5"},
			{"1in100", "random BETWEEN 0.5 AND 0.51"},
			{"1in10000", "random BETWEEN 0.5 AND 0.5001"},
			{"none", "random = 0.123456789"},
			{"1in100x1in11", "random < 0.01 AND stars = 5"},
			{"stars", "stars > 4.2"},
			{"day", "at >= '2020-03-01' AND at < '2020-03-02'"},
		} {
			b.Run(kind.Name+"/"+f.name, func(b *testing.B) {
				e, err := cql2.ParseText(f.text)
				if err == nil {
					e, err = cql2.Check(e, numeric.All())
				}
				if err != nil {
					b.Fatal(err)
				}
				var filter table.Filter
				filter.Match(e)
				var hits []index.Hit
				i := 0
				b.ReportAllocs()
				for b.Loop() {
					it := &items[i*7919%len(items)]
					q := index.Query{Lon: min(180, it.Lon+0.001), Lat: it.Lat, K: 10, MaxDistance: index.Everywhere}
					if hits, _, err = s.Nearest(hits[:0], &q, &filter); err != nil {
						b.Fatal(err)
					}
					i++
				}
			})
		}
	}
}

// processorTime is what the processors have spent on this process. Where other processes take turns
// with it, it says more than the time that has passed.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// mixed are queryables of different kinds: one of 100 strings, a number and a time.
var mixed = value.Queryables{{Name: "of100", Type: value.String}, {Name: "random", Type: value.Number}, {Name: "at", Type: value.DateTime}}

// BenchmarkQueryables is what queryables cost a load at once, as a start is one, a load in batches
// of 8000, and batches of 500 changes, which move items or give them other properties. The ratios
// of the rows with and without queryables are what counts.
func BenchmarkQueryables(b *testing.B) {
	items := benchItems(b, 1_000_000)
	for i := range items {
		items[i].Properties = append(bytes.TrimSuffix(items[i].Properties, []byte("}")), numbers(rand.New(rand.NewPCG(5, uint64(i))))...)
	}
	per := func(b *testing.B, n int, what string, begun time.Duration) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/"+what)
		b.ReportMetric(float64((processorTime()-begun).Nanoseconds())/float64(b.N*n), "cpu-ns/"+what)
	}
	for _, of := range []struct {
		name       string
		queryables value.Queryables
	}{{"none", nil}, {"strings", value.Untyped("of20", "of100", "of10000")}, {"numeric", numeric}, {"mixed", mixed}} {
		name, queryables := of.name+"/", of.queryables
		b.Run(name+"load", func(b *testing.B) {
			begun := processorTime()
			for b.Loop() {
				benchTable(b, "quadtree", items, queryables)
			}
			per(b, len(items), "item", begun)
			b.ReportMetric(float64(benchTable(b, "quadtree", items, queryables).Snapshot().Stats().TableBytes)/float64(len(items)), "table-B/item")
		})
		b.Run(name+"batches", func(b *testing.B) {
			const batch = 8000
			begun := processorTime()
			for b.Loop() {
				t, err := table.New(kinds, table.Schema{Index: table.IndexSpec{Kind: "quadtree"}, Queryables: queryables})
				if err != nil {
					b.Fatal(err)
				}
				changes := make([]table.Replacement, 0, batch)
				for part := range slices.Chunk(items, batch) {
					changes = changes[:0]
					for i := range part {
						changes = append(changes, table.Replacement{Place: t.Find(table.HashOf(part[i].ID), part[i].ID), Item: &part[i]})
					}
					if _, err := t.Apply(batch, slices.Values(changes)); err != nil {
						b.Fatal(err)
					}
				}
			}
			per(b, len(items), "item", begun)
		})
		for _, moves := range []bool{true, false} {
			what := "change"
			if moves {
				what = "move"
			}
			b.Run(name+what, func(b *testing.B) {
				t := benchTable(b, "quadtree", items, queryables)
				rnd := rand.New(rand.NewPCG(3, 4))
				const batch = 500
				changes := make([]table.Replacement, batch)
				begun := processorTime()
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
				per(b, batch, "change", begun)
			})
		}
	}
}
