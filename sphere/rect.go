package sphere

import "math"

// Rect is a rectangle in longitude and latitude, in degrees, with West <= East
// and East - West <= 360: a geohash cell or a block of them. It does not cross
// the antimeridian.
type Rect struct{ West, South, East, North float64 }

// Chord2 returns a lower bound on the squared chord from a centre to any point
// of the rectangle. The centre is given both in degrees, with lon in
// [-180, 180], and as its unit vector.
//
// Inside the rectangle's longitudes the nearest point lies on the centre's own
// meridian. Outside, going along a parallel towards the centre's meridian
// always comes nearer, so it lies on the west or east side, where it is the
// foot of the perpendicular or a corner. (Clamping lon and lat instead, as in
// the plane, gives values that are too large: the foot of (0, 60) on the
// meridian 40 lies at latitude 66.1.)
func (r Rect) Chord2(lon, lat float64, v Vec) float64 {
	var c2 float64
	if (lon >= r.West && lon <= r.East) || r.East-r.West >= 360 {
		if lat >= r.South && lat <= r.North {
			return 0
		}
		c2 = Chord2(v, FromDegrees(lon, min(max(lat, r.South), r.North)))
	} else {
		sinS, cosS := SinCos(r.South)
		sinN, cosN := SinCos(r.North)
		c2 = min(
			meridianChord2(v, r.West, sinS, cosS, sinN, cosN),
			meridianChord2(v, r.East, sinS, cosS, sinN, cosN))
	}
	// The sides went through a few roundings of 1e-16 each.
	c := math.Sqrt(c2) - 1e-15
	if c <= 0 {
		return 0
	}
	return c * c * (1 - 1e-14)
}

// meridianChord2 returns the squared chord from v to the arc of the meridian
// lon between two latitudes given by their sines and cosines.
func meridianChord2(v Vec, lon, sinS, cosS, sinN, cosN float64) float64 {
	sinL, cosL := SinCos(lon)
	a := float64(v.X*cosL) + float64(v.Y*sinL) // v in the meridian's plane: a towards the equator, v.Z towards the pole
	if h := math.Hypot(a, v.Z); a > 0 && h > 0 {
		c, s := a/h, v.Z/h
		if s >= sinS && s <= sinN {
			return Chord2(v, Vec{float64(c * cosL), float64(c * sinL), s})
		}
	}
	return min(
		Chord2(v, Vec{float64(cosS * cosL), float64(cosS * sinL), sinS}),
		Chord2(v, Vec{float64(cosN * cosL), float64(cosN * sinL), sinN}))
}
