package quadtree

import (
	"math"

	"nearby/index"
	"nearby/internal/bucket"
	"nearby/internal/budget"
	"nearby/internal/topk"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// search is the scratch of one query, kept for the next.
type search struct {
	topk   topk.TopK
	stack  []pending
	way    []stop // of approach
	bounds [4]float64

	items  index.Items
	trace  *index.Trace
	budget budget.Budget
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

// begin takes the scratch of a query. limit is the query's Budget.
func (l *lineage) begin(items index.Items, limit int, trace *index.Trace) *search {
	s, _ := l.searches.Get().(*search)
	if s == nil {
		s = new(search)
	}
	s.items, s.trace, s.budget = items, trace, budget.New(limit)
	return s
}

// end returns the scratch to the pool. It first drops what belongs to the query, and the nodes, which
// the pool would keep alive.
func (l *lineage) end(s *search) {
	s.topk.Release()
	clear(s.stack[:cap(s.stack)])
	s.stack = s.stack[:0]
	clear(s.way[:cap(s.way)])
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
	proof := index.Proof{Entered: s.budget.Entered, Compared: s.budget.Compared}
	dst = s.topk.Append(dst, unentered, exact, &proof)
	t.end(s)
	return dst, proof, nil
}

// nearest offers to topk all points that might be in the answer. It first scans the leaf of the centre.
// The points there rule out nearly everything beside the way to the leaf. Then it searches the rest,
// depth first, the nearest child first.
//
// exact reports whether only points that cannot be in the answer were left out. Otherwise unentered is
// a lower bound on their squared chords. A subtree is dropped only if its bound is above the limit,
// and the limit never rises. So a dropped subtree is farther than the k-th hit or the maximum
// distance. If the budget ends the search, the bound is the least bound on the stack.
func (s *search) nearest(top *node, q *index.Query) (unentered float64, exact bool) {
	centre := s.topk.Reset(q, s.items)
	s.stack = s.stack[:0]
	if !s.approach(top, &centre, q) {
		return 0, false
	}
	for len(s.stack) > 0 {
		p := s.stack[len(s.stack)-1]
		s.stack = s.stack[:len(s.stack)-1]
		if p.bound > min(s.topk.Limit, beyond) {
			continue
		}
		for sub := p.n.sub[p.child]; sub != nil; sub = p.n.sub[p.child] {
			if !s.budget.Enter(0) {
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

// matters reports whether a child whose bound is within the limit may have a hit. It uses more than the
// distance to the box: the far side of the Earth, and the query's After. It may raise the bound.
func (s *search) matters(n *node, child int, centre *sphere.Vec, bound *float64) bool {
	if *bound <= 2 && s.topk.Least <= 0 {
		return true
	}
	box := n.box.at(child)
	*bound = box.Beyond(*centre, *bound)
	return *bound <= min(s.topk.Limit, beyond) && !s.topk.Passed(&box)
}

// wait puts a child on the stack, above those that are farther, but not below base.
func (s *search) wait(base int, p pending) {
	s.stack = append(s.stack, p)
	for j := len(s.stack) - 1; j > base && s.stack[j-1].bound < p.bound; j-- {
		s.stack[j-1], s.stack[j] = s.stack[j], s.stack[j-1]
	}
}

// descend returns the nearest child of n that matters, and puts the others on the stack, the farthest
// first. If no child matters, the node of the result is nil.
func (s *search) descend(n *node, centre *sphere.Vec) pending {
	limit := min(s.topk.Limit, beyond)
	base := len(s.stack)
	n.box.chord2(centre, &s.bounds)
	for i, bound := range s.bounds {
		if bound <= limit && s.matters(n, i, centre, &bound) {
			s.wait(base, pending{bound, n, i})
		}
	}
	if len(s.stack) == base {
		return pending{}
	}
	nearest := s.stack[len(s.stack)-1]
	s.stack = s.stack[:len(s.stack)-1]
	return nearest
}

// waiting returns the least bound among the given one and the stack's.
func (s *search) waiting(bound float64) float64 {
	for i := range s.stack {
		bound = min(bound, s.stack[i].bound)
	}
	return bound
}

// scan compares the points of a leaf or bucket. It returns false if the budget does not suffice.
func (s *search) scan(p pending, centre sphere.Vec, q *index.Query) bool {
	compared, ok := s.budget.Compared, true
	if b := p.n.bucket(p.child); b != nil {
		if !s.budget.Enter(0) {
			return false
		}
		ok = b.Nearest(&bucket.Search{Top: &s.topk, Budget: &s.budget, Query: q, Items: s.items, Centre: centre})
	} else {
		lo, hi := p.n.leaf(p.child)
		if lo == hi {
			return true
		}
		if !s.budget.Enter(hi - lo) {
			return false
		}
		s.topk.Scan(p.n.run, lo, hi)
	}
	if s.trace != nil {
		key, level := p.n.cell(p.child)
		s.note(index.StepLeaf, key, level, p.bound, s.budget.Compared-compared)
	}
	return ok
}

// note records a step in the trace.
func (s *search) note(kind index.StepKind, key uint64, level int, bound float64, points int) {
	s.trace.Add(step(kind, key, level, bound, points))
}

// step describes what a search did in the cell of a level at key.
func step(kind index.StepKind, key uint64, level int, bound float64, points int) index.Step {
	return index.Step{
		Kind:   kind,
		Name:   quadkey(key, level),
		Bounds: zorder.Rect(key, 2*level),
		Lower:  sphere.LowerDistance(bound),
		Level:  level,
		Points: points,
	}
}
