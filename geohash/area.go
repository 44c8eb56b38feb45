package geohash

import (
	"fmt"

	"github.com/paulmach/orb"

	"nearby/index"
)

// checkRange returns an error that wraps index.ErrInvalid if the query is out of
// range.
func checkRange(q *index.RangeQuery) error {
	for _, p := range []orb.Point{q.Bound.Min, q.Bound.Max} {
		if err := index.CheckPosition(p[0], p[1]); err != nil {
			return err
		}
	}
	switch {
	case q.Bound.Min[1] > q.Bound.Max[1]:
		return fmt.Errorf("%w: south is %v, north is %v", index.ErrInvalid, q.Bound.Min[1], q.Bound.Max[1])
	case q.Limit < 0:
		return fmt.Errorf("%w: limit is %d, must not be negative", index.ErrInvalid, q.Limit)
	case q.Budget < 0:
		return fmt.Errorf("%w: budget is %d, must not be negative", index.ErrInvalid, q.Budget)
	}
	return nil
}

// cover is how much of a cell lies in a bound.
type cover uint8

const (
	none cover = iota
	part
	all
)

// coverOf compares a cell of n bits, made wider by slack, with a bound.
func coverOf(b *orb.Bound, key uint64, n int) cover {
	r := index.CellRect(key, n)
	south, north := max(r.South-slack, -90), min(r.North+slack, 90)
	if north < b.Min[1] || south > b.Max[1] {
		return none
	}
	west, east := max(r.West-slack, -180), min(r.East+slack, 180)
	c := lonCover(b, west, east)
	if west == -180 || east == 180 {
		// The first column holds longitude 180 too, and what rounds to it.
		c = merge(c, merge(lonCover(b, -180, slack-180), lonCover(b, 180-slack, 180)))
	}
	if c == all && (south < b.Min[1] || north > b.Max[1]) {
		return part
	}
	return c
}

// merge returns the cover of two things together.
func merge(a, b cover) cover {
	if a == b {
		return a
	}
	return part
}

// lonCover compares the longitudes west to east with those of a bound.
func lonCover(b *orb.Bound, west, east float64) cover {
	w, e := b.Min[0], b.Max[0]
	if w <= e {
		switch {
		case east < w || west > e:
			return none
		case west >= w && east <= e:
			return all
		}
		return part
	}
	switch {
	case west > e && east < w:
		return none
	case west >= w || east <= e:
		return all
	}
	return part
}

func lonIn(b *orb.Bound, lon float64) bool { return lonCover(b, lon, lon) != none }

// inArea reports whether a position, or its other spelling on the antimeridian,
// lies in the area.
func inArea(q *index.RangeQuery, lon, lat float64) bool {
	return inSpelled(q, lon, lat) || (lon == 180 || lon == -180) && inSpelled(q, -lon, lat)
}

func inSpelled(q *index.RangeQuery, lon, lat float64) bool {
	if lat < q.Bound.Min[1] || lat > q.Bound.Max[1] || !lonIn(&q.Bound, lon) {
		return false
	}
	if q.Polygon == nil {
		return true
	}
	for _, p := range q.Polygon {
		if inPolygon(p, lon, lat) {
			return true
		}
	}
	return false
}

// inPolygon reports whether a position lies in a polygon or on a border of it,
// that of a hole included. orb/planar counts a hole's border as outside, so this
// is done here: a ray crosses the rings of a valid polygon an odd number of times
// in all if it starts inside.
func inPolygon(p orb.Polygon, lon, lat float64) bool {
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
