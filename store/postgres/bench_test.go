package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

// The benchmarks run on a cluster that waits for the disk, with the collection c.
func open(b *testing.B) *postgres.Store {
	b.Helper()
	c := pgtest.Start(b, pgtest.Set("shared_buffers", "512MB"), pgtest.Set("max_wal_size", "8GB"))
	s, err := postgres.Open(context.Background(), c.URL(), postgres.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	if _, err := s.Commit(context.Background(), []store.Change{{Op: store.PutCollection, Collection: "c", Definition: []byte(`{}`)}}); err != nil {
		b.Fatal(err)
	}
	return s
}

// place is the n-th of many items.
func place(n int) store.Change {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	return store.Change{Op: store.PutItem, Collection: "c", Item: item.Item{
		ID: fmt.Sprintf("place-%08d", n), Lon: rng.Float64()*360 - 180, Lat: rng.Float64()*180 - 90,
		Properties: fmt.Appendf(nil, `{"name":"Place %d","kind":"%c"}`, n, 'a'+rng.IntN(20)), Created: 1_700_000_000_000, Updated: 1_700_000_000_000 + int64(n),
	}}
}

// fill commits the items from to to-1 in chunks.
func fill(b testing.TB, s store.Store, from, to, chunk int) {
	b.Helper()
	batch := make([]store.Change, 0, chunk)
	for n := from; n < to; n += chunk {
		batch = batch[:0]
		for i := n; i < min(n+chunk, to); i++ {
			batch = append(batch, place(i))
		}
		if _, err := s.Commit(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
}

// Single rows by several callers: how many share a transaction.
func BenchmarkCommit(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := open(b)
			var n atomic.Int64
			before := s.Stats()
			b.SetParallelism((callers + 1) / 2) // times GOMAXPROCS, 2 here
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Commit(context.Background(), []store.Change{place(int(n.Add(1)))}); err != nil {
						b.Error(err)
						return
					}
				}
			})
			after := s.Stats()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
			b.ReportMetric(float64(after.Commits-before.Commits)/float64(after.Batches-before.Batches), "commits/batch")
		})
	}
}

// Large commits: new items, and the same again.
func BenchmarkLoad(b *testing.B) {
	const chunk = 5000
	for _, again := range []bool{false, true} {
		b.Run(fmt.Sprintf("again=%v", again), func(b *testing.B) {
			s := open(b)
			if again {
				fill(b, s, 0, b.N*chunk, chunk)
			}
			chunks := make([][]store.Change, b.N)
			for n := range chunks {
				for i := range chunk {
					chunks[n] = append(chunks[n], place(n*chunk+i))
				}
			}
			b.ResetTimer()
			for _, batch := range chunks {
				if _, err := s.Commit(context.Background(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*chunk)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// A whole collection, as at the start.
func BenchmarkItems(b *testing.B) {
	const items = 1_000_000
	s := open(b)
	fill(b, s, 0, items, 5000)
	for _, parts := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("parts=%d", parts), func(b *testing.B) {
			for range b.N {
				v, err := s.View(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				counts := make([]int, 16*parts)
				err = v.Items(context.Background(), "c", parts, func(part int, it *item.Item) error {
					counts[16*part]++
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for _, c := range counts {
					n += c
				}
				if n != items {
					b.Fatalf("%d items of %d", n, items)
				}
				if err := v.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*items)/b.Elapsed().Seconds(), "rows/s")
		})
	}
	b.Run("digests", func(b *testing.B) {
		for range b.N {
			v, err := s.View(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			if _, err := v.(store.DigestView).Digests(context.Background(), "c"); err != nil {
				b.Fatal(err)
			}
			if err := v.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N*items)/b.Elapsed().Seconds(), "rows/s")
	})
}

// Catching up with what another store has written.
func BenchmarkFollow(b *testing.B) {
	const items = 100_000
	s := open(b)
	v, err := s.View(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	from := v.At()
	if err := v.Close(); err != nil {
		b.Fatal(err)
	}
	fill(b, s, 0, items, 5000)
	b.ResetTimer()
	for range b.N {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		n := 0
		_ = s.Follow(ctx, from, func(step *store.Step) error {
			n += len(step.Changes)
			if !step.More {
				return context.Canceled
			}
			return nil
		})
		cancel()
		if n != items {
			b.Fatalf("%d items of %d", n, items)
		}
	}
	b.ReportMetric(float64(b.N*items)/b.Elapsed().Seconds(), "rows/s")
}
