package api_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/go-chi/chi/v5"

	"nearby/api"
	"nearby/collection"
	"nearby/item"
)

// sink is a response writer that keeps nothing but its header.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }

// BenchmarkNearby is GET nearby, k = 10, in 100 000 items, without the network;
// noop is a chi handler that sends the same bytes.
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
	c, _, err := catalog.Put(context.Background(), collection.Definition{Name: "c", Index: collection.IndexSpec{Kind: collection.KindQuadtree}})
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for batch := range 50 {
		writes := make([]collection.Write, 2000)
		for i := range writes {
			writes[i] = collection.Write{Op: collection.Upsert, Item: item.Item{
				ID: strconv.Itoa(batch*len(writes) + i), Lon: rng.Float64() * 10, Lat: rng.Float64() * 10,
				Properties: []byte(`{"name":"a place","category":"cafe"}`),
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
	for name, handler := range map[string]http.Handler{"nearby": server, "noop": noop} {
		b.Run(name, func(b *testing.B) {
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
