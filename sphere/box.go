package sphere

import "math"

// Box is an axis-parallel box in space that holds points of the unit sphere.
// The distance to it is a few subtractions and holds alike at the poles and
// across the antimeridian. Its sides are float32, rounded outward, so that it
// takes 24 bytes and never cuts off a point.
type Box struct{ Min, Max [3]float32 }

// EmptyBox holds nothing; extending it by a point gives that point's box.
func EmptyBox() Box {
	inf := float32(math.Inf(1))
	return Box{[3]float32{inf, inf, inf}, [3]float32{-inf, -inf, -inf}}
}

// Extend grows the box to hold v.
func (b *Box) Extend(v Vec) {
	b.Min[0] = min(b.Min[0], roundDown(v.X))
	b.Min[1] = min(b.Min[1], roundDown(v.Y))
	b.Min[2] = min(b.Min[2], roundDown(v.Z))
	b.Max[0] = max(b.Max[0], roundUp(v.X))
	b.Max[1] = max(b.Max[1], roundUp(v.Y))
	b.Max[2] = max(b.Max[2], roundUp(v.Z))
}

// Union grows the box to hold another.
func (b *Box) Union(o Box) {
	for i := range b.Min {
		b.Min[i] = min(b.Min[i], o.Min[i])
		b.Max[i] = max(b.Max[i], o.Max[i])
	}
}

// Touches reports whether o, which lies in the box, reaches one of its sides, so
// that without o it might be smaller.
func (b *Box) Touches(o *Box) bool {
	return b.Min[0] == o.Min[0] || b.Min[1] == o.Min[1] || b.Min[2] == o.Min[2] ||
		b.Max[0] == o.Max[0] || b.Max[1] == o.Max[1] || b.Max[2] == o.Max[2]
}

// Contains reports whether v lies in the box, its sides included.
func (b *Box) Contains(v Vec) bool {
	return v.X >= float64(b.Min[0]) && v.X <= float64(b.Max[0]) &&
		v.Y >= float64(b.Min[1]) && v.Y <= float64(b.Max[1]) &&
		v.Z >= float64(b.Min[2]) && v.Z <= float64(b.Max[2])
}

// Chord2 returns a lower bound on the squared chord from v to any point in the
// box: 0 inside. Each difference is at most that to the point and rounding is
// monotone, so for every point p that was extended in, b.Chord2(v) <=
// sphere.Chord2(v, p) holds for the computed values as well.
//
// A box on the far side of the sphere has a corner that comes much nearer than
// the sphere does. There the squared chord to the antipode of v, which makes 4 with
// that to v, is small and tells more: Beyond takes it into account.
func (b *Box) Chord2(v Vec) float64 {
	dx := max(0, float64(b.Min[0])-v.X, v.X-float64(b.Max[0]))
	dy := max(0, float64(b.Min[1])-v.Y, v.Y-float64(b.Max[1]))
	dz := max(0, float64(b.Min[2])-v.Z, v.Z-float64(b.Max[2]))
	return b.Beyond(v, float64(dx*dx)+float64(dy*dy)+float64(dz*dz))
}

// Beyond returns a better lower bound than the given one where that is more than
// a quarter of the circumference away.
func (b *Box) Beyond(v Vec, bound float64) float64 {
	if !(bound > 2) || bound > 4 { // an empty box is infinitely far
		return bound
	}
	return max(bound, 4-b.FarChord2(Vec{-v.X, -v.Y, -v.Z})-antipodeMargin)
}

// antipodeMargin is more than 4 minus the sum of the squared chords, as computed, from one
// vector of FromDegrees to another and to its antipode. That is 4*NormError and ChordError of
// 4, 60u; the two subtractions of Beyond add 2u.
const antipodeMargin = 1e-14 // 90u

// FarChord2 returns an upper bound on the squared chord from v to any point in
// the box, which must not be empty.
func (b *Box) FarChord2(v Vec) float64 {
	dx := max(v.X-float64(b.Min[0]), float64(b.Max[0])-v.X)
	dy := max(v.Y-float64(b.Min[1]), float64(b.Max[1])-v.Y)
	dz := max(v.Z-float64(b.Min[2]), float64(b.Max[2])-v.Z)
	return float64(dx*dx) + float64(dy*dy) + float64(dz*dz)
}

func roundDown(x float64) float32 {
	f := float32(x)
	if float64(f) > x {
		f = math.Nextafter32(f, float32(math.Inf(-1)))
	}
	return f
}

func roundUp(x float64) float32 {
	f := float32(x)
	if float64(f) < x {
		f = math.Nextafter32(f, float32(math.Inf(1)))
	}
	return f
}
