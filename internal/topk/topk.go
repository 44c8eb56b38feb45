// Package topk decides which items match a query and in what order they are in the answer
// (TopK), and how many match (Counter).
package topk

import (
	"math"
	"math/bits"
	"slices"

	"nearby/area"
	"nearby/index"
	"nearby/internal/cover"
	"nearby/internal/runs"
	"nearby/sphere"
)

// TopK gathers the hits of one query. It decides which items of those that a search compares
// are in an answer and in what order, for all indexes. An index gives it
// runs of points in any order, and may skip every point whose squared chord is
// above Limit.
//
// Squared chords order candidates as far as they tell them apart. What they do
// not, because two are within rounding of each other or beyond a quarter of the
// circumference from the centre, is kept, and put in order in the end: by the
// distances as reported, and then by id. So trigonometry is spent on results and
// near ties alone.
//
// The zero TopK is ready for Reset. Its memory is kept from query to query.
type TopK struct {
	// Limit is the squared chord above which no candidate can matter. It
	// falls as hits are found; below 0 it means that nothing can.
	Limit float64
	// Least is the squared chord below which no candidate can matter, as it
	// lies before the query's After or MinDistance; below 0 without these.
	Least float64
	// Cells is what the query says about cells.
	Cells cover.Cells

	centre sphere.Vec
	k      int
	items  index.Items
	filter func(index.Ref) bool
	fetch  func([]index.Ref) // nil: there is no need
	sift   func([]index.Ref) uint64
	after  *index.After
	plain  bool // nothing but k bounds the answer
	fast   bool // simd has what kept would have
	simd   simd

	minDistance float64
	maxDistance float64
	doubtful    float64 // squared chords from here on need their distance compared with maxDistance
	beyond      float64 // squared chords above this one lie behind the query's After and MinDistance

	// kept are those that may be hits: for a small k in order of their squared
	// chords, for a larger one in any. Behind the first k come only those that
	// the k-th does not rule out.
	kept      []candidate
	most      int         // how many are too many
	counting  bool        // the histogram gives the limit
	histogram histogram   // for a larger k, from the k-th candidate on
	runs      []runs.Run  // that they came from
	hits      []hit       // scratch of Append
	sorted    []candidate // and of settle
	chords    [runs.ScanMost]float64
	refs      [runs.ScanMost]index.Ref
}

// smallK is up to which k the kept ones are in order.
const smallK = 32

// candidate is a point that may be a hit.
type candidate struct {
	chord2 float64
	id     uint64 // the run's place in TopK.runs, and in the lower half its own in the run
}

func (c candidate) run() int { return int(c.id >> 32) }
func (c candidate) at() int  { return int(uint32(c.id)) }

// hit is a candidate on its way into the answer. dist is NaN until somebody
// needs it.
type hit struct {
	candidate
	dist float64
	ref  index.Ref
}

// Margins of the squared chord within which two candidates may change places when converted
// to distances. Beyond them, the one with the lesser squared chord is the nearer one by
// distances as reported too, and those differ.
//
// Say that the true squared chord that belongs to a reported distance differs from the computed
// one by at most e of it: that is sphere.NearError. Then of two squared chords a < b(1-m) the
// true ones of their distances are at most a(1+e) and at least b(1-e), and so the distances
// are in that order if m is 2e and a little. The same holds of a margin that is added, with
// sphere.FarError; and of a squared chord beside that of a distance that was given,
// sphere.Chord2Of, whose error is no more.
const (
	nearMargin = 1e-12 // relative, 9007u, up to nearMost: 375 times 2*sphere.NearError
	farMargin  = 1e-13 // absolute, 900u, above: 5 times 2*sphere.FarError

	// nearMost is a squared chord short of 2, up to which the distance follows from it alone
	// (sphere.NearDistance), so that what widen makes of it is still less than 2.
	nearMost = 1.9
)

// widen returns a squared chord that no point at most as far as one at c2
// exceeds.
func widen(c2 float64) float64 {
	if c2 <= nearMost {
		return c2 * (1 + nearMargin)
	}
	return c2 + farMargin
}

// narrow is the inverse margin: a point with a lesser squared chord is nearer
// than one at c2.
func narrow(c2 float64) float64 {
	if c2 <= nearMost {
		return c2 * (1 - nearMargin)
	}
	return c2 - farMargin
}

// limits returns the squared chord above which no point is within a distance, and
// the one from which on that takes comparing distances.
//
// Next to 0 there is no need for a margin: numbers that are so small are farther apart than
// nearMargin.
func limits(maxDistance float64) (limit, doubtful float64) {
	if maxDistance >= sphere.HalfCircumference {
		return math.Inf(1), math.Inf(1)
	}
	c2 := sphere.Chord2Of(maxDistance)
	return widen(c2), narrow(c2)
}

// from returns the squared chord below which no point is as far as a distance, and the one up to
// which that takes comparing distances. Below 0 there is none: all are as far as 0.
func from(minDistance float64) (least, beyond float64) {
	if minDistance == 0 {
		return -1, -1
	}
	return around(minDistance)
}

// around returns the squared chords below and above which points are nearer and farther than a
// distance.
func around(distance float64) (least, beyond float64) {
	c2 := sphere.Chord2Of(distance)
	return narrow(c2), widen(c2)
}

// spare is how many more candidates than twice k are kept at most.
const spare = 64

// Reset prepares for a query, which must be valid, and returns its centre.
func (t *TopK) Reset(q *index.Query, items index.Items) sphere.Vec {
	t.centre = sphere.FromDegrees(q.Lon, q.Lat)
	t.k, t.items, t.filter, t.fetch, t.sift, t.after = q.K, items, q.Filter, q.Fetch, q.Sift, q.After
	t.kept, t.counting, t.most = t.kept[:0], false, 2*min(q.K, math.MaxInt32)+spare
	t.Cells = cover.Cells{Area: q.Area, Skip: q.Skip}
	t.minDistance, t.maxDistance = q.MinDistance, q.MaxDistance
	t.Limit, t.doubtful = limits(q.MaxDistance)
	t.Least, t.beyond = from(q.MinDistance)
	if q.After != nil {
		least, beyond := around(q.After.Distance)
		t.Least, t.beyond = max(t.Least, least), max(t.beyond, beyond)
	}
	if q.K <= 0 {
		t.Limit = -1
	}
	near := t.filter == nil && t.after == nil && q.MinDistance == 0 && q.Area == nil // only the distance bounds the answer
	t.plain = near && math.IsInf(t.doubtful, 1)
	if t.fast = hasSIMD && near && q.K > 0 && q.K <= simdMost; t.fast {
		t.simd.reset(q.K, t.Limit)
	}
	return t.centre
}

// Release drops what the query lent.
func (t *TopK) Release() {
	t.items, t.filter, t.fetch, t.sift, t.after, t.Cells = nil, nil, nil, nil, nil, cover.Cells{}
	clear(t.runs)
	t.runs = t.runs[:0]
}

// Passed reports whether all points in a box lie before the query's After or MinDistance.
func (t *TopK) Passed(b *sphere.Box) bool {
	return t.Least > 0 && b.FarChord2(t.centre) < t.Least
}

// Scan considers the points lo to hi-1 of a run, in the query's area as in says. It reports whether
// the run is of use after that: Append reads it then.
func (t *TopK) Scan(r runs.Run, lo, hi int, in area.Cover) bool {
	t.runs = append(t.runs, r)
	took := t.fast
	if t.fast {
		next, found := t.simd.scan(r, lo, hi, &t.centre, len(t.runs)-1)
		switch found {
		case foundNone:
			t.runs = t.runs[:len(t.runs)-1]
			return false
		case foundSome:
			t.Limit = t.simd.limit
			return true
		case foundTie:
			t.slowDown()
			t.take(t.simd.spilt, t.simd.spiltI)
			lo = next
		}
	}
	kept, limit := t.kept, t.Limit
	id := uint64(len(t.runs)-1) << 32
	for ; lo < hi; lo += runs.ScanMost {
		var near uint64
		if to := min(hi, lo+runs.ScanMost); t.sift != nil {
			near = t.scanSifted(r, lo, to, limit)
		} else {
			near = r.Scan(lo, to, &t.centre, limit, &t.chords)
		}
		if t.fetch != nil {
			t.fetchNear(r, lo, near)
		}
		for ; near != 0; near &= near - 1 {
			i := bits.TrailingZeros64(near)
			c := candidate{t.chords[i], id | uint64(lo+i)}
			if c.chord2 > limit || !t.plain && !t.wanted(r, c, in) {
				continue
			}
			took = true
			if t.k <= smallK {
				kept = insert(kept, c)
				if len(kept) < t.k {
					continue
				}
				limit = min(limit, widen(kept[t.k-1].chord2))
				for kept[len(kept)-1].chord2 > limit {
					kept = kept[:len(kept)-1]
				}
			} else {
				kept = append(kept, c)
				switch {
				case t.counting:
					if t.histogram.add(c.chord2) {
						limit = min(limit, t.histogram.lower())
						if t.histogram.coarse() {
							t.kept, t.Limit = kept, limit
							t.measure()
							kept, limit = t.kept, t.Limit
						}
					}
				case len(kept) == t.k:
					t.kept = kept
					t.measure()
					limit = t.Limit
				}
			}
			if len(kept) >= t.most {
				t.kept, t.Limit = kept, limit
				t.thin()
				kept, limit = t.kept, t.Limit
			}
		}
	}
	t.kept, t.Limit = kept, limit
	if !took {
		t.runs = t.runs[:len(t.runs)-1]
	}
	return took
}

// scanSifted is Run.Scan of the points that may pass the filter: where it keeps few, less memory is
// read, since refs are short and lie together.
func (t *TopK) scanSifted(r runs.Run, lo, hi int, limit float64) (near uint64) {
	r.Refs(lo, hi, &t.refs)
	may := t.sift(t.refs[:hi-lo])
	if few := (hi - lo) / 4; bits.OnesCount64(may) > few {
		return may & r.Scan(lo, hi, &t.centre, limit, &t.chords)
	}
	for ; may != 0; may &= may - 1 {
		i := bits.TrailingZeros64(may)
		if t.chords[i] = r.Chord2(lo+i, &t.centre); t.chords[i] <= limit {
			near |= 1 << i
		}
	}
	return near
}

// fetchNear says that the filter may be asked for the points lo+i of a run whose bits i are set.
func (t *TopK) fetchNear(r runs.Run, lo int, near uint64) {
	n := 0
	for ; near != 0; near &= near - 1 {
		t.refs[n] = r.Ref(lo + bits.TrailingZeros64(near))
		n++
	}
	if n > 1 {
		t.fetch(t.refs[:n])
	}
}

// measure lets the histogram give the limit from now on, after the first k candidates
// and again when they have come much nearer.
func (t *TopK) measure() {
	t.drop(0)
	t.Limit = min(t.Limit, t.histogram.start(t.kept, t.k))
	t.counting = true
}

// drop takes what lies beyond the limit out of the kept from place n on.
func (t *TopK) drop(n int) {
	for _, c := range t.kept[n:] {
		if c.chord2 <= t.Limit {
			t.kept[n] = c
			n++
		}
	}
	t.kept = t.kept[:n]
}

// slowDown goes on without simd: what it has becomes the kept.
func (t *TopK) slowDown() {
	t.fast = false
	t.kept, t.Limit = t.kept[:0], t.simd.limit
	for i, c2 := range t.simd.chords {
		if c2 >= 0 && c2 < noChord {
			t.take(c2, t.simd.ids[i])
		}
	}
}

// take adds a candidate of simd to the kept if it is wanted.
func (t *TopK) take(chord2 float64, id uint64) {
	c := candidate{chord2, id}
	if t.plain || t.wanted(t.runs[c.run()], c, area.All) {
		t.kept = insert(t.kept, c)
	}
}

// insert adds a candidate to those in order.
func insert(kept []candidate, c candidate) []candidate {
	kept = append(kept, c)
	i := len(kept) - 1
	for ; i > 0 && kept[i-1].chord2 > c.chord2; i-- {
		kept[i] = kept[i-1]
	}
	kept[i] = c
	return kept
}

// wanted reports whether the query's other conditions let a candidate pass.
func (t *TopK) wanted(r runs.Run, c candidate, in area.Cover) bool {
	if c.chord2 >= t.doubtful {
		if h := t.hit(r, c); h.distance() > t.maxDistance {
			return false
		}
	}
	if c.chord2 <= t.beyond {
		if c.chord2 < t.Least {
			return false
		}
		h := t.hit(r, c)
		d := h.distance()
		if d < t.minDistance {
			return false
		}
		if a := t.after; a != nil && (d < a.Distance || d == a.Distance && t.items.CompareID(h.ref, a.ID) <= 0) {
			return false
		}
	}
	return t.Matches(r.Ref(c.at()), in)
}

// Matches reports whether an item lies in the query's area, of which in tells how much of the
// item's cell does, and passes the filter.
func (t *TopK) Matches(ref index.Ref, in area.Cover) bool {
	return t.Cells.Holds(in, t.items, ref) && (t.filter == nil || t.filter(ref))
}

// hit returns a candidate with its ref, and with its distance where the squared
// chord does not give it.
func (t *TopK) hit(r runs.Run, c candidate) hit {
	h := hit{c, math.NaN(), r.Ref(c.at())}
	if h.chord2 > 2 {
		h.dist = sphere.Distance(t.centre, r.Vec(c.at()))
	}
	return h
}

func (h *hit) distance() float64 {
	if h.dist != h.dist {
		h.dist = sphere.NearDistance(h.chord2)
	}
	return h.dist
}

// thin lowers the limit to the k-th of the kept, of which there must be k, and
// drops what lies beyond.
func (t *TopK) thin() {
	if len(t.kept) > t.k {
		partition(t.kept, t.k)
	}
	worst := t.kept[0].chord2
	for i := 1; i < t.k; i++ {
		worst = max(worst, t.kept[i].chord2)
	}
	t.Limit = min(t.Limit, widen(worst))
	t.drop(t.k)
	if len(t.kept) >= t.most-spare/2 {
		t.resolve()
	}
	if t.k > smallK {
		t.measure()
	}
}

// resolve leaves k of the kept when there are many at one distance.
func (t *TopK) resolve() {
	t.settle()
	t.kept = t.kept[:len(t.hits)]
	for i := range t.hits {
		t.kept[i] = t.hits[i].candidate
	}
	if t.k > smallK {
		return
	}
	// Their order is the answer's, which need not be that of the chords.
	for i := 1; i < len(t.kept); i++ {
		for j := i; j > 0 && t.kept[j-1].chord2 > t.kept[j].chord2; j-- {
			t.kept[j-1], t.kept[j] = t.kept[j], t.kept[j-1]
		}
	}
}

// partition moves the k least squared chords to the front, 0 < k < len(c): Hoare's
// quickselect.
func partition(c []candidate, k int) {
	lo, hi := 0, len(c)-1
	for lo < hi {
		a, b, d := c[lo].chord2, c[int(uint(lo+hi)>>1)].chord2, c[hi].chord2
		pivot := max(min(a, b), min(max(a, b), d))
		i, j := lo, hi
		for i <= j {
			for c[i].chord2 < pivot {
				i++
			}
			for c[j].chord2 > pivot {
				j--
			}
			if i <= j {
				c[i], c[j] = c[j], c[i]
				i++
				j--
			}
		}
		switch {
		case k-1 <= j:
			hi = j
		case k-1 >= i:
			lo = i
		default:
			return
		}
	}
}

// settle puts the kept in the order of the answer, at most k of them, in t.hits.
func (t *TopK) settle() {
	if t.k > smallK {
		t.drop(0)
		t.kept, t.sorted = t.histogram.sortByChord(t.kept, t.sorted)
	}
	t.hits = t.hits[:0]
	from := 0 // of the last run of hits that their chords do not tell apart
	for i := range t.kept {
		c := t.kept[i]
		if i > 0 && c.chord2 > widen(t.kept[i-1].chord2) {
			t.order(t.hits[from:])
			from = i
		}
		t.hits = append(t.hits, t.hit(t.runs[c.run()], c))
	}
	t.order(t.hits[from:])
	t.hits = t.hits[:min(len(t.hits), t.k)]
}

// order puts hits in the order of the answer.
func (t *TopK) order(hits []hit) {
	if len(hits) < 2 {
		return
	}
	slices.SortFunc(hits, func(a, b hit) int {
		if t.before(&a, &b) {
			return -1
		}
		return 1
	})
}

// Append appends the hits to dst in order and completes the proof. unentered
// is a lower bound on the squared chords of all points not scanned (+Inf when
// there are none). When exact is false, hits that unentered points might
// precede are left out.
func (t *TopK) Append(dst []index.Hit, unentered float64, exact bool, proof *index.Proof) []index.Hit {
	if t.fast {
		if exact && t.simd.apart() {
			return t.appendSIMD(dst, proof)
		}
		t.slowDown()
	}
	t.settle()
	radius := sphere.HalfCircumference
	if !math.IsInf(unentered, 1) { // near the antipode a bound may be 4 and a little, by rounding
		radius = sphere.LowerDistance(unentered)
	}
	from := len(dst)
	for i := range t.hits {
		h := &t.hits[i]
		d := h.distance()
		if !exact && d >= radius {
			break
		}
		dst = append(dst, index.Hit{Ref: h.ref, Distance: d})
	}
	if t.k <= 0 {
		radius = 0
	} else if len(dst)-from == t.k {
		radius = min(radius, dst[len(dst)-1].Distance)
	} else if exact {
		radius = t.maxDistance
	}
	// k hits that nothing can precede are the whole answer, cut short or not.
	proof.Exact = exact || len(dst)-from == t.k
	proof.Radius = min(radius, sphere.HalfCircumference, t.maxDistance)
	return dst
}

// appendSIMD is Append for the hits of simd, whose order is that of the answer.
func (t *TopK) appendSIMD(dst []index.Hit, proof *index.Proof) []index.Hit {
	proof.Exact, proof.Radius = true, min(sphere.HalfCircumference, t.maxDistance)
	for i := simdSlots - t.k; i < simdSlots; i++ {
		c := candidate{t.simd.chords[i], t.simd.ids[i]}
		if c.chord2 > noChord {
			return dst
		}
		d := sphere.NearDistance(c.chord2)
		if d > t.maxDistance {
			return dst
		}
		dst = append(dst, index.Hit{Ref: t.runs[c.run()].Ref(c.at()), Distance: d})
	}
	proof.Radius = min(proof.Radius, dst[len(dst)-1].Distance)
	return dst
}

// before reports whether a precedes b in the order of the answer.
func (t *TopK) before(a, b *hit) bool {
	if b.chord2 <= nearMost && a.chord2 < b.chord2*(1-nearMargin) {
		return true
	}
	if a.chord2 <= nearMost && b.chord2 < a.chord2*(1-nearMargin) {
		return false
	}
	if a.chord2 != b.chord2 || a.chord2 > 2 {
		if da, db := a.distance(), b.distance(); da != db {
			return da < db
		}
	}
	return t.items.CompareIDs(a.ref, b.ref) < 0
}
