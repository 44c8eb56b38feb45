package indextest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/metrics"
	"testing"
	"time"

	"nearby/index"
)

// benchPoints is how many points the benchmarks of Apply hold or bring.
const benchPoints = 1_000_000

// scene is points as benchmarks want them: a Ref is its own id.
type scene []index.Position

func (s scene) Position(r index.Ref) (lon, lat float64) { return s[r].Lon, s[r].Lat }
func (s scene) CompareIDs(a, b index.Ref) int           { return cmp.Compare(a, b) }
func (s scene) CompareID(a index.Ref, id string) int    { return cmp.Compare(s.ID(a), id) }
func (s scene) ID(r index.Ref) string                   { return fmt.Sprintf("%010d", r) }

// points returns those with the refs lo to hi-1.
func (s scene) points(lo, hi int) []index.Point {
	points := make([]index.Point, 0, hi-lo)
	for r := lo; r < hi; r++ {
		points = append(points, index.Point{Ref: index.Ref(r), Lon: s[r].Lon, Lat: s[r].Lat})
	}
	return points
}

func anywhere(rnd *rand.Rand) index.Position {
	return at(rnd.Float64()*360-180, math.Asin(rnd.Float64()*2-1)*180/math.Pi)
}

func around(rnd *rand.Rand, p index.Position, degrees float64) index.Position {
	return clamp(p.Lon+rnd.NormFloat64()*degrees, p.Lat+rnd.NormFloat64()*degrees)
}

// scenes are n points in no order: anywhere, in cities whose sizes follow Zipf's
// law, and all at one place.
func scenes(n int) map[string]scene {
	rnd := rand.New(rand.NewPCG(uint64(n), 1))
	cities := make([]index.Position, 3000)
	for i := range cities {
		cities[i] = anywhere(rnd)
	}
	zipf := rand.NewZipf(rnd, 1.1, 5, uint64(len(cities)-1))
	all := map[string]scene{"uniform": make(scene, n), "cities": make(scene, n), "place": make(scene, n)}
	for i := range n {
		all["uniform"][i] = anywhere(rnd)
		all["cities"][i] = around(rnd, cities[zipf.Uint64()], 0.1)
	}
	return all
}

// Benchmark measures Apply: moves in batches of 500, and loads in groups of
// 8,000, as a collection brings them. It is meant for any Builder; the one for
// an index that grows from nothing may want to know what will come.
func Benchmark(b *testing.B, builder func(all []index.Point, items index.Items) index.Builder) {
	for _, kind := range []string{"uniform", "cities"} {
		for _, far := range []string{"short", "long"} {
			for _, batch := range []int{1, 500} {
				b.Run(fmt.Sprintf("Move/%s/%s/batch=%d", kind, far, batch), func(b *testing.B) {
					benchMoves(b, builder, scenes(benchPoints)[kind], far == "long", batch)
				})
			}
		}
	}
	for _, kind := range []string{"uniform", "cities", "place"} {
		for _, from := range []int{0, benchPoints} {
			b.Run(fmt.Sprintf("Load/%s/onto=%d", kind, from), func(b *testing.B) {
				benchLoad(b, builder, scenes(from + benchPoints)[kind], from)
			})
		}
	}
}

func benchMoves(b *testing.B, builder func([]index.Point, index.Items) index.Builder, s scene, far bool, batch int) {
	all := s.points(0, len(s))
	ix, err := builder(all, s)(all, s)
	if err != nil {
		b.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(4, 5))
	changes := make([]index.Update, batch)
	var spent time.Duration
	b.ReportAllocs()
	for b.Loop() {
		for i := range changes {
			r := index.Ref(rnd.IntN(len(s)))
			from := s[r]
			if far {
				from = s[rnd.IntN(len(s))]
			}
			to := around(rnd, from, 1e-3)
			changes[i] = index.Update{Kind: index.Move, Ref: r, Old: s[r], New: to}
			s[r] = to
		}
		start := time.Now()
		if ix, err = ix.Apply(changes, s); err != nil {
			b.Fatal(err)
		}
		spent += time.Since(start)
	}
	b.ReportMetric(float64(batch*b.N)/spent.Seconds(), "moves/s")
	if b.N > 1 {
		b.ReportMetric(float64(ix.Stats().Bytes)/float64(len(s)), "B/point")
	}
}

func benchLoad(b *testing.B, builder func([]index.Point, index.Items) index.Builder, s scene, from int) {
	const group = 8000
	make := builder(s.points(0, len(s)), s)
	base, err := make(s.points(0, from), s)
	if err != nil {
		b.Fatal(err)
	}
	changes := []index.Update{}
	var spent time.Duration
	ix := base
	for b.Loop() {
		ix = base
		for lo := from; lo < len(s); lo += group {
			changes = changes[:0]
			for r := lo; r < min(lo+group, len(s)); r++ {
				changes = append(changes, index.Update{Kind: index.Insert, Ref: index.Ref(r), New: s[r]})
			}
			start := time.Now()
			if ix, err = ix.Apply(changes, s); err != nil {
				b.Fatal(err)
			}
			spent += time.Since(start)
		}
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N)/float64(len(s)-from), "ns/point")
	b.ReportMetric(float64(ix.Stats().Bytes)/float64(len(s)), "B/point")
}

// MarkSeconds returns the processor time that the garbage collector has spent on
// marking so far, on idle processors too.
func MarkSeconds() float64 {
	s := []metrics.Sample{
		{Name: "/cpu/classes/gc/mark/assist:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/dedicated:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/idle:cpu-seconds"},
	}
	metrics.Read(s)
	return s[0].Value.Float64() + s[1].Value.Float64() + s[2].Value.Float64()
}
