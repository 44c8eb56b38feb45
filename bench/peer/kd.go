package peer

import (
	"context"

	"nearby/bench/dataset"
	"nearby/index"
	"nearby/sphere"
)

// kdLeaf is the most points that are scanned rather than divided.
const kdLeaf = 16

// kdTree is a k-d tree over unit vectors without pointers: a node halves its range
// of points by the coordinate in which they reach farthest, and the halves of node
// i are the nodes 2i+1 and 2i+2. Each node has the tight box of its points. With
// the dividing planes alone, a query far from all points would look at most of
// them.
type kdTree struct {
	points []located
	boxes  []box
	best   nearest
}

// box reaches in space from low to high.
type box struct{ low, high sphere.Vec }

// chord2 is the squared distance from q to the box.
func (b *box) chord2(q *sphere.Vec) float64 {
	x := max(b.low.X-q.X, 0, q.X-b.high.X)
	y := max(b.low.Y-q.Y, 0, q.Y-b.high.Y)
	z := max(b.low.Z-q.Z, 0, q.Z-b.high.Z)
	return x*x + y*y + z*z
}

// widest returns the coordinate in which the box reaches farthest, and how far.
func (b *box) widest() (axis uint8, reach float64) {
	for a := range uint8(3) {
		if r := coordinate(&b.high, a) - coordinate(&b.low, a); r > reach {
			axis, reach = a, r
		}
	}
	return axis, reach
}

func buildKD(_ context.Context, at []dataset.Position) (Index, error) {
	nodes := 1
	for most := len(at); most > kdLeaf; most = (most + 1) / 2 {
		nodes = 2*nodes + 1
	}
	t := &kdTree{points: locate(at), boxes: make([]box, nodes)}
	t.divide(0, 0, len(at))
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

// divide arranges points[low:high] below a node.
func (t *kdTree) divide(node, low, high int) {
	b := box{sphere.Vec{X: 2, Y: 2, Z: 2}, sphere.Vec{X: -2, Y: -2, Z: -2}}
	for i := range t.points[low:high] {
		p := &t.points[low+i].at
		b.low = sphere.Vec{X: min(b.low.X, p.X), Y: min(b.low.Y, p.Y), Z: min(b.low.Z, p.Z)}
		b.high = sphere.Vec{X: max(b.high.X, p.X), Y: max(b.high.Y, p.Y), Z: max(b.high.Z, p.Z)}
	}
	t.boxes[node] = b
	if high-low <= kdLeaf {
		return
	}
	middle := (low + high) / 2
	if axis, reach := b.widest(); reach > 0 { // of points all alike any order will do
		t.place(low, high, middle, axis)
	}
	t.divide(2*node+1, low, middle)
	t.divide(2*node+2, middle, high)
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
	t.search(0, 0, len(t.points), &q)
	return t.best.appendTo(dst)
}

// search looks through points[low:high] below a node, the nearer half first.
func (t *kdTree) search(node, low, high int, q *sphere.Vec) {
	if high-low <= kdLeaf {
		t.best.scan(t.points[low:high], *q)
		return
	}
	middle := (low + high) / 2
	left, right := 2*node+1, 2*node+2
	toLeft, toRight := t.boxes[left].chord2(q), t.boxes[right].chord2(q)
	if toRight < toLeft {
		if toRight < t.best.limit() {
			t.search(right, middle, high, q)
		}
		if toLeft < t.best.limit() {
			t.search(left, low, middle, q)
		}
		return
	}
	if toLeft < t.best.limit() {
		t.search(left, low, middle, q)
	}
	if toRight < t.best.limit() {
		t.search(right, middle, high, q)
	}
}
