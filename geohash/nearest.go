package geohash

import (
	"math"
	"math/bits"

	"nearby/area"
	"nearby/index"
	"nearby/internal/bucket"
	"nearby/internal/budget"
	"nearby/internal/topk"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// Rings at one precision before a search goes on with coarser cells. The next
// ring has 8*(radius+1) cells. A step up looks up at most 12, which reach farther and are
// opened only as far as they are near: more than two rings do not pay.
const maxRings = 2

// search is one call of Nearest.
//
// All points are in one of four sets: offered to top; below something in the
// frontier; outside the block; or farther than top.Limit and dropped. The least
// of the frontier's bounds and of outside is therefore a lower bound for all
// that is unseen, and the search goes on with whichever is the lesser.
type search struct {
	top     topk.TopK
	origin  origin
	queue   frontier
	root    *branch
	bits    int
	query   *index.Query
	items   index.Items
	budget  budget.Budget
	block   block
	inner   block   // the block before the last step up, which lies in this one
	sides   sides   // what bounds the squared chords outside the block
	outside float64 // the least of them
	key     uint64  // of the centre

	selects bool       // the query has an area, or skips cells
	earth   area.Cover // how much of the Earth lies in the area

	// The page that the last cell was looked up in.
	page *page
}

// Nearest implements index.Index.
func (g *grid) Nearest(dst []index.Hit, q *index.Query, items index.Items) ([]index.Hit, index.Proof, error) {
	if err := q.Validate(); err != nil {
		return dst, index.Proof{}, err
	}
	s := g.searches.Get().(*search)
	v := s.top.Reset(q, items)
	s.key = zorder.Key(q.Lon, q.Lat)
	s.origin = newOrigin(q.Lon, q.Lat, v, s.key)
	s.selects, s.earth = !s.top.Cells.All(), s.top.Cells.Earth()
	s.root, s.bits, s.query, s.items = &g.root, g.bits, q, items
	s.budget = budget.New(q.Budget)

	exact := s.run()
	unseen := math.Inf(1)
	if !exact {
		unseen = s.outside
		if len(s.queue) > 0 {
			unseen = min(unseen, s.queue[0].chord2)
		}
	}
	proof := index.Proof{Entered: s.budget.Entered, Compared: s.budget.Compared}
	dst = s.top.Append(dst, unseen, exact, &proof)

	s.top.Release()
	clear(s.queue)
	s.queue = s.queue[:0]
	s.root, s.query, s.items, s.page = nil, nil, nil, nil
	g.searches.Put(s)
	return dst, proof, nil
}

// run searches, and reports whether it came to an end before the budget did.
func (s *search) run() bool {
	s.outside = 0
	if s.root.points == 0 || s.top.Limit < 0 {
		return true
	}
	if !s.begin() {
		return false
	}
	for {
		near := math.Inf(1)
		if len(s.queue) > 0 {
			near = s.queue[0].chord2
		}
		switch {
		case min(near, s.outside) > s.top.Limit || math.IsInf(min(near, s.outside), 1):
			return true
		case near <= s.outside:
			if !s.enter() {
				return false
			}
		case !s.widen():
			return false
		}
	}
}

// begin looks up the centre's cell. If it is empty the search starts with the
// coarsest cell round the centre that is empty too.
func (s *search) begin() bool {
	b, level := s.root, 0
	n := 0 // precision of the first block
	for n == 0 && b.node != nil {
		if !s.budget.Enter(0) {
			return false
		}
		if t := s.query.Trace; t != nil {
			t.Add(cellStep(index.StepNode, b.node.key, prefixBits(level), 0, 0))
		}
		d := digit(s.key, level)
		if i, ok := b.node.find(d); ok {
			b = &b.node.branches[i]
			level++
			continue
		}
		for n = 1; ; n++ {
			width := uint(1) << (levelBits - n)
			if b.node.occupied>>(d&^(width-1))&(1<<width-1) == 0 {
				break
			}
		}
		n += levelBits * level
	}
	if n == 0 {
		p := b.page
		key := cellKey(s.key, s.bits)
		i := p.find(key)
		s.page = p
		if n = s.bits; i == len(p.keys) || p.keys[i] != key {
			n = 0
			if i < len(p.keys) {
				n = zorder.Common(key, p.keys[i])
			}
			if i > 0 {
				n = max(n, zorder.Common(key, p.keys[i-1]))
			}
			n++
		}
	}
	s.block = block{n: n}
	s.block.col, s.block.row = place(s.key, n)
	s.inner = block{n: n, radius: -1}
	ring := s.trace()
	if !s.lookUp(cellKey(s.key, n), n) {
		return false
	}
	s.traced(ring)
	s.measureSides()
	return true
}

// measureSides finds what bounds the points outside the block.
func (s *search) measureSides() {
	s.sides = s.origin.sides(s.block)
	s.outside = s.sides.least()
}

// trace adds a step for the block's outermost ring and returns its place.
func (s *search) trace() int {
	t := s.query.Trace
	if t == nil {
		return 0
	}
	t.Add(index.Step{
		Kind: index.StepRing, Bounds: s.block.rect(), Lower: sphere.LowerDistance(s.outside),
		Level: s.block.n, Ring: int(s.block.radius), Cells: s.budget.Entered,
	})
	return len(t.Steps) - 1
}

// traced completes the step: the cells looked up since.
func (s *search) traced(ring int) {
	if t := s.query.Trace; t != nil {
		t.Steps[ring].Cells = s.budget.Entered - t.Steps[ring].Cells
	}
}

// widen makes the block larger by a ring, or steps up to coarser cells.
func (s *search) widen() bool {
	up := s.block.n > 2 && (s.block.radius >= maxRings || s.block.radius >= 1 && s.sparse())
	if up {
		s.inner = s.block
		n := s.block.n - 2
		s.block = block{n: n, radius: max(1, (s.inner.radius+1)/2)}
		s.block.col, s.block.row = place(s.key, n)
	} else {
		s.block.radius++
	}
	ring := s.trace()
	ok := s.walk(up)
	s.traced(ring)
	if ok {
		s.measureSides()
	}
	return ok
}

// sparse reports whether the precision is not that of the data round here: the
// cells are coarser than the grid's already.
func (s *search) sparse() bool { return s.block.n < s.bits }

// walk looks up the block's outermost ring, as far as its sides are near enough to
// matter, or all of the block save for the inner one.
func (s *search) walk(whole bool) bool {
	r := s.block.radius
	_, rows := gridSize(s.block.n)
	west, east := s.block.columns()
	north, south := min(r, rows-1-s.block.row), max(-r, -s.block.row)
	if !whole {
		// What bounded the ring's points before it was part of the block.
		if s.sides.north > s.top.Limit {
			north = min(north, r-1)
		}
		if s.sides.south > s.top.Limit {
			south = max(south, 1-r)
		}
		if s.sides.east > s.top.Limit {
			east = min(east, r-1)
		}
		if s.sides.west > s.top.Limit {
			west = max(west, 1-r)
		}
	}
	for dr := south; dr <= north; dr++ {
		step := int64(1)
		if !whole && abs(dr) < r {
			// Only the outermost columns, as far as the block does not have
			// them twice.
			step = max(1, 2*r)
		}
		for dc := -r; dc <= r; dc += step {
			if dc < west || dc > east {
				continue
			}
			if !s.lookUpOutside(dc, dr) {
				return false
			}
		}
	}
	return true
}

// lookUpOutside looks up a cell of the block, without what lies in the inner
// block.
func (s *search) lookUpOutside(dc, dr int64) bool {
	n := s.block.n
	cols, _ := gridSize(n)
	col, row := (s.block.col+dc)&(cols-1), s.block.row+dr
	key := keyAt(col, row, n)
	in := s.inner
	if in.radius < 0 || in.n != n+2 || abs(dc) > (in.radius+1)/2+1 || abs(dr) > (in.radius+1)/2+1 {
		return s.lookUp(key, n)
	}
	var inside [4]bool
	held := 0
	for i := range inside {
		c, r := place(key|uint64(i)<<(62-n), n+2)
		if inside[i] = in.holds(c, r); inside[i] {
			held++
		}
	}
	if held == 0 {
		return s.lookUp(key, n)
	}
	for i := range inside {
		if !inside[i] && !s.lookUp(key|uint64(i)<<(62-n), n+2) {
			return false
		}
	}
	return true
}

// lookUp finds what is in a cell of n bits and adds it to the frontier. It
// reports false if the budget does not allow it.
func (s *search) lookUp(key uint64, n int) bool {
	if !s.budget.Enter(0) {
		return false
	}
	if t := s.query.Trace; t != nil {
		t.Add(cellStep(index.StepCell, key, n, 0, 0))
	}
	if p := s.page; p != nil && n > prefixBits(p.level) && cellInPage(p, key) {
		s.addCells(p, key, n)
		return true
	}
	b, level := s.root, 0
	for b.node != nil {
		d := digit(key, level)
		rest := n - levelBits*level // bits of this digit that the cell has
		if rest < levelBits {
			width := uint(1) << (levelBits - rest)
			mask := b.node.occupied >> d & (1<<width - 1) << d
			i, _ := b.node.find(d)
			for range bits.OnesCount64(mask) {
				s.add(&b.node.branches[i], s.earth)
				i++
			}
			return true
		}
		i, ok := b.node.find(d)
		if !ok {
			return true
		}
		b = &b.node.branches[i]
		level++
		if rest == levelBits {
			s.add(b, s.earth)
			return true
		}
	}
	s.page = b.page
	s.addCells(b.page, key, n)
	return true
}

// cellInPage reports whether a key has the page's prefix.
func cellInPage(p *page, key uint64) bool {
	return (key^p.key)>>1>>(63-prefixBits(p.level)) == 0
}

// add puts a branch in the frontier, round which a cell has the given relation to the query's
// area.
func (s *search) add(b *branch, in area.Cover) {
	if c2 := b.box.Chord2(s.origin.vec); c2 <= s.top.Limit && !s.top.Passed(&b.box) {
		if s.selects {
			key, n := b.prefix()
			if in = s.top.Cells.Cover(in, key, n); in == area.None {
				return
			}
		}
		s.queue.push(c2, b.node, b.page, -1, in)
	}
}

// addCells puts the cells of a page that lie in a cell of n bits, n > 0, in the
// frontier.
func (s *search) addCells(p *page, key uint64, n int) {
	last := zorder.Last(key, n)
	for i := p.find(key); i < len(p.keys) && p.keys[i] <= last; i++ {
		s.addCell(p, i, s.earth)
	}
}

func (s *search) addCell(p *page, i int, in area.Cover) {
	if c2 := p.cells[i].box.Chord2(s.origin.vec); c2 <= s.top.Limit && !s.top.Passed(&p.cells[i].box) {
		if s.selects {
			if in = s.top.Cells.Cover(in, p.keys[i], s.bits); in == area.None {
				return
			}
		}
		s.queue.push(c2, nil, p, int32(i), in)
		if c := &p.cells[i]; c.small() {
			c.run().Prefetch(0, int(c.n))
		}
	}
}

// enter takes the nearest part off the frontier and goes into it. It reports
// false, and leaves the part there, if the budget does not allow it.
func (s *search) enter() bool {
	f := s.queue[0]
	if f.cell >= 0 {
		return s.enterCell(f, &f.page.cells[f.cell])
	}
	if !s.budget.Enter(0) {
		return false
	}
	s.queue.pop()
	if n := f.node; n != nil {
		if t := s.query.Trace; t != nil {
			t.Add(cellStep(index.StepNode, n.key, prefixBits(n.level), 0, f.chord2))
		}
		for i := range n.branches {
			s.add(&n.branches[i], f.in)
		}
		return true
	}
	if t := s.query.Trace; t != nil {
		t.Add(cellStep(index.StepNode, f.page.key, prefixBits(f.page.level), 0, f.chord2))
	}
	for i := range f.page.cells {
		s.addCell(f.page, i, f.in)
	}
	return true
}

// enterCell does this for a cell.
func (s *search) enterCell(f unopened, c *cell) bool {
	ok, before := true, s.budget.Compared
	if c.small() {
		if !s.budget.Enter(int(c.n)) {
			return false
		}
		s.queue.pop()
		s.top.Scan(c.run(), 0, int(c.n), f.in)
	} else {
		if !s.budget.Enter(0) {
			return false
		}
		if ok = f.page.big[c.at].Nearest(&bucket.Search{
			Top: &s.top, Budget: &s.budget, Query: s.query, Items: s.items, Centre: s.origin.vec, In: f.in,
		}); ok {
			s.queue.pop() // else what was not compared is still unseen
		}
	}
	if t := s.query.Trace; t != nil {
		t.Add(cellStep(index.StepCell, f.page.keys[f.cell], s.bits, s.budget.Compared-before, f.chord2))
	}
	return ok
}
