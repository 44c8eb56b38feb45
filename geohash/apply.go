package geohash

import (
	"fmt"

	"nearby/index"
	"nearby/sphere"
)

// edit is a batch under way.
type edit struct {
	bits    int
	owner   *owner
	items   index.Items
	changes []index.Change
	done    int // changes made so far
	// moved has the positions, at this moment of the batch, of the refs that it
	// changes: those that items may not be asked for. Nil until it is needed.
	moved map[index.Ref]index.Position
}

// Apply implements index.Index.
func (g *grid) Apply(changes []index.Change, items index.Items) (index.Index, error) {
	e := edit{bits: g.bits, owner: new(owner), items: items, changes: changes}
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
	if c.Op != index.Insert {
		if err := index.CheckPosition(c.Old.Lon, c.Old.Lat); err != nil {
			return err
		}
		key := index.ZKey(c.Old.Lon, c.Old.Lat)
		if !e.delete(root, 0, key, sphere.FromDegrees(c.Old.Lon, c.Old.Lat), c.Ref) {
			return fmt.Errorf("%w at (%v, %v)", index.ErrUnknown, c.Old.Lon, c.Old.Lat)
		}
	}
	if c.Op != index.Delete {
		key := index.ZKey(c.New.Lon, c.New.Lat)
		e.insert(root, 0, key, sphere.FromDegrees(c.New.Lon, c.New.Lat), c.Ref)
	}
	return nil
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
		p.cells = grown(p.cells)
		p.vecs = grown(p.vecs)
		p.refs = grown(p.refs)
		p.big = append([]*bigCell(nil), p.big...)
		b.page = &p
	}
	return b.page
}

// ownBig does the same for a cell of an owned page.
func (e *edit) ownBig(p *page, at uint32) *bigCell {
	if p.big[at].owner != e.owner {
		b := *p.big[at]
		b.owner = e.owner
		b.chunks = append([]chunk(nil), b.chunks...)
		p.big[at] = &b
	}
	return p.big[at]
}

// insert adds a point to a branch at a level.
func (e *edit) insert(b *branch, level int, key uint64, v sphere.Vec, ref index.Ref) {
	b.points++
	b.box.Extend(v)
	if b.page != nil {
		p := e.ownPage(b)
		e.insertInPage(p, key, v, ref)
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
		n.branches = insertAt(n.branches, i, branch{box: sphere.EmptyBox(), page: p})
	}
	child := &n.branches[i]
	b.cells -= child.cells
	e.insert(child, level+1, key, v, ref)
	b.cells += child.cells
}

func (e *edit) insertInPage(p *page, key uint64, v sphere.Vec, ref index.Ref) {
	ck := cellKey(key, e.bits)
	i := p.find(ck)
	if i == len(p.cells) || p.cells[i].key != ck {
		p.cells = insertAt(p.cells, i, cell{key: ck, box: sphere.EmptyBox(), at: uint32(p.smallAt(i))})
	}
	c := &p.cells[i]
	c.box.Extend(v)
	if !c.small() {
		e.ownBig(p, c.at).insert(e.owner, key, v, ref, e.items)
		c.n++
		return
	}
	at := int(c.at + c.n)
	p.vecs = insertAt(p.vecs, at, v)
	p.refs = insertAt(p.refs, at, ref)
	p.shift(i+1, 1, 0)
	if c.n == smallCell {
		e.enlarge(p, i)
	} else {
		c.n++
	}
}

// shift moves the points of the cells from place i on: small cells by so many
// points, big cells by so many places in page.big.
func (p *page) shift(i, small, big int) {
	for ; i < len(p.cells); i++ {
		if c := &p.cells[i]; c.small() {
			c.at += uint32(small)
		} else {
			c.at += uint32(big)
		}
	}
}

// enlarge turns the small cell at place i, which has one point more than fits,
// into a big one.
func (e *edit) enlarge(p *page, i int) {
	c := &p.cells[i]
	lo, hi := int(c.at), int(c.at)+smallCell+1
	all := rows{}
	for j := lo; j < hi; j++ {
		ref := p.refs[j]
		key := e.keyOf(ref)
		if j == hi-1 {
			key = e.keyOfNew()
		}
		k := 0
		for k < len(all.keys) && (all.keys[k] < key || all.keys[k] == key && e.items.CompareIDs(all.refs[k], ref) < 0) {
			k++
		}
		all.keys = insertAt(all.keys, k, key)
		all.vecs = insertAt(all.vecs, k, p.vecs[j])
		all.refs = insertAt(all.refs, k, ref)
	}
	p.vecs = append(p.vecs[:lo], p.vecs[hi:]...)
	p.refs = append(p.refs[:lo], p.refs[hi:]...)
	at := p.bigAt(i + 1)
	p.shift(i+1, -(smallCell + 1), 1)
	p.big = insertAt(p.big, at, newBigCell(e.owner, all))
	c.n, c.at = smallCell+1, uint32(at)
}

// keyOfNew returns the key of the point that the change under way brings.
func (e *edit) keyOfNew() uint64 {
	p := e.changes[e.done].New
	return index.ZKey(p.Lon, p.Lat)
}

// reduce turns the big cell at place i, which has just enough points, into a
// small one. Its n must still be what it was as a big one.
func (e *edit) reduce(p *page, i int) {
	c := &p.cells[i]
	b := p.big[c.at]
	p.big = deleteAt(p.big, int(c.at))
	at := p.smallAt(i + 1)
	vecs := append([]sphere.Vec(nil), p.vecs[:at]...)
	refs := append([]index.Ref(nil), p.refs[:at]...)
	for _, ch := range b.chunks {
		vecs = append(vecs, ch.rows.vecs...)
		refs = append(refs, ch.rows.refs...)
	}
	p.shift(i+1, smallCell, -1)
	p.vecs = append(vecs, p.vecs[at:]...)
	p.refs = append(refs, p.refs[at:]...)
	c.n, c.at = smallCell, uint32(at)
}

// burst parts a page with too many cells into a node's branches.
func (e *edit) burst(p *page) branch {
	n := &node{owner: e.owner, level: p.level, key: p.key}
	for lo, hi := 0, 0; lo < len(p.cells); lo = hi {
		d := digit(p.cells[lo].key, p.level)
		for hi = lo + 1; hi < len(p.cells) && digit(p.cells[hi].key, p.level) == d; hi++ {
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
	p.cells = append(p.cells, from.cells[lo:hi]...)
	toSmall, toBig := len(p.vecs)-small, len(p.big)-big
	p.shift(first, toSmall, toBig)
	p.vecs = append(p.vecs, from.vecs[small:from.smallAt(hi)]...)
	p.refs = append(p.refs, from.refs[small:from.smallAt(hi)]...)
	p.big = append(p.big, from.big[big:from.bigAt(hi)]...)
}

// delete removes a point from a branch and reports whether it was there. A page
// that it empties is for the caller to drop.
func (e *edit) delete(b *branch, level int, key uint64, v sphere.Vec, ref index.Ref) bool {
	if b.page != nil {
		p := e.ownPage(b)
		if !e.deleteInPage(p, key, v, ref) {
			return false
		}
		*b = p.sum()
		return true
	}
	d := digit(key, level)
	if _, ok := b.node.find(d); !ok {
		return false
	}
	n := e.ownNode(b)
	i, _ := n.find(d)
	if !e.delete(&n.branches[i], level+1, key, v, ref) {
		return false
	}
	if n.branches[i].points == 0 {
		n.branches = deleteAt(n.branches, i)
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

func (e *edit) deleteInPage(p *page, key uint64, v sphere.Vec, ref index.Ref) bool {
	ck := cellKey(key, e.bits)
	i := p.find(ck)
	if i == len(p.cells) || p.cells[i].key != ck {
		return false
	}
	c := &p.cells[i]
	if !c.small() {
		big := e.ownBig(p, c.at)
		if !big.delete(e.owner, key, v, ref, e.items) {
			return false
		}
		c.box = big.box()
		if c.n == smallCell+1 {
			e.reduce(p, i)
		} else {
			c.n--
		}
		return true
	}
	lo, hi := int(c.at), int(c.at+c.n)
	for j := lo; j < hi; j++ {
		if p.refs[j] != ref || p.vecs[j] != v {
			continue
		}
		p.vecs = deleteAt(p.vecs, j)
		p.refs = deleteAt(p.refs, j)
		p.shift(i+1, -1, 0)
		if c.n--; c.n == 0 {
			p.cells = deleteAt(p.cells, i)
		} else {
			c.box = boxOf(p.vecs[lo : hi-1])
		}
		return true
	}
	return false
}
