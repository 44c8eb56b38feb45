package topk

import (
	"math/bits"

	"nearby/index"
	"nearby/internal/budget"
	"nearby/internal/cover"
	"nearby/internal/runs"
	"nearby/sphere"
)

// Counter counts the points that a query matches within its MaxDistance: the one
// place that decides which do, shared by all indexes, as TopK is for the points
// themselves. An index goes through its parts in any order and asks for each
// whether it has to be looked into.
type Counter struct {
	// N counts the matches found so far.
	N int

	budget      budget.Budget
	centre      sphere.Vec
	filter      func(index.Ref) bool
	maxDistance float64
	limit       float64 // the squared chord above which no point matches
	doubtful    float64 // squared chords from here on need their distance compared
}

// NewCounter prepares for a query, which must be valid.
func NewCounter(q *index.Query) Counter {
	c := Counter{
		budget: budget.New(q.Budget), centre: sphere.FromDegrees(q.Lon, q.Lat),
		filter: q.Filter, maxDistance: q.MaxDistance,
	}
	c.limit, c.doubtful = within(q.MaxDistance)
	return c
}

// Cover tells how many of the points in a box match.
func (c *Counter) Cover(b *sphere.Box) cover.Cover {
	switch {
	case b.Chord2(c.centre) > c.limit:
		return cover.None
	case c.filter == nil && b.FarChord2(c.centre) < c.doubtful:
		return cover.All
	}
	return cover.Part
}

// Enter counts a cell or node that has to be looked into. It reports false if the
// budget does not last.
func (c *Counter) Enter() bool { return c.budget.Enter(0) }

// Scan counts the points lo to hi-1 of a run that match. It reports false, and
// counts none, if the budget does not last.
func (c *Counter) Scan(r runs.Run, lo, hi int) bool {
	if !c.budget.Compare(hi - lo) {
		return false
	}
	var chords [runs.ScanMost]float64
	for ; lo < hi; lo += runs.ScanMost {
		near := r.Scan(lo, min(hi, lo+runs.ScanMost), &c.centre, c.limit, &chords)
		for ; near != 0; near &= near - 1 {
			i := bits.TrailingZeros64(near)
			if chords[i] >= c.doubtful && c.distance(r, lo+i, chords[i]) > c.maxDistance {
				continue
			}
			if c.filter == nil || c.filter(r.Ref(lo+i)) {
				c.N++
			}
		}
	}
	return true
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
