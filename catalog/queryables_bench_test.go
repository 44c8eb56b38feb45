package catalog_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"nearby/collection"
	"nearby/index"
	"nearby/item"
	"nearby/table"
	"nearby/value"
)

// three are queryables of the items of described.
var three = value.Queryables{
	{Name: "category", Type: value.String},
	{Name: "rating", Type: value.Number},
	{Name: "opened", Type: value.DateTime},
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

// described is an item with 150 bytes of properties: one of 100 categories, a number with two
// digits, a moment of a year, and what nobody asks for.
func described(i int, p index.Position) collection.Write {
	h := uint64(i) * 0x9e3779b97f4a7c15 // mixes
	opened := time.Unix(1_577_836_800+int64(h>>16%31_622_400), 0).UTC()
	return collection.Write{Action: collection.Upsert, Item: item.Item{
		ID: fmt.Sprintf("place-%d", i), Lon: p.Lon, Lat: p.Lat,
		Properties: fmt.Appendf(nil, `{"name":"Place number %07d","category":"category %d","rating":%d.%02d,"address":"%d Example Street, Some Town","opened":%q}`,
			i, h>>40%100, h>>50%5, h>>30%100, i%900, opened.Format(time.RFC3339)),
	}}
}

// BenchmarkThreeQueryables is what three queryables cost a load through the durable store, a start
// and upserts of 500, which move items, or move them and give them other properties. The ratios of
// the rows with and without queryables are what counts.
func BenchmarkThreeQueryables(b *testing.B) {
	const n, batch = 1_000_000, 500
	per := func(b *testing.B, n int, begun time.Duration) {
		b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N*n), "µs/item")
		b.ReportMetric((processorTime()-begun).Seconds()*1e6/float64(b.N*n), "cpu-µs/item")
	}
	rng := rand.New(rand.NewPCG(1, 1))
	places := make([]index.Position, n)
	writes := make([]collection.Write, n)
	for i := range writes {
		places[i] = index.Position{Lon: round(rng.Float64()*320 - 160), Lat: round(rng.NormFloat64() * 20)}
		writes[i] = described(i, places[i])
	}
	for _, queryables := range []value.Queryables{nil, three} {
		name := fmt.Sprintf("queryables=%d/", len(queryables))
		make := func(b *testing.B, dir string) (*fixture, *collection.Collection) {
			h := open(b, dir)
			return h, h.make(collection.Definition{Name: "c", Index: table.IndexSpec{Kind: "quadtree"}, Queryables: queryables})
		}
		load := func(b *testing.B, c *collection.Collection) {
			for from := 0; from < n; from += 8000 {
				if _, err := c.Write(context.Background(), writes[from:min(n, from+8000)]); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.Run(name+"load", func(b *testing.B) {
			begun := processorTime()
			for b.Loop() {
				h, c := make(b, b.TempDir())
				load(b, c)
				h.shut()
			}
			per(b, n, begun)
		})
		dir := b.TempDir()
		h, c := make(b, dir)
		load(b, c)
		h.shut()
		b.Run(name+"start", func(b *testing.B) {
			begun := processorTime()
			for b.Loop() {
				open(b, dir).shut()
			}
			per(b, n, begun)
		})
		for _, what := range []string{"move", "change"} {
			b.Run(name+what, func(b *testing.B) {
				h := open(b, dir)
				defer h.shut()
				c, err := h.Catalog.Get("c")
				if err != nil {
					b.Fatal(err)
				}
				rng := rand.New(rand.NewPCG(2, 2))
				changes := [batch]collection.Write{}
				begun := processorTime()
				for b.Loop() {
					for j := range changes {
						i := rng.IntN(n)
						p := places[i]
						p.Lon = round(p.Lon + rng.NormFloat64()*1e-3)
						if changes[j] = writes[i]; what == "change" {
							changes[j].Item.Properties = writes[rng.IntN(n)].Item.Properties
						}
						changes[j].Item.Lon = p.Lon
					}
					if _, err := c.Write(context.Background(), changes[:]); err != nil {
						b.Fatal(err)
					}
				}
				per(b, batch, begun)
			})
		}
	}
}
