package topk

// simd keeps the k nearest of the points offered to it, for a small k: their squared
// chords in order, and an id for each. It is one half of TopK's fast way, for
// queries that nothing but k and a distance bounds; the other half is in simd_amd64.s, which puts a
// point among sixteen in order without a branch.
//
// Where k are fewer than sixteen, the first ones are below any squared chord and
// stay where they are. So the k-th is always the last.
type simd struct {
	chords [simdSlots]float64 // squared
	ids    [simdSlots]uint64  // a run's number in TopK.runs, and below it the point's in the run
	limit  float64            // widen of the last one, at most bound
	many   uint64             // 0: the first four places have no candidates
	spilt  float64            // with foundTie: the squared chord of what had no place
	spiltI uint64             // and its id
	bound  float64            // the squared chord above which nothing matters
}

const (
	simdSlots = 16
	simdMost  = simdSlots - 1 // the greatest k
	noChord   = 8             // above all squared chords, and below those of free places
)

// What a scan found.
const (
	foundNone = iota
	foundSome
	// foundTie: a candidate had to go that is within rounding of the k-th. It is in
	// spilt, and what comes behind it was not looked at.
	foundTie
)

// reset prepares for the k nearest, from 1 to simdMost, within the bound.
func (f *simd) reset(k int, bound float64) {
	for i := range f.chords {
		f.chords[i] = float64(2*noChord + i) // apart, so that free places make no ties
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

// apart reports whether the squared chords alone tell the order of those that were
// found, and their distances.
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
