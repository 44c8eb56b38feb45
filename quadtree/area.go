package quadtree

import (
	"fmt"

	"github.com/paulmach/orb"

	"nearby/index"
	"nearby/sphere"
)

// area is the inside of a RangeQuery in the plane of longitude and latitude.
type area struct {
	bound   orb.Bound
	polygon orb.MultiPolygon // nil: no polygon

	// boxes are where cells with points of the area can lie. There may be two
	// because the bound may cross the antimeridian, and because a position at
	// 180, or a rounding before it, lies by its ZKey in a cell at -180.
	boxes [2]sphere.Rect
	n     int
	seam  bool // all longitudes next to 180 on its near side are in the bound
}

// relation is how a cell lies to an area.
type relation uint8

const (
	outside relation = iota
	crossing
	inside
)

// slack in degrees widens a cell: positions within a rounding of its border may
// belong to the cell on the other side.
const slack = 1e-9

func areaOf(q *index.RangeQuery) (area, error) {
	west, south, east, north := q.Bound.Min[0], q.Bound.Min[1], q.Bound.Max[0], q.Bound.Max[1]
	for _, p := range []orb.Point{q.Bound.Min, q.Bound.Max} {
		if err := index.CheckPosition(p[0], p[1]); err != nil {
			return area{}, err
		}
	}
	switch {
	case south > north:
		return area{}, fmt.Errorf("%w: south side is %v, above the north side %v", index.ErrInvalid, south, north)
	case q.Limit < 0:
		return area{}, fmt.Errorf("%w: limit is %d, must not be negative", index.ErrInvalid, q.Limit)
	case q.Budget < 0:
		return area{}, fmt.Errorf("%w: budget is %d, must not be negative", index.ErrInvalid, q.Budget)
	}
	a := area{bound: q.Bound, polygon: q.Polygon, n: 1}
	a.boxes[0] = sphere.Rect{West: west, South: south, East: east, North: north}
	switch {
	case west > east:
		a.boxes[0].East = 180
		a.boxes[1] = sphere.Rect{West: -180, South: south, East: east, North: north}
		a.n = 2
	case east > 180-slack && west > -180:
		a.boxes[1] = sphere.Rect{West: -180, South: south, East: -180, North: north}
		a.n = 2
	}
	a.seam = west <= 180-slack && (west > east || east == 180)
	return a, nil
}

// relate tells how a cell lies to the area.
func (a *area) relate(cell sphere.Rect) relation {
	west, east := max(cell.West-slack, -180), min(cell.East+slack, 180)
	south, north := max(cell.South-slack, -90), min(cell.North+slack, 90)
	rel := outside
	for _, b := range a.boxes[:a.n] {
		if east < b.West || west > b.East || north < b.South || south > b.North {
			continue
		}
		rel = crossing
		if a.polygon == nil && (west > -180 || a.seam) &&
			west >= b.West && east <= b.East && south >= b.South && north <= b.North {
			return inside
		}
	}
	return rel
}

// contains reports whether either spelling of the position lies in the area.
func (a *area) contains(lon, lat float64) bool {
	if a.containsSpelled(lon, lat) {
		return true
	}
	return (lon == 180 || lon == -180) && a.containsSpelled(-lon, lat)
}

func (a *area) containsSpelled(lon, lat float64) bool {
	west, east := a.bound.Min[0], a.bound.Max[0]
	if lat < a.bound.Min[1] || lat > a.bound.Max[1] {
		return false
	}
	if west <= east && (lon < west || lon > east) || lon < west && lon > east {
		return false
	}
	if a.polygon == nil {
		return true
	}
	for _, p := range a.polygon {
		if polygonContains(p, lon, lat) {
			return true
		}
	}
	return false
}

// polygonContains reports whether a position lies in a polygon or on a border,
// that of a hole too. Package planar of orb counts the border of a hole as
// outside, where an item on the line between a tile and the one that fills its
// hole would depend on which is asked; and it nudges points beside vertices.
// Here a ray to the east crosses the sides of all rings an odd number of times.
func polygonContains(p orb.Polygon, lon, lat float64) bool {
	odd := false
	for _, ring := range p {
		for i, b := range ring {
			a := ring[(i+len(ring)-1)%len(ring)]
			turn := float64((b[0]-a[0])*(lat-a[1])) - float64((b[1]-a[1])*(lon-a[0]))
			if turn == 0 && lon >= min(a[0], b[0]) && lon <= max(a[0], b[0]) &&
				lat >= min(a[1], b[1]) && lat <= max(a[1], b[1]) {
				return true
			}
			if (a[1] > lat) != (b[1] > lat) && (turn > 0) == (b[1] > a[1]) {
				odd = !odd
			}
		}
	}
	return odd
}
