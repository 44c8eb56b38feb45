package quadtree

import (
	"math/bits"
	"unsafe"

	"nearby/index"
)

// Stats implements index.Index. A bucket counts as a leaf at the greatest depth.
func (t *tree) Stats() index.Stats {
	s := index.Stats{
		Kind:   "quadtree",
		Points: t.Len(),
		Depths: map[int]int{},
		Parameters: map[string]int{
			"maxPointsPerNode": t.MaxPointsPerNode,
			"maxDepth":         t.MaxDepth,
		},
	}
	t.describe(t.top, 0, &s)
	s.Bytes += int64(unsafe.Sizeof(tree{})+unsafe.Sizeof(node{})) + 8*int64(cap(t.top.run))
	return s
}

func (t *tree) describe(n *node, i int, s *index.Stats) {
	size := n.size(i)
	if size == 0 {
		return
	}
	_, level := n.cell(i)
	switch {
	case n.sub[i] != nil:
		s.Nodes++
		s.Bytes += int64(unsafe.Sizeof(node{})) + 8*int64(cap(n.sub[i].run))
		for q := range 4 {
			t.describe(n.sub[i], q, s)
		}
		return
	case n.bucket(i) != nil:
		level = t.MaxDepth
		s.Bytes += n.bucket(i).Bytes()
	}
	s.Cells++
	s.Depths[level]++
	s.Occupancy[bits.Len(uint(size))-1]++
	s.MaxOccupancy = max(s.MaxOccupancy, size)
}
