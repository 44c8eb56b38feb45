package geohash

import (
	"fmt"
	"slices"

	"nearby/index"
	"nearby/index/bucket"
	"nearby/sphere"
)

// edit is a batch under way.
type edit struct {
	bits    int
	owner   uint64
	items   index.Items
	changes []index.Change
	done    int // changes made so far
	// moved has the positions, at this moment of the batch, of the refs that it
	// changes: those that items may not be asked for. Nil until it is needed.
	moved map[index.Ref]index.Position
}

// Apply implements index.Index.
func (g *grid) Apply(changes []index.Change, items index.Items) (index.Index, error) {
	e := edit{bits: g.bits, owner: g.batches.Add(1), items: items, changes: changes}
	next := *g
	for i := range changes {
		if err := e.change(&next.root, &changes[i]); err != nil {
			return nil, fmt.Errorf("change %d of ref %d: %w", i, changes[i].Ref, err)
		}
		e.done++
		if e.moved != nil {
			e.moved[changes[i].Ref] = changes[i].New
		}
	}
	return &next, nil
}

func (e *edit) change(root *branch, c *index.Change) error {
	if c.Op < index.Insert || c.Op > index.Move {
		return fmt.Errorf("%w: operation %d", index.ErrInvalid, c.Op)
	}
	if c.Op != index.Delete {
		if err := index.CheckPosition(c.New.Lon, c.New.Lat); err != nil {
			return err
		}
	}
	var from, to spot
	if c.Op != index.Insert {
		if err := index.CheckPosition(c.Old.Lon, c.Old.Lat); err != nil {
			return err
		}
		from = spotOf(c.Ref, c.Old)
	}
	if c.Op != index.Delete {
		to = spotOf(c.Ref, c.New)
	}
	// Most moves are short and end in the cell where they began.
	short := c.Op == index.Move && cellKey(from.key, e.bits) == cellKey(to.key, e.bits)
	if c.Op != index.Insert {
		found := e.within(root, 0, from.key, func(p *page) bool {
			if short {
				return e.moveInPage(p, from, to)
			}
			return e.deleteInPage(p, from)
		})
		if !found {
			return fmt.Errorf("%w at (%v, %v)", index.ErrUnknown, c.Old.Lon, c.Old.Lat)
		}
	}
	if c.Op != index.Delete && !short {
		e.insert(root, 0, to.key, to.rec)
	}
	return nil
}

// spot is where a point lies or shall lie.
type spot struct {
	key uint64
	rec index.Record
}

func spotOf(ref index.Ref, p index.Position) spot {
	return spot{index.ZKey(p.Lon, p.Lat), index.Record{V: sphere.FromDegrees(p.Lon, p.Lat), Ref: ref}}
}

// keyOf returns the ZKey of a point in the index.
func (e *edit) keyOf(ref index.Ref) uint64 {
	if e.moved == nil {
		e.moved = make(map[index.Ref]index.Position, len(e.changes))
		for i := len(e.changes) - 1; i >= e.done; i-- {
			e.moved[e.changes[i].Ref] = e.changes[i].Old
		}
		for i := range e.changes[:e.done] {
			e.moved[e.changes[i].Ref] = e.changes[i].New
		}
	}
	if p, ok := e.moved[ref]; ok {
		return index.ZKey(p.Lon, p.Lat)
	}
	lon, lat := e.items.Position(ref)
	return index.ZKey(lon, lat)
}

// ownNode returns the branch's node for editing.
func (e *edit) ownNode(b *branch) *node {
	if b.node.owner != e.owner {
		n := *b.node
		n.owner = e.owner
		n.branches = append([]branch(nil), n.branches...)
		b.node = &n
	}
	return b.node
}

// ownPage does the same for a page.
func (e *edit) ownPage(b *branch) *page {
	if b.page.owner != e.owner {
		p := *b.page
		p.owner = e.owner
		p.keys = slices.Clone(p.keys)
		p.cells = slices.Clone(p.cells)
		p.points = slices.Clone(p.points)
		p.big = slices.Clone(p.big)
		b.page = &p
	}
	return b.page
}

// ownBig does the same for a cell of an owned page.
func (e *edit) ownBig(p *page, at uint32) *bucket.Bucket {
	p.big[at] = p.big[at].Own(e.owner)
	return p.big[at]
}

// replace puts another run in the place of that of the small cell at place i, in
// an owned page.
func (p *page) replace(i int, r index.Run) {
	c := &p.cells[i]
	lo, hi := int(c.at), int(c.at)+index.RunWords(int(c.n))
	p.points = slices.Replace(p.points, lo, hi, r...)
	c.n = uint32(r.Len())
	p.shift(i+1, len(r)-(hi-lo), 0)
}

// insert adds a point to a branch at a level.
func (e *edit) insert(b *branch, level int, key uint64, rec index.Record) {
	b.points++
	b.box.Extend(rec.V)
	if b.page != nil {
		p := e.ownPage(b)
		e.insertInPage(p, key, rec)
		if b.cells = uint32(len(p.cells)); b.cells > pageCells {
			*b = e.burst(p)
		}
		return
	}
	n := e.ownNode(b)
	d := digit(key, level)
	i, ok := n.find(d)
	if !ok {
		p := &page{owner: e.owner, level: level + 1, key: cellKey(key, prefixBits(level+1))}
		n.occupied |= 1 << d
		n.branches = slices.Insert(n.branches, i, branch{box: sphere.EmptyBox(), page: p})
	}
	child := &n.branches[i]
	b.cells -= child.cells
	e.insert(child, level+1, key, rec)
	b.cells += child.cells
}

func (e *edit) insertInPage(p *page, key uint64, rec index.Record) {
	ck := cellKey(key, e.bits)
	i := p.find(ck)
	if i == len(p.keys) || p.keys[i] != ck {
		p.cells = slices.Insert(p.cells, i, cell{box: sphere.EmptyBox(), at: uint32(p.smallAt(i))})
		p.keys = slices.Insert(p.keys, i, ck)
	}
	c := &p.cells[i]
	c.box.Extend(rec.V)
	if !c.small() {
		e.ownBig(p, c.at).Insert(key, rec, e.items)
		c.n++
		return
	}
	if c.n == smallCell {
		e.enlarge(p, i, rec)
	} else {
		n := int(c.n)
		p.replace(i, p.run(c).Splice(n, n, []index.Record{rec}))
	}
}

// shift moves what the cells from place i on have: small cells by so many words,
// big cells by so many places in page.big.
func (p *page) shift(i, small, big int) {
	for ; i < len(p.cells); i++ {
		if c := &p.cells[i]; c.small() {
			c.at += uint32(small)
		} else {
			c.at += uint32(big)
		}
	}
}

// enlarge turns the full small cell at place i, and one more point, into a big
// one.
func (e *edit) enlarge(p *page, i int, rec index.Record) {
	c := &p.cells[i]
	var keys []uint64
	var all []index.Record
	add := func(key uint64, rec index.Record) {
		k := 0
		for k < len(keys) && (keys[k] < key || keys[k] == key && e.items.CompareIDs(all[k].Ref, rec.Ref) < 0) {
			k++
		}
		keys, all = slices.Insert(keys, k, key), slices.Insert(all, k, rec)
	}
	for _, old := range p.run(c).Append(nil) {
		add(e.keyOf(old.Ref), old)
	}
	add(e.keyOfNew(), rec)
	p.replace(i, nil)
	at := p.bigAt(i + 1)
	p.shift(i+1, 0, 1)
	p.big = slices.Insert(p.big, at, bucket.New(e.owner, keys, all))
	c.n, c.at = smallCell+1, uint32(at)
}

// keyOfNew returns the key of the point that the change under way brings.
func (e *edit) keyOfNew() uint64 {
	p := e.changes[e.done].New
	return index.ZKey(p.Lon, p.Lat)
}

// reduce turns the big cell at place i, which has just enough points, into a
// small one.
func (e *edit) reduce(p *page, i int) {
	c := &p.cells[i]
	run, _ := index.Run(nil).Pack(p.big[c.at].Append(nil))
	p.big = slices.Delete(p.big, int(c.at), int(c.at)+1)
	p.shift(i+1, 0, -1)
	c.n, c.at = 0, uint32(p.smallAt(i+1))
	p.replace(i, run)
}

// burst parts a page with too many cells into a node's branches.
func (e *edit) burst(p *page) branch {
	n := &node{owner: e.owner, level: p.level, key: p.key}
	for lo, hi := 0, 0; lo < len(p.cells); lo = hi {
		d := digit(p.keys[lo], p.level)
		for hi = lo + 1; hi < len(p.cells) && digit(p.keys[hi], p.level) == d; hi++ {
		}
		part := &page{owner: e.owner, level: p.level + 1, key: withDigit(p.key, p.level, d)}
		part.take(p, lo, hi)
		b := part.sum()
		if hi-lo > pageCells {
			b = e.burst(part)
		}
		n.occupied |= 1 << d
		n.branches = append(n.branches, b)
	}
	return n.sum()
}

// take appends the cells lo to hi-1 of another page, with their points.
func (p *page) take(from *page, lo, hi int) {
	small, big := from.smallAt(lo), from.bigAt(lo)
	first := len(p.cells)
	p.keys = append(p.keys, from.keys[lo:hi]...)
	p.cells = append(p.cells, from.cells[lo:hi]...)
	p.shift(first, len(p.points)-small, len(p.big)-big)
	p.points = append(p.points, from.points[small:from.smallAt(hi)]...)
	p.big = append(p.big, from.big[big:from.bigAt(hi)]...)
}

// within lets f change the owned page that a key belongs to, and reports whether
// there is one and f succeeded. f may take the last point out of a page, which is
// then dropped.
func (e *edit) within(b *branch, level int, key uint64, f func(*page) bool) bool {
	if b.page != nil {
		if !f(e.ownPage(b)) {
			return false
		}
		*b = b.page.sum()
		return true
	}
	d := digit(key, level)
	if _, ok := b.node.find(d); !ok {
		return false
	}
	n := e.ownNode(b)
	i, _ := n.find(d)
	if !e.within(&n.branches[i], level+1, key, f) {
		return false
	}
	if n.branches[i].points == 0 {
		n.branches = slices.Delete(n.branches, i, i+1)
		n.occupied &^= 1 << d
	}
	*b = n.sum()
	if b.cells <= fuseCells {
		p := &page{owner: e.owner, level: n.level, key: n.key}
		p.takeAll(n)
		*b = p.sum()
	}
	return true
}

// takeAll appends all cells below a node.
func (p *page) takeAll(n *node) {
	for i := range n.branches {
		if c := &n.branches[i]; c.node != nil {
			p.takeAll(c.node)
		} else {
			p.take(c.page, 0, len(c.page.cells))
		}
	}
}

func (e *edit) deleteInPage(p *page, from spot) bool {
	i := p.cellOf(from.key, e.bits)
	if i < 0 {
		return false
	}
	c := &p.cells[i]
	if !c.small() {
		big := e.ownBig(p, c.at)
		found, shrunk := big.Remove(from.key, from.rec, e.items)
		if !found {
			return false
		}
		if shrunk {
			c.box = big.Box()
		}
		if c.n == smallCell+1 {
			e.reduce(p, i)
		} else {
			c.n--
		}
		return true
	}
	run := p.run(c)
	j := run.Find(0, run.Len(), from.rec)
	if j < 0 {
		return false
	}
	if run = run.Splice(j, j+1, nil); run.Len() == 0 {
		p.replace(i, nil)
		p.keys = slices.Delete(p.keys, i, i+1)
		p.cells = slices.Delete(p.cells, i, i+1)
		return true
	}
	p.replace(i, run)
	c.box = run.Box(0, run.Len())
	return true
}

// moveInPage moves a point within its cell.
func (e *edit) moveInPage(p *page, from, to spot) bool {
	i := p.cellOf(from.key, e.bits)
	if i < 0 {
		return false
	}
	c := &p.cells[i]
	if !c.small() {
		big := e.ownBig(p, c.at)
		if found, _ := big.Remove(from.key, from.rec, e.items); !found {
			return false
		}
		big.Insert(to.key, to.rec, e.items)
		c.box = big.Box()
		return true
	}
	run := p.run(c)
	j := run.Find(0, run.Len(), from.rec)
	if j < 0 {
		return false
	}
	run.Set(j, to.rec)
	c.box = run.Box(0, run.Len())
	return true
}

// cellOf returns the place of the cell that holds a key, or -1.
func (p *page) cellOf(key uint64, bits int) int {
	ck := cellKey(key, bits)
	if i := p.find(ck); i < len(p.keys) && p.keys[i] == ck {
		return i
	}
	return -1
}
