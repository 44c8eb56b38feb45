package quadtree

import (
	"fmt"
	"slices"

	"nearby/index"
	"nearby/sphere"
)

// batch is one Apply under way. It edits a node in place if the node bears its
// owner tag, which no published version sees, and a copy otherwise.
type batch struct {
	*lineage
	owner   uint64
	items   index.Items
	changes []index.Change
	step    int            // the change being made
	recs    []index.Record // scratch: a leaf's points while they are changed

	// positions of the refs that the batch names, as of step; nil until a leaf
	// splits, the only time that they are needed.
	positions map[index.Ref]index.Position
}

// place is a point where it lies or shall lie.
type place struct {
	key uint64
	rec index.Record
}

func placeOf(ref index.Ref, p index.Position) place {
	return place{index.ZKey(p.Lon, p.Lat), index.Record{V: sphere.FromDegrees(p.Lon, p.Lat), Ref: ref}}
}

// Apply implements index.Index.
func (t *tree) Apply(changes []index.Change, items index.Items) (index.Index, error) {
	if len(changes) == 0 {
		return t, nil
	}
	b := &batch{lineage: t.lineage, owner: t.owners.Add(1), items: items, changes: changes}
	top := b.own(t.top)
	for i := range changes {
		b.step = i
		if err := b.apply(top, &changes[i]); err != nil {
			return nil, fmt.Errorf("change %d of ref %d: %w", i, changes[i].Ref, err)
		}
	}
	top.count = top.size(0)
	return &tree{lineage: t.lineage, top: top}, nil
}

func (b *batch) apply(top *node, c *index.Change) error {
	var from, to place
	if c.Op == index.Delete || c.Op == index.Move {
		if index.CheckPosition(c.Old.Lon, c.Old.Lat) != nil {
			return index.ErrUnknown // nothing lies outside the Earth
		}
		from = placeOf(c.Ref, c.Old)
	}
	if c.Op == index.Insert || c.Op == index.Move {
		if err := index.CheckPosition(c.New.Lon, c.New.Lat); err != nil {
			return err
		}
		to = placeOf(c.Ref, c.New)
		if b.positions != nil {
			b.positions[c.Ref] = c.New
		}
	}
	found := true
	switch c.Op {
	case index.Insert:
		b.insert(top, 0, to)
	case index.Delete:
		found = b.remove(top, 0, from)
	case index.Move:
		found = b.move(top, 0, from, to)
	default:
		return fmt.Errorf("%w: unknown op %d", index.ErrInvalid, c.Op)
	}
	if !found {
		return index.ErrUnknown
	}
	return nil
}

// own returns n, or a copy that the batch may edit.
func (b *batch) own(n *node) *node {
	if n.owner == b.owner {
		return n
	}
	c := *n
	c.owner, c.mine = b.owner, 0
	return &c
}

// unpack copies the points of leaf i of n for editing.
func (b *batch) unpack(n *node, i int) []index.Record {
	b.recs = n.leaf[i].Append(slices.Grow(b.recs[:0], n.leaf[i].Len()+1))
	return b.recs
}

// pack makes child i of n, which is a leaf or nothing, a leaf of the records.
func (b *batch) pack(n *node, i int, recs []index.Record) {
	if n.mine>>i&1 == 0 {
		n.leaf[i] = nil // others may read it
	}
	n.leaf[i], n.box[i] = n.leaf[i].Pack(recs)
	n.mine |= 1 << i
}

// insert adds a point to child i of n, which the batch owns.
func (b *batch) insert(n *node, i int, p place) {
	if sub := n.sub[i]; sub != nil {
		if !within(p.key, sub.key, int(sub.level)) {
			b.fork(n, i, sub.key, p)
			return
		}
		sub = b.own(sub)
		n.sub[i] = sub
		b.insert(sub, quadrant(p.key, sub.level), p)
		sub.count++
		n.box[i].Extend(p.rec.V)
		return
	}
	if bu := n.bucket[i]; bu != nil {
		if cell := prefix(bu.Key(), b.MaxDepth); !within(p.key, cell, b.MaxDepth) {
			b.fork(n, i, cell, p)
			return
		}
		n.bucket[i] = bu.Own(b.owner)
		n.bucket[i].Insert(p.key, p.rec, b.items)
		n.box[i].Extend(p.rec.V)
		return
	}
	recs := append(b.unpack(n, i), p.rec)
	if len(recs) > b.MaxPointsPerNode {
		b.split(n, i, recs, p.key)
		return
	}
	b.pack(n, i, recs)
}

// fork puts a node between n and its child i, whose cell begins with key, where
// the way to p leaves the levels that were skipped.
func (b *batch) fork(n *node, i int, key uint64, p place) {
	fork := newNode(key, index.CommonBits(key, p.key)/2, b.owner)
	fork.count = n.size(i) + 1
	fork.take(quadrant(key, fork.level), n, i)
	b.insert(fork, quadrant(p.key, fork.level), p)
	box := n.box[i]
	box.Extend(p.rec.V)
	n.clear(i)
	n.sub[i], n.box[i] = fork, box
}

// split makes a subtree of leaf i of n, whose points are too many with the new
// one, the last of the records.
func (b *batch) split(n *node, i int, recs []index.Record, key uint64) {
	keys := make([]keyed, len(recs))
	for j := range recs[:len(recs)-1] {
		keys[j] = keyed{b.key(recs[j].Ref), uint32(j)}
	}
	keys[len(recs)-1] = keyed{key, uint32(len(recs) - 1)}
	g := &grower{
		lineage: b.lineage, items: b.items, owner: b.owner,
		record: func(j uint32) index.Record { return recs[j] },
		ref:    func(j uint32) index.Ref { return recs[j].Ref },
	}
	n.clear(i)
	g.grow(n, i, sortKeys(keys, 1))
}

// key returns the ZKey of a point in the tree. What items say about a ref that
// the batch names may be older or newer than the step, so the batch itself
// answers for those.
func (b *batch) key(ref index.Ref) uint64 {
	if b.positions == nil {
		b.positions = make(map[index.Ref]index.Position, len(b.changes))
		for i := range b.changes {
			c := &b.changes[i]
			if i <= b.step && c.Op != index.Delete {
				b.positions[c.Ref] = c.New
			} else if _, known := b.positions[c.Ref]; i > b.step && c.Op != index.Insert && !known {
				b.positions[c.Ref] = c.Old
			}
		}
	}
	p, ok := b.positions[ref]
	if !ok {
		p.Lon, p.Lat = b.items.Position(ref)
	}
	return index.ZKey(p.Lon, p.Lat)
}

// remove takes a point out of child i of n, which the batch owns, and reports
// whether it was there.
func (b *batch) remove(n *node, i int, p place) bool {
	switch {
	case n.sub[i] != nil:
		sub := n.sub[i]
		if !within(p.key, sub.key, int(sub.level)) {
			return false
		}
		sub = b.own(sub)
		n.sub[i] = sub
		q := quadrant(p.key, sub.level)
		before := sub.box[q]
		if !b.remove(sub, q, p) {
			return false
		}
		sub.count--
		if sub.box[q] != before {
			n.box[i] = sub.bounds()
		}
		b.shrink(n, i)
	case n.bucket[i] != nil:
		if !within(p.key, n.bucket[i].Key(), b.MaxDepth) {
			return false
		}
		bu := n.bucket[i].Own(b.owner)
		n.bucket[i] = bu
		found, shrunk := bu.Remove(p.key, p.rec, b.items)
		if !found {
			return false
		}
		if bu.Len() <= b.MaxPointsPerNode {
			recs := bu.Append(nil)
			n.clear(i)
			b.pack(n, i, recs)
		} else if shrunk {
			n.box[i] = bu.Box()
		}
	default:
		at := n.leaf[i].Find(p.rec)
		if at < 0 {
			return false
		}
		recs := b.unpack(n, i)
		last := len(recs) - 1
		if last == 0 {
			n.clear(i)
			return true
		}
		recs[at] = recs[last]
		b.pack(n, i, recs[:last])
	}
	return true
}

// shrink makes node child i of n, which has lost a point, a leaf if it fits in
// one, and does without it if it has a single child left.
func (b *batch) shrink(n *node, i int) {
	sub := n.sub[i]
	if sub.count <= b.MaxPointsPerNode {
		recs := sub.gather(b.recs[:0])
		n.clear(i)
		b.pack(n, i, recs)
		b.recs = recs
		return
	}
	only := -1
	for q := range 4 {
		if sub.size(q) > 0 {
			if only >= 0 {
				return
			}
			only = q
		}
	}
	n.take(i, sub, only)
}

// gather appends all records below n to dst.
func (n *node) gather(dst []index.Record) []index.Record {
	for i := range 4 {
		switch {
		case n.sub[i] != nil:
			dst = n.sub[i].gather(dst)
		case n.bucket[i] != nil:
			dst = n.bucket[i].Append(dst)
		default:
			dst = n.leaf[i].Append(dst)
		}
	}
	return dst
}

// move takes a point from one place in child i of n, which the batch owns, to
// another and reports whether it was there. As long as both places lie in the
// same child it goes down once; most moves are short and end in one leaf.
func (b *batch) move(n *node, i int, from, to place) bool {
	if sub := n.sub[i]; sub != nil {
		q := quadrant(to.key, sub.level)
		if within(from.key, sub.key, int(sub.level)) && within(to.key, sub.key, int(sub.level)) &&
			quadrant(from.key, sub.level) == q {
			sub = b.own(sub)
			n.sub[i] = sub
			before := sub.box[q]
			if !b.move(sub, q, from, to) {
				return false
			}
			if sub.box[q] != before {
				n.box[i] = sub.bounds()
			}
			return true
		}
		// The new place first: the other way round a node with one point too
		// many for a leaf would become one and split again.
		b.insert(n, i, to)
		return b.remove(n, i, from)
	}
	if n.bucket[i] != nil {
		// A bucket keeps one point per id.
		if !b.remove(n, i, from) {
			return false
		}
		b.insert(n, i, to)
		return true
	}
	at := n.leaf[i].Find(from.rec)
	if at < 0 {
		return false
	}
	recs := b.unpack(n, i)
	recs[at] = to.rec
	b.pack(n, i, recs)
	return true
}
