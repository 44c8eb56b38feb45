package peer

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"nearby/bench/dataset"
	"nearby/index"
	"nearby/sphere"
)

// TestPeersFindTheNearest compares the distances of every peer's answers with a
// sorted list of all distances, in the peer's own metric.
func TestPeersFindTheNearest(t *testing.T) {
	for _, name := range dataset.Names() {
		for _, n := range []int{0, 1, 9, 17, 700} {
			at, err := dataset.Generate(name, n, 7)
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, uint64(n)))
			var centres []dataset.Position
			for range 10 {
				centres = append(centres, dataset.Anywhere(r))
				if n > 0 {
					p := at[r.IntN(n)]
					centres = append(centres, p, p.Offset(100*r.NormFloat64(), 100*r.NormFloat64()))
				}
			}
			for _, p := range All() {
				ix, err := p.Build(context.Background(), at)
				if err != nil {
					t.Fatalf("%s, %d points of %s: %v", p.Name, n, name, err)
				}
				distance := onSphere
				if p.Planar {
					distance = inPlane
				}
				for i, c := range centres {
					k := []int{0, 1, 10, 30}[i%4]
					check(t, p.Name+", "+name, at, c, ix.Nearest(nil, c, k), k, distance)
				}
			}
		}
	}
}

func check(t *testing.T, name string, at []dataset.Position, c dataset.Position, got []index.Ref, k int, distance func(a, b dataset.Position) float64) {
	t.Helper()
	var want []float64
	for _, p := range at {
		want = append(want, distance(c, p))
	}
	slices.Sort(want)
	want = want[:min(k, len(want))]
	if len(got) != len(want) {
		t.Fatalf("%s: %d of %d points for k=%d at %v", name, len(got), len(at), k, c)
	}
	seen := map[index.Ref]bool{}
	for i, ref := range got {
		if seen[ref] {
			t.Fatalf("%s: %d comes twice at %v", name, ref, c)
		}
		seen[ref] = true
		if d := distance(c, at[ref]); math.Abs(d-want[i]) > 1e-9*max(1, want[i]) {
			t.Fatalf("%s: the %d. of %d at %v is at %v, not at %v", name, i+1, k, c, d, want[i])
		}
	}
}

func onSphere(a, b dataset.Position) float64 {
	return math.Sqrt(sphere.Chord2(sphere.FromDegrees(a.Lon, a.Lat), sphere.FromDegrees(b.Lon, b.Lat)))
}

func inPlane(a, b dataset.Position) float64 { return math.Hypot(a.Lon-b.Lon, a.Lat-b.Lat) }

// TestInsertingEndsWithItsContext: what is built point by point can be stopped.
func TestInsertingEndsWithItsContext(t *testing.T) {
	at := make([]dataset.Position, 100_000) // all alike: orb's tree takes seconds
	stopped := 0
	for _, p := range All() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := p.Build(ctx, at); errors.Is(err, context.Canceled) {
			stopped++
		} else if err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
	if stopped != 2 {
		t.Errorf("%d peers stopped, want the two that insert", stopped)
	}
}

// TestKDTreeHalves holds the tree to its order and its boxes, of points with many
// equal coordinates among others.
func TestKDTreeHalves(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 200 {
		at := make([]dataset.Position, n)
		for i := range at {
			at[i] = dataset.Position{Lon: float64(r.IntN(3)), Lat: float64(r.IntN(3)) + float64(r.IntN(2))*r.Float64()}
		}
		ix, err := buildKD(context.Background(), at)
		if err != nil {
			t.Fatal(err)
		}
		tree := ix.(*kdTree)
		var walk func(node, low, high int)
		walk = func(node, low, high int) {
			for i := low; i < high; i++ {
				if d := tree.boxes[node].chord2(&tree.points[i].at); d != 0 {
					t.Fatalf("%d points: %d lies outside of the box of node %d", n, i, node)
				}
			}
			if high-low <= kdLeaf {
				return
			}
			middle := (low + high) / 2
			axis, _ := tree.boxes[node].widest()
			left, right := tree.boxes[2*node+1], tree.boxes[2*node+2]
			if coordinate(&left.high, axis) > coordinate(&right.low, axis) {
				t.Fatalf("%d points: the halves of node %d overlap: %v, %v", n, node, left, right)
			}
			walk(2*node+1, low, middle)
			walk(2*node+2, middle, high)
		}
		walk(0, 0, n)
	}
}
