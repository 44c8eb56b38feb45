package topk

// simd keeps the k nearest points so far, for a small k: their squared chords in order, and an id for
// each. It is for queries without a filter and an After. The code in simd_amd64.s inserts a point among
// sixteen in order, without a branch.
//
// If k is less than sixteen, the first slots have a value below any squared chord and never change. So
// the k-th nearest is always in the last slot.
type simd struct {
	chords [simdSlots]float64 // squared
	ids    [simdSlots]uint64  // a run's number in TopK.runs, and below it the point's in the run
	limit  float64            // widen of the last chord, at most bound
	many   uint64             // 0: the first four slots have no candidates
	// With foundTie: the squared chord and the id of the candidate that had to leave.
	left   float64
	leftID uint64
	bound  float64 // the squared chord above which no point can be a hit
}

const (
	simdSlots = 16
	simdMost  = simdSlots - 1 // the greatest k
	noChord   = 8             // above all squared chords, and below the values of free slots
)

// What a scan found.
const (
	foundNone = iota
	foundSome
	// foundTie: a candidate had to leave although it is within rounding of the k-th. It is in left
	// and leftID. The points after it were not scanned.
	foundTie
)

// reset prepares for the k nearest, from 1 to simdMost, within the bound.
func (f *simd) reset(k int, bound float64) {
	for i := range f.chords {
		f.chords[i] = float64(2*noChord + i) // all different, so that free slots make no ties
		if i < simdSlots-k {
			f.chords[i] = -1
		}
	}
	f.bound = min(bound, noChord)
	f.limit = f.bound
	f.many = 0
	if k > simdSlots-4 {
		f.many = 1
	}
}

// apart reports whether the squared chords alone decide the order and the distances of the candidates.
func (f *simd) apart() bool {
	for i := 1; i < simdSlots; i++ {
		if c2 := f.chords[i]; c2 > nearMost {
			return c2 > noChord
		} else if c2 >= 0 && c2 <= f.chords[i-1]*(1+nearMargin) {
			return false
		}
	}
	return true
}
