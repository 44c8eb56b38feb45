package runs_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"nearby/index"
	. "nearby/internal/runs"
	"nearby/sphere"
)

func randomRecords(rnd *rand.Rand, n int) []Record {
	recs := make([]Record, n)
	for i := range recs {
		recs[i] = Record{V: sphere.FromDegrees(rnd.Float64()*360-180, rnd.Float64()*180-90), Ref: index.Ref(rnd.Uint32())}
	}
	return recs
}

// A run gives back what was packed, whatever memory it was packed into.
func TestRunKeepsRecords(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	var used Run
	for n := range 200 {
		recs := randomRecords(rnd, n)
		fresh, box := Run(nil).Pack(recs)
		used, _ = used.Pack(recs)
		if fresh.Len() != n || len(fresh) != RunWords(n) || !slices.Equal(fresh.Append(nil), recs) || !slices.Equal(used.Append(nil), recs) {
			t.Fatalf("%d records came back as %d", n, fresh.Len())
		}
		if box != BoxOf(recs) {
			t.Fatalf("box %v, want %v", box, BoxOf(recs))
		}
		for i, r := range recs {
			if fresh.Find(0, n, r) != i || !box.Contains(r.V) {
				t.Fatalf("record %d of %d is at %d", i, n, fresh.Find(0, n, r))
			}
		}
		if fresh.Find(0, n, Record{Ref: 1}) >= 0 {
			t.Fatal("a record was found that is not there")
		}
	}
}

// Copying and setting do what they do to a slice.
func TestRunCopy(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	for range 5000 {
		recs, want := randomRecords(rnd, rnd.IntN(12)), randomRecords(rnd, rnd.IntN(20))
		from, _ := Run(nil).Pack(recs)
		got, _ := Run(nil).Pack(want)
		lo := rnd.IntN(len(recs) + 1)
		hi := lo + rnd.IntN(min(len(recs)-lo, len(want))+1)
		at := rnd.IntN(len(want) - (hi - lo) + 1)
		got.Copy(at, from, lo, hi)
		copy(want[at:], recs[lo:hi])
		packed, _ := Run(nil).Pack(want)
		if !slices.Equal(got, packed) || !slices.Equal(from.Append(nil), recs) {
			t.Fatalf("%d to %d of %d copied to %d of %d: %v, want %v", lo, hi, len(recs), at, len(want), got.Append(nil), want)
		}
		if len(want) > 0 {
			i := rnd.IntN(len(want))
			want[i] = randomRecords(rnd, 1)[0]
			got.Set(i, want[i])
			if box := got.Box(at, len(want)); !slices.Equal(got.Append(nil), want) || box != BoxOf(want[at:]) {
				t.Fatalf("setting %d of %d gave %v, want %v", i, len(want), got.Append(nil), want)
			}
		}
	}
}
