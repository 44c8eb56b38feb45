package peer

import (
	"math"

	"nearby/index"
	"nearby/sphere"
)

// nearest keeps the k nearest points seen, in order of their squared chords: by
// insertion, which is the quickest for the small k that peers are asked for.
type nearest struct {
	k    int
	list []candidate
}

type candidate struct {
	chord2 float64
	ref    index.Ref
}

func (n *nearest) reset(k int) { n.k, n.list = k, n.list[:0] }

// limit is the squared chord that a point must be below to be of interest.
func (n *nearest) limit() float64 {
	switch {
	case n.k == 0:
		return -1
	case len(n.list) < n.k:
		return math.Inf(1)
	}
	return n.list[n.k-1].chord2
}

func (n *nearest) scan(points []located, q sphere.Vec) {
	limit := n.limit()
	for i := range points {
		x, y, z := points[i].at.X-q.X, points[i].at.Y-q.Y, points[i].at.Z-q.Z
		if c := x*x + y*y + z*z; c < limit {
			n.insert(candidate{c, points[i].ref})
			limit = n.limit()
		}
	}
}

func (n *nearest) insert(c candidate) {
	if len(n.list) < n.k {
		n.list = append(n.list, c)
	}
	i := len(n.list) - 1
	for ; i > 0 && n.list[i-1].chord2 > c.chord2; i-- {
		n.list[i] = n.list[i-1]
	}
	n.list[i] = c
}

func (n *nearest) appendTo(dst []index.Ref) []index.Ref {
	for _, c := range n.list {
		dst = append(dst, c.ref)
	}
	return dst
}
