package area

import (
	"math"
	"math/big"

	"github.com/paulmach/orb"
)

// edge is a side of a ring, from one position to the next that differs.
type edge struct {
	a, b    orb.Point
	polygon uint32
	ring    uint32
	at      uint32 // where a is in its ring
}

// orient tells on which side of the line from a to b a position lies: +1 to the left, -1 to the
// right, 0 on it. It is exact.
func orient(a, b, p orb.Point) int {
	l, r := float64((a[0]-p[0])*(b[1]-p[1])), float64((a[1]-p[1])*(b[0]-p[0]))
	det := l - r
	// The bound is that of Shewchuk's first filter, (3+16u)u. It holds where no product is lost
	// to underflow.
	if sum := math.Abs(l) + math.Abs(r); sum > leastSum && math.Abs(det) > orientMargin*sum {
		return sign(det)
	}
	return orientExact(a, b, p)
}

const (
	orientMargin = 3.3306690738754716e-16
	leastSum     = 1e-290
)

// orientExact is orient where float64 cannot tell.
func orientExact(a, b, p orb.Point) int {
	if (a[0] == p[0] || b[1] == p[1]) && (a[1] == p[1] || b[0] == p[0]) {
		return 0 // both products are
	}
	l := product(a[0], p[0], b[1], p[1])
	return l.Cmp(product(a[1], p[1], b[0], p[0]))
}

// product returns (a-b)*(c-d).
func product(a, b, c, d float64) *big.Float {
	return whole().Mul(whole().Sub(big.NewFloat(a), big.NewFloat(b)), whole().Sub(big.NewFloat(c), big.NewFloat(d)))
}

// whole returns a number that rounds nothing: a difference of two float64 of degrees has bits
// from 2^8 down to 2^-1074, and a product of two of them twice as many.
func whole() *big.Float { return new(big.Float).SetPrec(2 * (8 + 1074 + 2)) }

func sign(x float64) int {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

// side tells on which side of the edge's line a position lies, +1 or -1. A position on the line
// counts as if it were moved a little to the east, and much less to the north.
func (e *edge) side(x, y float64) int {
	if o := orient(e.a, e.b, orb.Point{x, y}); o != 0 {
		return o
	}
	if e.a[1] != e.b[1] {
		return sign(e.a[1] - e.b[1])
	}
	return sign(e.b[0] - e.a[0])
}

// holds reports whether a position lies on the edge.
func (e *edge) holds(x, y float64) bool {
	return y >= min(e.a[1], e.b[1]) && y <= max(e.a[1], e.b[1]) && x >= min(e.a[0], e.b[0]) && x <= max(e.a[0], e.b[0]) &&
		orient(e.a, e.b, orb.Point{x, y}) == 0
}

// toggles reports whether the edge is crossed an odd number of times on the way from (x, y) due
// west to x0 and from there due south to y0. The way is moved by as little as side says, so it
// meets no end of an edge.
func (e *edge) toggles(x, y, x0, y0 float64) bool {
	level := x != x0 && (e.a[1] > y) != (e.b[1] > y)
	upright := y != y0 && (e.a[0] > x0) != (e.b[0] > x0)
	odd := false
	if level {
		switch least, most := min(e.a[0], e.b[0]), max(e.a[0], e.b[0]); {
		case most <= x0 || least > x:
		case least > x0 && most <= x:
			odd = true
		default:
			odd = e.side(x0, y) != e.side(x, y)
		}
	}
	if upright {
		switch least, most := min(e.a[1], e.b[1]), max(e.a[1], e.b[1]); {
		case most <= y0 || least > y:
		case least > y0 && most <= y:
			odd = !odd
		default:
			odd = odd != (e.side(x0, y) != e.side(x0, y0))
		}
	}
	return odd
}

// meets reports whether the edge has a position in common with a rectangle, sides included. It
// may be wrong where that is within rounding, and then says yes.
func (e *edge) meets(west, south, east, north float64) bool {
	if max(e.a[0], e.b[0]) < west || min(e.a[0], e.b[0]) > east || max(e.a[1], e.b[1]) < south || min(e.a[1], e.b[1]) > north {
		return false
	}
	// The two corners that are farthest to either side of a line that rises, or falls.
	if (e.a[0] < e.b[0]) != (e.a[1] < e.b[1]) {
		south, north = north, south
	}
	l, r := e.clearly(west, north), e.clearly(east, south)
	return l == 0 || l != r
}

// clearly is orient of a position, and 0 where that takes exact arithmetic to tell.
func (e *edge) clearly(x, y float64) int {
	l, r := float64((e.a[0]-x)*(e.b[1]-y)), float64((e.a[1]-y)*(e.b[0]-x))
	det := l - r
	if sum := math.Abs(l) + math.Abs(r); sum > leastSum && math.Abs(det) > orientMargin*sum {
		return sign(det)
	}
	return 0
}
