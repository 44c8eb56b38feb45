// Package sweep is the walk of a Range: it decides which items are in the answer, keeps them
// in the order of (ZKey, id), and ends when the answer is full or the budget is spent. An
// index goes through its cells in the order of their keys and gives each to a Sweep.
package sweep

import (
	"cmp"
	"slices"

	"nearby/area"
	"nearby/index"
	"nearby/internal/bucket"
	"nearby/internal/budget"
	"nearby/internal/cover"
	"nearby/internal/runs"
	"nearby/internal/zorder"
)

// Sweep is one Range under way. The zero Sweep is ready for Reset; its memory is kept from
// query to query.
type Sweep struct {
	query  *index.RangeQuery
	items  index.Items
	cells  cover.Cells
	step   func(kind index.StepKind, key uint64, n, points int) index.Step
	dst    []index.Ref
	from   int // length of dst before
	budget budget.Budget
	cut    bool             // the budget ended it
	at     index.RangeAfter // where, if so
	sorted []keyed
}

// keyed is a point of a run that is being put in order.
type keyed struct {
	key uint64
	ref index.Ref
}

// Reset prepares for a query, which must be valid. step describes, for a trace, what was
// done in the cell of the first n bits of key.
func (s *Sweep) Reset(dst []index.Ref, q *index.RangeQuery, items index.Items, step func(kind index.StepKind, key uint64, n, points int) index.Step) {
	*s = Sweep{query: q, items: items, cells: cover.Cells{Area: q.Area, Skip: q.Skip}, step: step, dst: dst, from: len(dst), budget: budget.New(q.Budget), sorted: s.sorted[:0]}
}

// Result returns the answer and its proof, and drops what the query lent.
func (s *Sweep) Result() ([]index.Ref, index.Proof) {
	// A full answer ends the walk before the budget does.
	proof := index.Proof{Exact: !s.cut, Entered: s.budget.Entered, Compared: s.budget.Compared, Reached: s.at}
	dst := s.dst
	*s = Sweep{sorted: s.sorted[:0]}
	return dst, proof
}

// full reports whether the answer has all that was asked for.
func (s *Sweep) full() bool { return len(s.dst)-s.from >= s.query.Limit }

// Cover tells how much of the cell of the first n bits of key is in the area, where parent
// tells it of a cell round it. None also says that the whole cell comes before the query's
// After, or that nothing in it passes the filter.
func (s *Sweep) Cover(parent area.Cover, key uint64, n int) area.Cover {
	if a := s.query.After; a != nil && zorder.Last(key, n) < a.ZKey {
		return area.None
	}
	return s.cells.Cover(parent, key, n)
}

// Enter counts an inner node whose cell is that of the first n bits of key. It reports false
// if the budget does not last.
func (s *Sweep) Enter(key uint64, n int) bool {
	if !s.enter(key, 0) {
		return false
	}
	s.trace(index.StepNode, key, n, 0)
	return true
}

func (s *Sweep) enter(key uint64, points int) bool {
	if !s.budget.Enter(points) {
		s.cut, s.at = true, s.query.Reached(key)
	}
	return !s.cut
}

func (s *Sweep) trace(kind index.StepKind, key uint64, n, points int) {
	if t := s.query.Trace; t != nil {
		t.Add(s.step(kind, key, n, points))
	}
}

// Run takes the points lo to hi-1 of a run, which are those of the cell of the first n bits of
// key, in the area as in says. It reports whether to go on.
func (s *Sweep) Run(kind index.StepKind, run runs.Run, lo, hi int, key uint64, n int, in area.Cover) bool {
	if !s.enter(key, hi-lo) {
		return false
	}
	s.trace(kind, key, n, hi-lo)
	sorted := s.sorted[:0]
	for i := lo; i < hi; i++ {
		ref := run.Ref(i)
		lon, lat := s.items.Position(ref)
		if in == area.All || s.query.Area.Contains(lon, lat) {
			sorted = append(sorted, keyed{zorder.Key(lon, lat), ref})
		}
	}
	s.sorted = sorted
	slices.SortFunc(sorted, func(a, b keyed) int {
		if a.key != b.key {
			return cmp.Compare(a.key, b.key)
		}
		return s.items.CompareIDs(a.ref, b.ref)
	})
	for _, k := range sorted {
		if s.follows(k.key, k.ref) && !s.take(k.ref) {
			return false
		}
	}
	return true
}

// Bucket takes the points of a bucket, which are in order, as Run takes those of a run.
func (s *Sweep) Bucket(kind index.StepKind, b *bucket.Bucket, key uint64, n int, in area.Cover) bool {
	if !s.enter(key, 0) {
		return false
	}
	before, reached := s.budget.Compared, s.query.Reached(key)
	goOn := b.Walk(s.follows, func(key uint64, ref index.Ref) bool {
		if !s.budget.Compare(1) {
			s.cut, s.at = true, reached
			return false
		}
		if s.query.Budget > 0 {
			reached = index.RangeAfter{ZKey: key, ID: s.items.ID(ref)}
		}
		return !s.cells.Holds(in, s.items, ref) || s.take(ref)
	})
	s.trace(kind, key, n, s.budget.Compared-before)
	return goOn
}

// follows reports whether a point comes after the query's After.
func (s *Sweep) follows(key uint64, ref index.Ref) bool {
	a := s.query.After
	return a == nil || key > a.ZKey || key == a.ZKey && s.items.CompareID(ref, a.ID) > 0
}

// take adds a point of the area to the answer if it passes the filter. It reports whether to
// go on.
func (s *Sweep) take(ref index.Ref) bool {
	if s.query.Filter == nil || s.query.Filter(ref) {
		s.dst = append(s.dst, ref)
	}
	return !s.full()
}
