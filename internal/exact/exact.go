// Package exact computes unit vectors and chords to some 80 digits. Tests compare the margins
// of searches with it: how far what float64 gives may be from the truth.
package exact

import (
	"math"
	"math/big"
	"math/rand/v2"

	"nearby/sphere"
)

const precision = 300 // bits

var (
	pi, _     = new(big.Float).SetPrec(precision).SetString("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798")
	perDegree = quo(pi, num(180))
)

// Float returns the number that x is.
func Float(x float64) *big.Float { return num(x) }

// Sub returns a - b.
func Sub(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(precision).Sub(a, b) }

// Sqrt returns the square root.
func Sqrt(a *big.Float) *big.Float { return new(big.Float).SetPrec(precision).Sqrt(a) }

// Ratio returns a/b.
func Ratio(a, b *big.Float) float64 {
	r, _ := quo(a, b).Float64()
	return r
}

func num(x float64) *big.Float       { return new(big.Float).SetPrec(precision).SetFloat64(x) }
func add(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(precision).Add(a, b) }
func mul(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(precision).Mul(a, b) }
func quo(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(precision).Quo(a, b) }
func square(a *big.Float) *big.Float { return mul(a, a) }

// SinCos returns the sine and the cosine of an angle in radians.
func SinCos(x *big.Float) (sin, cos *big.Float) {
	sin, cos = num(0), num(1)
	for term, n := num(1), 1; n < 200; n++ {
		term = quo(mul(term, x), num(float64(n)))
		if term.Sign() == 0 || term.MantExp(nil) < -precision && n > 8 {
			break
		}
		signed := term
		if n&2 != 0 {
			signed = new(big.Float).Neg(term)
		}
		if n&1 != 0 {
			sin = add(sin, signed)
		} else {
			cos = add(cos, signed)
		}
	}
	return sin, cos
}

// Degrees returns the sine and the cosine of an angle in degrees.
func Degrees(deg *big.Float) (sin, cos *big.Float) { return SinCos(mul(deg, perDegree)) }

// Vec is a point in space.
type Vec [3]*big.Float

// Place returns the unit vector of a position in degrees.
func Place(lon, lat *big.Float) Vec {
	sinLon, cosLon := Degrees(lon)
	sinLat, cosLat := Degrees(lat)
	return Vec{mul(cosLat, cosLon), mul(cosLat, sinLon), sinLat}
}

// Of returns the vector that v is.
func Of(v sphere.Vec) Vec { return Vec{num(v.X), num(v.Y), num(v.Z)} }

// Chord2 returns the squared distance of two points in space.
func Chord2(u, v Vec) *big.Float {
	return add(add(square(Sub(u[0], v[0])), square(Sub(u[1], v[1]))), square(Sub(u[2], v[2])))
}

// Chord2Of returns the squared chord that belongs to a distance in metres.
func Chord2Of(metres float64) *big.Float {
	sin, _ := SinCos(quo(num(metres), num(2*sphere.EarthRadius)))
	return mul(num(4), square(sin))
}

// Hostile returns a position that is hard on rounding, or any: at a pole or next to it, on the
// antimeridian, the equator or the border of a cell, or as near as can be to one of these.
func Hostile(rnd *rand.Rand) (lon, lat float64) {
	lon, lat = rnd.Float64()*360-180, math.Asin(rnd.Float64()*2-1)*180/math.Pi
	near := func(x, limit float64) float64 {
		switch rnd.IntN(3) {
		case 0:
			x += math.Copysign(math.Pow(10, -rnd.Float64()*17), rnd.Float64()-0.5)
		case 1:
			x = math.Nextafter(x, limit*2*(rnd.Float64()-0.5))
		}
		return max(-limit, min(limit, x))
	}
	grid := func(limit float64) float64 { // borders of cells, of all sizes
		cells := float64(uint64(1) << rnd.IntN(33))
		return near(limit*(2*math.Floor(rnd.Float64()*cells)/cells-1), limit)
	}
	switch rnd.IntN(6) {
	case 0:
		lat = near(math.Copysign(90, rnd.Float64()-0.5), 90)
	case 1:
		lon = near(math.Copysign(180, rnd.Float64()-0.5), 180)
	case 2:
		lon, lat = grid(180), grid(90)
	case 3:
		lon, lat = near(float64(rnd.IntN(9)-4)*45, 180), near(float64(rnd.IntN(5)-2)*45, 90)
	}
	return lon, lat
}

// Pair returns two hostile positions: anywhere, from less than a millimetre to the other side
// of the Earth from each other, a quarter of it apart, or opposite up to as little.
func Pair(rnd *rand.Rand) (u, v sphere.Vec) {
	lon, lat := Hostile(rnd)
	u = sphere.FromDegrees(lon, lat)
	by := func() float64 { return math.Copysign(math.Pow(10, 2-rnd.Float64()*19), rnd.Float64()-0.5) }
	wrap := func(lon, lat float64) sphere.Vec {
		if lat = max(-90, min(90, lat)); lon > 180 {
			lon -= 360
		} else if lon < -180 {
			lon += 360
		}
		return sphere.FromDegrees(max(-180, min(180, lon)), lat)
	}
	switch rnd.IntN(6) {
	case 0:
		v = wrap(lon+by(), lat+by())
	case 1:
		v = wrap(lon, lat+by())
	case 2:
		v = wrap(lon+by(), lat)
	case 3: // opposite
		v = wrap(lon+180+by(), -lat+by())
	case 4: // a quarter
		v = wrap(lon+float64(rnd.IntN(4))*90+by(), 90-math.Abs(lat)+by())
	default:
		v = sphere.FromDegrees(Hostile(rnd))
	}
	return u, v
}
