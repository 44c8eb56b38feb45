package geohash

import (
	"nearby/index"
	"nearby/internal/cover"
	"nearby/internal/topk"
)

// Count implements index.Index.
func (g *grid) Count(q *index.Query, _ index.Items) (int, index.Proof, error) {
	if err := q.Validate(); err != nil {
		return 0, index.Proof{}, err
	}
	c := topk.NewCounter(q)
	done := g.root.points == 0 || g.root.count(&c)
	return c.N, c.Proof(done), nil
}

// count counts the points of a part of the directory that match. It reports false
// if the budget does not last.
func (b *branch) count(c *topk.Counter) bool {
	switch c.Cover(&b.box) {
	case cover.None:
		return true
	case cover.All:
		c.N += int(b.points)
		return true
	}
	if !c.Enter() {
		return false
	}
	if b.node != nil {
		for i := range b.node.branches {
			if !b.node.branches[i].count(c) {
				return false
			}
		}
		return true
	}
	for i := range b.page.cells {
		if !b.page.count(i, c) {
			return false
		}
	}
	return true
}

// count does it for a cell of a page.
func (p *page) count(i int, c *topk.Counter) bool {
	here := &p.cells[i]
	switch c.Cover(&here.box) {
	case cover.None:
		return true
	case cover.All:
		c.N += int(here.n)
		return true
	}
	if !c.Enter() {
		return false
	}
	if !here.small() {
		return p.big[here.at].Count(c)
	}
	return c.Scan(here.run(), 0, int(here.n))
}
