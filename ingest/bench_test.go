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
