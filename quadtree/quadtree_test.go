package quadtree_test

import (
	"fmt"
	"testing"

	"nearby/index/indextest"
	"nearby/quadtree"
)

// TestConformance runs the suite of all indexes on trees of many shapes: leaves
// of one point, leaves that hold nearly everything, buckets at a shallow depth.
func TestConformance(t *testing.T) {
	for _, opt := range []quadtree.Options{
		{},
		{MaxPointsPerNode: 1, MaxDepth: 32},
		{MaxPointsPerNode: 4, MaxDepth: 3},
		{MaxPointsPerNode: 4, MaxDepth: 16},
		{MaxPointsPerNode: 256, MaxDepth: 32},
	} {
		t.Run(fmt.Sprintf("points=%d,depth=%d", opt.MaxPointsPerNode, opt.MaxDepth), func(t *testing.T) {
			t.Parallel()
			indextest.Run(t, quadtree.New(opt))
		})
	}
}
