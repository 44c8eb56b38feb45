package peer

import (
	"context"

	"github.com/tidwall/rtree"

	"nearby/bench/dataset"
	"nearby/index"
)

// planarRTree is an R-tree with the distance that comes with it.
type planarRTree struct {
	tree rtree.RTreeG[index.Ref]
}

func buildRTree(ctx context.Context, at []dataset.Position) (Index, error) {
	t := &planarRTree{}
	err := insertAll(ctx, at, func(i int, p dataset.Position) error {
		c := [2]float64{p.Lon, p.Lat}
		t.tree.Insert(c, c, index.Ref(i))
		return nil
	})
	return t, err
}

// Nearest implements Index.
func (t *planarRTree) Nearest(dst []index.Ref, at dataset.Position, k int) []index.Ref {
	if k == 0 {
		return dst
	}
	c := [2]float64{at.Lon, at.Lat}
	t.tree.Nearby(rtree.BoxDist[float64, index.Ref](c, c, nil), func(_, _ [2]float64, ref index.Ref, _ float64) bool {
		dst = append(dst, ref)
		k--
		return k > 0
	})
	return dst
}
