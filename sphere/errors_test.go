package sphere_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"nearby/internal/exact"
	. "nearby/sphere"
)

// What is computed is as near to the truth as the bounds say, and the margins are not less
// than what the bounds ask for.
func TestErrors(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	float := func(x *big.Float) float64 { f, _ := x.Float64(); return f }
	greatest := map[string]float64{}
	note := func(what string, err float64) { greatest[what] = max(greatest[what], math.Abs(err)) }
	below := math.Inf(1) // the least that LowerDistance takes off, as a multiple of what it should
	for range 12_000 {
		lon, lat := exact.Hostile(rnd)
		v := exact.Of(FromDegrees(lon, lat))
		note("NormError", float(exact.Sub(exact.Chord2(v, exact.Of(Vec{})), exact.Float(1))))
		note("PlaceError", float(exact.Sqrt(exact.Chord2(v, exact.Place(exact.Float(lon), exact.Float(lat))))))

		a, b := exact.Pair(rnd)
		c2, s2, d := Chord2(a, b), Chord2(a, Vec{X: -b.X, Y: -b.Y, Z: -b.Z}), Distance(a, b)
		// Beyond 4 there is no distance, and what squares to less than 1e-290 loses digits.
		truth, told := exact.Chord2(exact.Of(a), exact.Of(b)), exact.Chord2Of(d)
		if c2 > 1e-290 {
			note("ChordError", exact.Ratio(exact.Sub(exact.Float(c2), truth), truth))
		}
		note("antipodeMargin", max(0, float(exact.Sub(exact.Sub(exact.Float(4), exact.Float(c2)), exact.Float(s2)))))
		off := float(exact.Sub(told, exact.Float(c2)))
		note("FarError", off)
		note("FarError of Chord2Of", float(exact.Sub(exact.Float(Chord2Of(d)), told)))
		lower := exact.Sub(exact.Float(min(c2, 4)), exact.Chord2Of(LowerDistance(c2)))
		switch {
		case c2 > NearestFar:
			below = min(below, float(lower)/FarError)
		case c2 > 1e-290:
			note("NearError", off/c2)
			note("NearError of Chord2Of", exact.Ratio(exact.Sub(exact.Float(Chord2Of(d)), told), told))
			below = min(below, exact.Ratio(lower, exact.Float(c2))/NearError)
		}
	}
	for _, bound := range []struct {
		what  string
		bound float64
	}{
		{"NormError", NormError}, {"PlaceError", PlaceError}, {"ChordError", ChordError},
		{"NearError", NearError}, {"NearError of Chord2Of", NearError}, {"FarError", FarError}, {"FarError of Chord2Of", FarError},
		{"antipodeMargin", 4*NormError + 4*ChordError},
	} {
		t.Logf("%-22s %5.1f u, is bounded by %3.0f u: %.1f times", bound.what, greatest[bound.what]/U, bound.bound/U, bound.bound/greatest[bound.what])
		if greatest[bound.what] > bound.bound || greatest[bound.what] == 0 {
			t.Errorf("%s: is %v, should be at most %v", bound.what, greatest[bound.what], bound.bound)
		}
	}
	t.Logf("LowerDistance takes off %.1f times what it should; antipodeMargin is %.1f times the bound", below, AntipodeMargin/(62*U))
	if below < 1 {
		t.Errorf("LowerDistance takes off %v times what it should", below)
	}
	if AntipodeMargin < 4*NormError+4*ChordError+2*U {
		t.Error("antipodeMargin is less than the errors")
	}
	if 4*ChordMargin < FarError {
		t.Error("chordMargin is less than the error at the antipode")
	}
}

// Boxes on the other side of the Earth, opposite the centre or nearly so, hold their bounds
// without any tolerance.
func TestBoxBeyondIsALowerBound(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	least := math.Inf(1)
	for range 300_000 {
		q, p := exact.Pair(rnd)
		if Chord2(q, p) < 2 {
			q = Vec{X: -q.X, Y: -q.Y, Z: -q.Z}
		}
		b := EmptyBox()
		b.Extend(p)
		if rnd.IntN(2) == 0 {
			b.Extend(shifted(rnd, p, math.Pow(10, -rnd.Float64()*16)))
		}
		c2, bound := Chord2(q, p), b.Chord2(q)
		if bound > c2 {
			t.Fatalf("from %v the bound of %+v is %v, and the squared chord to %v is %v", q, b, bound, p, c2)
		}
		if d := LowerDistance(bound); d > Distance(q, p) {
			t.Fatalf("from %v to %v the lower bound is %v m, the distance %v", q, p, d, Distance(q, p))
		}
		least = min(least, c2-bound)
	}
	t.Logf("the bound is at least %.1f u less", least/U)
}
