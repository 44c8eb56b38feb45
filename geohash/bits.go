package geohash

import (
	"fmt"

	"nearby/internal/runs"
)

const (
	// fewPoints is the number up to which points say nothing about those that
	// will come.
	fewPoints   = 64
	defaultBits = 26 // cells of 4.9 km at the equator

	leastBits, mostBits = 2, 52 // what chooseBits answers

	// goodCell is the number of points in a cell up to which a query is quick.
	goodCell = 24
)

// chooseBits returns the precision for points with these sorted ZKeys, and the
// reason: the least one with which half of the places lie in cells of at most
// goodCell points or alone in their cell. The half that counts is that of the
// places and not of the cells, as queries come where the points are. Points at
// one place count once: no precision parts them, and a cell that has nothing else
// is in the order of the answer.
func chooseBits(entries []runs.Keyed) (int, string) {
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
	return lo, fmt.Sprintf("%d bits: of %d places in %d points %d %% lie alone in their cells or in cells of at most %d points",
		lo, places, len(entries), 100*good/places, goodCell)
}

// inGoodCells counts the different places and those in cells of n bits that have
// at most goodCell points or a single place.
func inGoodCells(entries []runs.Keyed, n int) (good, places int) {
	shift := 64 - n
	for lo, hi := 0, 0; lo < len(entries); lo = hi {
		here := 1 // places in the cell
		for hi = lo + 1; hi < len(entries) && entries[hi].Key>>shift == entries[lo].Key>>shift; hi++ {
			if entries[hi].Key != entries[hi-1].Key {
				here++
			}
		}
		places += here
		if here == 1 || hi-lo <= goodCell {
			good += here
		}
	}
	return good, places
}
