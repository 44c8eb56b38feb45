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
	opts := shapes
	if raceEnabled {
		opts = shapes[:2] // races do not depend on the shape, and time does
	}
	for _, opt := range opts {
		t.Run(fmt.Sprintf("points=%d,depth=%d", opt.MaxPointsPerNode, opt.MaxDepth), func(t *testing.T) {
			t.Parallel()
			indextest.Run(t, quadtree.New(opt))
		})
	}
}
