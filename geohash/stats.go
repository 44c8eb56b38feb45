package geohash

import (
	"fmt"
	"math/bits"
	"unsafe"

	"nearby/index"
	"nearby/internal/bucket"
	"nearby/internal/runs"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// Stats implements index.Index.
func (g *grid) Stats() index.Stats {
	s := index.Stats{
		Kind:       "geohash",
		Points:     g.Len(),
		Bytes:      int64(unsafe.Sizeof(*g)),
		Depths:     map[int]int{},
		Parameters: map[string]int{"bits": g.bits},
		Reason:     g.reason,
	}
	describe(&s, &g.root)
	if s.Cells > 0 {
		s.Depths[g.bits] = s.Cells
	}
	return s
}

func describe(s *index.Stats, b *branch) {
	if n := b.node; n != nil {
		s.Nodes++
		s.Bytes += int64(unsafe.Sizeof(*n)) + int64(cap(n.branches))*int64(unsafe.Sizeof(branch{}))
		for i := range n.branches {
			describe(s, &n.branches[i])
		}
		return
	}
	p := b.page
	s.Nodes++
	s.Bytes += int64(unsafe.Sizeof(*p)) + int64(cap(p.cells))*int64(unsafe.Sizeof(cell{})) +
		8*int64(cap(p.keys)+cap(p.big))
	for i := range p.cells {
		n := p.cells[i].n
		if p.cells[i].small() {
			s.Bytes += 8 * int64(runs.RunWords(int(n)))
		}
		s.Cells++
		s.Occupancy[bits.Len32(n)-1]++
		s.MaxOccupancy = max(s.MaxOccupancy, int(n))
	}
	for _, big := range p.big {
		s.Bytes += big.Bytes()
	}
}

// Check implements index.Index.
func (g *grid) Check(items index.Items) error {
	c := checker{bits: g.bits, items: items, seen: make(map[index.Ref]bool, g.Len())}
	if err := c.branch(&g.root, 0, 0); err != nil {
		return fmt.Errorf("geohash: %w", err)
	}
	return nil
}

// checker walks a grid and compares all that is kept twice.
type checker struct {
	bits  int
	items index.Items
	seen  map[index.Ref]bool
}

func (c *checker) branch(b *branch, key uint64, level int) error {
	if (b.node == nil) == (b.page == nil) {
		return fmt.Errorf("%s is not either a node or a page", cellName(key, prefixBits(level)))
	}
	if b.points == 0 && level > 0 {
		return fmt.Errorf("%s is empty", cellName(key, prefixBits(level)))
	}
	var err error
	var sum branch
	if b.node != nil {
		sum = b.node.sum()
		err = c.node(b.node, key, level)
	} else {
		sum = b.page.sum()
		err = c.page(b.page, key, level)
	}
	if err == nil && sum != *b {
		err = fmt.Errorf("%s is kept as %+v, its parts add up to %+v", cellName(key, prefixBits(level)), *b, sum)
	}
	return err
}

func (c *checker) node(n *node, key uint64, level int) error {
	name := cellName(key, prefixBits(level))
	if n.key != key || n.level != level || bits.OnesCount64(n.occupied) != len(n.branches) {
		return fmt.Errorf("node %s has key %x, level %d, %d of %d branches", name, n.key, n.level, len(n.branches), bits.OnesCount64(n.occupied))
	}
	if cells := n.sum().cells; cells <= fuseCells {
		return fmt.Errorf("node %s has only %d cells", name, cells)
	}
	rest := n.occupied
	for i := range n.branches {
		d := uint(bits.TrailingZeros64(rest))
		rest &= rest - 1
		if err := c.branch(&n.branches[i], withDigit(key, level, d), level+1); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) page(p *page, key uint64, level int) error {
	name := cellName(key, prefixBits(level))
	if p.key != key || p.level != level || len(p.cells) > pageCells || len(p.keys) != len(p.cells) {
		return fmt.Errorf("page %s has key %x, level %d, %d cells", name, p.key, p.level, len(p.cells))
	}
	big := 0
	for i := range p.cells {
		cl, ck := &p.cells[i], p.keys[i]
		switch {
		case cl.n == 0:
			return fmt.Errorf("cell %s is empty", cellName(ck, c.bits))
		case i > 0 && ck <= p.keys[i-1]:
			return fmt.Errorf("cell %s is out of order", cellName(ck, c.bits))
		case ck != cellKey(ck, c.bits) || ck < key || ck > zorder.Last(key, prefixBits(level)):
			return fmt.Errorf("cell %s is in page %s", cellName(ck, c.bits), name)
		}
		if !cl.small() {
			if int(cl.at) != big || cl.words != nil {
				return fmt.Errorf("big cell %s is at %d, not %d, or has a run too", cellName(ck, c.bits), cl.at, big)
			}
			if err := c.big(p.big[big], ck, cl); err != nil {
				return err
			}
			big++
			continue
		}
		run := cl.run()
		for _, rec := range run.Append(nil) {
			if _, err := c.point(rec, ck); err != nil {
				return err
			}
		}
		if box := run.Box(0, run.Len()); box != cl.box {
			return fmt.Errorf("cell %s has the box %v, want %v", cellName(ck, c.bits), cl.box, box)
		}
	}
	if big != len(p.big) {
		return fmt.Errorf("page %s has %d big cells, of its cells %d are", name, len(p.big), big)
	}
	return nil
}

// point checks one point and returns its ZKey.
func (c *checker) point(rec runs.Record, cell uint64) (uint64, error) {
	ref, v := rec.Ref, rec.V
	lon, lat := c.items.Position(ref)
	key := zorder.Key(lon, lat)
	switch {
	case c.seen[ref]:
		return 0, fmt.Errorf("ref %d is there twice", ref)
	case sphere.FromDegrees(lon, lat) != v:
		return 0, fmt.Errorf("ref %d is kept at %v, its position is (%v, %v)", ref, v, lon, lat)
	case cellKey(key, c.bits) != cell:
		return 0, fmt.Errorf("ref %d at (%v, %v) is in cell %s", ref, lon, lat, cellName(cell, c.bits))
	}
	c.seen[ref] = true
	return key, nil
}

func (c *checker) big(b *bucket.Bucket, cell uint64, cl *cell) error {
	if b.Len() != int(cl.n) || b.Box() != cl.box {
		return fmt.Errorf("cell %s has %d points, its bucket %d", cellName(cell, c.bits), cl.n, b.Len())
	}
	return b.Check(c.items, func(key uint64, rec runs.Record) error {
		zkey, err := c.point(rec, cell)
		if err == nil && zkey != key {
			err = fmt.Errorf("ref %d has the key %x, not %x", rec.Ref, key, zkey)
		}
		return err
	})
}
