package indextest

import (
	"encoding/binary"
	"os"
	"testing"

	"nearby/geohash"
	"nearby/index"
	"nearby/quadtree"
)

// builders are the indexes that must agree, with small nodes and cells so that
// little data makes much structure.
func builders() map[string]index.Builder {
	return map[string]index.Builder{
		"geohash":        geohash.New(geohash.Options{}),
		"geohash/10":     geohash.New(geohash.Options{Bits: 10}),
		"geohash/35":     geohash.New(geohash.Options{Bits: 35}),
		"quadtree":       quadtree.New(quadtree.Options{}),
		"quadtree/small": quadtree.New(quadtree.Options{MaxPointsPerNode: 2, MaxDepth: 32}),
		"quadtree/flat":  quadtree.New(quadtree.Options{MaxPointsPerNode: 1, MaxDepth: 3}),
	}
}

func FuzzDrive(f *testing.F) {
	rnd := newRand(1)
	for _, n := range []int{0, 1, 60, 400, 1500} {
		data := make([]byte, 0, n)
		for len(data) < n {
			data = binary.LittleEndian.AppendUint64(data, rnd.Uint64())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { Drive(t, data, builders()) })
}

// TestMillion asks every index as many random questions as
// NEARBY_TEST_QUERIES says, a fifth of them round extreme places, and counts
// the answers that differ from the oracle's.
func TestMillion(t *testing.T) {
	if os.Getenv("NEARBY_TEST_QUERIES") == "" {
		t.Skip("set NEARBY_TEST_QUERIES=1000000 to run it; the suite asks a few thousand in any case")
	}
	queries := count(t, "NEARBY_TEST_QUERIES", 0)
	seed := Seed(t)
	for name, builder := range builders() {
		t.Run(name, func(t *testing.T) {
			const perWorld = 10_000
			asked, different := 0, 0
			for world := uint64(0); asked < queries; world++ {
				g := newGenerator(seed + world)
				v, err := build(builder, g.someItems(1+g.IntN(800)))
				if err != nil {
					t.Fatal(err)
				}
				for range min(perWorld, queries-asked) {
					if g.IntN(5) == 0 {
						_, err = v.inRange(g.rangeQuery(v))
					} else {
						_, err = v.nearest(g.query(v))
					}
					asked++
					if err != nil {
						if different++; different <= 10 {
							t.Errorf("world %d: %v", world, err)
						}
					}
				}
			}
			t.Logf("seed %d: %d queries, %d differences", seed, asked, different)
		})
	}
}
