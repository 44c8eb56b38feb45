package geohash

import (
	"cmp"
	"slices"

	"nearby/index"
)

// scan is one call of Range: a walk through the directory in the order of keys.
type scan struct {
	query  *index.RangeQuery
	items  index.Items
	bits   int
	dst    []index.Ref
	from   int // length of dst before
	spent  int
	points int
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
	*s = scan{query: q, items: items, bits: g.bits, dst: dst, from: len(dst), sorted: s.sorted[:0]}
	if g.root.points > 0 && q.Limit > 0 {
		s.branch(&g.root, index.CoverPart)
	}
	dst = s.dst
	proof := index.Proof{Exact: !s.cut, Entered: s.spent, Compared: s.points, Reached: s.at}
	*s = scan{sorted: s.sorted[:0]}
	g.scans.Put(s)
	return dst, proof, nil
}

// full reports whether the answer has all that was asked for.
func (s *scan) full() bool { return len(s.dst)-s.from >= s.query.Limit }

// enter counts a part of the directory that begins at key, unless the budget
// forbids it.
func (s *scan) enter(key uint64, points int) bool {
	if s.query.Budget > 0 && s.spent+s.points+1+points > s.query.Budget {
		s.cut, s.at = true, s.query.Reached(key)
		return false
	}
	s.spent++
	s.points += points
	return true
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
func (s *scan) cover(parent index.Cover, key uint64, n int) index.Cover {
	if parent == index.CoverAll {
		return parent
	}
	return s.query.Cover(key, n)
}

// branch walks a part of the directory and reports whether to go on.
func (s *scan) branch(b *branch, c index.Cover) bool {
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
	if c = s.cover(c, key, n); c == index.CoverNone {
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
		cl := &b.page.cells[i]
		if s.passed(cl.key, s.bits) {
			continue
		}
		if in := s.cover(c, cl.key, s.bits); in != index.CoverNone && !s.cell(b.page, cl, in) {
			return false
		}
	}
	return true
}

// cell appends the points of a cell and reports whether to go on.
func (s *scan) cell(p *page, c *cell, in index.Cover) bool {
	if !c.small() {
		return s.bigCell(p.big[c.at], c, in)
	}
	if !s.enter(c.key, int(c.n)) {
		return false
	}
	s.trace(index.StepCell, c.key, s.bits, int(c.n))
	s.sorted = s.sorted[:0]
	for _, ref := range p.refs[c.at : c.at+c.n] {
		lon, lat := s.items.Position(ref)
		if in == index.CoverAll || s.query.Contains(lon, lat) {
			s.sorted = append(s.sorted, keyed{index.ZKey(lon, lat), ref})
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
func (s *scan) bigCell(b *bigCell, c *cell, in index.Cover) bool {
	if !s.enter(c.key, 0) {
		return false
	}
	points := s.points
	goOn := s.chunks(b, c.key, in)
	s.trace(index.StepCell, c.key, s.bits, s.points-points)
	return goOn
}

func (s *scan) chunks(b *bigCell, key uint64, in index.Cover) bool {
	var last *index.Ref // looked at
	from, row := 0, 0
	if s.query.After != nil {
		from, row = b.seek(func(r *rows, i int) bool { return !s.before(r.keys[i], r.refs[i]) })
	}
	for ; from < len(b.chunks); from, row = from+1, 0 {
		r := b.chunks[from].rows
		for ; row < len(r.refs); row++ {
			if s.query.Budget > 0 && s.spent+s.points >= s.query.Budget {
				s.cut, s.at = true, s.query.Reached(key)
				if last != nil {
					s.at = index.RangeAfter{ZKey: index.ZKey(s.items.Position(*last)), ID: s.items.ID(*last)}
				}
				return false
			}
			s.points++
			ref := r.refs[row]
			last = &r.refs[row]
			if in != index.CoverAll {
				if lon, lat := s.items.Position(ref); !s.query.Contains(lon, lat) {
					continue
				}
			}
			if s.query.Filter != nil && !s.query.Filter(ref) {
				continue
			}
			if s.dst = append(s.dst, ref); s.full() {
				return false
			}
		}
	}
	return true
}
