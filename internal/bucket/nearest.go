package bucket

import (
	"sort"

	"nearby/area"
	"nearby/index"
	"nearby/internal/budget"
	"nearby/internal/topk"
	"nearby/sphere"
)

// Search is one Nearest query that comes to a bucket.
type Search struct {
	Top    *topk.TopK
	Budget *budget.Budget
	Query  *index.Query
	Items  index.Items
	Centre sphere.Vec
	In     area.Cover // how much of the bucket's cell lies in the query's area
}

// Nearest scans what may matter of the bucket: the nearest chunk first, so that
// its hits rule out most of the others, which follow in their order. It reports
// false if the budget does not last.
func (b *Bucket) Nearest(s *Search) bool {
	if b.same {
		return b.nearestSame(s)
	}
	first, least := 0, b.chunks[0].box.Chord2(s.Centre)
	for i, c := range b.chunks[1:] {
		if c2 := c.box.Chord2(s.Centre); c2 < least {
			first, least = i+1, c2
		}
	}
	var near, at place
	if !b.chunks[first].nearest(s, &near) {
		return false
	}
	for i, c := range b.chunks {
		if i != first && !c.nearest(s, &at) {
			return false
		}
	}
	return true
}

// Count counts the points that match, in the query's area as in says. It reports false if the budget
// does not last.
func (b *Bucket) Count(c *topk.Counter, in area.Cover) bool {
	for _, ch := range b.chunks {
		switch c.Box(&ch.box, in) {
		case area.All:
			c.N += ch.len()
		case area.Part:
			if !c.Scan(ch.run, 0, ch.len(), in) {
				return false
			}
		}
	}
	return true
}

// nearestSame is Nearest of a bucket whose points are all at one place.
func (b *Bucket) nearestSame(s *Search) bool {
	from := 0
	if s.Query.After != nil {
		from = s.skip(len(b.chunks), b.chunks[0].run.Vec(0), func(i int) index.Ref {
			c := b.chunks[i]
			return c.run.Ref(c.len() - 1)
		})
	}
	var at place
	for _, c := range b.chunks[from:] {
		if at.taken >= s.Query.K {
			break
		}
		if !c.nearest(s, &at) {
			return false
		}
	}
	return true
}

// place is a position whose points a search is going through, in order of their
// ids: after k of them the others cannot be in the answer.
type place struct {
	begin *chunk // its first chunk
	taken int    // points that the query may want so far
}

// nearest scans what may matter of a chunk.
func (c *chunk) nearest(s *Search, at *place) bool {
	if c.box.Chord2(s.Centre) > s.Top.Limit || s.Top.Passed(&c.box) {
		return true
	}
	if !c.same {
		if !s.Budget.Compare(c.len()) {
			return false
		}
		s.Top.Scan(c.run, 0, c.len(), s.In)
		return true
	}
	if at.begin == nil || !c.continues(at.begin) {
		*at = place{begin: c}
	}
	from := 0
	if s.Query.After != nil {
		from = s.skip(c.len(), c.run.Vec(0), c.run.Ref)
	}
	if s.Query.Filter == nil && s.In == area.All {
		to := min(c.len(), from+max(0, s.Query.K-at.taken))
		if !s.Budget.Compare(max(0, to-from)) {
			return false
		}
		s.Top.Scan(c.run, from, to, s.In)
		at.taken += to - from
		return true
	}
	for i := from; i < c.len() && at.taken < s.Query.K; i++ {
		if !s.Budget.Compare(1) {
			return false
		}
		if s.Top.Matches(c.run.Ref(i), s.In) {
			s.Top.Scan(c.run, i, i+1, s.In)
			at.taken++
		}
	}
	return true
}

// skip returns the first of n points at v, given by their refs in order of id,
// that is not before the query's After.
func (s *Search) skip(n int, v sphere.Vec, ref func(int) index.Ref) int {
	after := s.Query.After
	switch d := sphere.Distance(s.Centre, v); {
	case d < after.Distance:
		return n
	case d > after.Distance:
		return 0
	}
	return sort.Search(n, func(i int) bool { return s.Items.CompareID(ref(i), after.ID) > 0 })
}
