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
	step    int // the change being made

	// positions of the refs that the batch names, as of step; nil until a leaf
	// splits, the only time that they are needed.
	positions map[index.Ref]index.Position
}

// place is a point where it lies or shall lie.
type place struct {
	key uint64
	rec record
}

func placeOf(ref index.Ref, p index.Position) place {
	return place{index.ZKey(p.Lon, p.Lat), record{sphere.FromDegrees(p.Lon, p.Lat), ref}}
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

// ownLeaf makes leaf i of n one that the batch may edit, with room for another
// point.
func (b *batch) ownLeaf(n *node, i int) {
	if n.mine>>i&1 == 0 {
		n.leaf[i] = append(make([]record, 0, len(n.leaf[i])+1), n.leaf[i]...)
		n.mine |= 1 << i
	}
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
		n.box[i].Extend(p.rec.v)
		return
	}
	if bu := n.bucket[i]; bu != nil {
		if !within(p.key, bu.key, b.MaxDepth) {
			b.fork(n, i, bu.key, p)
			return
		}
		n.bucket[i] = bu.own(b.owner)
		n.bucket[i].insert(p.key, p.rec, b.items)
		n.box[i].Extend(p.rec.v)
		return
	}
	if len(n.leaf[i]) == b.MaxPointsPerNode {
		b.split(n, i, p)
		return
	}
	b.ownLeaf(n, i)
	n.leaf[i] = append(n.leaf[i], p.rec)
	n.box[i].Extend(p.rec.v)
}

// fork puts a node between n and its child i, whose cell begins with key, where
// the way to p leaves the levels that were skipped.
func (b *batch) fork(n *node, i int, key uint64, p place) {
	fork := newNode(key, index.CommonBits(key, p.key)/2, b.owner)
	fork.count = n.size(i) + 1
	fork.take(quadrant(key, fork.level), n, i)
	b.insert(fork, quadrant(p.key, fork.level), p)
	box := n.box[i]
	box.Extend(p.rec.v)
	n.clear(i)
	n.sub[i], n.box[i] = fork, box
}

// split makes the full leaf i of n and one more point into a subtree.
func (b *batch) split(n *node, i int, p place) {
	recs := append(slices.Clone(n.leaf[i]), p.rec)
	keys := make([]keyed, len(recs))
	for j := range n.leaf[i] {
		keys[j] = keyed{b.key(recs[j].ref), uint32(j)}
	}
	keys[len(recs)-1] = keyed{p.key, uint32(len(recs) - 1)}
	g := &grower{
		lineage: b.lineage, items: b.items, owner: b.owner,
		record: func(j uint32) record { return recs[j] },
		ref:    func(j uint32) index.Ref { return recs[j].ref },
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
		if !within(p.key, n.bucket[i].key, b.MaxDepth) {
			return false
		}
		bu := n.bucket[i].own(b.owner)
		n.bucket[i] = bu
		found, shrunk := bu.remove(p.key, p.rec, b.items)
		if !found {
			return false
		}
		if bu.count <= b.MaxPointsPerNode {
			recs := bu.records()
			n.clear(i)
			n.leaf[i], n.box[i] = recs, boxOf(recs)
			n.mine |= 1 << i
		} else if shrunk {
			n.box[i] = bu.bounds()
		}
	default:
		at := slices.Index(n.leaf[i], p.rec)
		if at < 0 {
			return false
		}
		if len(n.leaf[i]) == 1 {
			n.clear(i)
			return true
		}
		b.ownLeaf(n, i)
		recs := n.leaf[i]
		last := len(recs) - 1
		recs[at] = recs[last]
		n.leaf[i] = recs[:last]
		n.box[i] = boxOf(n.leaf[i])
	}
	return true
}

// shrink makes node child i of n, which has lost a point, a leaf if it fits in
// one, and does without it if it has a single child left.
func (b *batch) shrink(n *node, i int) {
	sub := n.sub[i]
	if sub.count <= b.MaxPointsPerNode {
		recs := sub.gather(make([]record, 0, sub.count))
		box := n.box[i]
		n.clear(i)
		n.leaf[i], n.box[i] = recs, box
		n.mine |= 1 << i
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
func (n *node) gather(dst []record) []record {
	for i := range 4 {
		switch {
		case n.sub[i] != nil:
			dst = n.sub[i].gather(dst)
		case n.bucket[i] != nil:
			for _, c := range n.bucket[i].chunks {
				dst = append(dst, c.recs...)
			}
		default:
			dst = append(dst, n.leaf[i]...)
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
	at := slices.Index(n.leaf[i], from.rec)
	if at < 0 {
		return false
	}
	b.ownLeaf(n, i)
	n.leaf[i][at] = to.rec
	n.box[i] = boxOf(n.leaf[i])
	return true
}
