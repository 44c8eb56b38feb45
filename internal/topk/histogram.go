package topk

import "slices"

// histogram tells, of squared chords that come in any order, above which one none is
// among the k least: not to the last bit, but without sorting. It divides the range
// from 0 to the greatest of the first k into rings of the same width in squared chord,
// which on a plane have the same area, and counts how many lie in each.
type histogram struct {
	k      int
	scale  float64 // rings in a squared chord of 1; 0: all are at most leastSpan
	top    int     // the last ring that matters
	upTo   int     // how many lie in it and in those before it
	counts [rings]uint32
}

const (
	rings = 256
	// Squared chords up to this one are not told apart, as rings/leastSpan has to be finite.
	leastSpan = 1e-300
	// From a top ring below this one on the rings are too wide for the limit.
	coarseRings = 32
)

// start counts the kept, of which there must be k or more, and returns
// the limit.
func (h *histogram) start(kept []candidate, k int) (limit float64) {
	h.k, h.upTo = k, len(kept)
	h.count(kept)
	return h.lower()
}

// count makes rings up to the greatest squared chord.
func (h *histogram) count(c []candidate) {
	greatest := 0.0
	for i := range c {
		greatest = max(greatest, c[i].chord2)
	}
	h.scale, h.top = 0, rings-1
	if greatest > leastSpan {
		h.scale = rings / greatest
	}
	h.counts = [rings]uint32{}
	for i := range c {
		h.counts[h.ring(c[i].chord2)]++
	}
}

// ring returns where a squared chord lies, at most in the top ring.
func (h *histogram) ring(chord2 float64) int { return min(int(chord2*h.scale), h.top) }

// add counts a squared chord and reports whether the limit is lower now.
func (h *histogram) add(chord2 float64) bool {
	h.counts[h.ring(chord2)]++
	h.upTo++
	return h.upTo-int(h.counts[h.top]) >= h.k
}

// lower gives up the rings beyond the k-th and returns the limit.
func (h *histogram) lower() float64 {
	for h.upTo-int(h.counts[h.top]) >= h.k {
		h.upTo -= int(h.counts[h.top])
		h.top--
	}
	if h.scale == 0 {
		return widen(leastSpan)
	}
	// The quotient, and the product by which ring goes, may be a rounding less than the
	// squared chords of the ring. That is nothing of what widen grants.
	return widen(float64(h.top+1) / h.scale)
}

// coarse reports whether so many rings were given up that new ones pay.
func (h *histogram) coarse() bool { return h.top < coarseRings && h.scale > 0 }

// sortByChord puts candidates in order of their squared chords and returns them and
// the memory that they do not take: first by rings, as few share one, then within
// them. The histogram cannot go on after that.
func (h *histogram) sortByChord(c, spare []candidate) (sorted, rest []candidate) {
	h.count(c)
	at, most := uint32(0), uint32(0)
	for i, n := range h.counts {
		most = max(most, n)
		h.counts[i] = at
		at += n
	}
	spare = slices.Grow(spare[:0], len(c))[:len(c)]
	for i := range c {
		n := &h.counts[h.ring(c[i].chord2)]
		spare[*n] = c[i]
		*n++
	}
	if most > sortAtOnce {
		slices.SortFunc(spare, func(a, b candidate) int {
			if a.chord2 < b.chord2 {
				return -1
			}
			if a.chord2 > b.chord2 {
				return 1
			}
			return 0
		})
		return spare, c
	}
	for i := 1; i < len(spare); i++ {
		x := spare[i]
		j := i
		for ; j > 0 && spare[j-1].chord2 > x.chord2; j-- {
			spare[j] = spare[j-1]
		}
		spare[j] = x
	}
	return spare, c
}

// sortAtOnce is the greatest number of candidates in a ring to be sorted by
// insertion.
const sortAtOnce = 24
