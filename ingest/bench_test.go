package ingest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"nearby/ingest"
)

// BenchmarkCSV reads rows like those of a file of city trips: a number as id,
// two coordinates, a count. It bounds what reading costs a bulk load.
func BenchmarkCSV(b *testing.B) {
	var text bytes.Buffer
	text.WriteString("id,lat,lon,pickups\n")
	rng := rand.New(rand.NewPCG(1, 2))
	const rows = 100_000
	for i := range rows {
		fmt.Fprintf(&text, "%d,%.4f,%.4f,%d\n", i, 40+rng.Float64(), -74+rng.Float64(), rng.IntN(100))
	}
	benchmark(b, text.Bytes(), rows, ingest.CSV)
}

// BenchmarkPlaces reads the same rows as CSV and as Features, one a line: an id,
// two coordinates and about 100 bytes of properties.
func BenchmarkPlaces(b *testing.B) {
	var csv, lines bytes.Buffer
	csv.WriteString("id,lat,lon,name,category,rating\n")
	rng := rand.New(rand.NewPCG(1, 2))
	const rows = 50_000
	for i := range rows {
		lat, lon, rating := 40+rng.Float64(), -74+rng.Float64(), 1+rng.Float64()*4
		name := fmt.Sprintf("The place number %d at the corner of the market and the old bridge", i)
		fmt.Fprintf(&csv, "place-%d,%.6f,%.6f,%s,restaurant,%.1f\n", i, lat, lon, name, rating)
		fmt.Fprintf(&lines, `{"type":"Feature","id":"place-%d","geometry":{"type":"Point","coordinates":[%.6f,%.6f]},"properties":{"name":"%s","category":"restaurant","rating":%.1f}}`+"\n", i, lon, lat, name, rating)
	}
	b.Run("csv", func(b *testing.B) { benchmark(b, csv.Bytes(), rows, ingest.CSV) })
	b.Run("ndjson", func(b *testing.B) { benchmark(b, lines.Bytes(), rows, ingest.NDJSON) })
}

// BenchmarkGeoJSON reads small Features out of one collection.
func BenchmarkGeoJSON(b *testing.B) {
	var text bytes.Buffer
	text.WriteString(`{"type":"FeatureCollection","features":[` + feature(0))
	const rows = 10_000
	for i := 1; i < rows; i++ {
		fmt.Fprintf(&text, `,{"type":"Feature","id":%d,"geometry":{"type":"Point","coordinates":[%d.25,2]},"properties":{"name":"a","n":%d}}`, i, i%180, i)
	}
	text.WriteString("]}")
	benchmark(b, text.Bytes(), rows, ingest.GeoJSON)
}

func benchmark(b *testing.B, text []byte, rows int, format ingest.Format) {
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		in, err := ingest.Open(bytes.NewReader(text), ingest.Options{Format: format})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		var row ingest.Row
		for err = in.Next(&row); err == nil; err = in.Next(&row) {
			n++
		}
		if !errors.Is(err, io.EOF) || n != rows {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// TestRowsDoNotAllocate: a row of CSV may allocate its id and nothing else.
func TestRowsDoNotAllocate(t *testing.T) {
	text := append([]byte("id,name,lat,lon,n\n"), bytes.Repeat([]byte("a1,\"Köln, am Rhein\",50.9375,6.9603,12\n"), 5000)...)
	in, err := ingest.Open(bytes.NewReader(text), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var row ingest.Row
	allocs := testing.AllocsPerRun(4000, func() {
		if err := in.Next(&row); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 1 {
		t.Errorf("%v allocations a row", allocs)
	}
}
