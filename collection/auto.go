package collection

import (
	"fmt"
	"math/bits"
	"slices"

	"nearby/index"
)

// choice is the index that a collection uses and why.
type choice struct {
	spec   IndexSpec
	reason string // empty when the definition names the kind
	points int    // how many there were when it was made
}

// autoSample is how many points are looked at to choose an index.
const autoSample = 1 << 16

// autoSkew is the crowding above which auto prefers the quadtree: how many more
// points share a cell with a point than cells hold on average.
const autoSkew = 8.0

// choose decides which index serves these points. With kind auto it measures
// how evenly they lie: they are sorted into geohash cells fine enough to hold a
// few points each if the points were even, and the number of points that a
// point finds in its own cell is compared with the mean of the occupied cells.
// Even data reads about 1 to 2 and suits a static grid; a dense city in an
// empty land reads in the tens or hundreds and suits a tree that divides where
// the points are.
func choose(spec IndexSpec, points []index.Point) choice {
	if spec.Kind != KindAuto {
		return choice{spec: spec, points: len(points)}
	}
	step := max(1, len(points)/autoSample)
	keys := make([]uint64, 0, len(points)/step+1)
	for i := 0; i < len(points); i += step {
		keys = append(keys, index.ZKey(points[i].Lon, points[i].Lat))
	}
	slices.Sort(keys)
	const few = 256
	if len(keys) < few {
		return choice{IndexSpec{Kind: KindQuadtree}, fmt.Sprintf("fewer than %d points: nothing to measure, and the quadtree needs no precision", few), len(points)}
	}
	// The cells divide the smallest cell that holds all points.
	common := index.CommonBits(keys[0], keys[len(keys)-1])
	n := min(index.MaxBits, common+bits.Len(uint(len(keys)/8)))
	var cells, crowd float64
	for i := 0; i < len(keys); {
		j := i + 1
		for j < len(keys) && keys[j]>>(index.MaxBits-n) == keys[i]>>(index.MaxBits-n) {
			j++
		}
		cells++
		crowd += float64(j-i) * float64(j-i)
		i = j
	}
	mean := float64(len(keys)) / cells
	skew := crowd / float64(len(keys)) / mean
	say := fmt.Sprintf("in %d sampled points, sorted into %.0f occupied cells of %d bits, a point shares its cell with %.1f times as many points as cells hold on average", len(keys), cells, n, skew)
	if skew > autoSkew {
		return choice{IndexSpec{Kind: KindQuadtree}, fmt.Sprintf("%s, above %.0f: uneven density suits the quadtree", say, autoSkew), len(points)}
	}
	return choice{IndexSpec{Kind: KindGeohash}, fmt.Sprintf("%s, at most %.0f: even density suits the geohash grid", say, autoSkew), len(points)}
}

// outgrown reports whether a choice was made for a collection of quite another
// size, so that auto should measure again.
func (c choice) outgrown(points int) bool {
	return c.reason != "" && (points > 4*max(c.points, 1024) || (c.points > 1024 && points < c.points/8))
}
