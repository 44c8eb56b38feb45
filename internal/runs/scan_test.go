package runs

import (
	"math"
	"math/rand/v2"
	"testing"

	"nearby/index"
	"nearby/sphere"
)

// What this processor does at once is, bit for bit, what the portable code does.
func TestScanIsPortable(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		var recs []Record
		for range 1 + rnd.IntN(150) {
			recs = append(recs, Record{V: sphere.FromDegrees(rnd.Float64()*360-180, rnd.Float64()*180-90), Ref: index.Ref(rnd.Uint32())})
		}
		r, _ := Run(nil).Pack(recs)
		lo := rnd.IntN(len(recs))
		hi := min(len(recs), lo+rnd.IntN(ScanMost+1))
		centre := sphere.FromDegrees(rnd.Float64()*360-180, rnd.Float64()*180-90)
		if rnd.IntN(4) == 0 {
			centre = recs[rnd.IntN(len(recs))].V
		}
		limit := [...]float64{math.Inf(1), rnd.Float64() * 4, 0, -1, sphere.Chord2(centre, recs[lo].V)}[rnd.IntN(5)]
		var got, want [ScanMost]float64
		g, w := r.Scan(lo, hi, &centre, limit, &got), scanPortable(r, lo, hi, &centre, limit, &want)
		if g != w || got != want {
			t.Fatalf("%d to %d of %d: near %b, want %b", lo, hi, len(recs), g, w)
		}
		var refs [ScanMost]index.Ref
		r.Refs(lo, hi, &refs)
		for i := lo; i < hi; i++ {
			if chord2 := r.Chord2(i, &centre); chord2 != want[i-lo] || refs[i-lo] != recs[i].Ref {
				t.Fatalf("point %d: squared chord %v, ref %d, want %v, %d", i, chord2, refs[i-lo], want[i-lo], recs[i].Ref)
			}
		}
	}
}
