package table

import (
	"math/bits"

	"nearby/index"
)

// matching is the set of the items that a query and a filter keep: a bit for each ref. What has to
// be known of many items is read quickest in the order of their refs, in which columns lie.
type matching struct {
	sets []chunkSet // by the upper bits of the refs
	n    int        // items
}

// reset makes it the empty set of refs that lie in so many chunks.
func (m *matching) reset(chunks int) {
	if cap(m.sets) < chunks {
		m.sets = make([]chunkSet, chunks)
	}
	m.sets, m.n = m.sets[:chunks], 0
	clear(m.sets)
}

func (m *matching) add(ref index.Ref) { m.sets[ref>>chunkBits].add(uint32(ref)) }

// has reports whether an item is in the set; nil: all are.
func (m *matching) has(ref uint32) bool {
	if m == nil {
		return true
	}
	at := int(ref >> chunkBits)
	return at < len(m.sets) && m.sets[at].has(ref)
}

// of returns how many items of a posting are in the set, and one of them if there is one; nil: all are.
func (m *matching) of(p *posting) (n int, one uint32) {
	switch {
	case p.len() == 0:
		return 0, 0
	case m == nil:
		return p.n, p.first()
	}
	for _, ref := range p.few {
		if m.has(ref) {
			n, one = n+1, ref
		}
	}
	for at := range p.chunks[:min(len(p.chunks), len(m.sets))] {
		c, set, upper := &p.chunks[at], &m.sets[at], uint32(at)<<chunkBits
		for _, low := range c.low {
			if set.has(uint32(low)) {
				n, one = n+1, upper|uint32(low)
			}
		}
		if c.set == nil {
			continue
		}
		for i, word := range c.set {
			if word &= set[i]; word != 0 {
				n += bits.OnesCount64(word)
				one = upper | uint32(i*64+bits.TrailingZeros64(word))
			}
		}
	}
	return n, one
}

// match finds the items that a query and the filter keep, if there is one. When the proof is not
// Exact, some are missing.
//
// What lies in an area and between distances comes from the index. What the filter keeps of that is
// found chunk by chunk, so that postings need not be asked about each item. Where few items match
// the filter, they are listed, as for count.
func (p *plan) match(q *index.Query) (spent index.Proof, err error) {
	if err := q.Validate(); err != nil {
		return index.Proof{}, err
	}
	m, left, add := &p.matching, unlimited(q.Budget), p.matching.add
	m.reset(p.snapshot.records.chunks64k())
	p.query = *q
	p.query.Filter, p.query.Skip = nil, nil
	if p.root != nil {
		most, _ := p.root.most()
		est := p.estimate()
		planned(q.Trace, index.WaySet, -1)
		switch {
		case most == 0:
			planned(q.Trace, index.WayNone, 0)
			return index.Proof{Exact: true}, nil
		case everywhere(q) && most > left && p.snapshot.Len() > left: // every way looks at more
			return index.Proof{}, nil
		case everywhere(q) && est.listable && est.matches <= float64(left) && p.collect() && len(p.refs) <= left:
			for _, ref := range p.refs {
				m.add(index.Ref(ref))
			}
			m.n = len(p.refs)
			planned(q.Trace, index.WayList, m.n)
			return index.Proof{Exact: true, Compared: m.n}, nil
		case everywhere(q) && most < p.snapshot.Len() && most <= left: // of the refs that no item has, none is in a posting
			for at := range m.sets[:min(len(m.sets), p.chunks)] {
				m.sets[at].fill()
			}
			p.narrow(m)
			return index.Proof{Exact: true, Compared: most}, nil
		case !everywhere(q) && est.listable:
			p.query.Budget = min(left, max(1, est.list))
			if spent, err = p.snapshot.index.Each(&p.query, add, &p.snapshot.records); err != nil || spent.Exact {
				p.narrow(m)
				return spent, err
			}
			m.reset(len(m.sets))
			if left -= spent.Entered + spent.Compared; est.matches <= float64(left) && p.collect() && len(p.refs) <= left {
				var n [1]int
				p.queries = append(p.queries[:0], *q)
				p.listCounts(n[:], p.queries, add)
				m.n = n[0]
				planned(q.Trace, index.WayList, len(p.refs))
				spent.Exact, spent.Compared = true, spent.Compared+len(p.refs)
				return spent, nil
			}
		}
	}
	p.query.Budget = q.Budget
	spent, err = p.snapshot.index.Each(&p.query, add, &p.snapshot.records)
	p.narrow(m)
	return spent, err
}

// narrow takes what the filter does not keep out of a set, and counts what is left.
func (p *plan) narrow(m *matching) {
	m.n = 0
	for at := range m.sets {
		set := &m.sets[at]
		n := set.len()
		if p.root != nil && n > 0 {
			p.root.narrow(set, at)
			n = set.len()
		}
		m.n += n
	}
}

// planned notes in a trace, if there is one, how a count was answered, and how many items match the
// filter; -1: that is not known.
func planned(t *index.Trace, way index.Way, matches int) {
	if t != nil {
		t.Plan = index.Plan{Way: way, Matches: matches}
	}
}
