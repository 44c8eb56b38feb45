package geohash_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nearby/index"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGoldenTrace pins what a search does, step by step, in a small world with
// a town, a lone point across the antimeridian and one at the pole.
func TestGoldenTrace(t *testing.T) {
	w := world{
		{Ref: 0, Lon: 8.54, Lat: 47.37}, {Ref: 1, Lon: 8.541, Lat: 47.371}, {Ref: 2, Lon: 8.545, Lat: 47.378},
		{Ref: 3, Lon: -179.9, Lat: 10}, {Ref: 4, Lon: 123, Lat: 90},
	}
	ix := build(t, w, 26)
	var out strings.Builder
	for _, q := range []index.Query{
		{Lon: 8.54, Lat: 47.37, K: 2, MaxDistance: index.Everywhere},
		{Lon: 179.9, Lat: 10, K: 1, MaxDistance: index.Everywhere},
		{Lon: -60, Lat: 89.9, K: 1, MaxDistance: 20e3},
	} {
		q.Trace = &index.Trace{}
		hits, proof, err := ix.Nearest(nil, &q, w)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "near %v %v k=%d within %.0f m\n----\n", q.Lon, q.Lat, q.K, q.MaxDistance)
		for _, s := range q.Trace.Steps {
			fmt.Fprintf(&out, "%s", s.Kind)
			if s.Kind == index.StepRing {
				fmt.Fprintf(&out, " %d of %d bits, %d cells", s.Ring, s.Level, s.Cells)
			} else {
				fmt.Fprintf(&out, " %s, %d points", s.Name, s.Points)
			}
			b := s.Bounds
			fmt.Fprintf(&out, ", lower %.0f m, %.4f..%.4f %.4f..%.4f\n", s.Lower, b.West, b.East, b.South, b.North)
		}
		for _, h := range hits {
			fmt.Fprintf(&out, "hit %d at %.3f m\n", h.Ref, h.Distance)
		}
		fmt.Fprintf(&out, "exact=%v radius=%.3f m entered=%d compared=%d\n\n", proof.Exact, proof.Radius, proof.Entered, proof.Compared)
	}
	file := filepath.Join("testdata", "trace.golden")
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != out.String() {
		t.Errorf("the trace is not that of %s (run with -update to accept it):\n%s", file, out.String())
	}
}

// A page far out does not look at what lies before it: that is dropped by whole
// cells.
func TestDeepPage(t *testing.T) {
	const n, k = 50_000, 10
	w := uniform(n)
	ix := build(t, w, 0)
	q := index.Query{Lon: 7, Lat: 50, K: n / 2, MaxDistance: index.Everywhere}
	inner, _, err := ix.Nearest(nil, &q, w)
	if err != nil {
		t.Fatal(err)
	}
	last := inner[len(inner)-1]
	q.K, q.After = k, &index.After{Distance: last.Distance, ID: w.ID(last.Ref)}
	page, proof, err := ix.Nearest(nil, &q, w)
	if err != nil || len(page) != k || page[0].Distance < last.Distance || proof.Compared > n/10 {
		t.Errorf("%d hits after %v m, %d points compared, %v", len(page), last.Distance, proof.Compared, err)
	}
}
