package quadtree

import (
	"nearby/area"
	"nearby/index"
	"nearby/internal/sweep"
)

// Range implements index.Index. The tree's order is that of the answer, so the
// walk skips what lies before the cursor or outside, and stops at the limit: a
// page costs what it holds.
func (t *tree) Range(dst []index.Ref, q *index.RangeQuery, items index.Items) ([]index.Ref, index.Proof, error) {
	if err := q.Validate(); err != nil {
		return dst, index.Proof{}, err
	}
	s, _ := t.sweeps.Get().(*sweep.Sweep)
	if s == nil {
		s = new(sweep.Sweep)
	}
	s.Reset(dst, q, items, swept)
	if q.Limit > 0 {
		walk(s, t.top, 0, area.Part)
	}
	dst, proof := s.Result()
	t.sweeps.Put(s)
	return dst, proof, nil
}

// swept describes what a Range did in a cell.
func swept(kind index.StepKind, key uint64, n, points int) index.Step {
	return step(kind, key, n/2, 0, points)
}

// walk goes through child i of n, whose parent's cell has the given relation to the
// area. It returns false when the answer is full or the budget spent.
func walk(s *sweep.Sweep, n *node, i int, in area.Cover) bool {
	if n.size(i) == 0 {
		return true
	}
	key, level := n.below(i)
	sub := n.sub[i]
	if in = s.Cover(in, key, 2*level); in == area.None {
		return true
	}
	switch {
	case sub != nil:
		if !s.Enter(key, 2*level) {
			return false
		}
		for q := range 4 {
			if !walk(s, sub, q, in) {
				return false
			}
		}
		return true
	case n.bucket(i) != nil:
		return s.Bucket(index.StepLeaf, n.bucket(i), key, 2*level, in)
	}
	lo, hi := n.leaf(i)
	return s.Run(index.StepLeaf, n.run, lo, hi, key, 2*level, in)
}
