package quadtree

import (
	"math"

	"nearby/sphere"
)

// boxes are the boxes of a node's four children, side by side, so that the
// distances to all of them are found at once.
type boxes struct {
	min, max [3][4]float32 // by axis and child
}

func emptyBoxes() (b boxes) {
	for i := range 4 {
		b.set(i, sphere.EmptyBox())
	}
	return b
}

// at returns the box of child i.
func (b *boxes) at(i int) (box sphere.Box) {
	for axis := range 3 {
		box.Min[axis], box.Max[axis] = b.min[axis][i], b.max[axis][i]
	}
	return box
}

// set makes a box that of child i.
func (b *boxes) set(i int, box sphere.Box) {
	for axis := range 3 {
		b.min[axis][i], b.max[axis][i] = box.Min[axis], box.Max[axis]
	}
}

// extend grows the box of child i to hold v.
func (b *boxes) extend(i int, v sphere.Vec) {
	box := b.at(i)
	box.Extend(v)
	b.set(i, box)
}

// all returns the box of all children.
func (b *boxes) all() sphere.Box {
	box := b.at(0)
	for i := 1; i < 4; i++ {
		box.Union(b.at(i))
	}
	return box
}

// chord2Portable finds lower bounds on the squared chords from v to the
// children's points: what sphere.Box.Chord2 returns before it looks at the far
// side, without branches.
func (b *boxes) chord2Portable(v *sphere.Vec, bounds *[4]float64) {
	for i := range bounds {
		dx := slab(float64(b.min[0][i])-v.X, v.X-float64(b.max[0][i]))
		dy := slab(float64(b.min[1][i])-v.Y, v.Y-float64(b.max[1][i]))
		dz := slab(float64(b.min[2][i])-v.Z, v.Z-float64(b.max[2][i]))
		bounds[i] = float64(dx*dx) + float64(dy*dy) + float64(dz*dz)
	}
}

// slab returns max(0, a, b) where at most one of a and b is positive, or both
// are the same: the distances to the two sides of a slab.
func slab(a, b float64) float64 {
	x, y := math.Float64bits(a), math.Float64bits(b)
	return math.Float64frombits(x&^uint64(int64(x)>>63) | y&^uint64(int64(y)>>63))
}
