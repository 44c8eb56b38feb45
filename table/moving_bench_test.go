package table_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"nearby/index"
	"nearby/table"
	"nearby/value"
)

// BenchmarkFilteredWhileMoving is a search for ten of 10^6 items in the east, with filters. Before each
// ten searches ten items move, by so many degrees about: as where 1000 items and 1000 searches come in
// a second. The matches of the filters that are called far are in America: one in 20 items there, or
// one in 40 with 20 values in turn.
func BenchmarkFilteredWhileMoving(b *testing.B) {
	const batch = 10
	items := benchItems(b, 1_000_000)
	rnd := rand.New(rand.NewPCG(3, 9))
	var east []int
	for i := range items {
		if it := &items[i]; it.Lon > 0 {
			east = append(east, i)
		} else if it.Lon < -30 && rnd.IntN(2) == 0 {
			it.Properties = append(it.Properties[:len(it.Properties)-1], fmt.Sprintf(`,"far20":"f%d"}`, rnd.IntN(20))...)
		}
	}
	filters := []struct {
		name, property, text string
		values               int
	}{
		{"all", "", "", 0}, {"1in20", "of20", "c0", 0}, {"1in10000", "of10000", "c0", 0}, {"far", "far", "here", 0}, {"far20", "far20", "f", 20},
	}
	for _, kind := range kinds {
		t := benchTable(b, kind.Name, items, value.Untyped("of20", "of10000", "far", "far20"))
		for _, degrees := range []float64{0, 0.01, 1} {
			for _, f := range filters {
				b.Run(fmt.Sprintf("%s/degrees=%v/%s", kind.Name, degrees, f.name), func(b *testing.B) {
					var of []table.Filter
					for n := range max(1, f.values) {
						var filter table.Filter
						switch {
						case f.values > 0:
							filter.Add(f.property, f.text+strconv.Itoa(n))
						case f.property != "":
							filter.Add(f.property, f.text)
						}
						of = append(of, filter)
					}
					s := t.Snapshot()
					var hits []index.Hit
					var took []time.Duration
					for i := 0; b.Loop(); i++ {
						if i%batch == 0 {
							first := rnd.IntN(len(items))
							var changes [batch]table.Replacement
							for i := range changes {
								it := items[(first+i*1999)%len(items)]
								it.Lon = max(-180, min(180, it.Lon+degrees*rnd.NormFloat64()))
								changes[i] = table.Replacement{Place: t.Find(table.HashOf(it.ID), it.ID), Item: &it}
							}
							var err error
							if s, err = t.Apply(batch, slices.Values(changes[:])); err != nil {
								b.Fatal(err)
							}
						}
						it := &items[east[i*7919%len(east)]]
						q := index.Query{Lon: it.Lon + 0.001, Lat: it.Lat, K: 10, MaxDistance: index.Everywhere}
						begun := time.Now()
						var err error
						if hits, _, err = s.Nearest(hits[:0], &q, &of[i%len(of)]); err != nil {
							b.Fatal(err)
						}
						took = append(took, time.Since(begun))
					}
					slices.Sort(took)
					n := len(took)
					for _, at := range []int{50, 90, 99} {
						b.ReportMetric(float64(took[n*at/100].Nanoseconds())/1000, fmt.Sprintf("p%d-µs", at))
					}
					b.ReportMetric(0, "ns/op")
				})
			}
		}
	}
}
