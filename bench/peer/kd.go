package peer

import (
	"context"
	"math"

	"nearby/bench/dataset"
	"nearby/index"
	"nearby/sphere"
)

// kdLeaf is the most points that are scanned rather than divided.
const kdLeaf = 16

// kdTree is a k-d tree over unit vectors without pointers: the middle of a range
// of points divides it by one coordinate, smaller ones before it. A query keeps
// the distance to the box of a range, coordinate by coordinate (Arya and Mount).
type kdTree struct {
	points []located
	axes   []uint8 // of the point in the middle: the coordinate it divides by
	best   nearest
}

func buildKD(_ context.Context, at []dataset.Position) (Index, error) {
	t := &kdTree{points: locate(at), axes: make([]uint8, len(at))}
	t.divide(0, len(at))
	return t, nil
}

func coordinate(v *sphere.Vec, axis uint8) float64 {
	switch axis {
	case 0:
		return v.X
	case 1:
		return v.Y
	default:
		return v.Z
	}
}

// divide arranges points[low:high], by the coordinate in which they reach
// farthest.
func (t *kdTree) divide(low, high int) {
	for high-low > kdLeaf {
		axis, most := uint8(0), -1.0
		for a := range uint8(3) {
			least, greatest := math.Inf(1), math.Inf(-1)
			for i := low; i < high; i++ {
				c := coordinate(&t.points[i].at, a)
				least, greatest = min(least, c), max(greatest, c)
			}
			if greatest-least > most {
				axis, most = a, greatest-least
			}
		}
		middle := (low + high) / 2
		t.axes[middle] = axis
		if most > 0 { // of points all alike any order will do
			t.place(low, high, middle, axis)
		}
		t.divide(low, middle)
		low = middle + 1
	}
}

// place puts the point that belongs at position n there (quickselect). Equal
// coordinates are set apart in each round, so that many of them cost no more.
func (t *kdTree) place(low, high, n int, axis uint8) {
	for high-low > 1 {
		a, b, c := coordinate(&t.points[low].at, axis), coordinate(&t.points[(low+high)/2].at, axis), coordinate(&t.points[high-1].at, axis)
		pivot := max(min(a, b), min(max(a, b), c))
		less, more := low, high // [low, less) is below the pivot, [more, high) above
		for i := low; i < more; {
			switch c := coordinate(&t.points[i].at, axis); {
			case c < pivot:
				t.points[i], t.points[less] = t.points[less], t.points[i]
				i, less = i+1, less+1
			case c > pivot:
				more--
				t.points[i], t.points[more] = t.points[more], t.points[i]
			default:
				i++
			}
		}
		switch {
		case n < less:
			high = less
		case n >= more:
			low = more
		default:
			return
		}
	}
}

// Nearest implements Index.
func (t *kdTree) Nearest(dst []index.Ref, at dataset.Position, k int) []index.Ref {
	t.best.reset(k)
	q := sphere.FromDegrees(at.Lon, at.Lat)
	t.search(0, len(t.points), &q, [3]float64{}, 0)
	return t.best.appendTo(dst)
}

// search looks through points[low:high], whose box is off away from q,
// coordinate by coordinate, and chord2, the sum of the squares.
func (t *kdTree) search(low, high int, q *sphere.Vec, off [3]float64, chord2 float64) {
	if high-low <= kdLeaf {
		t.best.scan(t.points[low:high], *q)
		return
	}
	middle := (low + high) / 2
	axis := t.axes[middle]
	d := coordinate(q, axis) - coordinate(&t.points[middle].at, axis)
	near, far := [2]int{low, middle}, [2]int{middle + 1, high}
	if d > 0 {
		near, far = far, near
	}
	t.search(near[0], near[1], q, off, chord2)
	t.best.scan(t.points[middle:middle+1], *q)
	chord2 += d*d - off[axis]*off[axis]
	off[axis] = d
	if chord2 < t.best.limit() {
		t.search(far[0], far[1], q, off, chord2)
	}
}
