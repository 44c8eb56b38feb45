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
	top.count = uint32(top.size(0))
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
	c.owner, c.mine = b.owner, false
	return &c
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
		n.box.extend(i, p.rec.V)
		return
	}
	if bu := n.bucket(i); bu != nil {
		if cell := prefix(bu.Key(), b.MaxDepth); !within(p.key, cell, b.MaxDepth) {
			b.fork(n, i, cell, p)
			return
		}
		bu = bu.Own(b.owner)
		n.setBucket(i, bu)
		bu.Insert(p.key, p.rec, b.items)
		n.box.extend(i, p.rec.V)
		return
	}
	lo, hi := n.leaf(i)
	if hi-lo == b.MaxPointsPerNode {
		b.split(n, i, p)
		return
	}
	n.splice(i, hi, hi, p.rec)
	n.box.extend(i, p.rec.V)
}

// fork puts a node between n and its child i, a node or bucket whose cell begins
// with key, where the way to p leaves the levels that were skipped.
func (b *batch) fork(n *node, i int, key uint64, p place) {
	fork := newNode(key, index.CommonBits(key, p.key)/2, b.owner)
	fork.count = uint32(n.size(i) + 1)
	fork.put(quadrant(key, fork.level), n.child(i))
	b.insert(fork, quadrant(p.key, fork.level), p)
	n.clear(i)
	n.sub[i] = fork
	n.box.set(i, fork.box.all())
}

// split makes the full leaf i of n and one more point into a subtree.
func (b *batch) split(n *node, i int, p place) {
	lo, hi := n.leaf(i)
	recs := make([]index.Record, 0, hi-lo+1)
	for j := lo; j < hi; j++ {
		recs = append(recs, n.run.Record(j))
	}
	recs = append(recs, p.rec)
	keys := make([]index.Keyed, len(recs))
	for j := range recs[:len(recs)-1] {
		keys[j] = index.Keyed{Key: b.key(recs[j].Ref), At: uint32(j)}
	}
	keys[len(recs)-1] = index.Keyed{Key: p.key, At: uint32(len(recs) - 1)}
	g := &grower{
		lineage: b.lineage, items: b.items, owner: b.owner,
		record: func(j uint32) index.Record { return recs[j] },
		ref:    func(j uint32) index.Ref { return recs[j].Ref },
	}
	n.clear(i)
	g.grow(n, i, index.SortKeyed(keys))
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
	if sub := n.sub[i]; sub != nil {
		if !within(p.key, sub.key, int(sub.level)) {
			return false
		}
		sub = b.own(sub)
		n.sub[i] = sub
		q := quadrant(p.key, sub.level)
		before := sub.box.at(q)
		if !b.remove(sub, q, p) {
			return false
		}
		sub.count--
		if sub.box.at(q) != before {
			n.box.set(i, sub.box.all())
		}
		b.shrink(n, i)
		return true
	}
	if bu := n.bucket(i); bu != nil {
		if !within(p.key, bu.Key(), b.MaxDepth) {
			return false
		}
		bu = bu.Own(b.owner)
		n.setBucket(i, bu)
		found, shrunk := bu.Remove(p.key, p.rec, b.items)
		if !found {
			return false
		}
		if bu.Len() <= b.MaxPointsPerNode {
			n.setBucket(i, nil)
			n.fill(i, bu.Append(nil))
		} else if shrunk {
			n.box.set(i, bu.Box())
		}
		return true
	}
	lo, hi := n.leaf(i)
	at := n.run.Find(lo, hi, p.rec)
	if at < 0 {
		return false
	}
	n.splice(i, at, at+1)
	n.box.set(i, n.run.Box(n.leaf(i)))
	return true
}

// shrink makes node child i of n, which has lost a point, a leaf if it fits in
// one, and does without it if it has a single child left.
func (b *batch) shrink(n *node, i int) {
	sub := n.sub[i]
	if int(sub.count) <= b.MaxPointsPerNode {
		n.sub[i] = nil
		n.fill(i, sub.gather(make([]index.Record, 0, sub.count)))
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
	n.put(i, sub.child(only)) // no leaf: it has more points than fit in one
}

// gather appends all records below n to dst.
func (n *node) gather(dst []index.Record) []index.Record {
	dst = n.run.Append(dst)
	for i := range 4 {
		if n.sub[i] != nil {
			dst = n.sub[i].gather(dst)
		} else if b := n.bucket(i); b != nil {
			dst = b.Append(dst)
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
			before := sub.box.at(q)
			if !b.move(sub, q, from, to) {
				return false
			}
			if sub.box.at(q) != before {
				n.box.set(i, sub.box.all())
			}
			return true
		}
		// The new place first: the other way round a node with one point too
		// many for a leaf would become one and split again.
		b.insert(n, i, to)
		return b.remove(n, i, from)
	}
	if n.bucket(i) != nil {
		// A bucket keeps one point per id.
		if !b.remove(n, i, from) {
			return false
		}
		b.insert(n, i, to)
		return true
	}
	lo, hi := n.leaf(i)
	at := n.run.Find(lo, hi, from.rec)
	if at < 0 {
		return false
	}
	if !n.mine {
		n.run, n.mine = slices.Clone(n.run), true
	}
	n.run.Set(at, to.rec)
	n.box.set(i, n.run.Box(lo, hi))
	return true
}
