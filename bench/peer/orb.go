package peer

import (
	"context"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/quadtree"

	"nearby/bench/dataset"
	"nearby/index"
)

// planarQuadtree is a quadtree with a point in every node.
type planarQuadtree struct {
	tree *quadtree.Quadtree
	buf  []orb.Pointer
}

// pointer is an orb.Pointer with a number.
type pointer struct {
	at  orb.Point
	ref index.Ref
}

// Point implements orb.Pointer.
func (p *pointer) Point() orb.Point { return p.at }

func buildOrb(ctx context.Context, at []dataset.Position) (Index, error) {
	t := &planarQuadtree{tree: quadtree.New(orb.Bound{Min: orb.Point{-180, -90}, Max: orb.Point{180, 90}})}
	pointers := make([]pointer, len(at))
	err := insertAll(ctx, at, func(i int, p dataset.Position) error {
		pointers[i] = pointer{orb.Point{p.Lon, p.Lat}, index.Ref(i)}
		return t.tree.Add(&pointers[i])
	})
	return t, err
}

// Nearest implements Index.
func (t *planarQuadtree) Nearest(dst []index.Ref, at dataset.Position, k int) []index.Ref {
	if k == 0 {
		return dst
	}
	t.buf = t.tree.KNearest(t.buf, orb.Point{at.Lon, at.Lat}, k)
	for _, p := range t.buf {
		dst = append(dst, p.(*pointer).ref)
	}
	return dst
}
