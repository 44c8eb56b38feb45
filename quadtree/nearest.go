package quadtree

import (
	"math"

	"nearby/index"
	"nearby/index/bucket"
	"nearby/sphere"
)

// search is the scratch of one query, kept for the next.
type search struct {
	topk   index.TopK
	stack  []pending
	sorts  []entry // of Range
	bounds [4]float64

	items index.Items
	trace *index.Trace
	meter index.Meter
}

// pending is a child yet to be entered and the lower bound of the squared
// chords to its points.
type pending struct {
	bound float64
	n     *node
	child int
}

// beyond is above all squared chords and below the bound of an empty box.
const beyond = 8

func (l *lineage) begin(items index.Items, budget int, trace *index.Trace) *search {
	s, _ := l.searches.Get().(*search)
	if s == nil {
		s = new(search)
	}
	s.items, s.trace, s.meter = items, trace, index.NewMeter(budget)
	return s
}

// end gives the scratch back without what the query lent and without the nodes
// it saw, which it would keep alive.
func (l *lineage) end(s *search) {
	s.topk.Release()
	clear(s.stack[:cap(s.stack)])
	s.stack = s.stack[:0]
	s.items, s.trace = nil, nil
	l.searches.Put(s)
}

// Nearest implements index.Index.
func (t *tree) Nearest(dst []index.Hit, q *index.Query, items index.Items) ([]index.Hit, index.Proof, error) {
	if err := q.Validate(); err != nil {
		return dst, index.Proof{}, err
	}
	s := t.begin(items, q.Budget, q.Trace)
	unentered, exact := s.nearest(t.top, q)
	proof := index.Proof{Entered: s.meter.Entered, Compared: s.meter.Compared}
	dst = s.topk.Append(dst, unentered, exact, &proof)
	t.end(s)
	return dst, proof, nil
}

// nearest offers to the top k all points that might be in the answer. Depth
// first, the nearest child first: the first leaf lies next to the centre, and
// what it holds rules out nearly all that waits on the stack.
//
// It returns a lower bound on the squared chords of what it left out and whether
// it left out only what cannot matter. A subtree is dropped only when its bound
// exceeds the limit, which never rises again. So at a normal end whatever was
// dropped is farther than the k-th hit or than the maximum distance, and the
// proof needs no bound from here. When the budget ends the search the same holds
// of what was dropped, and the bound is the least of what waits.
func (s *search) nearest(top *node, q *index.Query) (unentered float64, exact bool) {
	centre := s.topk.Reset(q, s.items)
	top.box.chord2(&centre, &s.bounds)
	s.stack = append(s.stack[:0], pending{s.bounds[0], top, 0})
	for len(s.stack) > 0 {
		p := s.stack[len(s.stack)-1]
		s.stack = s.stack[:len(s.stack)-1]
		if p.bound > min(s.topk.Limit, beyond) {
			continue
		}
		for sub := p.n.sub[p.child]; sub != nil; sub = p.n.sub[p.child] {
			if !s.meter.Enter(0) {
				return s.waiting(p.bound), false
			}
			if s.trace != nil {
				s.note(index.StepNode, sub.key, int(sub.level), p.bound, 0)
			}
			p = s.descend(sub, &centre)
			if p.n == nil {
				break
			}
		}
		if p.n != nil && !s.scan(p, centre, q) {
			return s.waiting(p.bound), false
		}
	}
	return math.Inf(1), true
}

// descend returns the nearest child of n and leaves the others that matter on
// the stack, the farthest first. Without any the node returned is nil.
func (s *search) descend(n *node, centre *sphere.Vec) pending {
	limit := min(s.topk.Limit, beyond)
	best, nearest := -1, float64(beyond)
	base := len(s.stack)
	n.box.chord2(centre, &s.bounds)
	for i, bound := range s.bounds {
		if bound > limit {
			continue
		}
		if bound > 2 || s.topk.Least > 0 {
			box := n.box.at(i)
			if bound = box.Beyond(*centre, bound); bound > limit || s.topk.Passed(&box) {
				continue
			}
		}
		child := i
		if bound < nearest {
			bound, nearest = nearest, bound
			child, best = best, child
			if child < 0 {
				continue
			}
		}
		s.stack = append(s.stack, pending{bound, n, child})
		for j := len(s.stack) - 1; j > base && s.stack[j-1].bound < s.stack[j].bound; j-- {
			s.stack[j-1], s.stack[j] = s.stack[j], s.stack[j-1]
		}
	}
	if best < 0 {
		return pending{}
	}
	return pending{nearest, n, best}
}

// waiting returns the least bound among the given one and the stack's.
func (s *search) waiting(bound float64) float64 {
	for i := range s.stack {
		bound = min(bound, s.stack[i].bound)
	}
	return bound
}

// scan compares the points of a leaf or bucket. It returns false if the budget
// does not last.
func (s *search) scan(p pending, centre sphere.Vec, q *index.Query) bool {
	compared, ok := s.meter.Compared, true
	if b := p.n.bucket(p.child); b != nil {
		if !s.meter.Enter(0) {
			return false
		}
		ok = b.Nearest(&bucket.Search{Top: &s.topk, Meter: &s.meter, Query: q, Items: s.items, Centre: centre})
	} else {
		lo, hi := p.n.leaf(p.child)
		if lo == hi {
			return true
		}
		if !s.meter.Enter(hi - lo) {
			return false
		}
		s.topk.Scan(p.n.run, lo, hi)
	}
	if s.trace != nil {
		key, level := p.n.cell(p.child)
		s.note(index.StepLeaf, key, level, p.bound, s.meter.Compared-compared)
	}
	return ok
}

// note records a step in the trace.
func (s *search) note(kind index.StepKind, key uint64, level int, bound float64, points int) {
	s.trace.Add(index.Step{
		Kind:   kind,
		Name:   quadkey(key, level),
		Bounds: index.CellRect(key, 2*level),
		Lower:  sphere.LowerDistance(bound),
		Level:  level,
		Points: points,
	})
}
