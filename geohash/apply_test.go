package geohash_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"nearby/geohash"
	"nearby/index"
	"nearby/index/indextest"
)

// TestDirectoryGrowsAndShrinks fills a town from nothing, so that pages burst
// and cells become big, moves its points about, and empties it again. Each
// version is checked when it is made, and some again at the end.
func TestDirectoryGrowsAndShrinks(t *testing.T) {
	for _, bits := range []int{4, 24, 32, 62} {
		t.Run(fmt.Sprintf("bits=%d", bits), func(t *testing.T) {
			seed := indextest.Seed(t)
			r := rand.New(rand.NewPCG(seed, uint64(bits)))
			const n, batches = 3000, 60
			var ix index.Index
			ix, err := geohash.New(geohash.Options{Bits: bits})(nil, world{})
			if err != nil {
				t.Fatal(err)
			}
			w := make(world, n)
			live := make([]bool, n)
			type version struct {
				index index.Index
				items world
				live  int
			}
			var kept []version
			for batch := range batches {
				var changes []index.Update
				for range n / 10 {
					ref := index.Ref(r.IntN(n))
					c := index.Update{Kind: index.Insert, Ref: ref, Old: index.Position{Lon: w[ref].Lon, Lat: w[ref].Lat}}
					c.New = index.Position{Lon: 8 + r.NormFloat64()*0.05, Lat: 47 + r.NormFloat64()*0.05}
					if r.IntN(4) == 0 {
						c.New = index.Position{Lon: 8, Lat: 47}
					}
					switch growing := batch < batches/2; {
					case live[ref] && (!growing || r.IntN(4) == 0):
						c.Kind = index.Delete
					case live[ref]:
						c.Kind = index.Move
					case !growing:
						continue
					}
					if live[ref] = c.Kind != index.Delete; live[ref] {
						w[ref] = index.Point{Ref: ref, Lon: c.New.Lon, Lat: c.New.Lat}
					}
					changes = append(changes, c)
				}
				if ix, err = ix.Apply(changes, w); err != nil {
					t.Fatal(err)
				}
				if err := ix.Check(w); err != nil {
					t.Fatalf("batch %d: %v", batch, err)
				}
				count := 0
				for _, l := range live {
					if l {
						count++
					}
				}
				if ix.Len() != count {
					t.Fatalf("batch %d: %d points, want %d", batch, ix.Len(), count)
				}
				if batch%10 == 0 {
					kept = append(kept, version{ix, slices.Clone(w), count})
				}
			}
			for i, v := range kept {
				if err := v.index.Check(v.items); err != nil || v.index.Len() != v.live {
					t.Errorf("version %d has changed: %d points, want %d; %v", i, v.index.Len(), v.live, err)
				}
			}
			var changes []index.Update
			for ref, l := range live {
				if l {
					changes = append(changes, index.Update{Kind: index.Delete, Ref: index.Ref(ref), Old: index.Position{Lon: w[ref].Lon, Lat: w[ref].Lat}})
				}
			}
			if ix, err = ix.Apply(changes, w); err != nil || ix.Check(w) != nil {
				t.Fatal(err, ix.Check(w))
			}
			if s := ix.Stats(); s.Points != 0 || s.Cells != 0 || s.Bytes > 1<<14 {
				t.Errorf("emptied, it has %d points, %d cells and %d bytes", s.Points, s.Cells, s.Bytes)
			}
		})
	}
}
