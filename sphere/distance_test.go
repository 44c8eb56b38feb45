package sphere_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/golang/geo/s2"

	. "nearby/sphere"
)

const half = 20015114.442036

func vec(lat, lon float64) Vec { return FromDegrees(lon, lat) }

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		name                   string
		lat1, lon1, lat2, lon2 float64
		metres                 float64
	}{
		{"seam", 0, 179.5, 0, -179.5, 111195.080234},
		{"two spellings of the antimeridian", 0, 180, 0, -180, 0},
		{"two spellings of the pole", 90, 0, 90, 123, 0},
		{"near the pole", 89.9, 100, 89.9, -100, 21901.155087},
		{"over the pole", 89.9, 0, 89.9, 180, 22239.016047},
		{"from the pole", 90, 0, 89.9, 100, 11119.508023},
		{"close over the pole", 89.99, 0, 89.99, 180, 2223.901605},
		{"antipodes on the equator", 0, 0, 0, 180, half},
		{"pole to pole", 90, 0, -90, 0, half},
		{"haversine above 1", 65.09034271683089, -121.96981239217565, -65.0903427168311, 58.03018760782425, half},
		{"antipodes of an atan2 NaN", -15.625, 1, 15.625, -179, half},
		{"antipodes", -12, -94, 12, 86, half},
		{"antipodes by way of 180", -82, 0, 82, -180, half},
		{"0.1 m short of the antipode", 10, 0, -10, 179.999999, 20015114.332530},
		{"a tenth of a millimetre", 50, 8, 50.000000001, 8, 0.000111},
		{"millimetres", 60, 8, 60, 8.0000001, 0.005560},
		{"foot on a meridian", 60, 0, 66.1413452, 40, 2084600.550286},
	} {
		u, v := vec(c.lat1, c.lon1), vec(c.lat2, c.lon2)
		if d := Distance(u, v); !(math.Abs(d-c.metres) <= 1e-6) {
			t.Errorf("%s: %.6f m, want %.6f", c.name, d, c.metres)
		}
		if Distance(u, v) != Distance(v, u) {
			t.Errorf("%s: not symmetric", c.name)
		}
	}
}

func TestSinCosExactAtRightAngles(t *testing.T) {
	want := [4][2]float64{{0, 1}, {1, 0}, {0, -1}, {-1, 0}}
	for i := -8; i <= 8; i++ {
		sin, cos := SinCos(float64(i) * 90)
		if w := want[i&3]; sin != w[0] || cos != w[1] {
			t.Errorf("%d degrees: %v, %v, want %v", i*90, sin, cos, w)
		}
	}
	for _, deg := range []float64{1e-9, 30, 45, 89.99999, 123.4, -179.99} {
		sin, cos := SinCos(deg)
		if math.Abs(sin-math.Sin(deg*math.Pi/180)) > 1e-15 || math.Abs(cos-math.Cos(deg*math.Pi/180)) > 1e-15 {
			t.Errorf("%v degrees: %v, %v", deg, sin, cos)
		}
	}
}

func TestOnePlaceOneVector(t *testing.T) {
	zero := math.Copysign(0, -1)
	for lat := -90.0; lat <= 90; lat += 7.5 {
		sameBits(t, vec(lat, 180), vec(lat, -180))
		sameBits(t, vec(lat, 0), vec(lat, zero))
	}
	for lon := -180.0; lon <= 180; lon += 7.3 {
		sameBits(t, vec(90, lon), vec(90, 0))
		sameBits(t, vec(-90, lon), vec(-90, 0))
		sameBits(t, vec(0, lon), vec(zero, lon))
	}
}

func sameBits(t *testing.T, u, v Vec) {
	t.Helper()
	for i, x := range [3]float64{u.X, u.Y, u.Z} {
		if y := [3]float64{v.X, v.Y, v.Z}[i]; math.Float64bits(x) != math.Float64bits(y) {
			t.Errorf("%v and %v differ", u, v)
		}
	}
}

// The antipode's distance, an item's greatest, and the constant must be one, or
// a radius of half the circumference would leave an item out.
func TestHalfCircumference(t *testing.T) {
	if d := Distance(vec(0, 0), vec(0, 180)); d != HalfCircumference {
		t.Errorf("antipode at %.12f m, half the circumference is %.12f", d, HalfCircumference)
	}
}

func FuzzDistance(f *testing.F) {
	f.Add(0.0, 0.0, 0.0, 180.0)
	f.Add(65.09034271683089, -121.96981239217565, -65.0903427168311, 58.03018760782425)
	f.Add(-15.625, 1.0, 15.625, -179.0)
	f.Add(5e-324, -5e-324, 1e-17, 180.0)
	f.Fuzz(func(t *testing.T, lat1, lon1, lat2, lon2 float64) {
		for _, x := range []float64{lat1, lat2} {
			if !(math.Abs(x) <= 90) {
				return
			}
		}
		for _, x := range []float64{lon1, lon2} {
			if !(math.Abs(x) <= 180) {
				return
			}
		}
		u, v := vec(lat1, lon1), vec(lat2, lon2)
		checkPair(t, u, v)
	})
}

// checkPair checks what must hold for any two points.
func checkPair(t *testing.T, u, v Vec) {
	t.Helper()
	d, c2 := Distance(u, v), Chord2(u, v)
	switch {
	case !(d >= 0 && d <= HalfCircumference):
		t.Errorf("%v to %v: %v m", u, v, d)
	case d != Distance(v, u):
		t.Errorf("%v to %v: not symmetric", u, v)
	case Distance(u, u) != 0:
		t.Errorf("%v: %v m from itself", u, Distance(u, u))
	case LowerDistance(c2) > d:
		t.Errorf("%v to %v: lower bound %v m above the distance %v", u, v, LowerDistance(c2), d)
	case math.Abs(Chord2Of(d)-c2) > 1e-12*c2+1e-14*max(0, c2-1):
		t.Errorf("%v to %v: squared chord %v, from the distance %v", u, v, c2, Chord2Of(d))
	case d > 1e-3 && d < 0.99*HalfCircumference && LowerDistance(c2) < d*(1-1e-9)-1e-6:
		t.Errorf("%v to %v: lower bound %v m is loose, distance %v", u, v, LowerDistance(c2), d)
	}
	s := float64(s2.PointFromCoords(u.X, u.Y, u.Z).Distance(s2.PointFromCoords(v.X, v.Y, v.Z))) * EarthRadius
	if math.Abs(s-d) > 1e-6 {
		t.Errorf("%v to %v: %.9f m, by S2 %.9f", u, v, d, s)
	}
}

func TestRandomPairs(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		u := anywhere(rnd)
		v := anywhere(rnd)
		if rnd.IntN(2) == 0 { // near, or near the antipode, at any scale
			v = shifted(rnd, u, math.Pow(10, -rnd.Float64()*16))
		}
		checkPair(t, u, v)
	}
}

// Beyond the margins that the top-k collector grants, the order of squared
// chords is that of the distances: below 1.9 relative, above absolute.
func TestOrderOfChords(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	flips := 0
	for range 300_000 {
		u := anywhere(rnd)
		v := anywhere(rnd)
		switch rnd.IntN(4) {
		case 0:
			v = shifted(rnd, u, math.Pow(10, -rnd.Float64()*12))
		case 1: // a quarter away
			e := anywhere(rnd)
			v = unit(u.Y*e.Z-u.Z*e.Y, u.Z*e.X-u.X*e.Z, u.X*e.Y-u.Y*e.X)
		case 2: // around a squared chord of 1.9, where the margins meet
			e := anywhere(rnd)
			w := unit(u.Y*e.Z-u.Z*e.Y, u.Z*e.X-u.X*e.Z, u.X*e.Y-u.Y*e.X)
			const cos = 0.05
			sin := math.Sqrt(1 - cos*cos)
			v = unit(u.X*cos+w.X*sin, u.Y*cos+w.Y*sin, u.Z*cos+w.Z*sin)
		}
		w := v
		for _, x := range []*float64{&w.X, &w.Y, &w.Z} { // a near tie
			*x += rnd.NormFloat64() * math.Pow(10, -17+3*rnd.Float64())
		}
		w = unit(w.X, w.Y, w.Z)
		a, b := Chord2(u, v), Chord2(u, w)
		da, db := Distance(u, v), Distance(u, w)
		if a > b {
			a, b, da, db = b, a, db, da
		}
		apart := a < b*(1-1e-12)
		if b > 1.9 {
			apart = a < b-1e-13
		}
		if apart && da > db {
			t.Fatalf("chords %v < %v, distances %v > %v", a, b, da, db)
		}
		if da > db {
			flips++
		}
	}
	t.Logf("%d pairs within the margins change places", flips)
}

func TestDistanceGrowsWithTheChord(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 200_000 {
		c2 := 2 * math.Pow(rnd.Float64(), 8)
		next := math.Nextafter(c2, 4)
		for range 3 {
			if NearDistance(next*(1+1e-15)) < NearDistance(c2) {
				t.Fatalf("distance falls after squared chord %v", c2)
			}
			next = math.Nextafter(next, 4)
		}
	}
}

func anywhere(rnd *rand.Rand) Vec {
	return FromDegrees(rnd.Float64()*360-180, math.Asin(rnd.Float64()*2-1)*180/math.Pi)
}

// shifted moves a point, or its antipode, by about that part of the radius.
func shifted(rnd *rand.Rand, u Vec, by float64) Vec {
	sign := float64(1 - 2*rnd.IntN(2))
	return unit(sign*u.X+by*rnd.NormFloat64(), sign*u.Y+by*rnd.NormFloat64(), sign*u.Z+by*rnd.NormFloat64())
}

func unit(x, y, z float64) Vec {
	n := math.Sqrt(x*x + y*y + z*z)
	return Vec{X: x / n, Y: y / n, Z: z / n}
}
