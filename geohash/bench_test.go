package geohash_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"nearby/geohash"
	"nearby/index"
	"nearby/index/indextest"
)

// world is a named set of positions, and the ids that go with them: the refs.
type world []index.Point

func (w world) Position(r index.Ref) (lon, lat float64) { return w[r].Lon, w[r].Lat }
func (w world) CompareIDs(a, b index.Ref) int           { return cmp.Compare(a, b) }
func (w world) CompareID(a index.Ref, id string) int    { return cmp.Compare(w.ID(a), id) }
func (w world) ID(r index.Ref) string                   { return fmt.Sprintf("%010d", r) }
func (w world) points() []index.Point                   { return append([]index.Point(nil), w...) }

// uniform scatters n points evenly over the sphere.
func uniform(n int) world {
	r := rand.New(rand.NewPCG(1, 2))
	w := make(world, n)
	for i := range w {
		w[i] = index.Point{Ref: index.Ref(i), Lon: r.Float64()*360 - 180, Lat: math.Asin(2*r.Float64()-1) * 180 / math.Pi}
	}
	return w
}

// cities gathers n points in 2000 cities whose sizes follow Zipf's law, each
// with a dense centre; the emptiest places are the oceans.
func cities(n int) world {
	r := rand.New(rand.NewPCG(3, 4))
	const count = 2000
	var lon, lat, spread, upTo [count]float64
	sum := 0.0
	for i := range count {
		lon[i] = r.Float64()*300 - 150
		lat[i] = r.Float64()*120 - 55
		sum += 1 / float64(i+1)
		upTo[i] = sum
		spread[i] = 0.02 + 0.3/math.Sqrt(float64(i+1))
	}
	w := make(world, n)
	for i := range w {
		x := r.Float64() * sum
		c := 0
		for lo, hi := 0, count-1; lo < hi; c = lo {
			if mid := (lo + hi) / 2; upTo[mid] < x {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		w[i] = index.Point{
			Ref: index.Ref(i),
			Lon: lon[c] + r.NormFloat64()*spread[c],
			Lat: max(-90, min(90, lat[c]+r.NormFloat64()*spread[c])),
		}
	}
	return w
}

// near returns centres close to points.
func (w world) near() []index.Position {
	r := rand.New(rand.NewPCG(5, 6))
	out := make([]index.Position, 1<<12)
	for i := range out {
		p := w[r.IntN(len(w))]
		out[i] = index.Position{Lon: p.Lon + r.NormFloat64()*0.002, Lat: max(-90, min(90, p.Lat+r.NormFloat64()*0.002))}
		if out[i].Lon > 180 {
			out[i].Lon -= 360
		} else if out[i].Lon < -180 {
			out[i].Lon += 360
		}
	}
	return out
}

// empty returns centres in the oceans of cities: nothing is within 10 degrees.
func empty() []index.Position {
	r := rand.New(rand.NewPCG(7, 8))
	out := make([]index.Position, 1<<8)
	for i := range out {
		switch i % 3 {
		case 0:
			out[i] = index.Position{Lon: 165 + r.Float64()*10, Lat: r.Float64()*60 - 30}
		case 1:
			out[i] = index.Position{Lon: r.Float64()*360 - 180, Lat: 80 + r.Float64()*10}
		default:
			out[i] = index.Position{Lon: r.Float64()*360 - 180, Lat: -80 - r.Float64()*10}
		}
	}
	return out
}

func build(tb testing.TB, w world, bits int) index.Index {
	tb.Helper()
	ix, err := geohash.New(geohash.Options{Bits: bits})(w.points(), w)
	if err != nil {
		tb.Fatal(err)
	}
	return ix
}

// BenchmarkNearest asks near data, where queries come from, and in the
// emptiness, at the precision that is chosen and at others.
func BenchmarkNearest(b *testing.B) {
	for _, set := range []struct {
		name string
		make func(int) world
	}{{"uniform", uniform}, {"city-world", cities}} {
		for _, n := range []int{1e5, 1e6} {
			w := set.make(n)
			for _, bits := range []int{0, 16, 20, 22, 24, 26, 28, 30, 32, 36} {
				var ix index.Index
				for _, place := range []struct {
					name    string
					centres []index.Position
				}{{"near", w.near()}, {"empty", empty()}} {
					for _, k := range []int{1, 10, 100} {
						name := fmt.Sprintf("%s/n=%.0e/bits=%d/%s/k=%d", set.name, float64(n), bits, place.name, k)
						b.Run(name, func(b *testing.B) {
							if ix == nil {
								ix = build(b, w, bits)
							}
							benchmarkNearest(b, ix, w, place.centres, k)
						})
					}
				}
			}
		}
	}
}

func benchmarkNearest(b *testing.B, ix index.Index, w world, centres []index.Position, k int) {
	var hits []index.Hit
	var entered, compared int
	var items index.Items = w
	q := &index.Query{K: k, MaxDistance: index.Everywhere}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		c := centres[i%len(centres)]
		i++
		var proof index.Proof
		var err error
		q.Lon, q.Lat = c.Lon, c.Lat
		hits, proof, err = ix.Nearest(hits[:0], q, items)
		if err != nil || len(hits) != k {
			b.Fatal(len(hits), err)
		}
		entered += proof.Entered
		compared += proof.Compared
	}
	b.ReportMetric(float64(entered)/float64(i), "entered/op")
	b.ReportMetric(float64(compared)/float64(i), "compared/op")
	b.ReportMetric(float64(ix.Stats().Parameters["bits"]), "bits")
}

// BenchmarkBuild builds from unsorted points.
func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{1e5, 1e6} {
		w := cities(n)
		b.Run(fmt.Sprintf("city-world/n=%.0e", float64(n)), func(b *testing.B) {
			var ix index.Index
			for b.Loop() {
				ix = build(b, w, 0)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "points/s")
			b.ReportMetric(float64(ix.Stats().Bytes)/float64(n), "bytes/point")
		})
	}
}

// BenchmarkApply measures moves and loads in groups. A grid that is built of
// nothing gets the precision that suits what comes, as a collection sees to.
func BenchmarkApply(b *testing.B) {
	indextest.Benchmark(b, func(all []index.Point, items index.Items) index.Builder {
		ix, err := geohash.New(geohash.Options{})(all, items)
		if err != nil {
			b.Fatal(err)
		}
		return geohash.New(geohash.Options{Bits: ix.Stats().Parameters["bits"]})
	})
}

// BenchmarkGC measures what an index of 10^7 points costs a cycle of the garbage
// collector: the processor time of its marking, beside that of the points.
func BenchmarkGC(b *testing.B) {
	if testing.Short() {
		b.Skip("takes 2 GB")
	}
	w := cities(1e7)
	ix := build(b, w, 0)
	for range 2 {
		runtime.GC()
	}
	before := indextest.MarkSeconds()
	for b.Loop() {
		runtime.GC()
	}
	b.ReportMetric((indextest.MarkSeconds()-before)*1e3/float64(b.N), "mark-ms/op")
	s := ix.Stats()
	b.ReportMetric(float64(s.Bytes)/float64(s.Points), "bytes/point")
	b.ReportMetric(float64(s.Nodes), "nodes")
	b.ReportMetric(float64(s.Cells), "cells")
}

func BenchmarkArea(b *testing.B) { indextest.BenchmarkArea(b, geohash.New(geohash.Options{})) }
