package table

import (
	"cmp"
	"slices"

	"nearby/area"
	"nearby/index"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// LineQuery asks for the items along a line.
type LineQuery struct {
	Line *sphere.Line
	// Within is the greatest distance from the line, in metres.
	Within float64
	// K is the greatest number of hits.
	K int
	// After, when not nil, leaves out the items up to and including that place.
	After *LinePlace
	// Area, when not nil, keeps the items that it contains.
	Area *area.Area
	// All, when not nil, gets all items that match, also those that are not among the first K. It goes
	// without After.
	All *Set
	// Budget bounds the work, as in index.Query.
	Budget int
	// Stop is asked again and again. Once it returns true, the search fails with ErrStopped.
	Stop func() bool
}

// LineHit is an item along a line. Its Distance is that from the line.
type LineHit struct {
	index.Hit
	Along float64 // metres from the beginning of the line to its position nearest to the item
}

// LinePlace is a place in the order of the items along a line.
type LinePlace struct {
	Along, Distance float64 // metres
	ID              string
}

// Along appends the first q.K items that match and are within a distance of a line to dst: in the
// order of their places along it, of their distances from it where these are equal, and then of their
// ids. See sphere.Line.Nearest for which place of a line is that of an item.
//
// matched is how many items match in all, those up to q.After included, or -1 if there is a q.After:
// they were not all looked at. When the proof is not Exact, nothing is appended, and matched is -1. The
// proof has no radius.
//
// The index is asked for all items, and told which of its cells are too far away. So the search costs
// as much as there are cells and items near the line, whatever its direction.
func (s *Snapshot) Along(dst []LineHit, q *LineQuery, filter *Filter) (hits []LineHit, matched int, proof index.Proof, err error) {
	o := &liner{snapshot: s, query: q}
	all := index.Query{MaxDistance: index.Everywhere, Area: q.Area, Budget: q.Budget, Filter: o.near, Skip: o.far}
	proof, err = s.each(&all, filter, o.offer)
	switch {
	case o.stopped:
		return dst, -1, proof, ErrStopped
	case err != nil || !proof.Exact:
		return dst, -1, proof, err
	}
	if matched = o.n; q.After != nil {
		matched = -1
	}
	o.prune()
	return append(dst, o.kept...), matched, proof, nil
}

// liner finds the first items along a line in one pass. It keeps about twice as many as it is asked for.
type liner struct {
	snapshot *Snapshot
	query    *LineQuery
	hit      LineHit // of the item that was asked for last, and is near
	n        int     // items that were offered
	asked    int
	stopped  bool
	kept     []LineHit
	full     bool // the first K of kept are in order, and nothing behind the last of them is wanted
}

// stop reports whether the search is to end.
func (o *liner) stop() bool {
	if o.asked++; o.asked%1024 == 0 && !o.stopped && o.query.Stop != nil {
		o.stopped = o.query.Stop()
	}
	return o.stopped
}

// from returns how far along the line the items are that are asked for.
func (o *liner) from() float64 {
	if o.query.After == nil {
		return 0
	}
	return o.query.After.Along
}

// far reports whether a cell has no item that near can be true for.
func (o *liner) far(key uint64, n int) bool {
	centre, radius := zorder.Around(key, n).Cap()
	return o.stop() || !o.query.Line.Within(centre, o.query.Within+radius, o.from())
}

// near reports whether an item is near the line, and not before the page.
func (o *liner) near(ref index.Ref) bool {
	if o.stop() {
		return false
	}
	h := LineHit{Hit: index.Hit{Ref: ref}}
	var ok bool
	h.Along, h.Distance, ok = o.query.Line.Nearest(sphere.FromDegrees(o.snapshot.records.Position(ref)), o.query.Within)
	if !ok {
		return false
	}
	if a := o.query.After; a != nil {
		c := cmp.Or(cmp.Compare(h.Along, a.Along), cmp.Compare(h.Distance, a.Distance))
		if c < 0 || c == 0 && o.snapshot.records.CompareID(ref, a.ID) <= 0 {
			return false
		}
	}
	o.hit = h
	return true
}

// offer takes an item that is near, if it may be among the first.
func (o *liner) offer(ref index.Ref) {
	if o.hit.Ref != ref { // most are offered as soon as they were found to be near
		o.near(ref)
	}
	if o.n++; o.query.All != nil {
		o.query.All.Add(ref)
	}
	k := o.query.K
	if o.full && o.compare(o.hit, o.kept[k-1]) > 0 {
		return
	}
	const spare = 32
	if o.kept = append(o.kept, o.hit); len(o.kept) >= k+max(k, spare) {
		o.prune()
	}
}

// prune keeps the first K, in order.
func (o *liner) prune() {
	slices.SortFunc(o.kept, o.compare)
	k := o.query.K
	o.kept = o.kept[:min(len(o.kept), k)]
	o.full = k > 0 && len(o.kept) == k
}

func (o *liner) compare(a, b LineHit) int {
	if c := cmp.Or(cmp.Compare(a.Along, b.Along), cmp.Compare(a.Distance, b.Distance)); c != 0 {
		return c
	}
	return o.snapshot.records.CompareIDs(a.Ref, b.Ref)
}
