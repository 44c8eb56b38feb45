package quadtree_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"nearby/index"
	"nearby/index/indextest"
	"nearby/quadtree"
)

var huge = flag.Bool("huge", false, "also measure with 10^7 points")

// table holds positions; the decimal form of a Ref is its id.
type table []index.Position

func (t table) Position(r index.Ref) (lon, lat float64) { return t[r].Lon, t[r].Lat }
func (t table) CompareIDs(a, b index.Ref) int           { return int(a) - int(b) }
func (t table) ID(r index.Ref) string                   { return fmt.Sprint(r) }
func (t table) CompareID(a index.Ref, id string) int {
	var b int
	_, _ = fmt.Sscan(id, &b)
	return int(a) - b
}

func (t table) points() []index.Point {
	points := make([]index.Point, len(t))
	for i, p := range t {
		points[i] = index.Point{Ref: index.Ref(i), Lon: p.Lon, Lat: p.Lat}
	}
	return points
}

func anywhere(rnd *rand.Rand) index.Position {
	return index.Position{Lon: rnd.Float64()*360 - 180, Lat: math.Asin(rnd.Float64()*2-1) * 180 / math.Pi}
}

func near(rnd *rand.Rand, p index.Position, degrees float64) index.Position {
	return index.Position{
		Lon: max(-180, min(180, p.Lon+rnd.NormFloat64()*degrees)),
		Lat: max(-90, min(90, p.Lat+rnd.NormFloat64()*degrees)),
	}
}

// world returns n points, uniform by area or in cities whose sizes follow
// Zipf's law.
func world(kind string, n int) table {
	rnd := rand.New(rand.NewPCG(uint64(n), 1))
	t := make(table, n)
	cities := make([]index.Position, 3000)
	for i := range cities {
		cities[i] = anywhere(rnd)
	}
	zipf := rand.NewZipf(rnd, 1.1, 5, uint64(len(cities)-1))
	for i := range t {
		if kind == "uniform" {
			t[i] = anywhere(rnd)
		} else {
			t[i] = near(rnd, cities[zipf.Uint64()], 0.1)
		}
	}
	return t
}

var (
	worldsMu sync.Mutex
	worlds   = map[string]table{}
)

func cachedWorld(kind string, n int) table {
	worldsMu.Lock()
	defer worldsMu.Unlock()
	key := fmt.Sprint(kind, n)
	if worlds[key] == nil {
		worlds[key] = world(kind, n)
	}
	return worlds[key]
}

func mustBuild(tb testing.TB, t table, opt quadtree.Options) index.Index {
	tb.Helper()
	ix, err := quadtree.New(opt)(t.points(), t)
	if err != nil {
		tb.Fatal(err)
	}
	return ix
}

func sizes() []int {
	if *huge {
		return []int{1e5, 1e6, 1e7}
	}
	return []int{1e5, 1e6}
}

func BenchmarkNearest(b *testing.B) {
	for _, kind := range []string{"uniform", "city-world"} {
		for _, n := range sizes() {
			t := cachedWorld(kind, n)
			ix := mustBuild(b, t, quadtree.Options{})
			rnd := rand.New(rand.NewPCG(2, 3))
			centres := map[string][]index.Position{}
			for range 1 << 12 {
				centres["data"] = append(centres["data"], near(rnd, t[rnd.IntN(n)], 0.001))
				centres["emptiness"] = append(centres["emptiness"], anywhere(rnd))
			}
			for _, where := range []string{"data", "emptiness"} {
				for _, k := range []int{1, 10, 100} {
					b.Run(fmt.Sprintf("%s/n=%.0e/%s/k=%d", kind, float64(n), where, k), func(b *testing.B) {
						benchmarkNearest(b, ix, t, centres[where], k)
					})
				}
			}
		}
	}
}

func benchmarkNearest(b *testing.B, ix index.Index, items index.Items, centres []index.Position, k int) {
	var dst []index.Hit
	q := index.Query{K: k, MaxDistance: index.Everywhere}
	entered, compared, i := 0, 0, 0
	b.ReportAllocs()
	for b.Loop() {
		c := centres[i%len(centres)]
		i++
		q.Lon, q.Lat = c.Lon, c.Lat
		var proof index.Proof
		var err error
		if dst, proof, err = ix.Nearest(dst[:0], &q, items); err != nil {
			b.Fatal(err)
		}
		entered += proof.Entered
		compared += proof.Compared
	}
	b.ReportMetric(float64(entered)/float64(b.N), "entered/op")
	b.ReportMetric(float64(compared)/float64(b.N), "compared/op")
}

// BenchmarkNodeSize is what the default of MaxPointsPerNode comes from.
func BenchmarkNodeSize(b *testing.B) {
	const n = 1e6
	t := cachedWorld("city-world", n)
	rnd := rand.New(rand.NewPCG(2, 3))
	var centres []index.Position
	for range 1 << 12 {
		centres = append(centres, near(rnd, t[rnd.IntN(n)], 0.001))
	}
	for _, size := range []int{8, 16, 24, 32, 48, 64} {
		ix := mustBuild(b, t, quadtree.Options{MaxPointsPerNode: size})
		b.Run(fmt.Sprintf("points=%d", size), func(b *testing.B) {
			benchmarkNearest(b, ix, t, centres, 10)
			b.ReportMetric(float64(ix.Stats().Bytes)/n, "B/point")
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, kind := range []string{"uniform", "city-world", "one-place"} {
		const n = 1e6
		t := cachedWorld("city-world", n)
		if kind == "one-place" {
			t = make(table, n)
		} else {
			t = cachedWorld(kind, n)
		}
		points := t.points()
		if kind == "one-place" { // else the ids would be in order already
			rand.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		}
		b.Run(fmt.Sprintf("%s/n=%.0e", kind, float64(n)), func(b *testing.B) {
			var ix index.Index
			for b.Loop() {
				var err error
				if ix, err = quadtree.New(quadtree.Options{})(points, t); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "points/s")
			b.ReportMetric(float64(ix.Stats().Bytes)/n, "B/point")
		})
	}
}

// BenchmarkApply measures moves and loads in groups.
func BenchmarkApply(b *testing.B) {
	indextest.Benchmark(b, func([]index.Point, index.Items) index.Builder { return quadtree.New(quadtree.Options{}) })
}

// BenchmarkGC reports what one collection spends on marking, with the index as
// nearly all of the heap.
func BenchmarkGC(b *testing.B) {
	n := int(1e6)
	if *huge {
		n = 1e7
	}
	t := world("city-world", n)
	ix := mustBuild(b, t, quadtree.Options{})
	runtime.GC()
	before := indextest.MarkSeconds()
	cycles := 0
	for b.Loop() {
		runtime.GC()
		cycles++
	}
	b.ReportMetric((indextest.MarkSeconds()-before)/float64(cycles)*1e3, "mark-ms/op")
	b.ReportMetric(float64(ix.Len()), "points")
	runtime.KeepAlive(t)
}

func BenchmarkArea(b *testing.B) { indextest.BenchmarkArea(b, quadtree.New(quadtree.Options{})) }
