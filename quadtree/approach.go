package quadtree

import (
	"nearby/area"
	"nearby/index"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// stop is a node on the way from the root to the centre.
type stop struct {
	bounds [4]float64 // of its children
	n      *node
	child  int // the one that the way goes through; -1: none
}

// approach goes down to the leaf whose cell holds the centre, as long as nothing
// beside the way is nearer, and scans it. The centre's key says where to go, so the
// processor need not wait for one node's distances before it looks at the next.
// What lies beside the way and matters waits on the stack after that. It returns
// false if the budget does not last.
func (s *search) approach(top *node, centre *sphere.Vec, q *index.Query) bool {
	key := zorder.Key(q.Lon, q.Lat)
	limit := min(s.topk.Limit, beyond)
	s.way = s.way[:0]
	for n, child := top, 0; ; {
		s.way = append(s.way, stop{n: n, child: child})
		here := &s.way[len(s.way)-1]
		n.box.chord2(centre, &here.bounds)
		bound := here.bounds[child]
		sub := n.sub[child]
		if bound > limit || bound > least(&here.bounds) || sub != nil && !inCell(key, sub.key, int(sub.level)) {
			here.child = -1
			break
		}
		if sub == nil {
			if !s.scan(unopened{bound, n, int32(child), s.topk.Cells.Earth()}, *centre, q) {
				return false
			}
			break
		}
		if !s.budget.Enter(0) {
			return false
		}
		if s.trace != nil {
			s.note(index.StepNode, sub.key, int(sub.level), bound, 0)
		}
		n, child = sub, quadrant(key, sub.level)
	}
	s.lookBack(centre)
	return true
}

// lookBack puts on the stack what lies beside the way: the farthest first when the
// leaf has limited the search, and else what is beside the end of the way last, as
// if the search had come down there.
func (s *search) lookBack(centre *sphere.Vec) {
	limit := min(s.topk.Limit, beyond)
	base := 0
	for i := range s.way {
		w := &s.way[i]
		if limit == beyond {
			base = len(s.stack)
		}
		for child, bound := range w.bounds {
			if bound <= limit && child != w.child && s.matters(w.n, child, centre, &bound) {
				if in := s.cover(w.n, child, area.Part); in != area.None {
					s.wait(base, unopened{bound, w.n, int32(child), in})
				}
			}
		}
	}
}

func least(bounds *[4]float64) float64 {
	return min(bounds[0], bounds[1], bounds[2], bounds[3])
}
