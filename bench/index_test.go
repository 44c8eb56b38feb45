package bench

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"nearby/bench/dataset"
	"nearby/bench/measure"
	"nearby/index"
)

// BenchmarkIndex has a row for every set, size, index and workload:
//
//	go test -bench 'Index/city/n=100000/.*/near_k=10$' ./bench
func BenchmarkIndex(b *testing.B) {
	o, err := Options{Options: measure.Options{Quick: true}}.withDefaults()
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range dataset.Names() {
		for _, n := range []int{10_000, 100_000} {
			b.Run(fmt.Sprintf("%s/n=%d", name, n), func(b *testing.B) {
				positions, err := dataset.Generate(name, n, 1)
				if err != nil {
					b.Fatal(err)
				}
				for _, v := range o.variants() {
					b.Run(v.Kind, func(b *testing.B) {
						benchmarkVariant(b, dataset.Set{Name: name, Positions: positions}, v)
					})
				}
			})
		}
	}
}

func benchmarkVariant(b *testing.B, s dataset.Set, v measure.Variant) {
	items := &measure.Places{At: s.Positions}
	ix, _, err := build(v, items)
	if err != nil {
		b.Fatal(err)
	}
	qs, err := measure.Ask(s, ix, items, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("build", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Build(items.Points(), items); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(s.Positions)*b.N)/b.Elapsed().Seconds(), "points/s")
	})
	for _, w := range measure.Workloads() {
		b.Run(w.Name, func(b *testing.B) {
			if w.Write != "" {
				benchmarkWrites(b, ix, items, qs, w)
			} else {
				benchmarkReads(b, ix, items, qs, w)
			}
		})
	}
}

func benchmarkReads(b *testing.B, ix index.Index, items *measure.Places, qs *measure.Questions, w measure.Workload) {
	b.ReportAllocs()
	var hits []index.Hit
	var q index.Query
	var entered, compared int
	for i := 0; b.Loop(); i++ {
		var proof index.Proof
		var err error
		q = qs.Query(w, i)
		if hits, proof, err = ix.Nearest(hits[:0], &q, items); err != nil {
			b.Fatal(err)
		}
		entered += proof.Entered
		compared += proof.Compared
	}
	b.ReportMetric(float64(entered)/float64(b.N), "entered/op")
	b.ReportMetric(float64(compared)/float64(b.N), "compared/op")
}

// benchmarkWrites has a batch for an operation, in the mixed workload with its
// nine queries a change. Each starts from the first
// version, so that the index does not grow with b.N.
func benchmarkWrites(b *testing.B, ix index.Index, items *measure.Places, qs *measure.Questions, w measure.Workload) {
	items = items.Clone()
	changes := make([]index.Update, batchSize)
	drawBatch(changes, items, rand.New(rand.NewPCG(1, 2)), w.Write == "insert")
	var hits []index.Hit
	var q index.Query
	b.ReportAllocs()
	for b.Loop() {
		next, err := ix.Apply(changes, items)
		if err != nil {
			b.Fatal(err)
		}
		if w.Where == "" {
			continue
		}
		for i := range 9 * batchSize {
			q = qs.Query(w, i)
			if hits, _, err = next.Nearest(hits[:0], &q, items); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batchSize), "ns/change")
}
