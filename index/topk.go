package index

import (
	"math"

	"nearby/sphere"
)

// TopK gathers the hits of one query: the one place that decides which items
// are in an answer and in what order, shared by all indexes and by the oracle's
// opponents alike. An index offers it candidates in any order and may skip
// every point whose squared chord is above Limit.
//
// Squared chords order candidates as far as they tell them apart; where two are
// within rounding of each other, or beyond a quarter of the circumference from
// the centre, the distances as reported decide, and then the ids. So trigonometry
// is spent on results and near ties alone.
//
// The zero TopK is ready for Reset. Its memory is kept from query to query.
type TopK struct {
	// Limit is the squared chord above which no candidate can matter. It
	// falls as hits are found; below 0 it means that nothing can.
	Limit float64

	centre sphere.Vec
	k      int
	items  Items
	filter func(Ref) bool
	after  *After

	maxDistance float64
	doubtful    float64 // squared chords from here on need their distance compared with maxDistance
	afterChord2 float64 // squared chords below this one lie before After

	// held are the hits so far: for a small k sorted, the worst last; for a
	// larger one a heap, the worst first.
	held []candidate
}

// smallK is up to which k inserting into a sorted run is quicker than a heap,
// and needs no sorting in the end.
const smallK = 32

// candidate is a possible hit. dist is NaN until somebody needs it.
type candidate struct {
	chord2 float64
	dist   float64
	ref    Ref
}

// Margins of the squared chord within which two candidates may change places
// when converted to distances. A quarter of the circumference away and nearer,
// a conversion is a few roundings of a well-conditioned function; beyond, the
// squared chord itself carries an absolute error of a few 1e-16.
const (
	nearMargin = 1e-12 // relative, for squared chords up to 2
	farMargin  = 1e-13 // absolute, above 2
)

// widen returns a squared chord that no point at most as far as one at c2
// exceeds.
func widen(c2 float64) float64 {
	if c2 <= 1.9 {
		return c2 * (1 + nearMargin)
	}
	return c2 + farMargin
}

// narrow is the inverse margin: a point with a lesser squared chord is nearer
// than one at c2.
func narrow(c2 float64) float64 {
	if c2 <= 1.9 {
		return c2 * (1 - nearMargin)
	}
	return c2 - farMargin
}

// Reset prepares for a query, which must be valid, and returns its centre.
func (t *TopK) Reset(q *Query, items Items) sphere.Vec {
	t.centre = sphere.FromDegrees(q.Lon, q.Lat)
	t.k, t.items, t.filter, t.after = q.K, items, q.Filter, q.After
	t.held = t.held[:0]
	t.maxDistance = q.MaxDistance
	if q.MaxDistance >= sphere.HalfCircumference {
		t.Limit, t.doubtful = math.Inf(1), math.Inf(1)
	} else {
		c2 := sphere.Chord2Of(q.MaxDistance)
		t.Limit, t.doubtful = widen(c2)+1e-30, narrow(c2)-1e-30
	}
	t.afterChord2 = -1
	if q.After != nil {
		t.afterChord2 = narrow(sphere.Chord2Of(q.After.Distance)) - 1e-30
	}
	if q.K <= 0 {
		t.Limit = -1
	}
	return t.centre
}

// Release drops what the query lent.
func (t *TopK) Release() { t.items, t.filter, t.after = nil, nil, nil }

// Offer considers the point ref at p, whose squared chord from the centre is
// chord2. The caller should have compared chord2 with Limit before.
func (t *TopK) Offer(ref Ref, chord2 float64, p *sphere.Vec) {
	if chord2 > t.Limit {
		return
	}
	c := candidate{chord2: chord2, dist: math.NaN(), ref: ref}
	if chord2 > 2 {
		c.dist = sphere.Distance(t.centre, *p)
	}
	if chord2 >= t.doubtful && t.distance(&c) > t.maxDistance {
		return
	}
	if t.after != nil {
		if chord2 < t.afterChord2 {
			return
		}
		d := t.distance(&c)
		if d < t.after.Distance || (d == t.after.Distance && t.items.CompareID(ref, t.after.ID) <= 0) {
			return
		}
	}
	full := len(t.held) == t.k
	if full && !t.before(&c, t.worst()) {
		return
	}
	if t.filter != nil && !t.filter(ref) {
		return
	}
	switch {
	case t.k <= smallK:
		if !full {
			t.held = append(t.held, c)
		}
		i := len(t.held) - 1
		for ; i > 0 && t.before(&c, &t.held[i-1]); i-- {
			t.held[i] = t.held[i-1]
		}
		t.held[i] = c
	case full:
		t.held[0] = c
		t.down(0, len(t.held))
	default:
		t.held = append(t.held, c)
		t.up(len(t.held) - 1)
	}
	if len(t.held) == t.k {
		t.Limit = min(t.Limit, widen(t.worst().chord2))
	}
}

// worst returns the last of the hits held, of which there must be some.
func (t *TopK) worst() *candidate {
	if t.k <= smallK {
		return &t.held[len(t.held)-1]
	}
	return &t.held[0]
}

// Full reports whether k hits are held.
func (t *TopK) Full() bool { return len(t.held) >= t.k }

// Append sorts the hits, appends them to dst and completes the proof. unentered
// is a lower bound on the squared chords of all points not offered (+Inf when
// there are none). When exact is false, hits that unentered points might
// precede are left out.
func (t *TopK) Append(dst []Hit, unentered float64, exact bool, proof *Proof) []Hit {
	t.sort()
	radius := sphere.HalfCircumference
	if unentered < 4 {
		radius = sphere.LowerDistance(unentered)
	}
	from := len(dst)
	for i := range t.held {
		d := t.distance(&t.held[i])
		if !exact && d >= radius {
			break
		}
		dst = append(dst, Hit{t.held[i].ref, d})
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

func (t *TopK) distance(c *candidate) float64 {
	if c.dist != c.dist {
		c.dist = sphere.NearDistance(c.chord2)
	}
	return c.dist
}

// before reports whether a precedes b in the order of the answer.
func (t *TopK) before(a, b *candidate) bool {
	if b.chord2 <= 1.9 && a.chord2 < b.chord2*(1-nearMargin) {
		return true
	}
	if a.chord2 <= 1.9 && b.chord2 < a.chord2*(1-nearMargin) {
		return false
	}
	return t.beforeClose(a, b)
}

// beforeClose is before for two that the squared chord does not tell apart.
func (t *TopK) beforeClose(a, b *candidate) bool {
	if a.chord2 != b.chord2 || a.chord2 > 2 {
		if da, db := t.distance(a), t.distance(b); da != db {
			return da < db
		}
	}
	return t.items.CompareIDs(a.ref, b.ref) < 0
}

func (t *TopK) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !t.before(&t.held[parent], &t.held[i]) {
			return
		}
		t.held[parent], t.held[i] = t.held[i], t.held[parent]
		i = parent
	}
}

// down puts the candidate at i in its place among the first n of the heap.
func (t *TopK) down(i, n int) {
	for {
		worst, left := i, 2*i+1
		for child := left; child < left+2 && child < n; child++ {
			if t.before(&t.held[worst], &t.held[child]) {
				worst = child
			}
		}
		if worst == i {
			return
		}
		t.held[worst], t.held[i] = t.held[i], t.held[worst]
		i = worst
	}
}

// sort puts the nearest first.
func (t *TopK) sort() {
	if t.k <= smallK {
		return
	}
	for n := len(t.held) - 1; n > 0; n-- {
		t.held[0], t.held[n] = t.held[n], t.held[0]
		t.down(0, n)
	}
}
