package table

import (
	"math/rand/v2"
	"slices"
	"testing"

	"nearby/internal/zorder"
)

// Places have the cells of all positions that they were made of, and of no others but for those
// that share a cell with one.
func TestPlacesHaveTheCellsOfAllPositions(t *testing.T) {
	rnd := rand.New(rand.NewPCG(61, 62))
	for range 300 {
		var keys []uint64
		lon, lat := 360*rnd.Float64()-180, 180*rnd.Float64()-90
		for range 1 + rnd.IntN(1<<rnd.IntN(11)) {
			if rnd.IntN(20) == 0 {
				lon, lat = 360*rnd.Float64()-180, 180*rnd.Float64()-90
			}
			keys = append(keys, zorder.Key(max(-180, min(180, lon+rnd.NormFloat64())), max(-90, min(90, lat+rnd.NormFloat64()))))
		}
		cells := make([]uint16, len(keys))
		for i, key := range keys {
			cells[i] = uint16(key >> (zorder.Bits - placeBits))
		}
		at := newPlaces(0, cells)
		if len(at.cells) > max(1, len(keys)/placeItems) {
			t.Fatalf("%d cells of %d bits for %d items", len(at.cells), at.bits, len(keys))
		}
		slices.Sort(keys)
		for range 300 {
			n, key := rnd.IntN(zorder.Bits+1), rnd.Uint64()
			if rnd.IntN(3) > 0 { // one of theirs, or one beside it
				key = keys[rnd.IntN(len(keys))] ^ rnd.Uint64N(4)<<rnd.IntN(zorder.Bits-1)
			}
			// Whether an item lies in the cell of min(n, at.bits) bits round it.
			round := min(n, at.bits)
			first := key >> (zorder.Bits - round) << (zorder.Bits - round)
			i, _ := slices.BinarySearch(keys, first)
			some := i < len(keys) && keys[i] <= zorder.Last(first, round)
			if at.none(key, n) == some {
				t.Fatalf("cell %x of %d bits among %d of %d: none is %v", key, n, len(at.cells), at.bits, !some)
			}
		}
	}
}
