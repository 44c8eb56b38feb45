package item

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Box is an area of longitudes and latitudes, in degrees. Its sides belong to it. If West is greater
// than East, it crosses the antimeridian.
type Box struct{ West, South, East, North float64 }

// ParseBox reads a box in the form of GeoJSON and OGC API: west,south,east,north, or six numbers with
// heights, which it ignores. West and east may be from -MaxQueryLon to MaxQueryLon; ParseBox wraps
// them. Its errors are *FieldError with Field "bbox".
func ParseBox(text string) (Box, error) {
	fail := func(reason, hint string) (Box, error) {
		return Box{}, &FieldError{Field: "bbox", Got: Shorten(text), Reason: reason, Hint: hint}
	}
	parts := strings.Split(text, ",")
	if len(parts) != 4 && len(parts) != 6 {
		return fail("must be four numbers: west,south,east,north", "")
	}
	var n [6]float64
	for i, part := range parts {
		var ok bool
		if n[i], ok = ParseNumber(part); !ok {
			return fail(fmt.Sprintf("must be numbers; number %d is %q", i+1, Shorten(part)), "")
		}
	}
	b := Box{n[0], n[1], n[2], n[3]}
	if len(parts) == 6 {
		b.East, b.North = n[3], n[4]
	}
	switch {
	case b.South < -90 || b.North > 90 || b.South > b.North:
		hint := ""
		if turned := (Box{b.South, b.West, b.North, b.East}); math.Abs(turned.South) <= 90 && math.Abs(turned.North) <= 90 && turned.South <= turned.North {
			hint = "the longitude comes first: " + turned.String() + " may be meant"
		}
		return fail("must have -90 <= south <= north <= 90", hint)
	case math.Abs(b.West) > MaxQueryLon || math.Abs(b.East) > MaxQueryLon:
		return fail("must have west and east from -540 to 540; west > east crosses the antimeridian", QueryHint)
	case b.East-b.West >= 360: // all the way around
		b.West, b.East = -180, 180
	default:
		b.West, b.East = WrapLon(b.West), WrapLon(b.East)
	}
	return b, nil
}

// String returns the box in the form that ParseBox reads.
func (b Box) String() string {
	return joinDegrees(b.West, b.South, b.East, b.North)
}

func joinDegrees(values ...float64) string {
	text := make([]string, len(values))
	for i, v := range values {
		text[i] = strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strings.Join(text, ",")
}

// Contains reports whether a position lies in the box. On the antimeridian, the longitudes 180 and
// -180 are the same position.
func (b Box) Contains(lon, lat float64) bool {
	return lat >= b.South && lat <= b.North && (b.spans(lon) || (lon == 180 || lon == -180) && b.spans(-lon))
}

func (b Box) spans(lon float64) bool {
	if b.West <= b.East {
		return lon >= b.West && lon <= b.East
	}
	return lon >= b.West || lon <= b.East
}

// Width returns the width of the box in degrees of longitude.
func (b Box) Width() float64 {
	if b.West <= b.East {
		return b.East - b.West
	}
	return b.East - b.West + 360
}

// Expect returns an error if a position lies outside of the box. The error has a hint if the position
// would lie inside with its numbers swapped, or with the other sign of one of them.
func (b Box) Expect(lon, lat float64) error {
	if b.Contains(lon, lat) {
		return nil
	}
	e := &FieldError{Field: "position", Got: joinDegrees(lon, lat), Reason: "must lie in the expected box " + b.String() + " (west,south,east,north)"}
	for _, meant := range []struct {
		lon, lat float64
		hint     string
	}{
		{lat, lon, SwappedHint}, {-lon, lat, "the longitude may lack its sign"}, {lon, -lat, "the latitude may lack its sign"},
	} {
		if b.Contains(meant.lon, meant.lat) && CheckPosition(meant.lon, meant.lat) == nil {
			e.Hint = fmt.Sprintf("%s: %s lies in it", meant.hint, joinDegrees(meant.lon, meant.lat))
			break
		}
	}
	return e
}

// Extent computes the smallest box around positions. The zero value has no positions. For each degree
// of longitude it keeps the westernmost and the easternmost longitude, so its size does not depend on
// the number of positions.
type Extent struct {
	any          bool
	south, north float64
	columns      [360]struct {
		any        bool
		west, east float64
	}
}

// Add adds a position, which must be valid (CheckPosition).
func (e *Extent) Add(lon, lat float64) {
	if !e.any {
		e.any, e.south, e.north = true, lat, lat
	}
	e.south, e.north = min(e.south, lat), max(e.north, lat)
	c := &e.columns[column(lon)]
	if !c.any {
		c.any, c.west, c.east = true, lon, lon
	}
	c.west, c.east = min(c.west, lon), max(c.east, lon)
}

// Holds reports whether Add of a position would change nothing.
func (e *Extent) Holds(lon, lat float64) bool {
	c := &e.columns[column(lon)]
	return c.any && lon >= c.west && lon <= c.east && lat >= e.south && lat <= e.north
}

// column returns the index of the degree in which a longitude lies.
func column(lon float64) int { return min(int(lon+180), 359) }

// Box returns the smallest box that contains all positions, and false if there are none. The box
// crosses the antimeridian if it is then narrower. Box does not consider gaps between positions that
// lie within one degree of longitude.
func (e *Extent) Box() (Box, bool) {
	if !e.any {
		return Box{}, false
	}
	b := Box{West: math.NaN(), South: e.south, North: e.north}
	var gap, from, to float64 // the widest gap, and what lies west and east of it
	for i := range e.columns {
		c := &e.columns[i]
		switch {
		case !c.any:
			continue
		case math.IsNaN(b.West):
			b.West = c.west
		case c.west-b.East > gap:
			gap, from, to = c.west-b.East, b.East, c.west
		}
		b.East = c.east
	}
	if 360-gap < b.East-b.West {
		if b.West, b.East = to, from; to == 180 && from == -180 { // one meridian
			b.West = -180
		}
	}
	return Box{b.West + 0, b.South + 0, b.East + 0, b.North + 0}, true // no -0
}
