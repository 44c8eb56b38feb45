package table

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"nearby/index"
	"nearby/sphere"
	"nearby/value"
)

// MaxWeights bounds the weights of a score.
const MaxWeights = 8

// maxGain bounds in metres what one value adds to a score or takes off it.
const maxGain = 1e300

// Weight says how many metres nearer a unit of a queryable makes an item.
type Weight struct {
	Name   string
	Metres float64
}

// ScoredHit is an item of an answer by scores. The score is the distance in metres less the weighted
// values.
type ScoredHit struct {
	index.Hit
	Score float64
}

// ScorePlace is a place in an order by scores.
type ScorePlace struct {
	Score, Distance float64 // metres
	ID              string
}

// Scored appends the q.K items that match and have the least scores to dst: in the order of the
// scores, of the distances where these are equal, and then of the ids. What is no number, and no
// value, counts as 0. after, when not nil, leaves out the items up to and including that place; it
// takes the place of q.After.
//
// Every item that matches and has a score below within is in the answer, also when the proof is not
// Exact. The proof has no radius.
//
// The items are searched outward in several parts, each of which has the items whose values lie
// between two numbers, the most valuable ones first. A part is left where no item farther away can
// be among the first: where the distance less the greatest value is more than the K-th score.
func (s *Snapshot) Scored(dst []ScoredHit, q *index.Query, weights []Weight, after *ScorePlace, filter *Filter) (hits []ScoredHit, within float64, proof index.Proof, err error) {
	if err := q.Validate(); err != nil {
		return dst, 0, index.Proof{}, err
	}
	o := &scorer{snapshot: s, k: q.K, after: after, gains: make([]gain, len(weights))}
	for i, w := range weights {
		at := s.schema.Queryables.Index(w.Name)
		if at < 0 {
			return dst, 0, index.Proof{}, fmt.Errorf("%q is %w", w.Name, ErrUnknownQueryable)
		}
		o.gains[i] = gain{w, s.schema.Queryables[at], s.columns.queryable[at], nil}
		o.gains[i].spans = s.columns.queryable[at].spans(s)
	}
	p, err := s.planOf(filter)
	if err != nil {
		return dst, 0, index.Proof{}, err
	}
	defer p.release()
	all := *q
	all.After, all.Trace, all.Area = nil, nil, filter.within(q.Area)
	proof, err = o.search(p, &all)
	if err = p.end(err); err != nil {
		return dst, 0, proof, err
	}
	within = o.unseen
	switch {
	case !proof.Exact:
		o.kept = slices.DeleteFunc(o.kept, func(h ScoredHit) bool { return h.Score >= within })
	case len(o.kept) == o.k && o.k > 0:
		within = o.kept[o.k-1].Score
	default: // all are there
		within = min(q.MaxDistance, sphere.HalfCircumference) - o.sum(func(g *gain) float64 { return g.least() })
	}
	return append(dst, o.kept...), within, proof, nil
}

// planOf is plan for any filter, also for none, without what its area says.
func (s *Snapshot) planOf(f *Filter) (*plan, error) {
	if s.beside(f) {
		return s.plan(f, f.rest)
	}
	p := s.plans.Get().(*plan)
	p.snapshot = s
	return p, nil
}

// A span has the items whose values of a column lie between two numbers.
type span struct {
	least, most float64
	in          condition
}

// maxSpans is how many spans a column is divided into, beside that of the items without a number.
const maxSpans = 64

// gain is what a weight makes of the values of a column.
type gain struct {
	Weight
	queryable value.Queryable
	column    column
	spans     []span // of all items
}

// of returns what a number gains in metres.
func (g *gain) of(f float64) float64 {
	if f == 0 || g.Metres == 0 { // also where the other is infinite
		return 0
	}
	return max(-maxGain, min(maxGain, g.Metres*f))
}

// ends returns the least and the greatest gain of a span.
func (g *gain) ends(s *span) (least, most float64) {
	a, b := g.of(s.least), g.of(s.most)
	return min(a, b), max(a, b)
}

func (g *gain) least() float64 {
	least := math.Inf(1)
	for i := range g.spans {
		l, _ := g.ends(&g.spans[i])
		least = min(least, l)
	}
	return least
}

func (g *gain) most() float64 {
	most := math.Inf(-1)
	for i := range g.spans {
		_, m := g.ends(&g.spans[i])
		most = max(most, m)
	}
	return most
}

// scorer finds the items of the least scores.
type scorer struct {
	snapshot *Snapshot
	gains    []gain
	k        int
	after    *ScorePlace // nil: there is none
	kept     []ScoredHit // in order, k at most
	unseen   float64     // the least score that an item may have which was not looked at
	hits     []index.Hit
}

// sum adds what the weights gain, in their order, so that it grows with each of them, however it is
// rounded.
func (o *scorer) sum(of func(*gain) float64) float64 {
	sum := 0.0
	for i := range o.gains {
		sum += of(&o.gains[i])
	}
	return sum
}

// score returns the score of an item.
func (o *scorer) score(hit index.Hit) float64 {
	var of [MaxWeights]float64
	it := o.snapshot.records.item(hit.Ref)
	_ = members(it.Properties, func(name, json []byte) error { // which were read before
		for i := range o.gains {
			if g := &o.gains[i]; string(name) == g.Name {
				if v, fits := value.Of(g.queryable.Type, json); fits && v.Kind() == value.KindNumber {
					f, _ := v.Float64()
					of[i] = g.of(f)
				}
			}
		}
		return nil
	})
	sum := 0.0
	for i := range o.gains {
		sum += of[i]
	}
	return hit.Distance - sum
}

// compare orders an item and one that was kept.
func (o *scorer) compare(a, b ScoredHit) int {
	return cmp.Or(cmp.Compare(a.Score, b.Score), cmp.Compare(a.Distance, b.Distance), o.snapshot.records.CompareIDs(a.Ref, b.Ref))
}

// offer takes an item, if it is among the first so far.
func (o *scorer) offer(hit index.Hit) {
	h := ScoredHit{hit, o.score(hit)}
	if a := o.after; a != nil && cmp.Or(cmp.Compare(h.Score, a.Score), cmp.Compare(h.Distance, a.Distance), o.snapshot.records.CompareID(h.Ref, a.ID)) <= 0 {
		return
	}
	at, _ := slices.BinarySearchFunc(o.kept, h, o.compare)
	if at == o.k {
		return
	}
	if o.kept = slices.Insert(o.kept, at, h); len(o.kept) > o.k {
		o.kept = o.kept[:o.k]
	}
}

// worst returns the greatest score that may be among the first.
func (o *scorer) worst() float64 {
	if len(o.kept) < o.k || o.k == 0 {
		return math.Inf(1)
	}
	return o.kept[o.k-1].Score
}

// part is a span to be searched, and the least and the greatest sum that its items gain.
type part struct {
	in          condition
	least, most float64
}

// parts divides the items by the column whose gains differ most.
func (o *scorer) parts() []part {
	by := 0
	for i := range o.gains {
		if g, b := &o.gains[i], &o.gains[by]; g.most()-g.least() > b.most()-b.least() {
			by = i
		}
	}
	parts := make([]part, len(o.gains[by].spans))
	for i := range parts {
		span := &o.gains[by].spans[i]
		parts[i] = part{
			in: span.in,
			least: o.sum(func(g *gain) float64 {
				if g == &o.gains[by] {
					least, _ := g.ends(span)
					return least
				}
				return g.least()
			}),
			most: o.sum(func(g *gain) float64 {
				if g == &o.gains[by] {
					_, most := g.ends(span)
					return most
				}
				return g.most()
			}),
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(b.most, a.most) })
	return parts
}

// search looks at all items that may be among the first.
func (o *scorer) search(p *plan, q *index.Query) (total index.Proof, err error) {
	o.unseen = math.Inf(1)
	conditions := len(p.every)
	for i := range o.gains {
		p.chunks = max(p.chunks, o.gains[i].column.chunks())
	}
	total.Exact = true
	for _, part := range o.parts() {
		p.every = append(p.every[:conditions], part.in)
		p.begin()
		proof, err := o.outward(p, q, part, total.Entered+total.Compared)
		if err != nil {
			return total, err
		}
		total.Entered, total.Compared, total.Exact = total.Entered+proof.Entered, total.Compared+proof.Compared, total.Exact && proof.Exact
	}
	return total, nil
}

// mostAtOnce bounds how many items a part is asked for at a time.
const mostAtOnce = 1 << 14

// outward looks at the items of a part that may be among the first. The proof has what it cost.
func (o *scorer) outward(p *plan, q *index.Query, part part, spent int) (total index.Proof, err error) {
	near := *q
	if o.after != nil {
		if d, ok := reach(math.Nextafter(o.after.Score, math.Inf(-1)), part.least, sphere.HalfCircumference); ok {
			near.MinDistance = max(near.MinDistance, d)
		}
	}
	for {
		var ok bool
		if near.MaxDistance, ok = reach(o.worst(), part.most, q.MaxDistance); !ok || near.MaxDistance < near.MinDistance {
			break
		}
		proof := index.Proof{}
		if near.Budget = q.Budget; q.Budget > 0 {
			near.Budget = q.Budget - spent - total.Entered - total.Compared
		}
		o.hits = o.hits[:0]
		if q.Budget == 0 || near.Budget > 0 {
			if o.hits, proof, err = p.nearest(o.hits, &near); err != nil {
				return total, err
			}
		}
		total.Entered, total.Compared = total.Entered+proof.Entered, total.Compared+proof.Compared
		for _, hit := range o.hits {
			o.offer(hit)
		}
		if !proof.Exact {
			reached := max(near.MinDistance, proof.Radius)
			if near.After != nil {
				reached = max(reached, near.After.Distance)
			}
			o.unseen = min(o.unseen, reached-part.most)
			return total, nil
		}
		if len(o.hits) < near.K {
			break
		}
		last := o.hits[len(o.hits)-1]
		if n := len(o.kept); n == o.k && o.compare(ScoredHit{last, last.Distance - part.most}, o.kept[n-1]) >= 0 {
			break
		}
		near.After = &index.After{Distance: last.Distance, ID: o.snapshot.records.ID(last.Ref)}
		near.K = min(2*near.K, mostAtOnce)
	}
	total.Exact = true
	return total, nil
}

// reach returns the greatest distance, to at most, that less a gain is no more than a score. It
// reports false if there is none.
func reach(score, gain, to float64) (metres float64, ok bool) {
	switch {
	case 0-gain > score:
		return 0, false
	case math.IsInf(score, 1) || to-gain <= score:
		return to, true
	}
	lo, hi := uint64(0), math.Float64bits(to) // the order of floats is that of their bits
	for hi-lo > 1 {
		if half := lo + (hi-lo)/2; math.Float64frombits(half)-gain <= score {
			lo = half
		} else {
			hi = half
		}
	}
	return math.Float64frombits(lo), true
}

// without is met by items that have no value in a column of numbers.
type without struct {
	unlisted
	column column
	items  int // of the snapshot
}

func (c without) holds(ref index.Ref) bool { return !c.column.has(ref) }

func (c without) most() (n int, exact bool) { return c.items, false }

func (c without) narrow(s *chunkSet, at int) { s.narrow(at, c) }

// spans implements column.
func (c *dictionaryColumn) spans(s *Snapshot) []span {
	type numbered struct {
		f      float64
		number uint32
	}
	var numbers, others []numbered
	least, most := 0.0, 0.0
	for n, key := range c.dict.all() {
		v, ok := value.OfKey(key)
		if !ok || v.Kind() != value.KindNumber {
			others = append(others, numbered{0, n})
			continue
		}
		f, _ := v.Float64()
		numbers = append(numbers, numbered{f, n})
		least, most = min(least, f), max(most, f)
	}
	if len(numbers) == 0 || c.dict.n > maxEvaluated {
		return []span{{least, most, constant{true, s.Len()}}}
	}
	slices.SortFunc(numbers, func(a, b numbered) int { return cmp.Compare(a.f, b.f) })
	spans := []span{{0, 0, without{unlisted{}, c, s.Len()}}}
	add := func(least, most float64, of []numbered) {
		one := &equal{column: c, items: s.Len()}
		for _, n := range of {
			one.numbers = append(one.numbers, n.number)
		}
		one.prepare()
		spans = append(spans, span{least, most, one})
	}
	if len(others) > 0 {
		add(0, 0, others)
	}
	for of := range slices.Chunk(numbers, (len(numbers)+maxSpans-1)/maxSpans) {
		add(of[0].f, of[len(of)-1].f, of)
	}
	return spans
}

// spans implements column. The intervals are joined to as many as there may be.
func (c *numericColumn) spans(s *Snapshot) []span {
	spans := []span{{0, 0, without{unlisted{}, c, s.Len()}}}
	from, n := 0, 0 // of a span: its first interval, and its items
	for at := range c.intervals {
		n += int(c.lens.at(c.intervals[at].number))
		last := at+1 == len(c.intervals)
		if n > 0 && (last || n*maxSpans >= c.n) {
			low, high := c.ends(from, at)
			one := &ranged{column: c, tests: []tested{{snapshot: s}}, ranges: []codeRange{{low, high, true}}}
			one.prepare()
			least, _ := value.CodeBounds(low)
			_, most := value.CodeBounds(high)
			spans = append(spans, span{least, most, one})
			from, n = at+1, 0
		}
		if n == 0 {
			from = at + 1
		}
	}
	return spans
}

// ends returns the least and the greatest code in the intervals from place a to place b, or bounds of
// them. Only the first and the last interval have bounds that may be far away.
func (c *numericColumn) ends(a, b int) (low, high uint32) {
	low, _ = c.bounds(a)
	_, high = c.bounds(b)
	for _, at := range []int{a, b} {
		if from, to := c.bounds(at); from > 1 && to < math.MaxUint32 {
			continue
		}
		least, most := uint32(math.MaxUint32), uint32(0)
		for _, ref := range c.postings.at(c.intervals[at].number).appendTo(nil) {
			code := c.codes.at(ref)
			least, most = min(least, code), max(most, code)
		}
		if most == 0 {
			continue // it is empty
		}
		if at == a {
			low = max(low, least)
		}
		if at == b {
			high = min(high, most)
		}
	}
	return low, high
}
