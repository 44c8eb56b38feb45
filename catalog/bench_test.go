package catalog_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"nearby/collection"
	"nearby/index"
	"nearby/item"
	"nearby/table"
)

// fill loads n items with 120 bytes of properties, clustered round 100 towns.
func fill(b *testing.B, c *collection.Collection, n int) []index.Position {
	rng := rand.New(rand.NewPCG(1, 1))
	towns := make([]index.Position, 100)
	for i := range towns {
		towns[i] = index.Position{Lon: rng.Float64()*320 - 160, Lat: rng.Float64()*140 - 70}
	}
	places := make([]index.Position, n)
	var batch []collection.Write
	for i := range places {
		t := towns[rng.IntN(1+rng.IntN(len(towns)))]
		places[i] = index.Position{Lon: round(t.Lon + rng.NormFloat64()*0.2), Lat: round(t.Lat + rng.NormFloat64()*0.2)}
		batch = append(batch, place(i, places[i]))
		if len(batch) == 4000 || i == n-1 {
			if _, err := c.Write(context.Background(), batch); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	return places
}

// round drops what is finer than a centimetre, as nearly all files do.
func round(degrees float64) float64 { return math.Round(degrees*1e7) / 1e7 }

func place(i int, p index.Position) collection.Write {
	return collection.Write{Action: collection.Upsert, Item: item.Item{
		ID: fmt.Sprintf("place-%d", i), Lon: p.Lon, Lat: p.Lat,
		Properties: fmt.Appendf(nil, `{"name":"Place number %07d","category":"cafe","rating":%d.%d,"address":"%d Example Street, Some Town","opened":%d}`, i, i%5, i%10, i%900, 1900+i%120),
	}}
}

// BenchmarkFill is a bulk load through the durable store: points/s and the
// memory a point takes with id, properties, tables and index.
func BenchmarkFill(b *testing.B) {
	const n = 200_000
	for b.Loop() {
		h := open(b, b.TempDir())
		c := h.make(collection.Definition{Name: "c", Index: table.IndexSpec{Kind: "quadtree"}})
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		fill(b, c, n)
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(c.Snapshot().Stats().Index.Bytes)/n, "index-B/point")
		b.ReportMetric(float64(c.Snapshot().Stats().RecordBytes)/n, "record-B/point")
		b.ReportMetric(float64(c.Snapshot().Stats().TableBytes)/n, "table-B/point")
		h.shut()
		b.StartTimer()
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "points/s")
}

// BenchmarkLoad is a start: everything read from the store and indexed.
func BenchmarkLoad(b *testing.B) {
	const n = 1_000_000
	dir := b.TempDir()
	h := open(b, dir)
	fill(b, h.make(collection.Definition{Name: "c", Index: table.IndexSpec{Kind: "quadtree"}}), n)
	h.shut()
	for b.Loop() {
		h := open(b, dir)
		b.StopTimer()
		h.shut()
		b.StartTimer()
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "points/s")
}

// BenchmarkMove moves items in requests of 500.
func BenchmarkMove(b *testing.B) {
	const n = 200_000
	h := open(b, b.TempDir())
	c := h.make(collection.Definition{Name: "c", Index: table.IndexSpec{Kind: "quadtree"}})
	places := fill(b, c, n)
	rng := rand.New(rand.NewPCG(2, 2))
	batch := make([]collection.Write, 500)
	moved := 0
	for b.Loop() {
		for j := range batch {
			i := rng.IntN(n)
			places[i].Lon += rng.NormFloat64() * 1e-3
			batch[j] = place(i, places[i])
		}
		if _, err := c.Write(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
		moved += len(batch)
	}
	b.ReportMetric(float64(moved)/b.Elapsed().Seconds(), "moves/s")
}

// BenchmarkSnapshotNearest is k = 10 near an item, with the records looked at.
func BenchmarkSnapshotNearest(b *testing.B) {
	const n = 200_000
	h := open(b, b.TempDir())
	c := h.make(collection.Definition{Name: "c", Index: table.IndexSpec{Kind: "quadtree"}})
	places := fill(b, c, n)
	s := c.Snapshot()
	rng := rand.New(rand.NewPCG(3, 3))
	var hits []index.Hit
	total := 0
	b.ReportAllocs()
	for b.Loop() {
		p := places[rng.IntN(n)]
		q := index.Query{Lon: p.Lon, Lat: p.Lat, K: 10, MaxDistance: index.Everywhere}
		hits, _, _ = s.Nearest(hits[:0], &q, nil)
		for _, h := range hits {
			it := s.Item(h.Ref)
			total += len(it.Properties)
		}
	}
	if total == 0 {
		b.Fatal("nothing was found")
	}
}

// BenchmarkReadBesideMoves is k = 10 near an item, with the records looked at, while
// nothing else happens and while a writer moves items in requests of 500 as fast as it
// can.
func BenchmarkReadBesideMoves(b *testing.B) {
	const n = 200_000
	h := open(b, b.TempDir())
	c := h.make(collection.Definition{Name: "c", Index: table.IndexSpec{Kind: "quadtree"}})
	places := fill(b, c, n)
	for _, moving := range []bool{false, true} {
		name := "idle"
		if moving {
			name = "moving"
		}
		b.Run(name, func(b *testing.B) {
			stop, moved := make(chan struct{}), 0
			var wg sync.WaitGroup
			if moving {
				wg.Go(func() {
					rng := rand.New(rand.NewPCG(2, 2))
					batch := make([]collection.Write, 500)
					for {
						select {
						case <-stop:
							return
						default:
						}
						for j := range batch {
							i := rng.IntN(n)
							p := places[i]
							p.Lon += rng.NormFloat64() * 1e-3
							batch[j] = place(i, p)
						}
						if _, err := c.Write(context.Background(), batch); err != nil {
							b.Error(err)
							return
						}
						moved += len(batch)
					}
				})
			}
			rng := rand.New(rand.NewPCG(3, 3))
			var q index.Query
			var hits []index.Hit
			var items [10]table.Item
			times := make([]time.Duration, 0, 1<<20)
			for b.Loop() {
				p := places[rng.IntN(n)]
				begun := time.Now()
				q = index.Query{Lon: p.Lon, Lat: p.Lat, K: 10, MaxDistance: index.Everywhere}
				s := c.Snapshot()
				hits, _, _ = s.Nearest(hits[:0], &q, nil)
				for i, h := range hits {
					items[i] = s.Item(h.Ref)
				}
				if len(times) < cap(times) {
					times = append(times, time.Since(begun))
				}
			}
			close(stop)
			wg.Wait()
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2]), "p50-ns")
			b.ReportMetric(float64(times[len(times)*99/100]), "p99-ns")
			b.ReportMetric(float64(times[len(times)*999/1000]), "p999-ns")
			b.ReportMetric(float64(moved)/b.Elapsed().Seconds(), "moves/s")
		})
	}
}
