package quadtree_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"nearby/index"
	"nearby/index/indextest"
	"nearby/quadtree"
)

var shapes = []quadtree.Options{
	{}, {MaxPointsPerNode: 1}, {MaxPointsPerNode: 4, MaxDepth: 3}, {MaxPointsPerNode: 4, MaxDepth: 16}, {MaxPointsPerNode: 256},
}

func TestOptions(t *testing.T) {
	for _, bad := range []quadtree.Options{{MaxPointsPerNode: -1}, {MaxPointsPerNode: 4097}, {MaxDepth: -1}, {MaxDepth: 33}} {
		if err := bad.Validate(); !errors.Is(err, index.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
		if ix, err := quadtree.New(bad)(nil, nil); ix != nil || !errors.Is(err, index.ErrInvalid) {
			t.Errorf("building with %+v: %v, %v", bad, ix, err)
		}
	}
	for _, good := range append(shapes, quadtree.Options{MaxPointsPerNode: 4096, MaxDepth: 32}) {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
}

// TestShapeIsAFunctionOfThePoints grows a tree from nothing, moves every point
// and deletes half of them. Check holds after each batch, and the result has the
// leaves of a tree built at once from the same points.
func TestShapeIsAFunctionOfThePoints(t *testing.T) {
	seed := indextest.Seed(t)
	for _, opt := range shapes {
		t.Run(fmt.Sprintf("%+v", opt), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			items := &indextest.Items{}
			ix, err := quadtree.New(opt)(nil, items)
			if err != nil {
				t.Fatal(err)
			}
			apply := func(changes []index.Update) {
				t.Helper()
				if ix, err = ix.Apply(changes, items); err != nil {
					t.Fatal(err)
				}
			}
			place := func() index.Position { // with many in the same few places
				p := near(rnd, index.Position{Lon: 10, Lat: 50}, 1)
				if rnd.IntN(2) == 0 {
					p = index.Position{Lon: math.Round(p.Lon), Lat: math.Round(p.Lat)}
				}
				return p
			}
			const n, batch = 3000, 250
			for lo := 0; lo < n; lo += batch {
				var changes []index.Update
				for r := lo; r < lo+batch; r++ {
					p := place()
					items.Set(index.Ref(r), indextest.IDOf(index.Ref(r)), p)
					changes = append(changes, index.Update{Kind: index.Insert, Ref: index.Ref(r), New: p})
				}
				apply(changes)
				if err := ix.Check(items); err != nil {
					t.Fatal(err)
				}
			}
			for range n / batch {
				var changes []index.Update
				for range batch {
					r := index.Ref(rnd.IntN(n))
					lon, lat := items.Position(r)
					p := place()
					items.Set(r, indextest.IDOf(r), p)
					changes = append(changes, index.Update{Kind: index.Move, Ref: r, Old: index.Position{Lon: lon, Lat: lat}, New: p})
				}
				apply(changes)
				if err := ix.Check(items); err != nil {
					t.Fatal(err)
				}
			}
			left := items.Clone()
			var changes []index.Update
			for r := range index.Ref(n) {
				if r%8 != 0 {
					lon, lat := items.Position(r)
					changes = append(changes, index.Update{Kind: index.Delete, Ref: r, Old: index.Position{Lon: lon, Lat: lat}})
					left.Remove(r)
				}
			}
			apply(changes)
			if err := ix.Check(left); err != nil {
				t.Fatal(err)
			}
			built, err := quadtree.New(opt)(left.Points(), left)
			if err != nil {
				t.Fatal(err)
			}
			got, want := ix.Stats(), built.Stats()
			got.Bytes, want.Bytes = 0, 0 // memory may have room to spare
			if !reflect.DeepEqual(got, want) {
				t.Errorf("grown: %+v\nbuilt: %+v", got, want)
			}
		})
	}
}

// TestParallelBuild builds enough points for all processors to take part.
func TestParallelBuild(t *testing.T) {
	for _, kind := range []string{"uniform", "city-world"} {
		items := world(kind, 100_000)
		ix := mustBuild(t, items, quadtree.Options{})
		if err := ix.Check(items); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		s := ix.Stats()
		if perPoint := float64(s.Bytes) / float64(s.Points); perPoint > 48 {
			t.Errorf("%s: %.1f bytes a point", kind, perPoint)
		}
	}
}

// TestReadersSeeOneVersion asks versions again and again while a writer makes
// the next from them; run it with the race detector.
func TestReadersSeeOneVersion(t *testing.T) {
	items := world("city-world", 5000)
	ix := mustBuild(t, items, quadtree.Options{MaxPointsPerNode: 8})
	ask := func(ix index.Index, items index.Items) ([]index.Hit, []index.Ref) {
		lon, lat := items.Position(7)
		hits, _, err := ix.Nearest(nil, &index.Query{Lon: lon, Lat: lat, K: 200, MaxDistance: index.Everywhere}, items)
		if err != nil {
			t.Error(err)
		}
		refs, _, err := ix.Range(nil, &index.RangeQuery{Limit: 300}, items)
		if err != nil {
			t.Error(err)
		}
		return hits, refs
	}
	var wg sync.WaitGroup
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		version, lent := ix, slices.Clone(items)
		wg.Go(func() {
			hits, refs := ask(version, lent)
			for range 5 {
				if h, r := ask(version, lent); !slices.Equal(h, hits) || !slices.Equal(r, refs) {
					t.Error("a version changed its answer")
				}
			}
		})
		var changes []index.Update
		for range 300 {
			r := index.Ref(rnd.IntN(len(items)))
			to := near(rnd, items[rnd.IntN(len(items))], 0.01)
			changes = append(changes, index.Update{Kind: index.Move, Ref: r, Old: items[r], New: to})
			items[r] = to
		}
		var err error
		if ix, err = ix.Apply(changes, items); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if err := ix.Check(items); err != nil {
		t.Error(err)
	}
}

func TestNearestDoesNotAllocate(t *testing.T) {
	items := world("city-world", 20_000)
	ix := mustBuild(t, items, quadtree.Options{})
	var lent index.Items = items
	q := index.Query{K: 10, MaxDistance: index.Everywhere}
	dst := make([]index.Hit, 0, q.K)
	i := 0
	allocs := testing.AllocsPerRun(1000, func() {
		i++
		q.Lon, q.Lat = items[i].Lon, items[i].Lat
		var err error
		if dst, _, err = ix.Nearest(dst[:0], &q, lent); err != nil {
			t.Error(err)
		}
	})
	// A collection may empty the pool of scratch memory once or twice.
	if allocs > 0 && !raceEnabled {
		t.Errorf("%v allocations a query", allocs)
	}
}

// TestOnePlace holds many points at one position: k of them cost k comparisons,
// a change one chunk, and the memory goes when they go.
func TestOnePlace(t *testing.T) {
	const n = 50_000
	items := make(table, n)
	for i := range items {
		items[i] = index.Position{Lon: 13.4, Lat: 52.5}
	}
	ix := mustBuild(t, items, quadtree.Options{})
	if err := ix.Check(items); err != nil {
		t.Fatal(err)
	}
	q := index.Query{Lon: 13, Lat: 52, K: 10, MaxDistance: index.Everywhere}
	for page := range 5 {
		hits, proof, err := ix.Nearest(nil, &q, items)
		if err != nil || len(hits) != 10 || proof.Compared > 10 {
			t.Fatalf("page %d: %d hits, %+v, %v", page, len(hits), proof, err)
		}
		for i, h := range hits {
			if want := index.Ref(page*10 + i); h.Ref != want {
				t.Errorf("page %d: hit %d is ref %d, want %d", page, i, h.Ref, want)
			}
		}
		last := hits[9]
		q.After = &index.After{Distance: last.Distance, ID: fmt.Sprint(last.Ref)}
	}
	full := ix.Stats().Bytes
	changes := make([]index.Update, 0, n)
	for r := range index.Ref(n) {
		changes = append(changes, index.Update{Kind: index.Delete, Ref: r, Old: items[r]})
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	rnd.Shuffle(n, func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
	for batch := range slices.Chunk(changes, 10_000) {
		var err error
		if ix, err = ix.Apply(batch, items); err != nil {
			t.Fatal(err)
		}
	}
	if err := ix.Check(items); err != nil {
		t.Error(err)
	}
	if s := ix.Stats(); s.Points != 0 || s.Bytes > full/100 {
		t.Errorf("%d points and %d bytes are left of %d", s.Points, s.Bytes, full)
	}
}

// TestFailedBatchLeavesNoTrace makes batches fail at their last change.
func TestFailedBatchLeavesNoTrace(t *testing.T) {
	items := world("city-world", 2000)
	ix := mustBuild(t, items, quadtree.Options{MaxPointsPerNode: 4})
	elsewhere := index.Position{Lon: 1, Lat: 2}
	for name, c := range map[string]struct {
		last index.Update
		want error
	}{
		"delete of an unknown ref":  {index.Update{Kind: index.Delete, Ref: 1 << 20, Old: items[0]}, index.ErrUnknown},
		"delete from another place": {index.Update{Kind: index.Delete, Ref: 1999, Old: elsewhere}, index.ErrUnknown},
		"move from another place":   {index.Update{Kind: index.Move, Ref: 1999, Old: elsewhere, New: elsewhere}, index.ErrUnknown},
		"move off the Earth":        {index.Update{Kind: index.Move, Ref: 1999, Old: items[1999], New: index.Position{Lat: 91}}, index.ErrInvalid},
		"insert nowhere":            {index.Update{Kind: index.Insert, Ref: 5000, New: index.Position{Lon: math.NaN()}}, index.ErrInvalid},
		"no op":                     {index.Update{Ref: 3}, index.ErrInvalid},
	} {
		changes := []index.Update{
			{Kind: index.Move, Ref: 1, Old: items[1], New: elsewhere},
			{Kind: index.Delete, Ref: 2, Old: items[2]},
			c.last,
		}
		if next, err := ix.Apply(changes, items); next != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v", name, next, err)
		}
		if err := ix.Check(items); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTrace is a search that can be followed by hand: halving longitude and
// latitude round (10, 50) gives the quadrants 3, 1, 0, 0, 0, 3 and so on, and the points far
// away are never entered.
func TestTrace(t *testing.T) {
	items := table{{Lon: 10, Lat: 50}, {Lon: 10.1, Lat: 50}, {Lon: 10, Lat: 50.1}, {Lon: 100, Lat: -30}, {Lon: 101, Lat: -31}}
	ix := mustBuild(t, items, quadtree.Options{MaxPointsPerNode: 2})
	q := index.Query{Lon: 10.001, Lat: 50, K: 1, MaxDistance: index.Everywhere, Trace: &index.Trace{}}
	if _, _, err := ix.Nearest(nil, &q, items); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range q.Trace.Steps {
		got = append(got, fmt.Sprintf("%s %q level %d: %d points", s.Kind, s.Name, s.Level, s.Points))
		if b := s.Bounds; q.Lon < b.West || q.Lon > b.East || q.Lat < b.South || q.Lat > b.North {
			t.Errorf("%v does not hold the centre", b)
		}
	}
	want := []string{
		`node "" level 0: 0 points`,
		`node "310003330" level 9: 0 points`,
		`leaf "3100033300" level 10: 2 points`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("steps\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A page far out does not look at what lies before it: that is dropped by whole
// nodes.
func TestDeepPage(t *testing.T) {
	const n, k = 50_000, 10
	items := world("uniform", n)
	ix := mustBuild(t, items, quadtree.Options{})
	q := index.Query{Lon: 7, Lat: 50, K: n / 2, MaxDistance: index.Everywhere}
	inner, _, err := ix.Nearest(nil, &q, items)
	if err != nil {
		t.Fatal(err)
	}
	last := inner[len(inner)-1]
	q.K, q.After = k, &index.After{Distance: last.Distance, ID: items.ID(last.Ref)}
	page, proof, err := ix.Nearest(nil, &q, items)
	if err != nil || len(page) != k || page[0].Distance < last.Distance || proof.Compared > n/10 {
		t.Errorf("%d hits after %v m, %d points compared, %v", len(page), last.Distance, proof.Compared, err)
	}
}
