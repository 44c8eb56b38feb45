package topk

import (
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"testing"

	"nearby/internal/exact"
	"nearby/sphere"
)

// The margins are as great as their derivation asks for, and the one in the assembly is
// the same.
func TestMargins(t *testing.T) {
	if nearMargin < 2*sphere.NearError || farMargin < 2*sphere.FarError {
		t.Errorf("margins are %v and %v, the errors %v and %v", nearMargin, farMargin, sphere.NearError, sphere.FarError)
	}
	if widen(nearMost) >= 2 {
		t.Errorf("%v with its margin is not less than 2", nearMost)
	}
	text, err := os.ReadFile("simd_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`DATA widening<>\+0\(SB\)/8, \$([0-9.]+)`).FindSubmatch(text)
	if m == nil {
		t.Fatal("the assembly has no margin")
	}
	// There it is relative above nearMost too.
	if w, err := strconv.ParseFloat(string(m[1]), 64); err != nil || w != 1+nearMargin || nearMost*(w-1) < farMargin {
		t.Errorf("the assembly widens by %s: %v", m[1], err)
	}
}

// tie returns a vector that is hardly farther or nearer.
func tie(rnd *rand.Rand, v sphere.Vec) sphere.Vec {
	for _, x := range []*float64{&v.X, &v.Y, &v.Z} {
		*x += rnd.NormFloat64() * math.Pow(10, -17+3*rnd.Float64())
	}
	n := math.Sqrt(v.X*v.X + v.Y*v.Y + v.Z*v.Z)
	return sphere.Vec{X: v.X / n, Y: v.Y / n, Z: v.Z / n}
}

// Of two squared chords that are farther apart than the margin, the lesser has the lesser
// distance; within it, some change places or have one distance.
func TestMarginsKeepTheOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var near, far float64 // what a margin would have had to be at least
	for range 400_000 {
		u, v := exact.Pair(rnd)
		w := tie(rnd, v)
		a, b, da, db := sphere.Chord2(u, v), sphere.Chord2(u, w), sphere.Distance(u, v), sphere.Distance(u, w)
		if a > b {
			a, b, da, db = b, a, db, da
		}
		if a < narrow(b) && da >= db || b > widen(a) && da >= db {
			t.Fatalf("squared chords %v < %v, distances %v and %v", a, b, da, db)
		}
		if a < b && da >= db {
			if b > nearMost {
				far = max(far, b-a)
			} else {
				near = max(near, (b-a)/b)
			}
		}
	}
	t.Logf("pairs change places up to %.1e of the squared chord and up to %.1e: the margins are %.0f and %.0f times that", near, far, nearMargin/near, farMargin/far)
	if near == 0 || far == 0 {
		t.Error("no pair changed places")
	}
}

// The squared chords of a maximum distance let nothing through that is farther without a look
// at the distance, and leave out nothing that is as near: also if they are next to 0, where
// numbers have few digits.
func TestWithin(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	check := func(c2, d, most float64) {
		t.Helper()
		limit, doubtful := limits(most)
		if d <= most && c2 > limit || d > most && c2 < doubtful {
			t.Fatalf("squared chord %v, distance %v, at most %v m: limit %v, doubtful from %v on", c2, d, most, limit, doubtful)
		}
	}
	for range 300_000 {
		u, v := exact.Pair(rnd)
		w := tie(rnd, v)
		c2, d := sphere.Chord2(u, v), sphere.Distance(u, v)
		for _, most := range []float64{d, math.Nextafter(d, 0), math.Nextafter(d, 1e9), sphere.Distance(u, w), 0} {
			check(c2, d, most)
		}
	}
	for n := range uint64(2000) {
		for _, bits := range []uint64{n, n * n * n, rnd.Uint64N(1 << 62), rnd.Uint64N(1 << 54), rnd.Uint64N(1 << 50), rnd.Uint64N(1 << 40)} {
			c2 := math.Float64frombits(bits)
			if c2 > nearMost {
				continue
			}
			d := sphere.NearDistance(c2)
			for _, most := range []float64{d, math.Nextafter(d, 0), math.Nextafter(d, 1e9), 0, 5e-324, d * (1 + 1e-13), d * (1 - 1e-13),
				sphere.NearDistance(math.Float64frombits(bits + 1)), sphere.NearDistance(math.Nextafter(c2, -1)) * 0.6} {
				if most >= 0 {
					check(c2, d, most)
				}
			}
		}
	}
}
