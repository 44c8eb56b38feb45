package geohash

import (
	"nearby/area"
	"nearby/index"
	"nearby/internal/sweep"
)

// Range implements index.Index.
func (g *grid) Range(dst []index.Ref, q *index.RangeQuery, items index.Items) ([]index.Ref, index.Proof, error) {
	if err := q.Validate(); err != nil {
		return dst, index.Proof{}, err
	}
	s := g.sweeps.Get().(*sweep.Sweep)
	s.Reset(dst, q, items, swept)
	if g.root.points > 0 && q.Limit > 0 {
		walk(s, &g.root, g.bits, area.Part)
	}
	dst, proof := s.Result()
	g.sweeps.Put(s)
	return dst, proof, nil
}

// swept describes what a Range did in a cell.
func swept(kind index.StepKind, key uint64, n, points int) index.Step {
	return cellStep(kind, key, n, points, 0)
}

// walk goes through a part of the directory, round which a cell has the given relation to
// the area, and reports whether to go on.
func walk(s *sweep.Sweep, b *branch, bits int, in area.Cover) bool {
	key, n := b.prefix()
	if in = s.Cover(in, key, n); in == area.None {
		return true
	}
	if !s.Enter(key, n) {
		return false
	}
	if b.node != nil {
		for i := range b.node.branches {
			if !walk(s, &b.node.branches[i], bits, in) {
				return false
			}
		}
		return true
	}
	p := b.page
	for i := range p.cells {
		key, c := p.keys[i], &p.cells[i]
		in := s.Cover(in, key, bits)
		if in == area.None {
			continue
		}
		ok := false
		if c.small() {
			ok = s.Run(index.StepCell, c.run(), 0, int(c.n), key, bits, in)
		} else {
			ok = s.Bucket(index.StepCell, p.big[c.at], key, bits, in)
		}
		if !ok {
			return false
		}
	}
	return true
}
