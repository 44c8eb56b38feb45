package sphere_test

import (
	"math"
	"math/rand/v2"
	"testing"

	. "nearby/sphere"
)

// A box must hold what it was extended by and never claim more, or less, than the
// squared chord as computed: compared without any tolerance.
func TestBoxIsALowerBound(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 3000 {
		size := math.Pow(10, -rnd.Float64()*12)
		centre := anywhere(rnd)
		b, other := EmptyBox(), EmptyBox()
		points := make([]Vec, 1+rnd.IntN(12))
		for i := range points {
			points[i] = shifted(rnd, centre, size)
			if i%2 == 0 {
				b.Extend(points[i])
			} else {
				other.Extend(points[i])
			}
		}
		b.Union(other)
		for range 10 {
			q := anywhere(rnd)
			if rnd.IntN(2) == 0 {
				q = shifted(rnd, points[0], size*3)
			}
			bound, far := b.Chord2(q), b.FarChord2(q)
			for _, p := range points {
				if !b.Contains(p) {
					t.Fatalf("%+v does not hold %v", b, p)
				}
				if c2 := Chord2(q, p); bound > c2 || far < c2 {
					t.Fatalf("bounds %v and %v of %+v do not hold the squared chord %v from %v to %v", bound, far, b, c2, q, p)
				}
			}
		}
		if b.Chord2(points[0]) != 0 {
			t.Fatalf("%v lies in %+v, yet has a bound", points[0], b)
		}
	}
	empty := EmptyBox()
	if v := FromDegrees(1, 2); empty.Contains(v) || !math.IsInf(empty.Chord2(v), 1) {
		t.Error("the empty box holds something or is near")
	}
}
