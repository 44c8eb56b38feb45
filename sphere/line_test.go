package sphere_test

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"nearby/internal/exact"
	. "nearby/sphere"
)

// place is a position, as a Line takes it and exactly.
type place struct {
	lon, lat float64
	vec      Vec
	exact    exact.Vec
}

func placeAt(lon, lat float64) place {
	return place{lon, lat, FromDegrees(lon, lat), exact.Place(exact.Float(lon), exact.Float(lat))}
}

func (p place) String() string { return fmt.Sprint(p.lon, " ", p.lat) }

func mul(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(300).Mul(a, b) }

func bigDot(a, b exact.Vec) *big.Float {
	sum := new(big.Float).SetPrec(300)
	for i := range a {
		sum.Add(sum, mul(a[i], b[i]))
	}
	return sum
}

func bigCross(a, b exact.Vec) (c exact.Vec) {
	for i := range c {
		j, k := (i+1)%3, (i+2)%3
		c[i] = exact.Sub(mul(a[j], b[k]), mul(a[k], b[j]))
	}
	return c
}

func near64(v *big.Float) float64 { f, _ := v.Float64(); return f }

// exactFoot returns where the arc from a to b is nearest to p, by the triple products of exact
// vectors: the distance and how far the foot is from a, in metres.
func exactFoot(a, b, p exact.Vec) (distance, along, length float64) {
	n := bigCross(a, b)
	size := exact.Sqrt(bigDot(n, n))
	length = EarthRadius * math.Atan2(near64(size), near64(bigDot(a, b)))
	if bigDot(bigCross(n, a), p).Sign() > 0 && bigDot(bigCross(b, n), p).Sign() > 0 {
		sine := math.Abs(exact.Ratio(bigDot(n, p), size))
		return EarthRadius * math.Asin(sine), EarthRadius * math.Atan2(exact.Ratio(bigDot(bigCross(n, a), p), size), near64(bigDot(a, p))), length
	}
	to := func(v exact.Vec) float64 {
		return 2 * EarthRadius * math.Asin(math.Sqrt(near64(exact.Chord2(p, v)))/2)
	}
	if to(a) <= to(b) {
		return to(a), 0, length
	}
	return to(b), length, length
}

// besides returns a position that is up to a distance from the way between two positions, or from
// one of them.
func besides(rng *rand.Rand, a, b place, metres float64) place {
	f := []float64{0, 1, rng.Float64(), rng.Float64()}[rng.IntN(4)]
	v := Vec{a.vec.X + f*(b.vec.X-a.vec.X), a.vec.Y + f*(b.vec.Y-a.vec.Y), a.vec.Z + f*(b.vec.Z-a.vec.Z)}
	if rng.IntN(5) > 0 {
		off := metres / EarthRadius * math.Pow(10, -5*rng.Float64()) * math.Sqrt(v.X*v.X+v.Y*v.Y+v.Z*v.Z)
		v.X, v.Y, v.Z = v.X+off*rng.NormFloat64(), v.Y+off*rng.NormFloat64(), v.Z+off*rng.NormFloat64()
	}
	degrees := 180 / math.Pi
	return placeAt(math.Atan2(v.Y, v.X)*degrees, math.Atan2(v.Z, math.Hypot(v.X, v.Y))*degrees)
}

// onward returns a position that a line may go on to: any, or one nearby.
func onward(rng *rand.Rand, from place) place {
	lon, lat := exact.Hostile(rng)
	switch rng.IntN(4) {
	case 0:
		lon, lat = from.lon+rng.NormFloat64(), from.lat+rng.NormFloat64()
	case 1:
		step := math.Pow(10, -7*rng.Float64())
		lon, lat = from.lon+step*rng.NormFloat64(), from.lat+step*rng.NormFloat64()
	}
	return placeAt(math.Remainder(lon, 360), max(-90, min(90, lat)))
}

// TestArcs: of one arc, long or short, anywhere, the nearest position is that which exact vectors
// tell, to a micrometre. So is it in the other direction.
func TestArcs(t *testing.T) {
	rng := rand.New(rand.NewPCG(71, 1))
	inside := 0
	for i := range 1000 {
		lon, lat := exact.Hostile(rng)
		a := placeAt(lon, lat)
		b := onward(rng, a)
		if i%50 == 0 { // nearly opposite
			b = placeAt(math.Remainder(a.lon+180+rng.NormFloat64(), 360), max(-90, min(90, -a.lat+rng.NormFloat64())))
		}
		there, err := NewLine([]Vec{a.vec, b.vec})
		if err != nil {
			if d := Distance(a.vec, b.vec); d < HalfCircumference-NearestAntipode {
				t.Fatalf("%v to %v, %v m: %v", a, b, d, err)
			}
			continue
		}
		back, err := NewLine([]Vec{b.vec, a.vec})
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			p := besides(rng, a, b, 1e5)
			distance, along, length := exactFoot(a.exact, b.exact, p.exact)
			if distance > 5e5 {
				continue
			}
			if along > 0 && along < length {
				inside++
			}
			gotAlong, got, ok := there.Nearest(p.vec, 6e5)
			if there.Length() == 0 {
				if ok || Distance(a.vec, b.vec) > SameFoot {
					t.Errorf("%v to %v has no length", a, b)
				}
				continue
			}
			// Where the arc is short, a nanometre of its ends turns it.
			if !ok || math.Abs(got-distance) > 1e-6 || math.Abs(there.Length()-length) > 1e-6 {
				t.Errorf("%v from %v to %v: %v m, length %v m, %v; want %v m, %v m", p, a, b, got, there.Length(), ok, distance, length)
			}
			if slack := 1e-6 + distance*5e-9/max(1e-3, length); math.Abs(gotAlong-along) > slack {
				t.Errorf("%v from %v to %v: after %v m, want %v m (%v m long, %v m off)", p, a, b, gotAlong, along, length, distance)
			}
			backAlong, backGot, ok := back.Nearest(p.vec, 6e5)
			if !ok || backGot != got || math.Abs(backAlong+gotAlong-length) > 1e-6 {
				t.Errorf("%v from %v to %v: %v m after %v m, and back %v m after %v m of %v m", p, a, b, got, gotAlong, backGot, backAlong, length)
			}
			if _, _, ok := there.Nearest(p.vec, distance-1e-5); ok && distance > 1e-5 {
				t.Errorf("%v is within less than %v m of the line from %v to %v", p, distance, a, b)
			}
		}
	}
	if inside < 300 {
		t.Errorf("only %d feet are inside an arc", inside)
	}
}

// TestLines: of a line the nearest position is that of its nearest arc, and of the first one where
// several are as near. Within never says that a part is farther than it is.
func TestLines(t *testing.T) {
	rng := rand.New(rand.NewPCG(72, 2))
	found := 0
	for range 400 {
		lon, lat := exact.Hostile(rng)
		at := placeAt(lon, lat)
		line := []place{at}
		for range 1 + rng.IntN(12) {
			switch next := onward(rng, at); {
			case rng.IntN(6) == 0:
				line = append(line, at) // again
			case rng.IntN(4) == 0 && len(line) > 1: // back on its way
				at = line[rng.IntN(len(line))]
				line = append(line, at)
			default:
				at = next
				line = append(line, at)
			}
		}
		var vecs []Vec
		for _, p := range line {
			vecs = append(vecs, p.vec)
		}
		l, err := NewLine(vecs)
		if err != nil {
			continue
		}
		for range 6 {
			k := rng.IntN(len(line) - 1)
			p := besides(rng, line[k], line[k+1], 1e5)
			within := 1e5 * math.Pow(10, -3*rng.Float64())
			least, before := math.Inf(1), 0.0
			type footOf struct{ distance, along float64 }
			var feet []footOf
			for i := range len(line) - 1 {
				if Distance(line[i].vec, line[i+1].vec) <= SameFoot {
					continue
				}
				d, a, length := exactFoot(line[i].exact, line[i+1].exact, p.exact)
				feet = append(feet, footOf{d, before + a})
				least = min(least, d)
				before += length
			}
			if math.Abs(least-within) < 1e-4 || len(feet) == 0 {
				continue
			}
			along, distance, ok := l.Nearest(p.vec, within)
			if ok != (least < within) {
				t.Fatalf("%v from %v: within %v m is %v, and it is %v m away", p, line, within, ok, least)
			}
			if !ok {
				continue
			}
			found++
			if math.Abs(distance-least) > 5e-6 {
				t.Errorf("%v from %v: %v m, want %v m", p, line, distance, least)
			}
			as, first := false, math.Inf(1)
			for _, f := range feet {
				slack := 1e-5 + f.distance*1e-4
				as = as || f.distance < least+5e-6 && math.Abs(f.along-along) < slack
				if f.distance < least+1e-8 {
					first = min(first, f.along)
				}
			}
			if !as || along > first+1e-5+least*1e-4 {
				t.Errorf("%v from %v: %v m along, the feet are %v", p, line, along, feet)
			}
			for _, from := range []float64{0, along - 1e-3, along} {
				if !l.Within(p.vec, distance, from) {
					t.Errorf("%v from %v: nothing is within %v m after %v m", p, line, distance, from)
				}
			}
			if l.Within(p.vec, distance-0.01, 0) && distance > 0.01 {
				t.Errorf("%v from %v: something is within less than %v m", p, line, distance)
			}
		}
	}
	if found < 500 {
		t.Errorf("only %d points are near their lines", found)
	}
}

// TestBackOnTheWay: where a line goes back, and goes over itself, the first time counts.
func TestBackOnTheWay(t *testing.T) {
	a, b := placeAt(10, 50), placeAt(10.3, 50.1)
	l, err := NewLine([]Vec{a.vec, b.vec, a.vec, b.vec, placeAt(11, 50).vec, b.vec, a.vec})
	if err != nil {
		t.Fatal(err)
	}
	one := Distance(a.vec, b.vec)
	rng := rand.New(rand.NewPCG(73, 3))
	for range 2000 {
		p := besides(rng, a, b, 5000)
		if along, d, ok := l.Nearest(p.vec, 50_000); ok && along > one+1e-6 && d < 4000 && p.lon < 10.25 {
			t.Fatalf("%v: after %v m, and the way there is %v m", p, along, one)
		}
	}
}

// TestFeetAtCorners: a foot a centimetre behind a corner is not moved to the corner, although that is
// nearly as near. The direction of a short arc has all digits that its ends tell.
func TestFeetAtCorners(t *testing.T) {
	rng := rand.New(rand.NewPCG(75, 5))
	degree := EarthRadius * math.Pi / 180
	for range 1000 {
		size := math.Pow(10, -7*rng.Float64())
		lon, lat := 0.0, 0.0
		if size < 0.1 && rng.IntN(2) == 0 {
			lon, lat = 360*rng.Float64()-180, 60*rng.Float64()
		}
		at := func(east, north float64) Vec { // in degrees of a great circle
			_, cos := SinCos(lat)
			return placeAt(lon+east/cos, lat+north).vec
		}
		a, b, c := at(-size, 0), at(0, 0), at(size, size/10)
		l, err := NewLine([]Vec{a, b, c})
		if err != nil || l.Length() == 0 {
			t.Fatal(l, err)
		}
		after, off := min(0.01, size*degree)*rng.Float64(), 1000*rng.Float64() // metres
		east, north := 10/math.Sqrt(101), 1/math.Sqrt(101)                     // of the second arc
		p := at((after*east+off*north)/degree, (after*north-off*east)/degree)
		distance, along, _ := exactFoot(exact.Of(b), exact.Of(c), exact.Of(p))
		gotAlong, got, ok := l.Nearest(p, 2000)
		if !ok || math.Abs(got-distance) > 1e-7 || math.Abs(gotAlong-Distance(a, b)-along) > 1e-7 {
			t.Fatalf("a corner of %v m: %v m after %v m, %v; want %v m after %v m", size*degree, got, gotAlong-Distance(a, b), ok, distance, along)
		}
	}
}

// TestLineErrors: no way between antipodes, and no length without end. Positions that are one are
// passed over.
func TestLineErrors(t *testing.T) {
	v := func(lonlat ...float64) (vs []Vec) {
		for i := 0; i < len(lonlat); i += 2 {
			vs = append(vs, FromDegrees(lonlat[i], lonlat[i+1]))
		}
		return vs
	}
	var tour []float64
	for i := range 20 {
		tour = append(tour, float64(i%2)*170, 0)
	}
	for _, test := range []struct {
		line []Vec
		want *LineError
	}{
		{v(0, 0, 10, 0, -170, 0), &LineError{2, true}},
		{v(0, 90, 10, 0, 10, 0, 10, 0, -170, 0.01), &LineError{4, true}},
		{v(20, 90, 0, -90), &LineError{1, true}},
		{v(tour...), &LineError{6, false}},
		{v(0, 0, -170, 0.1, 5, 0), nil},
		{v(20, 90, 99, 90, 20, 90), nil},
		{v(180, 0, -180, 0), nil},
		{v(7, 7), nil},
		{nil, nil},
	} {
		l, err := NewLine(test.line)
		got, _ := errors.AsType[*LineError](err)
		if (got == nil) != (test.want == nil) || got != nil && *got != *test.want {
			t.Errorf("%v: %v, want %v", test.line, err, test.want)
		}
		if err == nil && len(test.line) != 3 && l.Length() != 0 {
			t.Errorf("%v is %v m long", test.line, l.Length())
		}
	}
}

// TestCap: no position in a rectangle is beyond its cap.
func TestCap(t *testing.T) {
	rng := rand.New(rand.NewPCG(74, 4))
	for range 20_000 {
		width := math.Min(360, math.Pow(10, 3-6*rng.Float64()))
		height := math.Min(180, math.Pow(10, 3-6*rng.Float64()))
		r := Rect{West: rng.Float64()*(360-width) - 180, South: rng.Float64()*(180-height) - 90}
		r.East, r.North = r.West+width, r.South+height
		c, radius := r.Cap()
		for i := range 8 {
			f, g := rng.Float64(), rng.Float64()
			if i < 4 {
				f, g = float64(i&1), float64(i>>1)
			}
			if d := Distance(c, FromDegrees(r.West+f*width, min(90, r.South+g*height))); d > radius {
				t.Fatalf("%v: %v m from the centre, beyond %v m", r, d, radius)
			}
		}
	}
}
