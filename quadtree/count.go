package quadtree

import (
	"nearby/index"
	"nearby/internal/cover"
	"nearby/internal/topk"
)

// Count implements index.Index.
func (t *tree) Count(q *index.Query, _ index.Items) (int, index.Proof, error) {
	if err := q.Validate(); err != nil {
		return 0, index.Proof{}, err
	}
	c := topk.NewCounter(q)
	done := t.top.countIn(0, &c)
	return c.N, c.Proof(done), nil
}

// countIn counts the points of child i that match. It reports false if the budget
// does not last.
func (n *node) countIn(i int, c *topk.Counter) bool {
	size := n.size(i)
	if size == 0 {
		return true
	}
	box := n.box.at(i)
	switch c.Cover(&box) {
	case cover.None:
		return true
	case cover.All:
		c.N += size
		return true
	}
	if !c.Enter() {
		return false
	}
	if sub := n.sub[i]; sub != nil {
		for j := range 4 {
			if !sub.countIn(j, c) {
				return false
			}
		}
		return true
	}
	if b := n.bucket(i); b != nil {
		return b.Count(c)
	}
	lo, hi := n.leaf(i)
	return c.Scan(n.run, lo, hi)
}
