package geohash

import (
	"nearby/index"
	"nearby/sphere"
)

// enterBig scans a big cell: the nearest chunk first, so that its hits rule out
// most others, which follow in their order.
func (s *search) enterBig(f found, c *cell) bool {
	if !s.affords(0) {
		return false
	}
	s.queue.pop()
	before := s.points
	s.spent++
	ok := s.scanBig(f.page.big[c.at])
	if t := s.query.Trace; t != nil {
		t.Add(cellStep(index.StepCell, c.key, s.bits, s.points-before, f.chord2))
	}
	if !ok {
		s.queue.push(f) // what was not compared is still unseen
	}
	return ok
}

func (s *search) scanBig(b *bigCell) bool {
	first := -1
	if !b.one {
		least := s.top.Limit
		for i := range b.chunks {
			if c2 := b.chunks[i].box.Chord2(s.origin.vec); c2 <= least && (first < 0 || c2 < least) {
				first, least = i, c2
			}
		}
		if first < 0 {
			return true
		}
		var r run
		if !s.scanChunk(&b.chunks[first], &r) {
			return false
		}
	}
	var r run
	i := 0
	if b.one {
		i = s.skipTo(b)
	}
	for ; i < len(b.chunks); i++ {
		if i == first {
			continue
		}
		if b.one && r.matches >= s.query.K {
			break
		}
		ch := &b.chunks[i]
		if ch.box.Chord2(s.origin.vec) > s.top.Limit {
			continue
		}
		if !s.scanChunk(ch, &r) {
			return false
		}
	}
	return true
}

// run is a run of chunks whose points are all at one place, where ids alone
// decide. They come in the order of ids, so after k of them that match none
// can be in the answer.
type run struct {
	at      sphere.Vec
	matches int
}

// matches reports whether a point at a distance is one that the query asks for,
// its MaxDistance aside.
func (s *search) matches(ref index.Ref, distance float64) bool {
	if a := s.query.After; a != nil {
		if distance < a.Distance || distance == a.Distance && s.items.CompareID(ref, a.ID) <= 0 {
			return false
		}
	}
	return s.query.Filter == nil || s.query.Filter(ref)
}

// skipTo returns the first chunk that is not before the query's After as a whole,
// in a cell whose points are all at one place.
func (s *search) skipTo(b *bigCell) int {
	a := s.query.After
	if a == nil {
		return 0
	}
	d := sphere.Distance(s.origin.vec, b.chunks[0].rows.vecs[0])
	if d < a.Distance {
		return len(b.chunks)
	}
	if d > a.Distance {
		return 0
	}
	c, _ := b.seek(func(r *rows, i int) bool { return s.items.CompareID(r.refs[i], a.ID) > 0 })
	return c
}

// scanChunk offers a chunk's points. It reports false if the budget does not
// allow it.
func (s *search) scanChunk(ch *chunk, r *run) bool {
	rows := ch.rows
	if !ch.one {
		if s.query.Budget > 0 && s.spent+s.points+len(rows.vecs) > s.query.Budget {
			return false
		}
		s.points += len(rows.vecs)
		s.compare(rows.vecs, rows.refs)
		return true
	}
	if v := rows.vecs[0]; r.matches == 0 || v != r.at {
		*r = run{at: v}
	}
	c2 := sphere.Chord2(s.origin.vec, r.at)
	if c2 > s.top.Limit {
		return true
	}
	distance := sphere.Distance(s.origin.vec, r.at)
	for i := range rows.refs {
		if r.matches >= s.query.K {
			break
		}
		if s.query.Budget > 0 && s.spent+s.points >= s.query.Budget {
			return false
		}
		s.points++
		if s.matches(rows.refs[i], distance) {
			r.matches++
			s.top.Offer(rows.refs[i], c2, &rows.vecs[i])
		}
	}
	return true
}
