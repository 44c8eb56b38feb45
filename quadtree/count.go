package quadtree

import (
	"nearby/area"
	"nearby/index"
	"nearby/internal/topk"
)

// Count implements index.Index.
func (t *tree) Count(q *index.Query, items index.Items) (int, index.Proof, error) {
	return t.count(q, nil, items)
}

// Each implements index.Index.
func (t *tree) Each(q *index.Query, visit func(index.Ref), items index.Items) (index.Proof, error) {
	_, proof, err := t.count(q, visit, items)
	return proof, err
}

func (t *tree) count(q *index.Query, visit func(index.Ref), items index.Items) (int, index.Proof, error) {
	if err := q.Validate(); err != nil {
		return 0, index.Proof{}, err
	}
	c := topk.NewCounter(q, visit, items)
	done := t.top.countIn(0, &c, area.Part)
	return c.N, c.Proof(done), nil
}

// countIn counts the points of child i that match, where the parent's cell has the given relation to
// the query's area. It reports false if the budget does not last.
func (n *node) countIn(i int, c *topk.Counter, in area.Cover) bool {
	size := n.size(i)
	if size == 0 {
		return true
	}
	box := n.box.at(i)
	key, level := n.below(i)
	matches, in := c.Cell(&box, in, key, 2*level)
	switch matches {
	case area.None:
		return true
	case area.All:
		c.N += size
		return true
	}
	if !c.Enter() {
		return false
	}
	if sub := n.sub[i]; sub != nil {
		for j := range 4 {
			if !sub.countIn(j, c, in) {
				return false
			}
		}
		return true
	}
	if b := n.bucket(i); b != nil {
		return b.Count(c, in)
	}
	lo, hi := n.leaf(i)
	return c.Scan(n.run, lo, hi, in)
}
