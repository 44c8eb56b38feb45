package topk

import (
	"math"
	"math/bits"

	"nearby/area"
	"nearby/index"
	"nearby/internal/budget"
	"nearby/internal/cover"
	"nearby/internal/runs"
	"nearby/sphere"
)

// Counter counts the points that a query matches: the one place that decides which do, shared by
// all indexes, as TopK is for the points themselves. An index goes through its parts in any order
// and asks for each whether it has to be looked into.
type Counter struct {
	// N counts the matches found so far.
	N int

	budget      budget.Budget
	visit       func(index.Ref) // of each match; nil: they are only counted
	centre      sphere.Vec
	items       index.Items
	filter      func(index.Ref) bool
	cells       cover.Cells
	minDistance float64
	maxDistance float64
	// Squared chords below least and above limit are no matches. Up to beyond and from doubtful
	// on they need their distance compared.
	least, beyond, doubtful, limit float64
}

// NewCounter prepares for a query, which must be valid. visit, when not nil, is called with each
// point that is counted.
func NewCounter(q *index.Query, visit func(index.Ref), items index.Items) Counter {
	c := Counter{
		visit: visit, budget: budget.New(q.Budget), centre: sphere.FromDegrees(q.Lon, q.Lat), items: items,
		filter: q.Filter, cells: cover.Cells{Area: q.Area, Skip: q.Skip}, minDistance: q.MinDistance, maxDistance: q.MaxDistance,
	}
	c.limit, c.doubtful = limits(q.MaxDistance)
	c.least, c.beyond = from(q.MinDistance)
	return c
}

// Box tells how many of the points in a box match, in the query's area as in says. It tells of all
// only if nothing has to be asked or said of each of them.
func (c *Counter) Box(b *sphere.Box, in area.Cover) area.Cover {
	near := b.Chord2(c.centre)
	if near > c.limit {
		return area.None
	}
	far := b.FarChord2(c.centre)
	switch {
	case far < c.least:
		return area.None
	case c.filter == nil && c.visit == nil && far < c.doubtful && near > c.beyond:
		return in
	}
	return min(in, area.Part)
}

// Cell tells how many of the points match that lie in a box, and in the cell of the first n bits of
// key, and how much of the cell lies in the query's area, where parent tells it of a cell round it.
func (c *Counter) Cell(b *sphere.Box, parent area.Cover, key uint64, n int) (matches, in area.Cover) {
	if matches = c.Box(b, area.All); matches == area.None {
		return area.None, area.None
	}
	in = c.cells.Cover(parent, key, n)
	return min(matches, in), in
}

// Enter counts a cell or node that has to be looked into. It reports false if the
// budget does not last.
func (c *Counter) Enter() bool { return c.budget.Enter(0) }

// Scan counts the points lo to hi-1 of a run that match, in the query's area as in says. It reports
// false, and counts none, if the budget does not last.
func (c *Counter) Scan(r runs.Run, lo, hi int, in area.Cover) bool {
	if !c.budget.Compare(hi - lo) {
		return false
	}
	if c.beyond < 0 && math.IsInf(c.doubtful, 1) { // all distances will do
		for i := lo; i < hi; i++ {
			c.take(r.Ref(i), in)
		}
		return true
	}
	var chords [runs.ScanMost]float64
	for ; lo < hi; lo += runs.ScanMost {
		near := r.Scan(lo, min(hi, lo+runs.ScanMost), &c.centre, c.limit, &chords)
		for ; near != 0; near &= near - 1 {
			i := bits.TrailingZeros64(near)
			if chords[i] >= c.doubtful && c.distance(r, lo+i, chords[i]) > c.maxDistance {
				continue
			}
			if chords[i] <= c.beyond && (chords[i] < c.least || c.distance(r, lo+i, chords[i]) < c.minDistance) {
				continue
			}
			c.take(r.Ref(lo+i), in)
		}
	}
	return true
}

// take counts a point at a distance that will do, if its item is in the query's area and passes its
// filter.
func (c *Counter) take(ref index.Ref, in area.Cover) {
	if c.cells.Holds(in, c.items, ref) && (c.filter == nil || c.filter(ref)) {
		if c.N++; c.visit != nil {
			c.visit(ref)
		}
	}
}

// distance returns the distance as reported of point i, whose squared chord is given.
func (c *Counter) distance(r runs.Run, i int, chord2 float64) float64 {
	if chord2 > 2 {
		return sphere.Distance(c.centre, r.Vec(i))
	}
	return sphere.NearDistance(chord2)
}

// Proof returns the proof of a count that came to its end, or did not.
func (c *Counter) Proof(done bool) index.Proof {
	return index.Proof{Exact: done, Entered: c.budget.Entered, Compared: c.budget.Compared}
}
