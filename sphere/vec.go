// Package sphere does the geometry of nearby: points on a sphere as unit
// vectors, great-circle distances from chords, and lower bounds of the distance
// to boxes.
//
// The sphere has the IUGG mean radius. Distances differ from those on the
// WGS84 ellipsoid by at most 0.57 %. A position is (lon, lat) in degrees; it
// becomes a unit vector once, when it is stored, so that comparing a candidate
// costs three subtractions and no trigonometry. The chord between unit vectors
// has no singular place: the poles, the antimeridian and coincident points
// need no case of their own. Only towards the antipode does the chord lose its
// resolution; there the chord to the antipode takes over.
//
// Products are wrapped in float64() so that no architecture fuses them with an
// addition: every machine gives the same bits.
package sphere

import "math"

// EarthRadius is the IUGG mean radius R1 in metres (Moritz, Geodetic Reference
// System 1980).
const EarthRadius = 6371008.8

// HalfCircumference is the greatest distance on the sphere, in metres.
const HalfCircumference = math.Pi * EarthRadius

// Vec is a point on the unit sphere: X towards (lon 0, lat 0), Y towards
// (lon 90, lat 0), Z towards the north pole.
type Vec struct{ X, Y, Z float64 }

// FromDegrees returns the unit vector of a position in degrees. All spellings
// of one place give the same bits: longitude 180 and -180, any longitude at a
// pole, -0 and 0.
func FromDegrees(lon, lat float64) Vec {
	sinLat, cosLat := SinCos(lat)
	if cosLat == 0 {
		return Vec{0, 0, sinLat}
	}
	sinLon, cosLon := SinCos(lon)
	// Adding zero turns -0 into 0.
	return Vec{float64(cosLat*cosLon) + 0, float64(cosLat*sinLon) + 0, sinLat + 0}
}

// SinCos returns the sine and cosine of an angle in degrees, exact at multiples
// of 90 degrees. The angle is reduced in degrees, where the reduction is exact,
// before it becomes radians.
func SinCos(deg float64) (sin, cos float64) {
	if !(deg >= -180 && deg <= 180) {
		deg = math.Remainder(deg, 360)
	}
	q := math.Round(deg / 90)
	s, c := math.Sincos((deg - 90*q) * (math.Pi / 180))
	switch int(q) & 3 {
	case 0:
		return s, c
	case 1:
		return c, -s
	case 2:
		return -s, -c
	default:
		return -c, s
	}
}

// Chord2 returns the squared length of the chord between two points, from 0 to
// 4, and a rounding more. It grows with the distance and serves to prune; near 4 it no
// longer tells distances apart, so Distance decides.
func Chord2(u, v Vec) float64 {
	dx, dy, dz := u.X-v.X, u.Y-v.Y, u.Z-v.Z
	return float64(dx*dx) + float64(dy*dy) + float64(dz*dz)
}

// Distance returns the great-circle distance between two points in metres. It
// is exact to 1e-6 m from 0 up to and at the antipode, and never NaN.
func Distance(u, v Vec) float64 {
	if c2 := Chord2(u, v); c2 <= 2 {
		return NearDistance(c2)
	}
	sx, sy, sz := u.X+v.X, u.Y+v.Y, u.Z+v.Z
	s2 := float64(sx*sx) + float64(sy*sy) + float64(sz*sz)
	return EarthRadius * (math.Pi - 2*math.Asin(min(1, math.Sqrt(s2)/2)))
}

// NearDistance returns the distance in metres that belongs to a squared chord
// of at most 2, a quarter of the circumference: what Distance answers for two
// points with that chord.
func NearDistance(chord2 float64) float64 {
	x := math.Sqrt(chord2) / 2
	if x <= seriesChord {
		// The series of the arcsine; the next term is below 1e-17 of the sum.
		y := float64(x * x)
		return 2 * EarthRadius * (x + float64(x*y)*(1.0/6+float64(y*(3.0/40+float64(y*(15.0/336))))))
	}
	return 2 * EarthRadius * math.Asin(min(1, x))
}

// seriesChord is half the chord of 127 km.
const seriesChord = 0.01

// Chord2Of returns the squared chord that belongs to a distance in metres,
// without a margin. Distances beyond half the circumference give 4.
func Chord2Of(metres float64) float64 {
	if metres >= HalfCircumference {
		return 4
	}
	s := 2 * math.Sin(metres/(2*EarthRadius))
	return s * s
}

// LowerDistance turns a lower bound on squared chords into a distance in metres
// that is a lower bound too, whatever the rounding on the way: at most Distance of any two
// vectors of FromDegrees whose Chord2 is at least chord2.
//
// The distance is right if the true squared chord that belongs to it is less than chord2 by
// NearError of it, or FarError beyond nearestFar, where that is more. Taking radiusMargin off
// the distance takes off more than either, save next to the antipode: there the squared chord
// hardly depends on the distance, and chordMargin takes off 144u, when it is 4. That
// is up to 0.8 m.
func LowerDistance(chord2 float64) float64 {
	if chord2 <= 0 {
		return 0
	}
	if chord2 >= 4 {
		chord2 = 4
	}
	d := 2 * EarthRadius * math.Asin(min(1, math.Sqrt(max(0, chord2-chordMargin*chord2))/2))
	return max(0, d*(1-radiusMargin)-nanometre)
}

const (
	chordMargin  = 4e-15 // relative; of 4 it is 144u
	radiusMargin = 1e-12 // relative
	nanometre    = 1e-9  // beyond what the bounds ask for
	nearestFar   = 1.9   // squared chord; FarError counts from here on
)
