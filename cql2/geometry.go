package cql2

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/paulmach/orb"

	"nearby/area"
	"nearby/item"
)

// spatial is an argument of S_INTERSECTS: a geometry, or a property.
type spatial struct {
	geometry orb.Geometry // nil: a property
	property string
	at       Place
}

// checkPosition checks the coordinates of a position that stand at two places.
func checkPosition(p orb.Point, lon, lat Place) error {
	switch {
	case !(math.Abs(p[0]) <= 180):
		return fault(lon, "expected a longitude from -180 to 180, found %s", degrees(p[0]))
	case !(math.Abs(p[1]) <= 90):
		return fault(lat, "expected a latitude from -90 to 90, found %s; the longitude comes first", degrees(p[1]))
	}
	return nil
}

func degrees(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func checkLine(l []orb.Point, at Place) error {
	if len(l) < 2 {
		return fault(at, "expected a line of at least 2 positions, found %d", len(l))
	}
	return nil
}

// box reads the numbers of a bounding box, four, or six with heights.
func box(numbers []string, at Place) (orb.Geometry, error) {
	b, err := item.ParseBox(strings.Join(numbers, ","))
	if err != nil {
		var field *item.FieldError
		if errors.As(err, &field) {
			return nil, fault(at, "expected a box: it %s", field.Reason)
		}
		return nil, fault(at, "expected a box: %v", err)
	}
	return orb.Bound{Min: orb.Point{b.West, b.South}, Max: orb.Point{b.East, b.North}}, nil
}

// areaOf returns a geometry as an area. It returns nil for points and lines, and for polygons
// that package area refuses, such as one whose ring crosses itself. A ring that is too short or
// open is an error.
func areaOf(g orb.Geometry) (a *area.Area, err error) {
	switch g := g.(type) {
	case orb.Bound:
		a, err = area.Box(g.Min[0], g.Min[1], g.Max[0], g.Max[1])
	case orb.Polygon:
		a, err = area.New(orb.MultiPolygon{g})
	case orb.MultiPolygon:
		a, err = area.New(g)
	case orb.Collection:
		for _, of := range g {
			if _, err := areaOf(of); err != nil {
				return nil, err
			}
		}
	}
	var bad *area.Error
	if errors.As(err, &bad) && bad.Fault != area.Short && bad.Fault != area.Open {
		err = nil
	}
	return a, err
}

// Contains reports whether a position, in degrees, is in a geometry or on its border; see
// Intersects. Its time grows with the number of vertices. It is exact.
func Contains(g orb.Geometry, lon, lat float64) bool {
	p := orb.Point{lon, lat}
	if holds(g, p) {
		return true
	}
	if math.Abs(lon) == 180 { // the meridian has two longitudes
		return holds(g, orb.Point{-lon, lat})
	}
	return false
}

func holds(g orb.Geometry, p orb.Point) bool {
	switch g := g.(type) {
	case orb.Point:
		return g == p
	case orb.MultiPoint:
		return some(g, func(of orb.Point) bool { return of == p })
	case orb.LineString:
		return onLine(g, p)
	case orb.MultiLineString:
		return some(g, func(l orb.LineString) bool { return onLine(l, p) })
	case orb.Polygon:
		return inPolygon(g, p)
	case orb.MultiPolygon:
		return some(g, func(of orb.Polygon) bool { return inPolygon(of, p) })
	case orb.Collection:
		return some(g, func(of orb.Geometry) bool { return holds(of, p) })
	case orb.Bound:
		return item.Box{West: g.Min[0], South: g.Min[1], East: g.Max[0], North: g.Max[1]}.Contains(p[0], p[1])
	}
	return false
}

func some[T any](list []T, yes func(T) bool) bool {
	for _, of := range list {
		if yes(of) {
			return true
		}
	}
	return false
}

func onLine(l []orb.Point, p orb.Point) bool {
	for i := 1; i < len(l); i++ {
		if onEdge(l[i-1], l[i], p) {
			return true
		}
	}
	return false
}

func onEdge(a, b, p orb.Point) bool {
	return p[0] >= min(a[0], b[0]) && p[0] <= max(a[0], b[0]) && p[1] >= min(a[1], b[1]) && p[1] <= max(a[1], b[1]) && side(a, b, p) == 0
}

// inPolygon: in the first ring or on it, and not inside one of the others.
func inPolygon(polygon orb.Polygon, p orb.Point) bool {
	for i, ring := range polygon {
		if onLine(ring, p) {
			return true
		}
		if inRing(ring, p) != (i == 0) {
			return false
		}
	}
	return len(polygon) > 0
}

// inRing counts the edges that a line from p to the east crosses. p is on none of them.
func inRing(ring orb.Ring, p orb.Point) bool {
	inside := false
	for i := 1; i < len(ring); i++ {
		a, b := ring[i-1], ring[i]
		if a[1] > b[1] {
			a, b = b, a
		}
		if a[1] <= p[1] && p[1] < b[1] && side(a, b, p) > 0 {
			inside = !inside
		}
	}
	return inside
}

// side returns 1 if p is to the left of the line from a to b, -1 if it is to the right, and
// 0 if it is on it. It is exact.
func side(a, b, p orb.Point) int {
	left, right := (b[0]-a[0])*(p[1]-a[1]), (b[1]-a[1])*(p[0]-a[0])
	// Each product has three roundings of at most 2^-53 of its size, or is below 2^-1020.
	if d := left - right; math.Abs(d) > 0x1p-50*(math.Abs(left)+math.Abs(right))+0x1p-1000 {
		if d > 0 {
			return 1
		}
		return -1
	}
	difference := func(x, y float64) *big.Rat {
		return new(big.Rat).Sub(new(big.Rat).SetFloat64(x), new(big.Rat).SetFloat64(y))
	}
	l := difference(b[0], a[0])
	r := difference(b[1], a[1])
	return l.Mul(l, difference(p[1], a[1])).Cmp(r.Mul(r, difference(p[0], a[0])))
}
