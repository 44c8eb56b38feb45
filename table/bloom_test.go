package table

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A Bloom filter has all items of the postings that were put in, and few others.
func TestBloomHasWhatWasAdded(t *testing.T) {
	rnd := rand.New(rand.NewPCG(51, 52))
	for round := range 200 {
		end := 1 + rnd.IntN(1<<(4+rnd.IntN(18)))
		var b bloom
		n := 1 + rnd.IntN(min(end, 1<<rnd.IntN(17)))
		b.reset(n, uint64(end))
		var in []uint32
		for left := n; left > 0; {
			var refs []uint32
			first, dense := rnd.IntN(end), rnd.IntN(2) == 0
			for range min(left, 1+rnd.IntN(n)) {
				ref := rnd.IntN(end)
				if dense {
					ref = (first + len(refs)) % end // so that chunks are sets
				}
				refs = append(refs, uint32(ref))
			}
			left -= len(refs)
			in = append(in, refs...)
			slices.Sort(refs)
			newPosting(slices.Compact(refs), uint32(end)).addAll(&b)
		}
		for _, ref := range in {
			if !b.has(ref) {
				t.Fatalf("round %d: ref %d of %d below %d is not there", round, ref, n, end)
			}
		}
		slices.Sort(in)
		others, passed := 0, 0
		for range 10_000 {
			ref := uint32(rnd.IntN(end))
			if _, found := slices.BinarySearch(in, ref); !found {
				if others++; b.has(ref) {
					passed++
				}
			}
		}
		if n*bloomBits <= mostBloomBits && passed > others/16+20 {
			t.Fatalf("round %d: %d of %d other refs pass", round, passed, others)
		}
	}
}
