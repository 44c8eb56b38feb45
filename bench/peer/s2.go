package peer

import (
	"context"
	"math"

	"github.com/golang/geo/s1"
	"github.com/golang/geo/s2"

	"nearby/bench/dataset"
	"nearby/index"
	"nearby/sphere"
)

// s2Points finds points as edges without length: Go's S2 has not got the point
// index and the closest point query of the C++ library.
type s2Points struct {
	index *s2.ShapeIndex
}

func buildS2(_ context.Context, at []dataset.Position) (Index, error) {
	points := make(s2.PointVector, len(at))
	for i, p := range at {
		points[i] = s2.PointFromLatLng(s2.LatLngFromDegrees(p.Lat, p.Lon))
	}
	s := &s2Points{s2.NewShapeIndex()}
	s.index.Add(&points)
	s.index.Build()
	return s, nil
}

// Nearest implements Index. The library prunes by a limit that is given or, for
// one result, by that result; asked for more without a limit it sorts all points.
// So the nearest is found first, and then all within 10 m more, 40 m more and so
// on until there are enough. (Twice its distance would take in a whole city when
// that is far away.)
func (s *s2Points) Nearest(dst []index.Ref, at dataset.Position, k int) []index.Ref {
	if k == 0 {
		return dst
	}
	centre := s2.PointFromLatLng(s2.LatLngFromDegrees(at.Lat, at.Lon))
	query := func(n int, limit s1.ChordAngle) []s2.EdgeQueryResult {
		o := s2.NewClosestEdgeQueryOptions().IncludeInteriors(false).MaxResults(n).DistanceLimit(limit)
		return s2.NewClosestEdgeQuery(s.index, o).FindEdges(s2.NewMinDistanceToPointTarget(centre))
	}
	found := query(1, s1.InfChordAngle())
	if len(found) == 0 {
		return dst
	}
	const metre = 1 / sphere.EarthRadius // in radians
	nearest := found[0].Distance().Angle()
	for more := s1.Angle(10 * metre); len(found) < k; more *= 4 {
		if nearest+more >= math.Pi {
			found = query(k, s1.InfChordAngle())
			break
		}
		found = query(k, s1.ChordAngleFromAngle(nearest+more))
	}
	for _, r := range found {
		dst = append(dst, index.Ref(r.EdgeID()))
	}
	return dst
}
