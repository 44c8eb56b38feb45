package geohash

import (
	"nearby/area"
	"nearby/index"
	"nearby/internal/topk"
)

// Count implements index.Index.
func (g *grid) Count(q *index.Query, items index.Items) (int, index.Proof, error) {
	return g.count(q, nil, items)
}

// Each implements index.Index.
func (g *grid) Each(q *index.Query, visit func(index.Ref), items index.Items) (index.Proof, error) {
	_, proof, err := g.count(q, visit, items)
	return proof, err
}

func (g *grid) count(q *index.Query, visit func(index.Ref), items index.Items) (int, index.Proof, error) {
	if err := q.Validate(); err != nil {
		return 0, index.Proof{}, err
	}
	c := topk.NewCounter(q, visit, items)
	done := g.root.points == 0 || g.root.count(&c, g.bits, area.Part)
	return c.N, c.Proof(done), nil
}

// count counts the points of a part of the directory that match, round which a cell has the given
// relation to the query's area. It reports false if the budget does not last.
func (b *branch) count(c *topk.Counter, bits int, in area.Cover) bool {
	key, n := b.prefix()
	matches, in := c.Cell(&b.box, in, key, n)
	switch matches {
	case area.None:
		return true
	case area.All:
		c.N += int(b.points)
		return true
	}
	if !c.Enter() {
		return false
	}
	if b.node != nil {
		for i := range b.node.branches {
			if !b.node.branches[i].count(c, bits, in) {
				return false
			}
		}
		return true
	}
	for i := range b.page.cells {
		if !b.page.count(i, c, bits, in) {
			return false
		}
	}
	return true
}

// count does it for a cell of a page.
func (p *page) count(i int, c *topk.Counter, bits int, in area.Cover) bool {
	here := &p.cells[i]
	matches, in := c.Cell(&here.box, in, p.keys[i], bits)
	switch matches {
	case area.None:
		return true
	case area.All:
		c.N += int(here.n)
		return true
	}
	if !c.Enter() {
		return false
	}
	if !here.small() {
		return p.big[here.at].Count(c, in)
	}
	return c.Scan(here.run(), 0, int(here.n), in)
}
