package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"testing"

	"github.com/go-chi/chi/v5"

	"nearby/access"
	"nearby/api"
	"nearby/collection"
	"nearby/item"
	"nearby/shadow"
	"nearby/table"
	"nearby/value"
)

// sink is a response writer that keeps nothing but its header.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }

// round is a coordinate as data have it.
func round(v float64) float64 { return math.Round(v*1e7) / 1e7 }

// BenchmarkNearby is GET nearby, k = 10, in 100 000 items, without the network;
// key is the same with an API key, and shadowed has one answer in a thousand compared with a scan. noop is
// a chi handler that sends the same bytes.
func BenchmarkNearby(b *testing.B) {
	const path = "/v1/collections/c/nearby"
	catalog := newCatalog(b)
	if err := catalog.Load(context.Background(), nil); err != nil {
		b.Fatal(err)
	}
	server, err := api.New(api.Options{Catalog: catalog})
	if err != nil {
		b.Fatal(err)
	}
	c, _, err := catalog.Put(context.Background(), collection.Definition{Name: "c", Index: table.IndexSpec{Kind: "quadtree"}})
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for batch := range 50 {
		writes := make([]collection.Write, 2000)
		for i := range writes {
			writes[i] = collection.Write{Action: collection.Upsert, Item: item.Item{
				ID: strconv.Itoa(batch*len(writes) + i), Lon: round(rng.Float64() * 10), Lat: round(rng.Float64() * 10),
				Properties: fmt.Appendf(nil, `{"name":"Place number %d","category":"cafe","rating":%d.%d,"address":"%d Example Street, Some Town"}`, i, i%5, i%10, i%900),
			}}
		}
		if _, err := c.Write(context.Background(), writes); err != nil {
			b.Fatal(err)
		}
	}
	requests := make([]*http.Request, 1024)
	for i := range requests {
		requests[i] = httptest.NewRequest("GET", fmt.Sprintf("%s?lat=%.6f&lon=%.6f&k=10", path, rng.Float64()*10, rng.Float64()*10), nil)
	}
	ours := make([]*http.Request, len(requests)) // come over one connection
	conn := api.ConnContext(context.Background(), nil)
	for i := range ours {
		ours[i] = requests[i].WithContext(conn)
	}
	w := httptest.NewRecorder()
	server.ServeHTTP(w, requests[0])
	if w.Code != http.StatusOK {
		b.Fatalf("answered %d: %s", w.Code, w.Body)
	}
	noop := chi.NewRouter()
	noop.Get("/v1/collections/{collectionId}/nearby", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", geoJSON)
		_, _ = rw.Write(w.Body.Bytes()) // a sink takes all
	})
	checks := shadow.New(0.001, slog.New(slog.DiscardHandler))
	defer checks.Close()
	shadowed, err := api.New(api.Options{Catalog: catalog, Watch: func(r *http.Request, s *collection.Snapshot) *collection.Snapshot {
		if !checks.Samples() {
			return s
		}
		return checks.Watch(s, r.URL.RequestURI())
	}})
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"nearby", "noop", "shadowed", "key"} {
		requests, handler := requests, http.Handler(noop)
		if name != "noop" {
			requests, handler = ours, server
		}
		if name == "shadowed" {
			handler = shadowed
		}
		b.Run(name, func(b *testing.B) {
			if name == "key" { // from here on requests need one
				h := &fixture{TB: b, catalog: catalog}
				_, text := h.newKey(access.Key{Scope: access.Read})
				for _, r := range requests {
					r.Header.Set("Authorization", "Bearer "+text)
				}
			}
			b.ReportAllocs()
			out := &sink{header: http.Header{}}
			for i := 0; b.Loop(); i++ {
				clear(out.header)
				handler.ServeHTTP(out, requests[i%len(requests)])
			}
			if out.status != 0 && out.status != http.StatusOK {
				b.Errorf("answered %d", out.status)
			}
		})
	}
}

// BenchmarkLoad is a bulk load over HTTP into the durable store, index and all:
// rows with an id, a position and about 120 bytes of properties, in towns and
// between them, in no order.
func BenchmarkLoad(b *testing.B) {
	const rows = 300_000
	var csv, ndjson bytes.Buffer
	csv.WriteString("id,lat,lon,name,category,rating\n")
	rng := rand.New(rand.NewPCG(1, 2))
	var towns [300][2]float64
	for i := range towns {
		towns[i] = [2]float64{rng.Float64()*340 - 170, rng.Float64()*140 - 70}
	}
	for i := range rows {
		lon, lat := rng.Float64()*360-180, rng.Float64()*180-90
		if rng.IntN(5) > 0 {
			at := towns[rng.IntN(1+rng.IntN(len(towns)))]
			lon, lat = at[0]+rng.NormFloat64()*0.1, at[1]+rng.NormFloat64()*0.1
		}
		name := fmt.Sprintf("Place number %d at the corner of the old market and the new bridge over %d", i, rng.Uint64())
		rating := 1 + 4*rng.Float64()
		fmt.Fprintf(&csv, "place-%d,%.6f,%.6f,%s,restaurant,%.1f\n", i, lat, lon, name, rating)
		fmt.Fprintf(&ndjson, `{"type":"Feature","id":"place-%d","geometry":{"type":"Point","coordinates":[%.6f,%.6f]},"properties":{"name":"%s","category":"restaurant","rating":%.1f}}`+"\n", i, lon, lat, name, rating)
	}
	catalog := newCatalog(b)
	if err := catalog.Load(context.Background(), nil); err != nil {
		b.Fatal(err)
	}
	server, err := api.New(api.Options{Catalog: catalog})
	if err != nil {
		b.Fatal(err)
	}
	http1 := httptest.NewServer(server)
	b.Cleanup(http1.Close)
	for _, load := range []struct {
		name, mediaType string
		body            []byte
		queryables      []string
	}{
		{"csv", "text/csv", csv.Bytes(), nil},
		{"csv, queryable", "text/csv", csv.Bytes(), []string{"category"}},
		{"ndjson", "application/x-ndjson", ndjson.Bytes(), nil},
	} {
		b.Run(load.name, func(b *testing.B) {
			// What a row takes once all that was needed to load it is free.
			var before, after runtime.MemStats
			for b.Loop() {
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&before)
				c, _, err := catalog.Put(context.Background(), collection.Definition{Name: "load", Queryables: value.Untyped(load.queryables...)})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				resp, err := http.Post(http1.URL+"/v1/collections/load/items", load.mediaType, bytes.NewReader(load.body))
				if err != nil {
					b.Fatal(err)
				}
				answer, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&after)
				if n := c.Snapshot().Len(); resp.StatusCode != http.StatusOK || n != rows {
					b.Fatalf("%d items: %s %s", n, resp.Status, answer)
				}
				if err := catalog.Drop(context.Background(), "load"); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/rows, "B/row")
		})
	}
}

// BenchmarkItem is GET of one item, over one connection, without the network.
func BenchmarkItem(b *testing.B) {
	catalog := newCatalog(b)
	if err := catalog.Load(context.Background(), nil); err != nil {
		b.Fatal(err)
	}
	server, err := api.New(api.Options{Catalog: catalog})
	if err != nil {
		b.Fatal(err)
	}
	c, _, err := catalog.Put(context.Background(), collection.Definition{Name: "c"})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Write(context.Background(), []collection.Write{{Action: collection.Upsert, Item: item.Item{ID: "a", Properties: []byte(`{"name":"A"}`)}}}); err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/v1/collections/c/items/a", nil)
	r = r.WithContext(api.ConnContext(context.Background(), nil))
	w := &sink{header: map[string][]string{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		server.ServeHTTP(w, r)
	}
	if w.status != 200 {
		b.Fatal(w.status)
	}
}

// BenchmarkItems is the first page of items in a box, with and without a filter, of 300 000 items, without
// the network. So it also counts for numberMatched, where that costs little.
func BenchmarkItems(b *testing.B) {
	catalog := newCatalog(b)
	if err := catalog.Load(context.Background(), nil); err != nil {
		b.Fatal(err)
	}
	server, err := api.New(api.Options{Catalog: catalog})
	if err != nil {
		b.Fatal(err)
	}
	c, _, err := catalog.Put(context.Background(), collection.Definition{Name: "c", Index: table.IndexSpec{Kind: "quadtree"}, Queryables: value.Untyped("category", "rating")})
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for batch := range 150 {
		writes := make([]collection.Write, 2000)
		for i := range writes {
			writes[i] = collection.Write{Action: collection.Upsert, Item: item.Item{
				ID: strconv.Itoa(batch*len(writes) + i), Lon: round(rng.Float64() * 10), Lat: round(rng.Float64() * 10),
				Properties: fmt.Appendf(nil, `{"name":"Place number %d","category":"c%d","rating":%d.%d}`, i, i%20, i%5, i%10),
			}}
		}
		if _, err := c.Write(context.Background(), writes); err != nil {
			b.Fatal(err)
		}
	}
	for _, query := range []string{
		"limit=10", "limit=10&category=c1", "limit=10&filter=rating%20%3E%202", "limit=10&bbox=1,1,2,2", "limit=10&bbox=1,1,2,2&category=c1",
		"limit=10&bbox=1,1,2,2&filter=rating%20%3E%202", "limit=10&bbox=1,1,9,9", "limit=10&bbox=1,1,9,9&category=c1", "limit=10&bbox=1,1,9,9&filter=rating%20%3E%202",
		"limit=100&bbox=1,1,9,9&filter=rating%20%3E%202",
	} {
		b.Run(query, func(b *testing.B) {
			req := httptest.NewRequest("GET", "/v1/collections/c/items?"+query, nil)
			w := httptest.NewRecorder()
			server.ServeHTTP(w, req)
			if w.Code != http.StatusOK {
				b.Fatalf("answered %d: %s", w.Code, w.Body)
			}
			counted := 0.0
			if bytes.Contains(w.Body.Bytes(), []byte(`"numberMatched"`)) {
				counted = 1
			}
			out := &sink{header: http.Header{}}
			for b.Loop() {
				clear(out.header)
				server.ServeHTTP(out, req)
			}
			b.ReportMetric(counted, "counted")
		})
	}
}
