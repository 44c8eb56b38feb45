package catalog_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"nearby/catalog"
	"nearby/collection"
	"nearby/item"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

// BenchmarkSharedWrite makes single writes on a database that syncs, by so many callers
// at a time.
func BenchmarkSharedWrite(b *testing.B) {
	cluster := pgtest.Start(b)
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			st, err := postgres.Open(context.Background(), cluster.Database(), postgres.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = st.Close() }()
			cat := catalog.New(collection.Options{Store: st, Kinds: kinds})
			defer cat.Close()
			if err := cat.Load(context.Background(), nil); err != nil {
				b.Fatal(err)
			}
			col, _, err := cat.Put(context.Background(), collection.Definition{Name: "c"})
			if err != nil {
				b.Fatal(err)
			}
			before := st.Stats()
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range callers {
				wg.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						w := collection.Write{Action: collection.Upsert, Item: item.Item{ID: fmt.Sprint(n % 10_000), Lon: float64(n % 180), Lat: float64(n % 90)}}
						res, err := col.Write(context.Background(), []collection.Write{w})
						if err != nil || res[0].Err != nil {
							b.Error(err, res)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			after := st.Stats()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
			b.ReportMetric(float64(after.Rows-before.Rows)/float64(after.Batches-before.Batches), "rows/transaction")
		})
	}
}
