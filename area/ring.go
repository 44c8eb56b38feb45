package area

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/paulmach/orb"
	"github.com/tidwall/btree"
)

// Fault is what is wrong with a box or polygons.
type Fault uint8

const (
	OutOfRange Fault = iota + 1 // a position is not on Earth
	Inverted                    // a box has its south above its north
	NoPolygon                   // there is none
	NoRing                      // a polygon has no ring
	TooLarge                    // there are more than MostPositions positions
	Short                       // a ring has less than four positions
	Open                        // a ring's last position is not its first
	Flat                        // a ring has no area
	Crossed                     // two sides of a ring that do not follow each other have a position in common
	Crossing                    // a ring crosses another one of its polygon, or has a part of a side in common with it
	Outside                     // a hole does not lie in its polygon
)

// Error says what is wrong and where. Polygon, Ring and Position count from 0, as in GeoJSON; -1
// stands for one that the fault is not about.
type Error struct {
	Fault                   Fault
	Polygon, Ring, Position int
	// At is the position where it is wrong, if the fault is about one. Of a box whose south is
	// above its north it is these two.
	At orb.Point
	// Other names the other side that is involved, if there is one: the first position of it,
	// and its ring.
	Other struct{ Ring, Position int }
}

// Error is a sentence about the ring, such as "ring 0 of polygon 2 is not closed: …".
func (e *Error) Error() string {
	ring := fmt.Sprintf("ring %d of polygon %d", e.Ring, e.Polygon)
	switch e.Fault {
	case OutOfRange:
		text := fmt.Sprintf("longitude %v, latitude %v is not on Earth: longitudes are from -180 to 180, and latitudes from -90 to 90", e.At[0], e.At[1])
		if e.Ring < 0 {
			return text
		}
		if x := math.Abs(e.At[0]); x > 180 && x <= 540 {
			text += "; what crosses the antimeridian is cut there, into two polygons"
		}
		return fmt.Sprintf("position %d of %s: %s", e.Position, ring, text)
	case Inverted:
		return fmt.Sprintf("the south of the box, %v, is above its north, %v", e.At[0], e.At[1])
	case NoPolygon:
		return "there is no polygon"
	case NoRing:
		return fmt.Sprintf("polygon %d has no ring", e.Polygon)
	case TooLarge:
		return fmt.Sprintf("the polygons have more than %d positions", MostPositions)
	case Short:
		return ring + " has less than four positions"
	case Open:
		return ring + " is not closed: its last position has to be its first"
	case Flat:
		return ring + " has no area: it has less than three different positions"
	case Crossed:
		return fmt.Sprintf("%s crosses or touches itself: the sides from position %d and from position %d meet", ring, e.Other.Position, e.Position)
	case Crossing:
		return fmt.Sprintf("%s crosses ring %d: its side from position %d meets the one from position %d", ring, e.Other.Ring, e.Position, e.Other.Position)
	case Outside:
		return fmt.Sprintf("%s is a hole, but lies outside of ring 0: see its position %d", ring, e.Position)
	}
	return ring + " is not valid"
}

func onEarth(p orb.Point) bool {
	return p[0] >= -180 && p[0] <= 180 && p[1] >= -90 && p[1] <= 90
}

// edgesOf returns the edges of polygons if these are valid, polygon by polygon and ring by ring.
func edgesOf(polygons orb.MultiPolygon) ([]edge, error) {
	if len(polygons) == 0 {
		return nil, &Error{Polygon: -1, Ring: -1, Position: -1, Fault: NoPolygon}
	}
	positions := 0
	for i, polygon := range polygons {
		if len(polygon) == 0 {
			return nil, &Error{Polygon: i, Ring: -1, Position: -1, Fault: NoRing}
		}
		for j, ring := range polygon {
			if err := checkRing(ring); err != nil {
				err.Polygon, err.Ring = i, j
				return nil, err
			}
			if positions += len(ring) - 1; positions > MostPositions {
				return nil, &Error{Polygon: -1, Ring: -1, Position: -1, Fault: TooLarge}
			}
		}
	}
	edges := make([]edge, 0, positions)
	for i, polygon := range polygons {
		begin, shell := len(edges), 0
		for j, ring := range polygon {
			from := len(edges)
			for k, p := range ring[1:] {
				if p != ring[k] {
					edges = append(edges, edge{ring[k], p, uint32(i), uint32(j), uint32(k)})
				}
			}
			if len(edges)-from < 3 {
				return nil, &Error{Polygon: i, Ring: j, Position: -1, Fault: Flat}
			}
			if j == 0 {
				shell = len(edges)
			}
		}
		if err := checkCrossings(edges[begin:]); err != nil {
			return nil, err
		}
		if err := checkHoles(edges[begin:shell], edges[shell:]); err != nil {
			return nil, err
		}
	}
	return edges, nil
}

// checkRing checks what a ring tells by its positions alone.
func checkRing(ring orb.Ring) *Error {
	for i, p := range ring {
		if !onEarth(p) {
			return &Error{Position: i, Fault: OutOfRange, At: p}
		}
	}
	switch {
	case len(ring) < 4:
		return &Error{Position: -1, Fault: Short}
	case ring[0] != ring[len(ring)-1]:
		return &Error{Position: len(ring) - 1, Fault: Open, At: ring[len(ring)-1]}
	}
	return nil
}

// checkHoles checks that holes lie in their shell, none of whose edges crosses one of theirs.
// They may touch it, and so get outside at a position that they have in common.
func checkHoles(shell, holes []edge) error {
	if len(holes) == 0 {
		return nil
	}
	m := newMesh(shell)
	for i := range holes {
		if e := &holes[i]; m.locate(e.a[0], e.a[1]) == outside {
			return &Error{Polygon: int(e.polygon), Ring: int(e.ring), Position: int(e.at), Fault: Outside, At: e.a}
		}
	}
	return nil
}

// A sweep goes over the edges of one polygon from west to east, and keeps those that are above
// each other in their order. Edges that cross are neighbours before they do, so it compares
// neighbours alone: the method of Shamos and Hoey.

// swept is an edge from its lesser end to its greater one, in the order of precedes.
type swept struct {
	*edge
	begin, end orb.Point
	next       int // the edge that follows in the ring, by its number
	number     int
}

// precedes orders positions by longitude, and then by latitude.
func precedes(p, q orb.Point) int {
	if p[0] != q[0] {
		return sign(p[0] - q[0])
	}
	return sign(p[1] - q[1])
}

// event is an end of an edge.
type event struct {
	at    orb.Point
	begin bool
	edge  int
}

// checkCrossings checks the edges of a polygon.
func checkCrossings(edges []edge) error {
	all, events := make([]swept, len(edges)), make([]event, 0, 2*len(edges))
	first := 0 // of the ring
	for i := range edges {
		s := swept{edge: &edges[i], begin: edges[i].a, end: edges[i].b, number: i, next: i + 1}
		if precedes(s.begin, s.end) > 0 {
			s.begin, s.end = s.end, s.begin
		}
		if i+1 == len(edges) || edges[i+1].ring != edges[i].ring {
			s.next, first = first, i+1
		}
		all[i] = s
		events = append(events, event{s.begin, true, i}, event{s.end, false, i})
	}
	slices.SortFunc(events, func(a, b event) int {
		if c := precedes(a.at, b.at); c != 0 {
			return c
		}
		if a.begin != b.begin { // those that end make room first
			if b.begin {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.edge, b.edge)
	})
	if err := checkReturns(all); err != nil {
		return err
	}
	status := btree.NewBTreeGOptions(func(a, b *swept) bool { return a.below(b) }, btree.Options{NoLocks: true})
	var hint btree.PathHint
	neighbours := func(s *swept) (above, below *swept) {
		status.AscendHint(s, func(o *swept) bool {
			if o != s {
				above = o
			}
			return o == s
		}, &hint)
		status.DescendHint(s, func(o *swept) bool {
			if o != s {
				below = o
			}
			return o == s
		}, &hint)
		return above, below
	}
	for _, ev := range events {
		s := &all[ev.edge]
		above, below := neighbours(s)
		if !ev.begin {
			status.DeleteHint(s, &hint)
			if above != nil && below != nil {
				if err := above.conflict(below); err != nil {
					return err
				}
			}
			continue
		}
		for _, o := range []*swept{above, below} {
			if o != nil {
				if err := s.conflict(o); err != nil {
					return err
				}
			}
		}
		status.SetHint(s, &hint)
	}
	return nil
}

// checkReturns checks that no ring comes to a position twice. There one pair of edges may end
// where the other begins, and then they are never neighbours.
func checkReturns(all []swept) error {
	order := make([]*swept, len(all))
	for i := range all {
		order[i] = &all[i]
	}
	slices.SortFunc(order, func(s, o *swept) int {
		return cmp.Or(cmp.Compare(s.ring, o.ring), precedes(s.a, o.a), cmp.Compare(s.at, o.at))
	})
	for i, s := range order[1:] {
		if o := order[i]; o.ring == s.ring && o.a == s.a {
			return meeting(s, o)
		}
	}
	return nil
}

// below reports whether an edge lies below another one where both are.
func (s *swept) below(o *swept) bool {
	if precedes(s.begin, o.begin) >= 0 {
		return o.turn(s) < 0
	}
	return s.turn(o) > 0
}

// turn tells whether o, which begins no earlier than s, lies above s, +1, or below it, -1.
func (s *swept) turn(o *swept) int {
	if t := orient(s.begin, s.end, o.begin); t != 0 {
		return t
	}
	return orient(s.begin, s.end, o.end)
}

// joins reports whether two edges follow each other in their ring.
func (s *swept) joins(o *swept) bool { return s.next == o.number || o.next == s.number }

// conflict returns an error if two edges of a polygon have something in common that they must
// not have.
func (s *swept) conflict(o *swept) error {
	sb, se := orient(o.begin, o.end, s.begin), orient(o.begin, o.end, s.end)
	ob, oe := orient(s.begin, s.end, o.begin), orient(s.begin, s.end, o.end)
	wrong := false
	switch {
	case sb == 0 && se == 0: // on one line: a position in common is allowed, a length is not
		begin, end := s.begin, s.end
		if precedes(o.begin, begin) > 0 {
			begin = o.begin
		}
		if precedes(o.end, end) < 0 {
			end = o.end
		}
		c := precedes(begin, end)
		wrong = c < 0 || c == 0 && s.ring == o.ring && !s.joins(o)
	case sb*se > 0 || ob*oe > 0:
	case sb*se < 0 && ob*oe < 0:
		wrong = true
	default: // an end of one lies on the other
		wrong = s.ring == o.ring && !s.joins(o)
	}
	if !wrong {
		return nil
	}
	return meeting(s, o)
}

// meeting is the error that two edges meet.
func meeting(a, b *swept) error {
	if a.ring < b.ring || a.ring == b.ring && a.at < b.at {
		a, b = b, a
	}
	e := &Error{Polygon: int(a.polygon), Ring: int(a.ring), Position: int(a.at), Fault: Crossing, At: a.a}
	if a.ring == b.ring {
		e.Fault = Crossed
	}
	e.Other.Ring, e.Other.Position = int(b.ring), int(b.at)
	return e
}
