// Package peer compares nearby's indexes with other implementations that a reader may know: libraries,
// used as their documentation shows, a k-d tree, and brute force. Run measures them and makes a
// report.
//
// A peer only finds the k nearest of a fixed set of points. No peer has ids, an order of ties, pages,
// snapshots or a proof; nearby's indexes have these, and need time for them. The planar peers treat
// the Earth as a plane.
package peer

import (
	"context"
	"fmt"

	"nearby/bench/dataset"
	"nearby/index"
)

// Index is a peer with its points.
type Index interface {
	// Nearest appends the refs of the k points nearest to a place, nearest first. Points at the
	// same distance are in any order. Only one goroutine may call it at a time.
	Nearest(dst []index.Ref, at dataset.Position, k int) []index.Ref
}

// Peer is one way to find neighbours.
type Peer struct {
	Name string
	// Note says in a few words how it works.
	Note string
	// Planar: distances are computed from longitude and latitude as coordinates of a plane. So
	// answers may be wrong, above all far from the equator and across the antimeridian.
	Planar bool
	// Slow: a query compares every point.
	Slow bool
	// Build makes the index. The point at position i has the Ref i. If the context ends, Build
	// returns its error early, as far as the library makes that possible.
	Build func(ctx context.Context, at []dataset.Position) (Index, error)
}

// All returns the peers, in the order of a report.
func All() []Peer {
	return []Peer{
		{Name: "k-d tree", Note: "unit vectors in an array", Build: buildKD},
		{Name: "golang/geo s2", Note: "points as edges, in widening circles", Build: buildS2},
		{Name: "tidwall/rtree", Note: "planar: degrees", Planar: true, Build: buildRTree},
		{Name: "orb/quadtree", Note: "planar: degrees", Planar: true, Build: buildOrb},
		{Name: "brute force", Note: "unit vectors, all of them", Slow: true, Build: buildBrute},
	}
}

// every is how many points are inserted between two checks of the context.
const every = 1024

// insertAll inserts points one by one until the context ends.
func insertAll(ctx context.Context, at []dataset.Position, insert func(i int, p dataset.Position) error) error {
	for i, p := range at {
		if i%every == 0 && ctx.Err() != nil {
			return fmt.Errorf("after %d of %d points: %w", i, len(at), ctx.Err())
		}
		if err := insert(i, p); err != nil {
			return fmt.Errorf("point %d: %w", i, err)
		}
	}
	return nil
}
