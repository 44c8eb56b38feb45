package sphere_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/golang/geo/r1"
	"github.com/golang/geo/s1"
	"github.com/golang/geo/s2"

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

// The two rectangles for which clamping gives a distance that is too large.
func TestRectOverMeridiansAndPole(t *testing.T) {
	for _, c := range []struct {
		rect     Rect
		lon, lat float64
		metres   float64
	}{
		{Rect{West: 40, South: 0, East: 60, North: 80}, 0, 60, 2084600.550},
		{Rect{West: 170, South: 80, East: 190, North: 89}, 0, 85, 665760.529},
	} {
		d := LowerDistance(c.rect.Chord2(c.lon, c.lat, FromDegrees(c.lon, c.lat)))
		if d > c.metres+0.001 || d < c.metres-0.01 {
			t.Errorf("%+v from %v, %v: %.6f m, want %.3f", c.rect, c.lon, c.lat, d, c.metres)
		}
	}
}

func TestRectIsALowerBound(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	for range 20_000 {
		r := someRect(rnd)
		lon, lat := rnd.Float64()*360-180, rnd.Float64()*180-90
		switch rnd.IntN(6) {
		case 0:
			lat = math.Copysign(90, lat)
		case 1:
			lon = math.Copysign(180, lon)
		case 2:
			lon, lat = r.West, r.South
		}
		v := FromDegrees(lon, lat)
		bound := r.Chord2(lon, lat, v)
		for i := range 40 {
			x, y := rnd.Float64(), rnd.Float64()
			switch i % 5 { // sides and corners
			case 0:
				x = 0
			case 1:
				x = 1
			case 2:
				y = math.Round(y)
			case 3:
				x, y = math.Round(x), math.Round(y)
			}
			p := FromDegrees(within(r.West, r.East, x), within(r.South, r.North, y))
			if c2 := Chord2(v, p); bound > c2 {
				t.Fatalf("bound %v of %+v above the squared chord %v from lon %v lat %v", bound, r, c2, lon, lat)
			}
		}
		if r.West < -180 || r.East > 180 {
			continue
		}
		want := float64(s2Rect(r).DistanceToLatLng(s2.LatLngFromDegrees(lat, lon))) * EarthRadius
		if got := LowerDistance(bound); got > want+1e-6 || want < 0.999*HalfCircumference && got < want*(1-1e-7)-0.1 {
			t.Fatalf("%+v from lon %v lat %v: %.6f m, by S2 %.6f", r, lon, lat, got, want)
		}
	}
}

func within(low, high, x float64) float64 {
	if x == 1 {
		return high
	}
	return low + (high-low)*x
}

func someRect(rnd *rand.Rand) Rect {
	w, h := 360*math.Pow(rnd.Float64(), 6), 180*math.Pow(rnd.Float64(), 6)
	west, south := -180+rnd.Float64()*(360-w), -90+rnd.Float64()*(180-h)
	return Rect{West: west, South: south, East: min(180, west+w), North: min(90, south+h)}
}

func s2Rect(r Rect) s2.Rect {
	rad := math.Pi / 180
	return s2.Rect{
		Lat: r1.Interval{Lo: r.South * rad, Hi: r.North * rad},
		Lng: s1.Interval{Lo: max(-math.Pi, r.West*rad), Hi: min(math.Pi, r.East*rad)},
	}
}
