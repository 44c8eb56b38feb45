// Package peer asks what others have built the same questions as nearby's own
// indexes, so that the figures of these stand beside figures that a reader knows:
// libraries, used as their documentation shows, a k-d tree, and brute force. Run
// measures them and makes a report.
//
// A peer is asked for one thing only, the k nearest of a fixed set of points.
// None of them has ids, ties in order, pages, snapshots or a proof, which
// nearby's indexes pay for; the planar ones do not know that the Earth is round.
package peer

import (
	"context"
	"fmt"

	"nearby/bench/dataset"
	"nearby/index"
)

// Index is a peer with its points.
type Index interface {
	// Nearest appends the refs of the k points nearest to a place, nearest
	// first. Points equally far come in any order. One goroutine calls it at a
	// time.
	Nearest(dst []index.Ref, at dataset.Position, k int) []index.Ref
}

// Peer is one way to find neighbours.
type Peer struct {
	Name string
	// Note says in a few words what it compares.
	Note string
	// Planar: distances are those of longitude and latitude as plane
	// coordinates, so that answers may be wrong, the more so far from the
	// equator and across the antimeridian.
	Planar bool
	// Slow: a query looks at every point.
	Slow bool
	// Build makes the index; the point at position i has the Ref i. It ends
	// early, with the context's error, where the library leaves it a way to.
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

// every is how many points are inserted between two looks at the context.
const every = 1024

// insertAll inserts points one by one until the context ends.
func insertAll(ctx context.Context, at []dataset.Position, insert func(i int, p dataset.Position) error) error {
	for i, p := range at {
		if i%every == 0 && ctx.Err() != nil {
			return fmt.Errorf("peer: after %d of %d points: %w", i, len(at), ctx.Err())
		}
		if err := insert(i, p); err != nil {
			return fmt.Errorf("peer: point %d: %w", i, err)
		}
	}
	return nil
}
