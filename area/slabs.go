package area

import (
	"cmp"
	"slices"
	"sort"

	"github.com/paulmach/orb"
)

// slabs finds a position among the sides of one polygon, which do not cross each other. It is for
// polygons whose sides are long and dense, as in a comb or a star, of which a leaf of a mesh has
// too many. Its time grows with the square of the logarithm of their number, whatever their shape.
//
// It is a segment tree over the latitudes of all ends. A side is in the nodes whose latitudes it
// spans as a whole and whose parent's it does not: two of each level at most. In a node the sides
// are in order from west to east.
type slabs struct {
	lats  []float64 // of the ends, ascending
	size  int       // the first leaf; leaf size+i is from lats[i] to lats[i+1]
	first []uint32  // where the sides of a node begin; the node after it says where they end
	sides []uint32  // of the nodes, as numbers in all
	all   []upright
	level []edge // the sides along a parallel, by latitude and from west to east
}

// upright is a side from its southern end to its northern one.
type upright struct{ low, high orb.Point }

// turn tells on which side of the side a position lies: +1 to the west, -1 to the east, 0 on its
// line.
func (u *upright) turn(p orb.Point) int { return orient(u.low, u.high, p) }

// order compares two sides of a node: -1 if u is west of o.
func (u *upright) order(o *upright) int {
	if u.low[1] > o.low[1] {
		return -o.order(u)
	}
	if c := u.turn(o.low); c != 0 {
		return c
	}
	return u.turn(o.high)
}

// newSlabs returns the slabs of the edges of a polygon.
func newSlabs(edges []edge) *slabs {
	s := &slabs{}
	for i := range edges {
		s.lats = append(s.lats, edges[i].a[1])
	}
	slices.Sort(s.lats)
	s.lats = slices.Compact(s.lats)
	for s.size = 1; s.size < len(s.lats); s.size *= 2 {
	}
	s.first = make([]uint32, 2*s.size+1)
	for _, e := range edges {
		switch {
		case e.a[1] < e.b[1]:
			s.all = append(s.all, upright{e.a, e.b})
		case e.a[1] > e.b[1]:
			s.all = append(s.all, upright{e.b, e.a})
		case e.a[0] > e.b[0]:
			e.a, e.b = e.b, e.a
			s.level = append(s.level, e)
		default:
			s.level = append(s.level, e)
		}
	}
	// Once to count the sides of the nodes, and once to put them there.
	s.each(func(node int, _ uint32) { s.first[node+1]++ })
	for i := range s.first[1:] {
		s.first[i+1] += s.first[i]
	}
	s.sides = make([]uint32, s.first[len(s.first)-1])
	next := slices.Clone(s.first)
	s.each(func(node int, side uint32) {
		s.sides[next[node]] = side
		next[node]++
	})
	s.sort()
	slices.SortFunc(s.level, func(e, f edge) int { return cmp.Or(cmp.Compare(e.a[1], f.a[1]), cmp.Compare(e.a[0], f.a[0])) })
	return s
}

// sort sorts the sides of the nodes. It sorts by where float64 has them in the middle of the node's
// latitudes, which costs less, and then exactly, which has little left to do.
func (s *slabs) sort() {
	type placed struct {
		lon  float64
		side uint32
	}
	var row []placed
	last := len(s.lats) - 1
	for node := range 2 * s.size {
		sides := s.at(node)
		if len(sides) < 2 {
			continue
		}
		south, north := node, node+1 // of its leaves
		for south < s.size {
			south, north = 2*south, 2*north
		}
		lat := (s.lats[south-s.size] + s.lats[min(north-s.size, last)]) / 2
		row = row[:0]
		for _, side := range sides {
			u := &s.all[side]
			row = append(row, placed{u.low[0] + (lat-u.low[1])/(u.high[1]-u.low[1])*(u.high[0]-u.low[0]), side})
		}
		slices.SortFunc(row, func(a, b placed) int { return cmp.Compare(a.lon, b.lon) })
		for i := range row {
			sides[i] = row[i].side
		}
		slices.SortFunc(sides, func(u, o uint32) int { return s.all[u].order(&s.all[o]) })
	}
}

func (s *slabs) at(node int) []uint32 { return s.sides[s.first[node]:s.first[node+1]] }

// each calls visit with the nodes of each side.
func (s *slabs) each(visit func(node int, side uint32)) {
	for i := range s.all {
		u := &s.all[i]
		from, to := s.size+sort.SearchFloat64s(s.lats, u.low[1]), s.size+sort.SearchFloat64s(s.lats, u.high[1])
		for ; from < to; from, to = from/2, to/2 {
			if from&1 == 1 {
				visit(from, uint32(i))
				from++
			}
			if to&1 == 1 {
				to--
				visit(to, uint32(i))
			}
		}
	}
}

// locate tells where a position lies.
func (s *slabs) locate(x, y float64) place {
	i, at := slices.BinarySearch(s.lats, y)
	p := orb.Point{x, y}
	if at {
		if s.onLevel(p) {
			return border
		}
		// Sides that end here are in the slab below.
		if i > 0 {
			if _, on := s.west(i-1, p); on {
				return border
			}
		}
	} else {
		i--
	}
	if i < 0 || i >= len(s.lats)-1 {
		return outside
	}
	switch n, on := s.west(i, p); {
	case on:
		return border
	case n&1 == 1:
		return inside
	}
	return outside
}

// west counts the sides of a slab that are west of a position in it, and tells whether one goes
// through it.
func (s *slabs) west(slab int, p orb.Point) (n int, on bool) {
	for node := s.size + slab; node > 0; node /= 2 {
		sides := s.at(node)
		k := sort.Search(len(sides), func(i int) bool { return s.all[sides[i]].turn(p) >= 0 })
		if k < len(sides) && s.all[sides[k]].turn(p) == 0 {
			return 0, true
		}
		n += k
	}
	return n, false
}

// onLevel tells whether a side along the parallel of a position goes through it.
func (s *slabs) onLevel(p orb.Point) bool {
	k := sort.Search(len(s.level), func(i int) bool {
		a := s.level[i].a
		return a[1] > p[1] || a[1] == p[1] && a[0] > p[0]
	})
	return k > 0 && s.level[k-1].a[1] == p[1] && s.level[k-1].b[0] >= p[0]
}
