// Package area is parts of the Earth in the plane of longitude and latitude: boxes and
// polygons. An Area tells of a position whether it lies inside, and of a rectangle how much of
// it does, in about logarithmic time.
//
// Sides are straight in the plane, as RFC 7946 has them, and not great circles. Borders are
// inside, that of a hole included. A position on the antimeridian is inside if it is so as
// longitude 180 or as -180. What crosses the antimeridian is a Box whose west is greater than
// its east, or polygons that are cut there. Contains is exact: it takes float64s for what they
// are, without a tolerance. Cover may say Part where None or All is true.
package area

import (
	"fmt"

	"github.com/paulmach/orb"

	"nearby/sphere"
)

// MostPositions is the greatest number of positions of all rings of an Area, the one that
// closes a ring not counted.
const MostPositions = 100_000

// Cover is how much of a rectangle lies in an Area.
type Cover uint8

const (
	None Cover = iota // of its positions
	Part              // or perhaps: each position has to be looked at
	All
)

// Area is one box, one set of polygons, or what several of these have in common. It does not
// change and may be used by any number of goroutines. A nil Area is everything.
type Area struct {
	bound orb.Bound // Min[0] > Max[0] crosses the antimeridian
	mesh  *mesh     // nil for a box
	and   *Area     // what the positions have to be in too
}

// Box returns the area between two longitudes and two latitudes, in degrees. If west is greater
// than east it crosses the antimeridian. Its errors are *Error.
func Box(west, south, east, north float64) (*Area, error) {
	for _, p := range []orb.Point{{west, south}, {east, north}} {
		if !onEarth(p) {
			return nil, &Error{Polygon: -1, Ring: -1, Position: -1, Fault: OutOfRange, At: p}
		}
	}
	if south > north {
		return nil, &Error{Polygon: -1, Ring: -1, Position: -1, Fault: Inverted, At: orb.Point{south, north}}
	}
	return &Area{bound: orb.Bound{Min: orb.Point{west, south}, Max: orb.Point{east, north}}}, nil
}

// New returns the area of polygons: the positions in any of them. Of a polygon the first ring is
// the border and the others are holes; rings run in either direction. Polygons may overlap.
// Positions that repeat the one before them are passed over. Its errors are *Error.
func New(polygons orb.MultiPolygon) (*Area, error) {
	edges, err := edgesOf(polygons)
	if err != nil {
		return nil, err
	}
	return &Area{bound: polygons.Bound(), mesh: newMesh(edges)}, nil
}

// And returns what a and b have in common. Either may be nil.
func (a *Area) And(b *Area) *Area {
	if a == nil {
		return b
	}
	both := *a
	both.and = a.and.And(b)
	return &both
}

// Contains reports whether a position, in degrees, lies in the area.
func (a *Area) Contains(lon, lat float64) bool {
	for ; a != nil; a = a.and {
		if !a.spelled(lon, lat) && !((lon == 180 || lon == -180) && a.spelled(-lon, lat)) {
			return false
		}
	}
	return true
}

// spelled is Contains of one box or set of polygons, and of one spelling of a longitude.
func (a *Area) spelled(lon, lat float64) bool {
	if lat < a.bound.Min[1] || lat > a.bound.Max[1] || a.between(lon, lon) == None {
		return false
	}
	return a.mesh == nil || a.mesh.locate(lon, lat) != outside
}

// Cover tells how much of a rectangle lies in the area. Its longitudes are from -180 to 180.
func (a *Area) Cover(r sphere.Rect) Cover {
	all := All
	for ; a != nil; a = a.and {
		c := a.part(r)
		// Both longitudes of the antimeridian are one place.
		if c == None && r.West == -180 {
			c = a.other(180, r)
		}
		if c == None && r.East == 180 {
			c = a.other(-180, r)
		}
		if c == None {
			return None
		}
		all = min(all, c)
	}
	return all
}

// other returns Part if a side of the rectangle that lies on the antimeridian is in the area when
// its longitude is written as lon, 180 or -180, and None if it is not.
func (a *Area) other(lon float64, r sphere.Rect) Cover {
	return min(Part, a.part(sphere.Rect{West: lon, South: r.South, East: lon, North: r.North}))
}

// part is Cover of one box or set of polygons, without the other spelling of longitudes.
func (a *Area) part(r sphere.Rect) Cover {
	if r.North < a.bound.Min[1] || r.South > a.bound.Max[1] {
		return None
	}
	c := a.between(r.West, r.East)
	switch {
	case c == None:
		return None
	case a.mesh != nil:
		return a.mesh.cover(r)
	case r.South < a.bound.Min[1] || r.North > a.bound.Max[1]:
		return Part
	}
	return c
}

// between compares the longitudes from west to east with those of the bound.
func (a *Area) between(west, east float64) Cover {
	w, e := a.bound.Min[0], a.bound.Max[0]
	if w <= e {
		switch {
		case east < w || west > e:
			return None
		case west >= w && east <= e:
			return All
		}
		return Part
	}
	switch {
	case west > e && east < w:
		return None
	case west >= w || east <= e:
		return All
	}
	return Part
}

// String is short, for messages.
func (a *Area) String() string {
	switch {
	case a == nil:
		return "everywhere"
	case a.and != nil:
		first := *a
		first.and = nil
		return first.String() + " and " + a.and.String()
	case a.mesh != nil:
		return fmt.Sprintf("polygons of %d sides in %v", len(a.mesh.edges), a.bound)
	}
	return fmt.Sprint("box ", a.bound)
}
