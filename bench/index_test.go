package bench

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"nearby/bench/dataset"
	"nearby/index"
)

// BenchmarkIndex has a row for every set, size, index and workload:
//
//	go test -bench 'Index/city/n=100000/.*/near_k=10$' ./bench
func BenchmarkIndex(b *testing.B) {
	o, err := Options{Quick: true}.withDefaults()
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
					b.Run(v.kind, func(b *testing.B) {
						benchmarkVariant(b, dataset.Set{Name: name, Positions: positions}, v)
					})
				}
			})
		}
	}
}

func benchmarkVariant(b *testing.B, s dataset.Set, v variant) {
	items := &places{s.Positions}
	ix, _, err := build(v, items)
	if err != nil {
		b.Fatal(err)
	}
	qs, err := ask(s, ix, items, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("build", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.build(items.points(), items); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(s.Positions)*b.N)/b.Elapsed().Seconds(), "points/s")
	})
	for _, w := range workloads() {
		b.Run(w.name, func(b *testing.B) {
			if w.write != "" {
				benchmarkWrites(b, ix, items, qs, w)
			} else {
				benchmarkReads(b, ix, items, qs, w)
			}
		})
	}
}

func benchmarkReads(b *testing.B, ix index.Index, items *places, qs *questions, w workload) {
	b.ReportAllocs()
	var hits []index.Hit
	var q index.Query
	var entered, compared int
	for i := 0; b.Loop(); i++ {
		var proof index.Proof
		var err error
		q = qs.query(w, i)
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
func benchmarkWrites(b *testing.B, ix index.Index, items *places, qs *questions, w workload) {
	items = items.clone()
	changes := make([]index.Change, batchSize)
	drawBatch(changes, items, rand.New(rand.NewPCG(1, 2)), w.write == "insert")
	var hits []index.Hit
	var q index.Query
	b.ReportAllocs()
	for b.Loop() {
		next, err := ix.Apply(changes, items)
		if err != nil {
			b.Fatal(err)
		}
		if w.where == "" {
			continue
		}
		for i := range 9 * batchSize {
			q = qs.query(w, i)
			if hits, _, err = next.Nearest(hits[:0], &q, items); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batchSize), "ns/change")
}
