package quadtree

import (
	"slices"

	"nearby/index"
	"nearby/internal/bucket"
	"nearby/internal/cover"
	"nearby/internal/runs"
	"nearby/internal/zorder"
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
	end int              // length of dst at which the answer is full
	at  index.RangeAfter // where the budget ended it
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
	done := w.child(t.top, 0, cover.Part)
	// A full answer is the whole answer, whatever the budget.
	proof := index.Proof{Exact: done || w.full(), Entered: s.meter.Entered, Compared: s.meter.Compared}
	if !proof.Exact {
		proof.Reached = w.at
	}
	t.end(s)
	return w.dst, proof, nil
}

func (w *sweep) full() bool { return len(w.dst) >= w.end }

// enter counts a cell that begins at key, unless the budget forbids it.
func (w *sweep) enter(key uint64, points int) bool {
	if w.meter.Enter(points) {
		return true
	}
	w.at = w.q.Reached(key)
	return false
}

// child walks child i of n, whose parent's cell has the given relation to the
// area. It returns false when the answer is full or the budget spent.
func (w *sweep) child(n *node, i int, rel cover.Cover) bool {
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
	if rel != cover.All {
		if rel = cover.Of(w.q, key, 2*level); rel == cover.None {
			return true
		}
	}
	switch {
	case n.sub[i] != nil:
		if !w.enter(key, 0) {
			return false
		}
		if w.trace != nil {
			w.note(index.StepNode, key, level, 0, 0)
		}
		for q := range 4 {
			if !w.child(n.sub[i], q, rel) {
				return false
			}
		}
		return true
	case n.bucket(i) != nil:
		return w.bucket(n.bucket(i), key, level, rel)
	}
	lo, hi := n.leaf(i)
	return w.leaf(n.run, lo, hi, key, level, rel)
}

// lastKey returns the greatest ZKey in a cell.
func lastKey(key uint64, level int) uint64 {
	return key | ^uint64(0)>>(2*level) // level 32 shifts all bits out
}

// leaf puts the points of a leaf that are in the answer in order.
func (w *sweep) leaf(run runs.Run, lo, hi int, key uint64, level int, rel cover.Cover) bool {
	n := hi - lo
	if !w.enter(key, n) {
		return false
	}
	if w.trace != nil {
		w.note(index.StepLeaf, key, level, 0, n)
	}
	found := w.sorts[:0]
	for i := lo; i < hi; i++ {
		ref := run.Ref(i)
		lon, lat := w.items.Position(ref)
		if rel == cover.All || cover.Contains(w.q, lon, lat) {
			found = append(found, entry{zorder.Key(lon, lat), ref})
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
func (w *sweep) bucket(b *bucket.Bucket, key uint64, level int, rel cover.Cover) bool {
	if !w.enter(key, 0) {
		return false
	}
	compared := w.meter.Compared
	ok := w.chunks(b, key, rel)
	if w.trace != nil {
		w.note(index.StepLeaf, key, level, 0, w.meter.Compared-compared)
	}
	return ok
}

func (w *sweep) chunks(b *bucket.Bucket, key uint64, rel cover.Cover) bool {
	reached := w.q.Reached(key)
	return b.Walk(w.follows, func(key uint64, ref index.Ref) bool {
		if !w.meter.Compare(1) {
			w.at = reached
			return false
		}
		if w.q.Budget > 0 {
			reached = index.RangeAfter{ZKey: key, ID: w.items.ID(ref)}
		}
		if rel != cover.All && !cover.Item(w.q, w.items, ref) {
			return true
		}
		return w.take(key, ref)
	})
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
