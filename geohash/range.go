package geohash

import (
	"cmp"
	"slices"

	"nearby/index"
	"nearby/internal/bucket"
	"nearby/internal/budget"
	"nearby/internal/cover"
	"nearby/internal/zorder"
)

// scan is one call of Range: a walk through the directory in the order of keys.
type scan struct {
	query  *index.RangeQuery
	items  index.Items
	bits   int
	dst    []index.Ref
	from   int // length of dst before
	meter  budget.Budget
	cut    bool             // the budget ended it
	at     index.RangeAfter // where, if so
	sorted []keyed
}

// keyed is a point of a small cell that is being put in order.
type keyed struct {
	key uint64
	ref index.Ref
}

// Range implements index.Index.
func (g *grid) Range(dst []index.Ref, q *index.RangeQuery, items index.Items) ([]index.Ref, index.Proof, error) {
	if err := q.Validate(); err != nil {
		return dst, index.Proof{}, err
	}
	s := g.scans.Get().(*scan)
	*s = scan{query: q, items: items, bits: g.bits, dst: dst, from: len(dst), meter: budget.New(q.Budget), sorted: s.sorted[:0]}
	if g.root.points > 0 && q.Limit > 0 {
		s.branch(&g.root, cover.Part)
	}
	dst = s.dst
	proof := index.Proof{Exact: !s.cut, Entered: s.meter.Entered, Compared: s.meter.Compared, Reached: s.at}
	*s = scan{sorted: s.sorted[:0]}
	g.scans.Put(s)
	return dst, proof, nil
}

// full reports whether the answer has all that was asked for.
func (s *scan) full() bool { return len(s.dst)-s.from >= s.query.Limit }

// enter counts a part of the directory that begins at key, unless the budget
// forbids it.
func (s *scan) enter(key uint64, points int) bool {
	if !s.meter.Enter(points) {
		s.cut, s.at = true, s.query.Reached(key)
	}
	return !s.cut
}

func (s *scan) trace(kind index.StepKind, key uint64, n, points int) {
	if t := s.query.Trace; t != nil {
		t.Add(cellStep(kind, key, n, points, 0))
	}
}

// passed reports whether the whole cell comes before After.
func (s *scan) passed(key uint64, n int) bool {
	return s.query.After != nil && lastKey(key, n) < s.query.After.ZKey
}

// cover tells how much of a cell is in the query's bound, where parent tells it
// of a cell round it.
func (s *scan) cover(parent cover.Cover, key uint64, n int) cover.Cover {
	if parent == cover.All {
		return parent
	}
	return cover.Of(s.query, key, n)
}

// branch walks a part of the directory and reports whether to go on.
func (s *scan) branch(b *branch, c cover.Cover) bool {
	var key uint64
	var level int
	if b.node != nil {
		key, level = b.node.key, b.node.level
	} else {
		key, level = b.page.key, b.page.level
	}
	n := prefixBits(level)
	if s.passed(key, n) {
		return true
	}
	if c = s.cover(c, key, n); c == cover.None {
		return true
	}
	if !s.enter(key, 0) {
		return false
	}
	s.trace(index.StepNode, key, n, 0)
	if b.node != nil {
		for i := range b.node.branches {
			if !s.branch(&b.node.branches[i], c) {
				return false
			}
		}
		return true
	}
	for i := range b.page.cells {
		key := b.page.keys[i]
		if s.passed(key, s.bits) {
			continue
		}
		if in := s.cover(c, key, s.bits); in != cover.None && !s.cell(b.page, i, in) {
			return false
		}
	}
	return true
}

// cell appends the points of a cell and reports whether to go on.
func (s *scan) cell(p *page, i int, in cover.Cover) bool {
	key, c := p.keys[i], &p.cells[i]
	if !c.small() {
		return s.bigCell(p.big[c.at], key, in)
	}
	if !s.enter(key, int(c.n)) {
		return false
	}
	s.trace(index.StepCell, key, s.bits, int(c.n))
	s.sorted = s.sorted[:0]
	run := c.run()
	for i := range run.Len() {
		ref := run.Ref(i)
		lon, lat := s.items.Position(ref)
		if in == cover.All || cover.Contains(s.query, lon, lat) {
			s.sorted = append(s.sorted, keyed{zorder.Key(lon, lat), ref})
		}
	}
	slices.SortFunc(s.sorted, func(a, b keyed) int {
		if a.key != b.key {
			return cmp.Compare(a.key, b.key)
		}
		return s.items.CompareIDs(a.ref, b.ref)
	})
	for _, k := range s.sorted {
		if s.before(k.key, k.ref) || s.query.Filter != nil && !s.query.Filter(k.ref) {
			continue
		}
		if s.dst = append(s.dst, k.ref); s.full() {
			return false
		}
	}
	return true
}

// before reports whether a point comes no later than After.
func (s *scan) before(key uint64, ref index.Ref) bool {
	a := s.query.After
	return a != nil && (key < a.ZKey || key == a.ZKey && s.items.CompareID(ref, a.ID) <= 0)
}

// bigCell appends the points of a big cell, which are in order.
func (s *scan) bigCell(b *bucket.Bucket, cell uint64, in cover.Cover) bool {
	if !s.enter(cell, 0) {
		return false
	}
	before, reached := s.meter.Compared, s.query.Reached(cell)
	goOn := b.Walk(func(key uint64, ref index.Ref) bool { return !s.before(key, ref) }, func(key uint64, ref index.Ref) bool {
		if !s.meter.Compare(1) {
			s.cut, s.at = true, reached
			return false
		}
		if s.query.Budget > 0 {
			reached = index.RangeAfter{ZKey: key, ID: s.items.ID(ref)}
		}
		if in != cover.All && !cover.Item(s.query, s.items, ref) || s.query.Filter != nil && !s.query.Filter(ref) {
			return true
		}
		s.dst = append(s.dst, ref)
		return !s.full()
	})
	s.trace(index.StepCell, cell, s.bits, s.meter.Compared-before)
	return goOn
}
