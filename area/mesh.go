package area

import (
	"cmp"
	"container/heap"
	"math"
	"slices"

	"github.com/paulmach/orb"

	"nearby/sphere"
)

// mesh finds edges: a quadtree over the plane whose leaves have few of them. A leaf knows
// which polygons its south-western corner lies in. So the edges of the leaf that lie between the
// corner and a position tell which polygons the position lies in.
//
// Where edges are dense and long, as in a comb or a star, their parts in all leaves are many
// times their number. A mesh has partsPerEdge for each edge at most, and its leaves get more
// edges then: the fullest leaf is divided first. If a leaf has more than denseEdges of a polygon,
// the slabs of that polygon take their place.
type mesh struct {
	edges   []edge
	nodes   []meshNode
	entries []entry
	cell    cell              // of the root
	slabs   map[uint32]*slabs // of polygons
}

// meshNode is an inner node, of which first is the first of four children, or a leaf, which has
// count entries from first on.
type meshNode struct{ first, count uint32 }

// Counts that are none.
const (
	inner   = math.MaxUint32
	covered = math.MaxUint32 - 1 // a leaf that lies in a polygon as a whole
)

// entry is an edge in a leaf, and in the lowest bit whether the corner of the leaf lies in the
// edge's polygon. The edges of a polygon follow each other. With the highest bit it stands for
// all edges of the polygon in the leaf, and the polygon has slabs.
type entry uint32

const dense entry = 1 << 31

func (m *mesh) edge(e entry) *edge { return &m.edges[(e&^dense)>>1] }

// cell is the rectangle of a node.
type cell struct{ west, south, east, north float64 }

const (
	leafEdges    = 12 // a leaf with more is divided, if it can be
	mostLevels   = 32 // a leaf is 9 mm wide
	partsPerEdge = 6
	denseEdges   = 64
)

// What locate finds.
type place uint8

const (
	outside place = iota
	inside
	border
)

// open is a leaf that may be divided.
type open struct {
	node    uint32
	level   int
	cell    cell
	entries []entry
}

// opens is a heap with the fullest leaf on top.
type opens []open

func (o opens) Len() int           { return len(o) }
func (o opens) Less(i, j int) bool { return len(o[i].entries) > len(o[j].entries) }
func (o opens) Swap(i, j int)      { o[i], o[j] = o[j], o[i] }
func (o *opens) Push(x any)        { *o = append(*o, x.(open)) }
func (o *opens) Pop() any {
	s := *o
	last := s[len(s)-1]
	*o = s[:len(s)-1]
	return last
}

// newMesh returns the mesh of edges, which are in order of their polygons.
func newMesh(edges []edge) *mesh {
	m := &mesh{edges: edges, nodes: make([]meshNode, 1)}
	all := make([]entry, len(edges))
	bound := orb.Bound{Min: orb.Point{180, 90}, Max: orb.Point{-180, -90}}
	for i := range edges {
		all[i] = entry(i << 1)
		bound = bound.Extend(edges[i].a)
	}
	// The corner of the root is outside.
	m.cell = cell{bound.Min[0] - 1, bound.Min[1] - 1, bound.Max[0] + 1, bound.Max[1] + 1}
	waiting := opens{{cell: m.cell, entries: all}}
	parts, most := len(edges), partsPerEdge*len(edges)
	for len(waiting) > 0 {
		o := heap.Pop(&waiting).(open)
		if len(o.entries) <= leafEdges || o.level == mostLevels || parts > most {
			first := uint32(len(m.entries))
			m.addLeaf(o.entries)
			m.nodes[o.node] = meshNode{first, uint32(len(m.entries)) - first}
			continue
		}
		first := uint32(len(m.nodes))
		m.nodes[o.node] = meshNode{first, inner}
		parts -= len(o.entries)
		for i := range 4 {
			m.nodes = append(m.nodes, meshNode{})
			c := open{node: first + uint32(i), level: o.level + 1, cell: o.cell.quarter(i)}
			if whole := m.into(&c, &o); whole {
				m.nodes[c.node].count = covered
			} else if len(c.entries) > 0 {
				parts += len(c.entries)
				heap.Push(&waiting, c)
			}
		}
	}
	return m
}

// addLeaf adds the entries of a leaf, one for each polygon of which there are too many.
func (m *mesh) addLeaf(all []entry) {
	for len(all) > 0 {
		polygon, n := m.edge(all[0]).polygon, 1
		for n < len(all) && m.edge(all[n]).polygon == polygon {
			n++
		}
		if n <= denseEdges {
			m.entries = append(m.entries, all[:n]...)
		} else {
			m.entries = append(m.entries, all[0]|dense)
			if m.slabs[polygon] == nil {
				from, _ := slices.BinarySearchFunc(m.edges, polygon, comparePolygon)
				to, _ := slices.BinarySearchFunc(m.edges, polygon+1, comparePolygon)
				if m.slabs == nil {
					m.slabs = map[uint32]*slabs{}
				}
				m.slabs[polygon] = newSlabs(m.edges[from:to])
			}
		}
		all = all[n:]
	}
}

func comparePolygon(e edge, polygon uint32) int { return cmp.Compare(e.polygon, polygon) }

// quarter returns the cell of child i: bit 0 is east, bit 1 is north.
func (c cell) quarter(i int) cell {
	lon, lat := (c.west+c.east)/2, (c.south+c.north)/2
	if i&1 == 0 {
		c.east = lon
	} else {
		c.west = lon
	}
	if i&2 == 0 {
		c.north = lat
	} else {
		c.south = lat
	}
	return c
}

// into gives a child its entries. It reports whether the child lies in a polygon as a whole.
func (m *mesh) into(child, parent *open) (whole bool) {
	c, p := child.cell, parent.cell
	all := parent.entries
	for len(all) > 0 {
		// Those of one polygon.
		polygon, in := m.edge(all[0]).polygon, all[0]&1
		begin := len(child.entries)
		for len(all) > 0 && m.edge(all[0]).polygon == polygon {
			e := m.edge(all[0])
			if e.toggles(c.west, c.south, p.west, p.south) {
				in ^= 1
			}
			if e.meets(c.west, c.south, c.east, c.north) {
				child.entries = append(child.entries, all[0]&^1)
			}
			all = all[1:]
		}
		if in == 0 {
			continue
		}
		if len(child.entries) == begin {
			return true
		}
		for i := range child.entries[begin:] {
			child.entries[begin+i] |= 1
		}
	}
	return false
}

// locate tells where a position lies.
func (m *mesh) locate(x, y float64) place {
	c := m.cell
	if !(x >= c.west && x <= c.east && y >= c.south && y <= c.north) {
		return outside
	}
	n := m.nodes[0]
	for n.count == inner {
		i := uint32(0)
		lon, lat := (c.west+c.east)/2, (c.south+c.north)/2
		if x > lon {
			i, c.west = 1, lon
		} else {
			c.east = lon
		}
		if y > lat {
			i, c.south = i+2, lat
		} else {
			c.north = lat
		}
		n = m.nodes[n.first+i]
	}
	if n.count == covered {
		return inside
	}
	is, odd, polygon := outside, entry(0), uint32(math.MaxUint32)
	for _, en := range m.entries[n.first : n.first+n.count] {
		e := m.edge(en)
		if e.polygon != polygon {
			if odd != 0 {
				is = inside
			}
			polygon, odd = e.polygon, en&1
		}
		if en&dense != 0 {
			at := m.slabs[polygon].locate(x, y)
			if at == border {
				return border
			}
			odd = entry(at) // inside is 1
			continue
		}
		if e.holds(x, y) {
			return border
		}
		if e.toggles(x, y, c.west, c.south) {
			odd ^= 1
		}
	}
	if odd != 0 {
		return inside
	}
	return is
}

// cover tells how much of a rectangle lies in the polygons. Where no edge meets the rectangle,
// one position speaks for all.
func (m *mesh) cover(r sphere.Rect) Cover {
	switch {
	case m.meets(0, m.cell, &r):
		return Part
	case m.locate(r.West, r.South) == outside:
		return None
	}
	return All
}

// meets reports whether an edge below a node meets a rectangle, or may do so.
func (m *mesh) meets(node uint32, c cell, r *sphere.Rect) bool {
	n := m.nodes[node]
	if n.count == 0 || n.count == covered || c.west > r.East || c.east < r.West || c.south > r.North || c.north < r.South {
		return false
	}
	if c.west >= r.West && c.east <= r.East && c.south >= r.South && c.north <= r.North {
		return true // it has edges, else it would not be divided
	}
	if n.count == inner {
		for i := range 4 {
			if m.meets(n.first+uint32(i), c.quarter(i), r) {
				return true
			}
		}
		return false
	}
	for _, en := range m.entries[n.first : n.first+n.count] {
		if en&dense != 0 || m.edge(en).meets(r.West, r.South, r.East, r.North) {
			return true
		}
	}
	return false
}
