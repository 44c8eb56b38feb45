package sphere

import (
	"fmt"
	"math"
)

// Line is a polyline of great-circle arcs, each the shortest way between two positions that follow
// each other. It does not change and may be used by any number of goroutines.
//
// The nearest position of an arc is the foot of the perpendicular, where that lies on the arc, and
// else one of its ends. With the arc's unit normal n the distance from a point p to the great
// circle, the cross-track distance, has the sine |n·p| (K. Gade, A Non-singular Horizontal Position
// Representation, Journal of Navigation 63, 2010, example 10). The angle from the arc's beginning a
// to the foot has the tangent (n×a)·p / a·p.
type Line struct {
	arcs   []arc
	nodes  []lineNode
	length float64
}

const (
	// SameFoot is how much nearer in metres a later part of a line must come to be the nearest
	// one: distances are exact to that. Positions of a line that are no farther apart are one.
	SameFoot = 1e-6

	// NearestAntipode is how near in metres a position of a line may come to the antipode of the one
	// before. There the shortest way turns by a radian where a position moves by so much.
	NearestAntipode = 10_000

	// MostLine is the greatest length of a line in metres, two and a half times around the Earth.
	MostLine = 100_000_000

	// pieceAngle is the greatest angle of a piece of an arc that has a box. It bulges 80 m.
	pieceAngle = 0.01

	// lineMargin in metres is more than all roundings of what decides which pieces are looked at.
	lineMargin = 1e-3
)

// arc is one arc. Its vectors do not depend on the direction in which the line takes it, so that a
// line that goes back on its way has the same distances there, bit for bit.
type arc struct {
	from, to      Vec // in the order of their components
	normal        Vec // unit
	atFrom, atTo  Vec // unit tangents in the direction of to: at from, and at to
	start, length float64
	reversed      bool // the line goes from to to from
}

// lineNode is a part of the line: one piece, or several. The nodes of its pieces follow it.
type lineNode struct {
	box  Box
	last int32 // the arc in which the part ends, or a later one that has a piece here
	next int32 // the node that follows the part; the next one if it is one piece
}

// LineError says that a line cannot go on to a position, which it counts from 0.
type LineError struct {
	Position int
	// Antipodal: it is next to the antipode of the one before. Else the line gets longer than
	// MostLine.
	Antipodal bool
}

// Error implements error.
func (e *LineError) Error() string {
	if e.Antipodal {
		return fmt.Sprintf("position %d is on the other side of the Earth from position %d, so there is no one shortest way between them: add a position between the two", e.Position, e.Position-1)
	}
	return fmt.Sprintf("up to position %d it is longer than %d km", e.Position, MostLine/1000)
}

// NewLine returns the line through positions. It has no length if all of them are one. Its error is a
// *LineError.
func NewLine(positions []Vec) (*Line, error) {
	l := new(Line)
	if len(positions) == 0 {
		return l, nil
	}
	var pieces []lineNode
	seen := make(map[[2]Vec]bool, len(positions))
	at := positions[0]
	for i, to := range positions[1:] {
		// The position before may have been passed over; it is as good as at.
		switch d := Distance(at, to); {
		case d <= SameFoot:
			continue
		case d > HalfCircumference-NearestAntipode:
			return nil, &LineError{i + 1, true}
		case l.length+d > MostLine:
			return nil, &LineError{i + 1, false}
		}
		a := newArc(at, to, l.length)
		if ends := [2]Vec{a.from, a.to}; !seen[ends] { // what comes again is not nearer
			seen[ends] = true
			pieces = a.pieces(pieces, int32(len(l.arcs)))
		}
		l.arcs = append(l.arcs, a)
		l.length += a.length
		at = to
	}
	l.nodes = make([]lineNode, 0, 2*len(pieces))
	l.grow(pieces)
	return l, nil
}

// Length returns the length of the line in metres.
func (l *Line) Length() float64 { return l.length }

// grow appends the nodes of pieces.
func (l *Line) grow(pieces []lineNode) {
	if len(pieces) == 0 {
		return
	}
	at := len(l.nodes)
	l.nodes = append(l.nodes, pieces[0])
	if len(pieces) > 1 {
		for i := range pieces[1:] {
			l.nodes[at].box.Union(pieces[1+i].box)
		}
		l.nodes[at].last = pieces[len(pieces)-1].last
		l.grow(pieces[:len(pieces)/2])
		l.grow(pieces[len(pieces)/2:])
	}
	l.nodes[at].next = int32(len(l.nodes))
}

func newArc(from, to Vec, start float64) arc {
	a := arc{from: from, to: to, start: start}
	if less(to, from) {
		a.from, a.to, a.reversed = to, from, true
	}
	// The sum and the difference of the two have nearly all their digits wherever the other is
	// short. Their cross product is twice that of the two.
	sum := Vec{a.from.X + a.to.X, a.from.Y + a.to.Y, a.from.Z + a.to.Z}
	a.normal = unit(cross(sum, minus(a.to, a.from)))
	a.atFrom, a.atTo = cross(a.normal, a.from), cross(a.normal, a.to)
	a.length = EarthRadius * math.Atan2(dot(a.atFrom, minus(a.to, a.from)), dot(a.from, a.to))
	return a
}

// pieces appends nodes of the pieces of an arc, in the order of the line.
func (a *arc) pieces(to []lineNode, number int32) []lineNode {
	angle := a.length / EarthRadius
	n := int(math.Ceil(angle / pieceAngle))
	place := func(i int) Vec {
		if a.reversed {
			i = n - i
		}
		s, c := math.Sincos(angle * float64(i) / float64(n))
		return Vec{c*a.from.X + s*a.atFrom.X, c*a.from.Y + s*a.atFrom.Y, c*a.from.Z + s*a.atFrom.Z}
	}
	// What lies between two places is no farther from the straight line between them.
	bulge := 1 - math.Cos(angle/float64(n)/2) + 1e-12
	for i := range n {
		node := lineNode{box: EmptyBox(), last: number}
		for _, v := range []Vec{place(i), place(i + 1)} {
			node.box.Extend(Vec{v.X - bulge, v.Y - bulge, v.Z - bulge})
			node.box.Extend(Vec{v.X + bulge, v.Y + bulge, v.Z + bulge})
		}
		to = append(to, node)
	}
	return to
}

// foot is where an arc is nearest to a point.
type foot uint8

const (
	atStart foot = iota // in the direction of the line
	inside
	atEnd
)

// foot returns where an arc is nearest to a point, and the distance in metres.
func (a *arc) foot(p Vec) (where foot, distance float64) {
	if dot(a.atFrom, minus(p, a.from)) > 0 && dot(a.atTo, minus(p, a.to)) < 0 {
		return inside, EarthRadius * math.Asin(min(1, math.Abs(dot(a.normal, p))))
	}
	from, to := Chord2(p, a.from), Chord2(p, a.to)
	if (from <= to) != a.reversed {
		where = atStart
	} else {
		where = atEnd
	}
	if from <= to {
		return where, Distance(p, a.from)
	}
	return where, Distance(p, a.to)
}

// along returns how far from the beginning of the line the nearest position of the arc is.
func (a *arc) along(p Vec, where foot) float64 {
	switch where {
	case atStart:
		return a.start
	case atEnd:
		return a.start + a.length
	}
	d := EarthRadius * math.Atan2(dot(a.atFrom, minus(p, a.from)), dot(a.from, p))
	if a.reversed {
		d = a.length - d
	}
	return a.start + max(0, min(a.length, d))
}

// Nearest returns the position of the line that is nearest to a point: its distance from the
// beginning along the line, and from the point, in metres. If several are equally near, to SameFoot,
// it is one of these, and the first if their distances are equal. ok is false if none is within a
// distance, of at most a quarter of the circumference.
func (l *Line) Nearest(p Vec, within float64) (along, distance float64, ok bool) {
	least := within // the distance to beat
	limit := Chord2Of(least + lineMargin)
	for i := 0; i < len(l.nodes); {
		node := &l.nodes[i]
		if node.box.Chord2(p) > limit {
			i = int(node.next)
			continue
		}
		if i++; i < int(node.next) {
			continue
		}
		k := int(node.last)
		where, d := l.arcs[k].foot(p)
		if d > least || ok && d == least || !l.turns(k, where, p) {
			continue
		}
		if !ok || d < distance-SameFoot {
			along, distance = l.arcs[k].along(p, where), d
		}
		ok, least = true, d
		limit = Chord2Of(least + lineMargin)
	}
	return along, distance, ok
}

// turns reports whether the line comes nearer to a point up to the foot on an arc, and not after it.
// An end is passed over where the arc that follows goes on to come nearer: its foot is the one.
func (l *Line) turns(k int, where foot, p Vec) bool {
	switch {
	case where == atStart && k > 0:
		before, _ := l.arcs[k-1].foot(p)
		return before == atEnd
	case where == atEnd && k+1 < len(l.arcs):
		after, _ := l.arcs[k+1].foot(p)
		return after == atStart
	}
	return true
}

// Within reports whether a part of the line may be within a distance of a point. The part ends at the
// end of the line, and begins with an arc that goes beyond from, in metres along the line.
func (l *Line) Within(p Vec, metres, from float64) bool {
	limit := Chord2Of(metres + lineMargin)
	for i := 0; i < len(l.nodes); {
		node := &l.nodes[i]
		if node.box.Chord2(p) > limit || l.arcs[node.last].start+l.arcs[node.last].length < from {
			i = int(node.next)
			continue
		}
		if i++; i < int(node.next) {
			continue
		}
		if _, d := l.arcs[node.last].foot(p); d <= metres+lineMargin {
			return true
		}
	}
	return false
}

func less(a, b Vec) bool {
	return a.X < b.X || a.X == b.X && (a.Y < b.Y || a.Y == b.Y && a.Z < b.Z)
}

func minus(a, b Vec) Vec { return Vec{a.X - b.X, a.Y - b.Y, a.Z - b.Z} }

func dot(a, b Vec) float64 { return float64(a.X*b.X) + float64(a.Y*b.Y) + float64(a.Z*b.Z) }

func cross(a, b Vec) Vec {
	return Vec{float64(a.Y*b.Z) - float64(a.Z*b.Y), float64(a.Z*b.X) - float64(a.X*b.Z), float64(a.X*b.Y) - float64(a.Y*b.X)}
}

func unit(v Vec) Vec {
	n := math.Sqrt(dot(v, v))
	return Vec{v.X / n, v.Y / n, v.Z / n}
}
