package geohash

import (
	"math/bits"
	"unsafe"

	"nearby/internal/bucket"
	"nearby/internal/runs"
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

// prefix returns the cell of the part: the first n bits of key.
func (b *branch) prefix() (key uint64, n int) {
	if b.node != nil {
		return b.node.key, prefixBits(b.node.level)
	}
	return b.page.key, prefixBits(b.page.level)
}

// node divides its prefix, the first level digits of key, by the next digit. A
// digit is levelBits bits.
type node struct {
	level    int
	key      uint64
	occupied uint64   // bit d is set when a branch has the digit d
	branches []branch // in order of their digits
}

// page holds the cells of its prefix.
type page struct {
	level int
	key   uint64
	keys  []uint64         // of the cells
	cells []cell           // in order of their keys
	big   []*bucket.Bucket // of the cells that have more than smallCell
}

// cell keeps its points to itself, so that a batch copies those of the cells that
// it touches and of no others.
type cell struct {
	box   sphere.Box
	n     uint32  // number of points
	at    uint32  // where in page.big they are when n > smallCell
	words *uint64 // else the first word of their run: a slice would take 16 bytes more
}

// run returns the points of a small cell.
func (c *cell) run() runs.Run { return unsafe.Slice(c.words, runs.RunWords(int(c.n))) }

// setRun makes the points of a small cell those of a run.
func (c *cell) setRun(r runs.Run) {
	c.n, c.at, c.words = uint32(r.Len()), 0, unsafe.SliceData(r)
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

// newPage returns a page without cells, but with room for so many.
func newPage(level int, key uint64, cells int) *page {
	return &page{level: level, key: key, keys: make([]uint64, 0, cells), cells: make([]cell, 0, cells)}
}

// bucket returns the points of a cell that has many, nil for a small one.
func (p *page) bucket(c *cell) *bucket.Bucket {
	if c.small() {
		return nil
	}
	return p.big[c.at]
}

// add appends a cell, which has its points in a bucket if it is a big one.
func (p *page) add(key uint64, c cell, big *bucket.Bucket) {
	if big != nil {
		c.at = uint32(len(p.big))
		p.big = append(p.big, big)
	}
	p.keys, p.cells = append(p.keys, key), append(p.cells, c)
}

// addAll appends the cells lo to hi-1 of another page.
func (p *page) addAll(from *page, lo, hi int) {
	if len(from.big) == 0 {
		p.keys, p.cells = append(p.keys, from.keys[lo:hi]...), append(p.cells, from.cells[lo:hi]...)
		return
	}
	for i := lo; i < hi; i++ {
		p.add(from.keys[i], from.cells[i], from.bucket(&from.cells[i]))
	}
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
