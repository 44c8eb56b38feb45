package geohash_test

import (
	"errors"
	"fmt"
	"testing"

	"nearby/geohash"
	"nearby/index"
	"nearby/index/indextest"
)

func TestConformance(t *testing.T) {
	for _, bits := range precisions {
		t.Run(fmt.Sprintf("bits=%d", bits), func(t *testing.T) {
			indextest.Run(t, geohash.New(geohash.Options{Bits: bits}))
		})
	}
}

func TestOptions(t *testing.T) {
	for bits, valid := range map[int]bool{-1: false, 0: true, 1: true, 64: true, 65: false} {
		opt := geohash.Options{Bits: bits}
		err := opt.Validate()
		if (err == nil) != valid || err != nil && !errors.Is(err, index.ErrInvalid) {
			t.Errorf("%+v: %v, want valid %v", opt, err, valid)
		}
		if _, buildErr := geohash.New(opt)(nil, world{}); (buildErr == nil) != valid {
			t.Errorf("building with %+v: %v, want valid %v", opt, buildErr, valid)
		}
	}
}

func TestChosenBitsAreReported(t *testing.T) {
	for _, w := range []world{nil, uniform(10), uniform(20000), cities(20000), make(world, 100)} {
		s := build(t, w, 0).Stats()
		if s.Reason == "" || s.Parameters["bits"] < 1 || s.Parameters["bits"] > geohash.MaxBits {
			t.Errorf("%d points: bits %d because %q", len(w), s.Parameters["bits"], s.Reason)
		}
	}
	coarse := build(t, uniform(20000), 0).Stats().Parameters["bits"]
	fine := build(t, cities(20000), 0).Stats().Parameters["bits"]
	if coarse >= fine {
		t.Errorf("%d bits for evenly spread points, %d for as many in cities", coarse, fine)
	}
}

func TestNearestDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector makes pools forget; the figure is for builds without it")
		return
	}
	w := cities(50000)
	ix := build(t, w, 0)
	centres := append(w.near()[:500], empty()...)
	var hits []index.Hit
	var items index.Items = w
	q := &index.Query{K: 10, MaxDistance: index.Everywhere}
	ask := func() {
		for _, c := range centres {
			q.Lon, q.Lat = c.Lon, c.Lat
			hits, _, _ = ix.Nearest(hits[:0], q, items)
		}
	}
	ask()
	// A garbage collection may empty the pool once: less than one for all centres.
	if allocs := testing.AllocsPerRun(5, ask); allocs > 10 {
		t.Errorf("%v allocations in %d searches", allocs, len(centres))
	}
}

// TestSparse asks in the emptiest places. The trace has an entry for each cell
// that was looked up, empty or not.
func TestSparse(t *testing.T) {
	w := cities(sparsePoints)
	for _, bits := range []int{0, 2, 20, 30, 60} {
		ix := build(t, w, bits)
		most := 0
		for _, c := range empty() {
			trace := &index.Trace{}
			q := &index.Query{Lon: c.Lon, Lat: c.Lat, K: 10, MaxDistance: index.Everywhere, Trace: trace}
			hits, proof, err := ix.Nearest(nil, q, w)
			if err != nil || len(hits) != 10 || !proof.Exact {
				t.Fatalf("%d hits, %+v, %v", len(hits), proof, err)
			}
			cells, inRings := 0, 0
			for _, s := range trace.Steps {
				if s.Kind == index.StepRing {
					inRings += s.Cells
				} else {
					cells++
				}
			}
			if cells != proof.Entered || inRings > cells {
				t.Fatalf("the trace has %d cells, %d of them in rings; the proof says %d", cells, inRings, proof.Entered)
			}
			most = max(most, cells)
		}
		t.Logf("bits=%d: at most %d cells", bits, most)
		if most > 2000 {
			t.Errorf("bits=%d: %d cells looked up in the emptiness, want at most 2000", bits, most)
		}
	}
}
