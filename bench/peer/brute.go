package peer

import (
	"context"

	"nearby/bench/dataset"
	"nearby/index"
	"nearby/sphere"
)

// located is a point on the unit sphere.
type located struct {
	at  sphere.Vec
	ref index.Ref
}

func locate(at []dataset.Position) []located {
	points := make([]located, len(at))
	for i, p := range at {
		points[i] = located{sphere.FromDegrees(p.Lon, p.Lat), index.Ref(i)}
	}
	return points
}

// brute looks at all points.
type brute struct {
	points []located
	best   nearest
}

func buildBrute(_ context.Context, at []dataset.Position) (Index, error) {
	return &brute{points: locate(at)}, nil
}

// Nearest implements Index.
func (b *brute) Nearest(dst []index.Ref, at dataset.Position, k int) []index.Ref {
	q := sphere.FromDegrees(at.Lon, at.Lat)
	b.best.reset(k)
	b.best.scan(b.points, q)
	return b.best.appendTo(dst)
}
