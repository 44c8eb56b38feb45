package table_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nearby/area"
	"nearby/cql2"
	"nearby/index"
	"nearby/table"
	"nearby/value"
)

// BenchmarkCounts counts those of 10^6 items that lie in a box of half of them, and others.
func BenchmarkCounts(b *testing.B) {
	items := benchItems(b, 1_000_000)
	lons := make([]float64, len(items))
	for i := range items {
		items[i].Properties = append(bytes.TrimSuffix(items[i].Properties, []byte("}")), numbers(rand.New(rand.NewPCG(5, uint64(i))))...)
		lons[i] = items[i].Lon
	}
	slices.Sort(lons)
	half, err := area.Box(-180, -90, lons[len(lons)/2], 90)
	if err != nil {
		b.Fatal(err)
	}
	queryables := append(value.Untyped("of20", "of100", "also100", "of10000"), numeric...)
	everywhere := index.Query{MaxDistance: index.Everywhere}
	inHalf := index.Query{MaxDistance: index.Everywhere, Area: half}
	within := index.Query{Lon: 10, Lat: 50, MaxDistance: 2_000_000}
	for _, kind := range kinds {
		s := benchTable(b, kind.Name, items, queryables).Snapshot()
		for _, c := range []struct {
			name   string
			query  index.Query
			filter string
			facets string
			rings  []float64
		}{
			{name: "half/count", query: inHalf},
			{name: "half/count/of20", query: inHalf, filter: "of20 = 'c0'"},
			{name: "half/count/stars", query: inHalf, filter: "stars > 2"},
			{name: "half/of20", query: inHalf, facets: "of20"},
			{name: "half/of10000", query: inHalf, facets: "of10000"},
			{name: "half/stars", query: inHalf, facets: "stars"},
			{name: "all/stars", query: everywhere, facets: "stars"},
			{name: "half/stars-by-1", query: inHalf, facets: "stars:1"},
			{name: "half/random-by-0.01", query: inHalf, facets: "random:0.01"},
			{name: "half/of20+stars-by-1", query: inHalf, facets: "of20,stars:1"},
			{name: "half/of20+stars-by-1/of100", query: inHalf, filter: "of100 = 'c0'", facets: "of20,stars:1"},
			{name: "half/of20+stars-by-1/stars", query: inHalf, filter: "stars > 2", facets: "of20,stars:1"},
			{name: "half/of20+stars-by-1/like", query: inHalf, filter: "of10000 LIKE 'c1%'", facets: "of20,stars:1"},
			{name: "radius/of20+stars-by-1", query: within, facets: "of20,stars:1"},
			{name: "all/count/stars-and-random", query: everywhere, filter: "stars > 2 AND random > 0.1"},
			{name: "all/of20+stars-by-1", query: everywhere, facets: "of20,stars:1"},
			{name: "all/of20+stars-by-1/of100", query: everywhere, filter: "of100 = 'c0'", facets: "of20,stars:1"},
			{name: "all/of20+stars-by-1/stars", query: everywhere, filter: "stars > 2", facets: "of20,stars:1"},
			{name: "rings", query: within, rings: []float64{500, 1000, 5000}},
			{name: "rings/far", query: within, rings: []float64{1e5, 2e5, 5e5, 1e6, 2e6, 5e6}},
			{name: "rings/far/of100", query: within, filter: "of100 = 'c0'", rings: []float64{1e5, 2e5, 5e5, 1e6, 2e6, 5e6}},
			{name: "rings/far/stars", query: within, filter: "stars > 2", rings: []float64{1e5, 2e5, 5e5, 1e6, 2e6, 5e6}},
		} {
			b.Run(kind.Name+"/"+c.name, func(b *testing.B) {
				var filter *table.Filter
				if c.filter != "" {
					e, err := cql2.ParseText(c.filter)
					if err == nil {
						e, err = cql2.Check(e, queryables.All())
					}
					if err != nil {
						b.Fatal(err)
					}
					filter = new(table.Filter)
					filter.Match(e)
				}
				var facets []table.Facet
				for part := range strings.SplitSeq(c.facets, ",") {
					name, width, stepped := strings.Cut(part, ":")
					facet := table.Facet{Name: name}
					if step, ok := value.StepOf(width); stepped && ok {
						facet.Step = &step
					}
					if part != "" {
						facets = append(facets, facet)
					}
				}
				b.ReportAllocs()
				counted := 0
				for b.Loop() {
					var err error
					switch {
					case c.rings != nil:
						var counts []int
						counts, _, err = s.Within(&c.query, c.rings, filter)
						counted = counts[len(counts)-1]
					case c.facets != "":
						counted, _, _, err = s.Facets(&c.query, facets, filter)
					default:
						counted, _, err = s.Count(&c.query, filter)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(counted), "items")
			})
		}
	}
}
