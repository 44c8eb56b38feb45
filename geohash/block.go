package geohash

import (
	"math"

	"nearby/index"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// block is the cells of n bits at most radius columns and rows away from the one
// that holds a centre.
type block struct {
	n        int
	col, row int64 // of the centre's cell
	radius   int64
}

// columns returns how far the block reaches to the west and to the east, so that
// each column is there once.
func (b block) columns() (west, east int64) {
	cols, _ := gridSize(b.n)
	return -min(b.radius, (cols-1)/2), min(b.radius, cols/2)
}

// round reports whether the block has all columns.
func (b block) round() bool {
	cols, _ := gridSize(b.n)
	return b.radius >= cols/2
}

// holds reports whether a cell of n bits lies in the block.
func (b block) holds(col, row int64) bool {
	cols, _ := gridSize(b.n)
	d := (col - b.col) & (cols - 1)
	return abs(row-b.row) <= b.radius && min(d, cols-d) <= b.radius
}

func abs(x int64) int64 { return max(x, -x) }

// origin is a centre in the forms in which bounds need it.
type origin struct {
	lon, lat float64 // lon in [-180, 180)
	vec      sphere.Vec
	cosLat   float64
}

func newOrigin(lon, lat float64, v sphere.Vec, key uint64) origin {
	if lon > 90 && key>>63 == 0 {
		lon = -180 // it is 180, and lies in the first column
	}
	return origin{lon, lat, v, math.Hypot(v.X, v.Y)}
}

// sides are lower bounds on the squared chords from an origin to what lies beyond
// the rows of a block and beyond its columns; +Inf where nothing does.
type sides struct{ north, south, east, west float64 }

// least is the bound for all points outside the block.
func (s *sides) least() float64 { return min(s.north, s.south, s.east, s.west) }

// sides returns what bounds the points outside the block.
//
// These are the bands to the north and to the south, unless the block reaches
// that pole, and the lune between the block's western and eastern meridians,
// unless it is round. The nearest point of a band lies on the origin's own
// meridian. The nearest of the lune lies on one of the two meridians, which run
// from pole to pole: at the foot of the perpendicular if the meridian is less
// than 90 degrees away, where the sine of the distance is cos(lat) sin(dlon),
// and else at the nearer pole. The column next to the block may be nearer the
// other way round the Earth where it reaches beyond 180 degrees; then both sides
// have the lesser bound.
func (o *origin) sides(b block) sides {
	cols, rows := gridSize(b.n)
	width, height := 360/float64(cols), 180/float64(rows)
	s := sides{math.Inf(1), math.Inf(1), math.Inf(1), math.Inf(1)}
	if b.row+b.radius < rows-1 {
		s.north = band(float64(b.row+b.radius+1)*height - 90 - o.lat)
	}
	if b.row-b.radius > 0 {
		s.south = band(o.lat + 90 - float64(b.row-b.radius)*height)
	}
	if !b.round() {
		east := float64(b.col+b.radius+1)*width - 180 - o.lon
		west := o.lon + 180 - float64(b.col-b.radius)*width
		if max(east, west)+width > 180 {
			east = min(east, west)
			west = east
		}
		s.east, s.west = o.meridian(east), o.meridian(west)
	}
	return s
}

// band returns a lower bound on the squared chord to a parallel so many degrees
// of latitude away.
func band(degrees float64) float64 {
	s := 2 * sine(max(0, degrees-zorder.Slack)*(math.Pi/360))
	return rounded(s * s)
}

// meridian returns a lower bound on the squared chord to the meridian so many
// degrees of longitude away.
//
// Of the angle to the foot of the perpendicular both the sine and the cosine are known, and
// the squared chord is 2(1-cos) = 2 sin^2/(1+cos). The cosine must not be made from the sine:
// near 90 degrees a rounding of the sine moves the angle by up to 1e-8.
func (o *origin) meridian(degrees float64) float64 {
	degrees = max(0, degrees-zorder.Slack)
	if degrees >= 90 {
		z := 1 - math.Abs(o.vec.Z)
		return rounded(o.cosLat*o.cosLat + z*z)
	}
	radians := degrees * (math.Pi / 180)
	sin := o.cosLat * sine(radians)
	if sin < smallAngle {
		return rounded(sin * sin) // less than what follows
	}
	cos := o.cosLat * math.Cos(radians)
	cos = math.Sqrt(o.vec.Z*o.vec.Z + cos*cos)
	return rounded(2 * sin * sin / (1 + cos))
}

// smallAngle is an angle in radians below which two terms of the sine are enough.
const smallAngle = 0.05

// sine returns a lower bound on the sine, from 0 to a right angle.
func sine(radians float64) float64 {
	if radians < smallAngle {
		return radians * (1 - radians*radians/6)
	}
	return math.Sin(radians)
}

// rounded takes off a squared chord, computed as above, what roundings may have added, so that
// no point beyond has a lesser one by sphere.Chord2.
//
// With the u and the bounds of package sphere: an angle in radians has 2u from π and the
// product, its sine 3u more, the cosine of the latitude 4u, their product 1u. That is 10u of
// the sine and 20u of its square. 1+cos has 8u, the other operations have 3u, Chord2 has 5u.
// These 36u are relative. The vectors of the centre and of the point are sphere.PlaceError off
// each, which is 16u of the chord. (How far a position may lie outside its cell is in
// zorder.Slack.)
func rounded(c2 float64) float64 {
	c := math.Sqrt(c2) - placeMargin
	if c <= 0 {
		return 0
	}
	return c * c * (1 - sideMargin)
}

const (
	placeMargin = 2e-15 // 18u
	sideMargin  = 1e-14 // 90u
)

// rect returns the block's bounds for a trace. Across the antimeridian they go
// on beyond 180 degrees.
func (b block) rect() sphere.Rect {
	cols, rows := gridSize(b.n)
	width, height := 360/float64(cols), 180/float64(rows)
	r := sphere.Rect{
		West: float64(b.col-b.radius)*width - 180, East: float64(b.col+b.radius+1)*width - 180,
		South: float64(max(0, b.row-b.radius))*height - 90, North: float64(min(rows, b.row+b.radius+1))*height - 90,
	}
	if b.round() {
		r.West, r.East = -180, 180
	}
	return r
}

// cellStep describes a cell, page or node for a trace.
func cellStep(kind index.StepKind, key uint64, n, points int, chord2 float64) index.Step {
	return index.Step{
		Kind: kind, Name: cellName(key, n), Bounds: zorder.Rect(key, n), Level: n,
		Lower: sphere.LowerDistance(chord2), Points: points,
	}
}
