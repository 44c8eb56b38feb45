package table

import (
	"math"

	"nearby/index"
	"nearby/internal/runs"
	"nearby/internal/topk"
	"nearby/sphere"
)

// A plan answers one query with a filter. There are three ways, and a fourth that is a search
// outward and then the list:
//
//   - none: no item has the value that is asked for. The answer is empty.
//   - list: the items that match are listed from the postings, and the answer is made of them.
//   - outward: the index searches outward from the centre, and asks of each item that might be
//     in the answer whether it matches.
//
// The list is made when few items match, and the search outward when many do. Where the matches
// lie is not known at first: if they are all far away, a search outward sees everything that is
// nearer. So it has a budget: when it has cost as much as the list would, it is given up for the
// list. A query then costs about twice the better way, and leaves the places of the matches for those
// that follow: they search outward, and pass over what is nearer. It costs three times that where the
// list turns out to be longer than maxListed, since the search has to begin again.
type plan struct {
	snapshot *Snapshot
	root     condition
	chunks   int // that refs of items with values lie in
	equals   []equal
	numbers  []uint32
	during   during
	every    every
	stop     func() bool // of the filter
	tests    int         // predicates that were evaluated
	stopped  bool

	// Memory kept from query to query.
	passes   func(index.Ref) bool     // holds
	bloom    bloom                    // of the items that may meet root, once it is made
	before   int                      // so many tests until it is made; 0: it is made, or never
	postings []*posting               // that it is made of
	one      *posting                 // that sift asks; nil: it asks the Bloom filter
	fetches  func([]index.Ref)        // fetch
	sifts    func([]index.Ref) uint64 // sift
	fetched  uint64                   // means nothing
	skips    func(uint64, int) bool   // none
	places   []*places                // of the items that may meet root
	query    index.Query
	key      []byte
	set      chunkSet
	refs     []uint32
	recs     [listBlock]runs.Record
	blocks   []runs.Run
	top      topk.TopK
	page     []entry
	placed   []placed
	// queries are those of counts.
	queries  []index.Query
	matching matching
}

// The unit of cost is one point that a search outward compares. The nodes that it enters and the
// calls of the filter are counted in. BenchmarkFiltered has the figures behind these constants.
const (
	// costOfItem is what an item of a list costs: its position is read and converted.
	costOfItem = 5
	// costOfChunk is what it costs to find the matches of a condition in a chunk.
	costOfChunk = 60
	// costOfHit: a search compares costOfHit × items/matches points for each hit.
	costOfHit = 1.7
	// costOfAsking: to ask all items costs about so many times what a set of them does.
	costOfAsking = 16
	// costOfSearch is what each search outward costs.
	costOfSearch = 60

	// farCost: matches are far away if a search compares so many times the points that are expected.
	farCost = 4

	// siftedFrom: where a smaller share of the items matches, items are sifted before their distances
	// are computed.
	siftedFrom = 0.25

	// testsOfAdd: as many items are put into a Bloom filter in the time that it saves with one test.
	testsOfAdd = 20

	// maxListed bounds the items of a list, and so the memory for it. Not more than one item in
	// listedOf is listed.
	maxListed = 1 << 18
	listedOf  = 3
)

// begin makes the root, once the conditions are there, and after they have changed.
func (p *plan) begin() {
	if p.root = p.every; len(p.every) == 1 {
		p.root = p.every[0]
	}
	p.bloom.words, p.before = p.bloom.words[:0], 0
	if most, _ := p.root.most(); most < p.snapshot.Len() {
		p.before = 1 + most/testsOfAdd
	}
}

// holds reports whether an item meets the root.
func (p *plan) holds(ref index.Ref) bool {
	if p.before > 0 {
		if p.before--; p.before == 0 {
			p.makeBloom()
		}
	}
	return (len(p.bloom.words) == 0 || p.bloom.has(uint32(ref))) && p.root.holds(ref)
}

// fetch brings from memory what holds needs of some items.
func (p *plan) fetch(refs []index.Ref) {
	if len(p.bloom.words) == 0 {
		p.fetched += p.root.fetch(refs)
	}
}

// ahead returns what index.Query.Fetch and Sift are. Where few items match, and that is told by
// little memory, items are sifted.
func (p *plan) ahead(est estimate) (fetch func([]index.Ref), sift func([]index.Ref) uint64) {
	p.one = nil
	if len(p.bloom.words) == 0 {
		var ok bool
		if p.postings, ok = p.root.postings(p.postings[:0], 1); !ok || len(p.postings) == 0 || !p.postings[0].quick() {
			return p.fetches, nil
		}
		p.one = p.postings[0]
	}
	if est.matches < siftedFrom*float64(p.snapshot.Len()) {
		return nil, p.sifts
	}
	if p.one == nil { // what the Bloom filter needs is in the caches
		return nil, nil
	}
	return p.fetches, nil
}

// sift returns which of some items may meet the root.
func (p *plan) sift(refs []index.Ref) (may uint64) {
	if p.one == nil {
		return p.bloom.which(refs)
	}
	return p.one.which(refs)
}

// makeBloom makes the Bloom filter if it is quicker than the root.
func (p *plan) makeBloom() {
	p.before = 0
	var ok bool
	if p.postings, ok = p.root.postings(p.postings[:0], math.MaxInt); !ok || len(p.postings) == 1 && p.postings[0].quick() {
		return
	}
	most, _ := p.root.most()
	p.bloom.reset(most, uint64(p.chunks)*chunkRefs)
	for _, one := range p.postings {
		one.addAll(&p.bloom)
	}
}

// expect says that about so many items will be tested. If they are enough, the Bloom filter is made
// at the first test. Otherwise it is made when the tests have cost as much as it does.
func (p *plan) expect(tests float64) {
	if p.before > 0 && tests >= float64(p.before) {
		p.before = 1
	}
}

// newPlan returns an empty plan, for a pool of plans.
func newPlan() any {
	p := &plan{equals: make([]equal, 0, MaxQueryables)}
	p.passes, p.skips, p.fetches, p.sifts = p.holds, p.none, p.fetch, p.sift
	return p
}

// release gives the memory of a plan back.
func (p *plan) release() {
	to := p.snapshot.plans
	p.top.Release()
	clear(p.equals)
	clear(p.every)
	p.equals, p.numbers, p.every, p.refs = p.equals[:0], p.numbers[:0], p.every[:0], p.refs[:0]
	p.snapshot, p.root, p.one, p.during, p.query, p.chunks = nil, nil, nil, during{}, index.Query{}, 0
	p.stop, p.tests, p.stopped = nil, 0, false
	clear(p.postings)
	clear(p.places)
	p.places = p.places[:0]
	p.postings, p.bloom.words, p.before = p.postings[:0], p.bloom.words[:0], 0
	const keeps = 64
	p.blocks = p.blocks[:min(len(p.blocks), keeps)]
	clear(p.queries)
	if cap(p.matching.sets) > keeps {
		p.matching.sets = nil
	}
	to.Put(p)
}

// testsAtOnce is how many predicates are evaluated before a plan asks whether to stop.
const testsAtOnce = 16

// stops is called before a predicate is evaluated, and reports whether that has no use any more.
func (p *plan) stops() bool {
	if p.tests++; !p.stopped && p.stop != nil && p.tests%testsAtOnce == 0 {
		p.stopped = p.stop()
	}
	return p.stopped
}

// end returns the error of what the plan did: its own, or ErrStopped.
func (p *plan) end(err error) error {
	if p.stopped {
		return ErrStopped
	}
	return err
}

// estimate is what is known of the ways before any is gone.
type estimate struct {
	listable bool    // a list may pay
	matches  float64 // about
	list     int     // what a list costs
}

// estimate returns what is known of the ways.
func (p *plan) estimate() estimate {
	items := p.snapshot.Len()
	most, exact := p.root.most()
	est := estimate{matches: p.root.share() * float64(items)}
	// Of several conditions each but the rarest narrows what is left in a chunk. One condition has
	// no chunks to narrow if its postings are lists.
	cost := costOfItem*est.matches + costOfChunk*float64(p.chunks*max(1, len(p.every)-1))
	if exact && most < chunkFrom*p.chunks {
		cost = costOfItem * est.matches
	}
	est.list = int(cost)
	est.listable = most < items && est.matches <= float64(p.mostListed())
	return est
}

// mostListed is the greatest list that is made: a search outward never costs more than the
// comparison of all points.
func (p *plan) mostListed() int { return min(maxListed, p.snapshot.Len()/listedOf) }

// outwardCost is what a search outward for k of so many matches costs if they lie everywhere
// that items lie.
func (p *plan) outwardCost(k int, matches float64) float64 {
	items := float64(p.snapshot.Len())
	return min(items, costOfSearch+costOfHit*float64(k)*items/max(1, matches))
}

// collect finds the items that match. It reports false if they are more than a list may have.
func (p *plan) collect() bool {
	var ok bool
	most := p.mostListed()
	if p.refs, ok = p.root.list(p.refs[:0]); ok {
		return len(p.refs) <= most
	}
	for at := range p.chunks {
		p.set.fill()
		p.root.narrow(&p.set, at)
		if p.refs = p.set.appendTo(p.refs, at); len(p.refs) > most {
			return false
		}
	}
	return true
}

// nearest answers a query for the nearest items; see index.Index.
func (p *plan) nearest(dst []index.Hit, q *index.Query) ([]index.Hit, index.Proof, error) {
	if err := q.Validate(); err != nil {
		return dst, index.Proof{}, err
	}
	from, left := len(dst), math.MaxInt
	if q.Budget > 0 {
		left = q.Budget
	}
	var spent index.Proof
	var skip func(uint64, int) bool
	est := p.estimate()
	search := func(budget int) (proof index.Proof, err error) {
		if p.before == 1 {
			p.makeBloom()
		}
		p.query = *q
		p.query.Fetch, p.query.Sift = p.ahead(est)
		p.query.Filter, p.query.Skip, p.query.Budget = p.passes, skip, budget
		dst, proof, err = p.snapshot.index.Nearest(dst[:from], &p.query, &p.snapshot.records)
		proof.Entered, proof.Compared = proof.Entered+spent.Entered, proof.Compared+spent.Compared
		spent = proof
		return proof, err
	}
	most, exact := p.root.most()
	plan := index.Plan{Way: index.WayOutward, Matches: most}
	if !exact {
		plan.Matches = -1
	}
	if q.Trace != nil {
		defer func() { q.Trace.Plan = plan }()
	}
	if everywhere(q) {
		p.expect(p.outwardCost(q.K, est.matches) - costOfSearch)
	}
	if skip = p.skip(q.Budget, est); skip != nil {
		for _, at := range p.places {
			plan.Cells += len(at.cells)
		}
	}
	first := everywhere(q) && q.After == nil // not a page that lies far away itself
	if est.listable {
		// How many items are within a distance or in an area is not known, so a search outward may be short.
		bounded := !everywhere(q) && est.list > costOfSearch
		tried := most > 0 && (bounded || p.outwardCost(q.K, est.matches) <= float64(est.list))
		if tried {
			if proof, err := search(min(left, max(1, est.list))); err != nil || proof.Exact {
				return dst, proof, err
			}
		}
		if p.collect() {
			plan.Matches = len(p.refs)
			if list := costOfItem * len(p.refs); !tried && p.outwardCost(q.K, float64(len(p.refs))) <= float64(list) {
				if proof, err := search(min(left, list)); err != nil || proof.Exact {
					return dst, proof, err
				}
				tried = true
			}
			if len(p.refs) <= left-spent.Entered-spent.Compared {
				plan.Way = index.WayList
				switch {
				case len(p.refs) == 0:
					plan.Way = index.WayNone
				case tried:
					plan.Way = index.WayOutwardThenList
				}
				spent.Compared += len(p.refs)
				if dst = p.listNearest(dst[:from], q, &spent); tried && skip == nil && first {
					p.learn(2 * len(p.refs))
				}
				return dst, spent, nil
			}
		}
	}
	proof, err := search(q.Budget)
	if skip == nil && first && proof.Exact && most < p.snapshot.Len() && float64(proof.Compared) > farCost*p.outwardCost(q.K, est.matches) {
		p.learn(proof.Compared)
	}
	return dst, proof, err
}

// everywhere reports whether a query asks for items wherever they lie.
func everywhere(q *index.Query) bool {
	return q.MaxDistance >= sphere.HalfCircumference && q.MinDistance == 0 && q.Area == nil
}

// count counts what matches; see index.Index.
func (p *plan) count(q *index.Query) (int, index.Proof, error) {
	if err := q.Validate(); err != nil {
		return 0, index.Proof{}, err
	}
	if most, exact := p.root.most(); exact && (everywhere(q) || most == 0) {
		planned(q.Trace, index.WayKnown, most)
		return most, index.Proof{Exact: true}, nil
	}
	var n [1]int
	var spent index.Proof
	with := *q
	switch {
	case everywhere(q):
	case p.estimate().listable:
		p.queries = append(p.queries[:0], *q)
		proof, err := p.counts(n[:], p.queries)
		return n[0], proof, err
	default: // where many items are near or in the area, a set of them is made sooner than they are asked
		left := unlimited(q.Budget)
		p.queries = append(p.queries[:0], *q)
		planned(q.Trace, index.WayTested, -1)
		proof, err := p.snapshot.counts(n[:], p.queries, p.passes, min(left, max(1, p.snapshot.Len()/costOfAsking)))
		if err != nil || proof.Exact {
			return n[0], proof, err
		}
		spent = proof
		if q.Budget > 0 {
			if with.Budget = left - spent.Entered - spent.Compared; with.Budget == 0 {
				return n[0], proof, nil
			}
		}
	}
	proof, err := p.match(&with)
	proof.Entered, proof.Compared = proof.Entered+spent.Entered, proof.Compared+spent.Compared
	return max(n[0], p.matching.n), proof, err
}

// counts counts what matches each of some queries, which are valid and differ in their distances.
// No item lies between the distances of two of them. The budget is that of the first one, for all.
func (p *plan) counts(dst []int, queries []index.Query) (proof index.Proof, err error) {
	trace := queries[0].Trace
	if most, _ := p.root.most(); most == 0 {
		planned(trace, index.WayNone, 0)
		clear(dst)
		return index.Proof{Exact: true}, nil
	}
	planned(trace, index.WayTested, -1)
	budget := queries[0].Budget
	left := unlimited(budget)
	if est := p.estimate(); est.listable {
		if proof, err = p.snapshot.counts(dst, queries, p.passes, min(left, max(1, est.list))); err != nil || proof.Exact {
			return proof, err
		}
		if left -= proof.Entered + proof.Compared; est.matches <= float64(left) && p.collect() && len(p.refs) <= left {
			proof.Exact, proof.Compared = true, proof.Compared+len(p.refs)
			p.listCounts(dst, queries, nil)
			planned(trace, index.WayList, len(p.refs))
			return proof, nil
		}
	}
	return p.snapshot.counts(dst, queries, p.passes, budget)
}

// unlimited returns a budget as a bound, also where there is none.
func unlimited(budget int) int {
	if budget == 0 {
		return math.MaxInt
	}
	return budget
}

// list is Snapshot.List. The hash of an id has nothing to do with whether the item matches, so the
// matches lie evenly in that order: a walk finds limit of them after about limit × items/matches
// items.
func (p *plan) list(dst []index.Ref, after string, limit, budget int) (refs []index.Ref, reached string) {
	est := p.estimate()
	if est.listable && (budget == 0 || est.list < budget) {
		if float64(limit)*float64(p.snapshot.Len()) <= float64(est.list)*est.matches {
			to, reached := p.snapshot.walk(dst, after, limit, max(1, est.list), p.passes)
			if reached == "" || len(to)-len(dst) == limit {
				return to, reached
			}
		}
		if p.collect() && (budget == 0 || len(p.refs) <= budget) {
			return p.listAfter(dst, after, limit)
		}
	}
	return p.snapshot.walk(dst, after, limit, budget, p.passes)
}

// within answers a query for the items in an area; see index.Index. How many items are in the
// area is not known, so the index begins.
func (p *plan) within(dst []index.Ref, q *index.RangeQuery) ([]index.Ref, index.Proof, error) {
	with := *q
	with.Filter = p.passes
	if est := p.estimate(); est.listable && (q.Budget == 0 || est.list < q.Budget) {
		with.Skip, with.Budget = p.skip(q.Budget, est), max(1, est.list)
		to, proof, err := p.snapshot.index.Range(dst, &with, &p.snapshot.records)
		if err != nil || proof.Exact {
			return to, proof, err
		}
		if p.collect() && (q.Budget == 0 || proof.Entered+proof.Compared+len(p.refs) <= q.Budget) {
			proof = index.Proof{Exact: true, Entered: proof.Entered, Compared: proof.Compared + len(p.refs)}
			return p.listWithin(dst, q), proof, nil
		}
		with.Skip, with.Budget = nil, q.Budget
	}
	return p.snapshot.index.Range(dst, &with, &p.snapshot.records)
}
