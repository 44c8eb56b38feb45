package geohash

import (
	"math/bits"

	"nearby/index"
	"nearby/index/bucket"
	"nearby/sphere"
)

const (
	// levelBits of the key are what a node branches on. With 6 a query took the
	// same time, but a page that bursts left pages of 3 cells on average and the
	// garbage collector five times as many objects (10^7 points in cities).
	levelBits = 3
	pageCells = 32 // greatest number of cells in a page
	fuseCells = 16 // a node with no more cells becomes a page again
	smallCell = 64 // greatest number of points that a cell keeps in its page
)

// branch is a part of the directory: either a node or a page.
type branch struct {
	box    sphere.Box // holds all points
	points uint32
	cells  uint32
	node   *node
	page   *page
}

// node divides its prefix, the first level digits of key, by the next digit. A
// digit is levelBits bits.
type node struct {
	owner    uint64 // the batch that made it and may edit it; 0 is nobody
	level    int
	key      uint64
	occupied uint64   // bit d is set when a branch has the digit d
	branches []branch // in order of their digits
}

// page holds the cells of its prefix.
type page struct {
	owner  uint64 // as a node's
	level  int
	key    uint64
	keys   []uint64         // of the cells
	cells  []cell           // in order of their keys
	points []uint64         // the runs of the small cells, one behind the other
	big    []*bucket.Bucket // of the cells that have more than smallCell
}

// cell has no pointers; its points are in its page.
type cell struct {
	box sphere.Box
	n   uint32 // number of points
	at  uint32 // where they begin: in page.points when n <= smallCell, else in page.big
}

// run returns the points of a small cell.
func (p *page) run(c *cell) index.Run {
	return index.Run(p.points[c.at : int(c.at)+index.RunWords(int(c.n))])
}

func (c *cell) small() bool { return c.n <= smallCell }

// digit returns the digit of key after the first level ones.
func digit(key uint64, level int) uint { return uint(key << (levelBits * level) >> (64 - levelBits)) }

// withDigit returns the prefix key of so many digits made longer by one.
func withDigit(key uint64, level int, d uint) uint64 {
	return key | uint64(d)<<(64-levelBits)>>(levelBits*level)
}

// prefixBits is how many bits a prefix of that many digits has. The last one
// of a key is cut short.
func prefixBits(level int) int { return min(levelBits*level, 64) }

// find returns the place of the branch with a digit, and whether it exists.
func (n *node) find(d uint) (int, bool) {
	return bits.OnesCount64(n.occupied & (1<<d - 1)), n.occupied>>d&1 != 0
}

// find returns the place of the first cell whose key is not less.
func (p *page) find(key uint64) int {
	lo, hi := 0, len(p.keys)
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); p.keys[mid] < key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// smallAt returns where in points the runs of the small cells from place i on
// begin.
func (p *page) smallAt(i int) int {
	for ; i < len(p.cells); i++ {
		if p.cells[i].small() {
			return int(p.cells[i].at)
		}
	}
	return len(p.points)
}

// bigAt does the same for page.big.
func (p *page) bigAt(i int) int {
	for ; i < len(p.cells); i++ {
		if !p.cells[i].small() {
			return int(p.cells[i].at)
		}
	}
	return len(p.big)
}

// sum returns a branch made of the page's cells.
func (p *page) sum() branch {
	b := branch{box: sphere.EmptyBox(), cells: uint32(len(p.cells)), page: p}
	for i := range p.cells {
		b.box.Union(p.cells[i].box)
		b.points += p.cells[i].n
	}
	return b
}

// sum returns a branch made of the node's branches.
func (n *node) sum() branch {
	b := branch{box: sphere.EmptyBox(), node: n}
	for i := range n.branches {
		c := &n.branches[i]
		b.box.Union(c.box)
		b.points += c.points
		b.cells += c.cells
	}
	return b
}
