package table

import (
	"fmt"
	"math"
	"slices"

	"nearby/index"
	"nearby/internal/zorder"
)

// choice is the index that a collection uses and why.
type choice struct {
	spec   IndexSpec
	reason string // empty when the schema names the kind
	points int    // how many there were when it was made
}

// autoSample is how many points are looked at to choose an index.
const autoSample = 1 << 16

// Points count as EvenLines up to these bounds.
const (
	// autoSkew is the crowding up to which points count as even: how many times as
	// many points share a cell with a point as cells hold on average.
	autoSkew = 1.6
	// autoDimension is the dimension up to which points count as lying along
	// lines: half as long a cell is one of 2 times as many if they do, of 4 times
	// as many if they cover an area.
	autoDimension = 1.2
	// autoShare is how many points a cell holds on average where both are measured.
	autoShare = 8
)

// choose decides which index serves these points. With kind auto it sorts them
// into geohash cells fine enough to hold a few points each, and measures there
// how evenly they lie and whether they cover an area or lie along lines. The kinds
// say which of them suits what.
//
// nearby bench has the figures behind it: wherever points cover an area, evenly
// or not, or many share a place, a query costs less in the quadtree. Along a
// route the two are level near the points, and the grid is ahead elsewhere and
// in moves. TestAutoChoosesWell of package bench holds the choice to that.
func (k Kinds) choose(spec IndexSpec, points []index.Point) choice {
	if spec.Kind != KindAuto {
		return choice{spec: spec, points: len(points)}
	}
	step := max(1, len(points)/autoSample)
	keys := make([]uint64, 0, len(points)/step+1)
	for i := 0; i < len(points); i += step {
		keys = append(keys, zorder.Key(points[i].Lon, points[i].Lat))
	}
	slices.Sort(keys)
	usual := k.suited(AnyPoints)
	anyPoints := func(reason string) choice { return choice{IndexSpec{Kind: usual.Name}, reason, len(points)} }
	const few = 256
	if len(keys) < few {
		return anyPoints(fmt.Sprintf("fewer than %d points: nothing to measure, and the %s needs no precision", few, usual.Title))
	}
	n := 2
	for ; n < zorder.Bits; n += 2 {
		if cells, _ := occupied(keys, n); cells >= len(keys)/autoShare {
			break
		}
	}
	cells, skew := occupied(keys, n)
	if cells < len(keys)/autoShare {
		return anyPoints(fmt.Sprintf("%d sampled points lie at %d places: where many share a place the %s has less to compare", len(keys), cells, usual.Title))
	}
	const halvings = 3
	larger, _ := occupied(keys, max(n-2*halvings, 0))
	dimension := math.Log2(float64(cells)/float64(larger)) / halvings
	say := fmt.Sprintf("in %d sampled points, sorted into %d occupied cells of %d bits, a point shares its cell with %.1f times as many points as cells hold on average, and half as long a cell is one of %.1f times as many",
		len(keys), cells, n, skew, math.Exp2(dimension))
	if skew > autoSkew {
		return anyPoints(say + ": uneven density suits the " + usual.Title)
	}
	if dimension > autoDimension {
		return anyPoints(say + ": points all over an area suit the " + usual.Title)
	}
	lines := k.suited(EvenLines)
	return choice{IndexSpec{Kind: lines.Name}, say + ": even density along lines suits the " + lines.Title, len(points)}
}

// suited returns the first kind that suits such points, or else any points.
func (k Kinds) suited(points Suits) Kind {
	for _, suits := range []Suits{points, AnyPoints} {
		for _, kind := range k {
			if kind.Suits == suits {
				return kind
			}
		}
	}
	return Kind{Name: KindAuto} // which cannot be built
}

// Auto returns the kind of index that a collection of these points chooses when
// its schema leaves that to it, and why.
func (k Kinds) Auto(points []index.Point) (kind, reason string) {
	c := k.choose(IndexSpec{Kind: KindAuto}, points)
	return c.spec.Kind, c.reason
}

// occupied counts the cells of so many bits that sorted keys lie in. skew is the
// mean number of points in a point's cell, divided by that in a cell.
func occupied(keys []uint64, n int) (cells int, skew float64) {
	crowd := 0.0
	for i := 0; i < len(keys); {
		j := i + 1
		for j < len(keys) && keys[j]>>(zorder.Bits-n) == keys[i]>>(zorder.Bits-n) {
			j++
		}
		cells++
		crowd += float64(j-i) * float64(j-i)
		i = j
	}
	mean := float64(len(keys)) / float64(cells)
	return cells, crowd / float64(len(keys)) / mean
}

// outgrown reports whether a choice was made for a collection of quite another
// size, so that auto should measure again.
func (c choice) outgrown(points int) bool {
	return c.reason != "" && (points > 4*max(c.points, 1024) || (c.points > 1024 && points < c.points/8))
}
