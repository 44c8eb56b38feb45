// Package cover decides what lies in the area of a range query: which positions, and how
// much of a cell.
package cover

import (
	"github.com/paulmach/orb"

	"nearby/index"
	"nearby/internal/zorder"
)

// Cover is how much of a cell lies in a query's area.
type Cover uint8

const (
	None Cover = iota
	Part       // or perhaps: each point must be looked at
	All
)

// Of tells how much of the cell made of the first n bits of key lies in the area.
func Of(q *index.RangeQuery, key uint64, n int) Cover {
	b, r := &q.Bound, zorder.Rect(key, n)
	south, north := max(r.South-zorder.Slack, -90), min(r.North+zorder.Slack, 90)
	if north < b.Min[1] || south > b.Max[1] {
		return None
	}
	west, east := max(r.West-zorder.Slack, -180), min(r.East+zorder.Slack, 180)
	c := lonCover(b, west, east)
	if west == -180 || east == 180 {
		// The first column holds longitude 180 too.
		c = together(c, together(lonCover(b, -180, zorder.Slack-180), lonCover(b, 180-zorder.Slack, 180)))
	}
	if c == All && (q.Polygon != nil || south < b.Min[1] || north > b.Max[1]) {
		return Part
	}
	return c
}

func together(a, b Cover) Cover {
	if a == b {
		return a
	}
	return Part
}

// lonCover compares the longitudes west to east with those of a bound.
func lonCover(b *orb.Bound, west, east float64) Cover {
	w, e := b.Min[0], b.Max[0]
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

// Contains reports whether a position, or its other spelling on the
// antimeridian, lies in the area.
func Contains(q *index.RangeQuery, lon, lat float64) bool {
	return containsSpelled(q, lon, lat) || (lon == 180 || lon == -180) && containsSpelled(q, -lon, lat)
}

// Item reports whether an item lies in the area.
func Item(q *index.RangeQuery, items index.Items, ref index.Ref) bool {
	lon, lat := items.Position(ref)
	return Contains(q, lon, lat)
}

func containsSpelled(q *index.RangeQuery, lon, lat float64) bool {
	if lat < q.Bound.Min[1] || lat > q.Bound.Max[1] || lonCover(&q.Bound, lon, lon) == None {
		return false
	}
	if q.Polygon == nil {
		return true
	}
	for _, p := range q.Polygon {
		if polygonContains(p, lon, lat) {
			return true
		}
	}
	return false
}

// polygonContains reports whether a position lies in a polygon or on a border of
// it, that of a hole included. Package planar of orb counts a hole's border as
// outside, so an item on the line between a tile and the one that fills its hole
// would depend on which is asked. A ray to the east crosses the sides of a valid
// polygon's rings an odd number of times in all if it starts inside.
func polygonContains(p orb.Polygon, lon, lat float64) bool {
	odd := false
	for _, ring := range p {
		for i, a := range ring {
			b := ring[0]
			if i+1 < len(ring) {
				b = ring[i+1]
			}
			// Twice the area of the triangle a, b, position.
			turn := float64((b[0]-a[0])*(lat-a[1])) - float64((b[1]-a[1])*(lon-a[0]))
			if turn == 0 && between(lon, a[0], b[0]) && between(lat, a[1], b[1]) {
				return true
			}
			if up := b[1] > a[1]; (a[1] > lat) != (b[1] > lat) && (turn > 0) == up {
				odd = !odd
			}
		}
	}
	return odd
}

func between(x, a, b float64) bool { return x >= min(a, b) && x <= max(a, b) }
