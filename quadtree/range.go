package quadtree

import (
	"slices"
	"sort"

	"nearby/index"
)

// entry is a point of a leaf with its place in the order of a Range answer.
type entry struct {
	key uint64
	ref index.Ref
}

// sweep is one Range under way: a walk of the tree in Z-order.
type sweep struct {
	*search
	q   *index.RangeQuery
	dst []index.Ref
	end int // length of dst at which the answer is full
}

// Range implements index.Index. The tree's order is that of the answer, so the
// walk skips what lies before the cursor or outside, and stops at the limit: a
// page costs what it holds.
func (t *tree) Range(dst []index.Ref, q *index.RangeQuery, items index.Items) ([]index.Ref, index.Proof, error) {
	if err := q.Validate(); err != nil {
		return dst, index.Proof{}, err
	}
	s := t.begin(items, q.Budget, q.Trace)
	w := sweep{search: s, q: q, dst: dst, end: len(dst) + q.Limit}
	done := w.child(t.top, 0, index.CoverPart)
	// A full answer is the whole answer, whatever the budget.
	s.proof.Exact = done || w.full()
	if s.proof.Exact {
		s.proof.Reached = index.RangeAfter{}
	}
	proof := s.proof
	t.end(s)
	return w.dst, proof, nil
}

func (w *sweep) full() bool { return len(w.dst) >= w.end }

// pay takes the cost of what begins at key from the budget. It returns false,
// and notes the place, if the budget does not last.
func (w *sweep) pay(cost int, key uint64) bool {
	if w.spend(cost) {
		return true
	}
	w.proof.Reached = w.q.Reached(key)
	return false
}

// child walks child i of n, whose parent's cell has the given relation to the
// area. It returns false when the answer is full or the budget spent.
func (w *sweep) child(n *node, i int, rel index.Cover) bool {
	if w.full() {
		return false
	}
	if n.size(i) == 0 {
		return true
	}
	key, level := n.cell(i)
	if sub := n.sub[i]; sub != nil {
		key, level = sub.key, int(sub.level)
	}
	if a := w.q.After; a != nil && lastKey(key, level) < a.ZKey {
		return true
	}
	if rel != index.CoverAll {
		if rel = w.q.Cover(key, 2*level); rel == index.CoverNone {
			return true
		}
	}
	switch {
	case n.sub[i] != nil:
		if !w.pay(1, key) {
			return false
		}
		w.proof.Entered++
		if w.trace != nil {
			w.note(index.StepNode, key, level, 0, 0)
		}
		for q := range 4 {
			if !w.child(n.sub[i], q, rel) {
				return false
			}
		}
		return true
	case n.bucket[i] != nil:
		return w.bucket(n.bucket[i], key, level, rel)
	}
	return w.leaf(n.leaf[i], key, level, rel)
}

// lastKey returns the greatest ZKey in a cell.
func lastKey(key uint64, level int) uint64 {
	return key | ^uint64(0)>>(2*level) // level 32 shifts all bits out
}

// leaf puts the points of a leaf that are in the answer in order.
func (w *sweep) leaf(recs []record, key uint64, level int, rel index.Cover) bool {
	if !w.pay(1+len(recs), key) {
		return false
	}
	w.proof.Entered++
	w.proof.Compared += len(recs)
	if w.trace != nil {
		w.note(index.StepLeaf, key, level, 0, len(recs))
	}
	found := w.sorts[:0]
	for i := range recs {
		lon, lat := w.items.Position(recs[i].ref)
		if rel == index.CoverAll || w.q.Contains(lon, lat) {
			found = append(found, entry{index.ZKey(lon, lat), recs[i].ref})
		}
	}
	w.sorts = found
	slices.SortFunc(found, func(a, b entry) int {
		if a.key != b.key {
			if a.key < b.key {
				return -1
			}
			return 1
		}
		return w.items.CompareIDs(a.ref, b.ref)
	})
	for _, e := range found {
		if !w.take(e.key, e.ref) {
			return false
		}
	}
	return true
}

// bucket takes the points of a bucket, which is in order, from the cursor on.
func (w *sweep) bucket(b *bucket, key uint64, level int, rel index.Cover) bool {
	if !w.pay(1, key) {
		return false
	}
	w.proof.Entered++
	compared := w.proof.Compared
	ok := w.chunks(b, rel)
	if w.trace != nil {
		w.note(index.StepLeaf, key, level, 0, w.proof.Compared-compared)
	}
	return ok
}

func (w *sweep) chunks(b *bucket, rel index.Cover) bool {
	var last *index.Ref // looked at
	first := sort.Search(len(b.chunks), func(i int) bool {
		c := b.chunks[i]
		return w.follows(c.keys[len(c.keys)-1], c.recs[len(c.recs)-1].ref)
	})
	for _, c := range b.chunks[first:] {
		from := sort.Search(len(c.recs), func(i int) bool { return w.follows(c.keys[i], c.recs[i].ref) })
		for i := from; i < len(c.recs); i++ {
			if !w.pay(1, b.key) {
				if last != nil {
					w.proof.Reached = index.RangeAfter{ZKey: index.ZKey(w.items.Position(*last)), ID: w.items.ID(*last)}
				}
				return false
			}
			w.proof.Compared++
			ref := c.recs[i].ref
			last = &c.recs[i].ref
			if rel != index.CoverAll && !w.q.Contains(w.items.Position(ref)) {
				continue
			}
			if !w.take(c.keys[i], ref) {
				return false
			}
		}
	}
	return true
}

// follows reports whether a point comes after the cursor.
func (w *sweep) follows(key uint64, ref index.Ref) bool {
	a := w.q.After
	if a == nil || key > a.ZKey {
		return true
	}
	return key == a.ZKey && w.items.CompareID(ref, a.ID) > 0
}

// take adds a point of the area to the answer if it follows the cursor and
// passes the filter. It returns false when the answer is full.
func (w *sweep) take(key uint64, ref index.Ref) bool {
	if w.follows(key, ref) && (w.q.Filter == nil || w.q.Filter(ref)) {
		w.dst = append(w.dst, ref)
	}
	return !w.full()
}
