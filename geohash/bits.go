package geohash

import (
	"fmt"

	"nearby/index"
)

const (
	// fewPoints is the number up to which points say nothing about those that
	// will come.
	fewPoints   = 64
	defaultBits = 26 // cells of 4.9 km at the equator

	leastBits, mostBits = 2, 52 // what chooseBits answers

	// goodCell is the number of places in a cell that a query is quickest with.
	goodCell = 24
)

// chooseBits returns the precision for points with these sorted ZKeys, and the
// reason: the least one with which half of the places lie in cells of at most
// goodCell places. The half that counts is that of the places and not of the
// cells, as queries come where the points are. Points at one place count once:
// no precision parts them.
func chooseBits(entries []index.Keyed) (int, string) {
	if len(entries) <= fewPoints {
		return defaultBits, fmt.Sprintf("%d bits, the default, as there were %d points to choose by", defaultBits, len(entries))
	}
	lo, hi := leastBits, mostBits
	for lo < hi {
		mid := (lo + hi) / 2
		if good, places := inGoodCells(entries, mid); 2*good >= places {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	good, places := inGoodCells(entries, lo)
	return lo, fmt.Sprintf("%d bits: of %d places in %d points %d %% lie in cells of at most %d",
		lo, places, len(entries), 100*good/places, goodCell)
}

// inGoodCells counts the different places and those in cells of n bits with at
// most goodCell of them.
func inGoodCells(entries []index.Keyed, n int) (good, places int) {
	shift := 64 - n
	inCell := 0
	for i := range entries {
		if i > 0 && entries[i].Key == entries[i-1].Key {
			continue
		}
		if i > 0 && entries[i].Key>>shift != entries[i-1].Key>>shift {
			if inCell <= goodCell {
				good += inCell
			}
			inCell = 0
		}
		inCell++
		places++
	}
	if inCell <= goodCell {
		good += inCell
	}
	return good, places
}
