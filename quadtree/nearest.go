package quadtree

import (
	"math"

	"nearby/area"
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
	stack  []unopened
	way    []stop // of approach
	bounds [4]float64

	items  index.Items
	trace  *index.Trace
	budget budget.Budget
}

// unopened is a child yet to be entered and the lower bound of the squared
// chords to its points.
type unopened struct {
	bound float64
	n     *node
	child int32
	in    area.Cover // how much of its cell lies in the query's area
}

// beyond is above all squared chords and below the bound of an empty box.
const beyond = 8

func (l *lineage) begin(items index.Items, most int, trace *index.Trace) *search {
	s, _ := l.searches.Get().(*search)
	if s == nil {
		s = new(search)
	}
	s.items, s.trace, s.budget = items, trace, budget.New(most)
	return s
}

// end gives the scratch back without what the query lent and without the nodes
// it saw, which it would keep alive.
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

// nearest offers to the top k all points that might be in the answer: first the leaf
// where the centre is, which rules out nearly all that lies beside the way there,
// then what is left, depth first and the nearest child first.
//
// It returns a lower bound on the squared chords of what it left out and whether
// it left out only what cannot matter. A subtree is dropped only when its bound
// exceeds the limit, which never rises again. So at a normal end whatever was
// dropped is farther than the k-th hit or than the maximum distance, and the
// proof needs no bound from here. When the budget ends the search the same holds
// of what was dropped, and the bound is the least of what waits.
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
			p = s.descend(sub, &centre, p.in)
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

// matters reports whether a child whose bound is within the limit may hold a hit,
// where that takes more than a box's distance to tell, and makes the bound better.
func (s *search) matters(n *node, child int, centre *sphere.Vec, bound *float64) bool {
	if *bound <= 2 && s.topk.Least <= 0 {
		return true
	}
	box := n.box.at(child)
	*bound = box.Beyond(*centre, *bound)
	return *bound <= min(s.topk.Limit, beyond) && !s.topk.Passed(&box)
}

// cover tells how much of a child's cell lies in the query's area, where in tells it of the node's.
// None also says that nothing in the child passes the filter.
func (s *search) cover(n *node, child int, in area.Cover) area.Cover {
	if s.topk.Cells.All() {
		return area.All
	}
	key, level := n.below(child)
	return s.topk.Cells.Cover(in, key, 2*level)
}

// wait puts a child on the stack, above all that are farther, and not below base.
func (s *search) wait(base int, p unopened) {
	s.stack = append(s.stack, p)
	for j := len(s.stack) - 1; j > base && s.stack[j-1].bound < p.bound; j-- {
		s.stack[j-1], s.stack[j] = s.stack[j], s.stack[j-1]
	}
}

// descend returns the nearest child of n and leaves the others that matter on
// the stack, the farthest first. Without any the node returned is nil.
func (s *search) descend(n *node, centre *sphere.Vec, in area.Cover) unopened {
	limit := min(s.topk.Limit, beyond)
	base := len(s.stack)
	n.box.chord2(centre, &s.bounds)
	for i, bound := range s.bounds {
		if bound <= limit && s.matters(n, i, centre, &bound) {
			if in := s.cover(n, i, in); in != area.None {
				s.wait(base, unopened{bound, n, int32(i), in})
			}
		}
	}
	if len(s.stack) == base {
		return unopened{}
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

// scan compares the points of a leaf or bucket. It returns false if the budget
// does not last.
func (s *search) scan(p unopened, centre sphere.Vec, q *index.Query) bool {
	compared, ok := s.budget.Compared, true
	child := int(p.child)
	if b := p.n.bucket(child); b != nil {
		if !s.budget.Enter(0) {
			return false
		}
		ok = b.Nearest(&bucket.Search{Top: &s.topk, Budget: &s.budget, Query: q, Items: s.items, Centre: centre, In: p.in})
	} else {
		lo, hi := p.n.leaf(child)
		if lo == hi {
			return true
		}
		if !s.budget.Enter(hi - lo) {
			return false
		}
		s.topk.Scan(p.n.run, lo, hi, p.in)
	}
	if s.trace != nil {
		key, level := p.n.cell(child)
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
