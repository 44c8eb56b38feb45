package table

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/area"
	"nearby/cql2"
	"nearby/index"
	"nearby/internal/zorder"
	"nearby/sphere"
	"nearby/value"
)

// A scan answers a question by looking at every item. It uses no index, no column and no compiled
// filter: a filter is what cql2.Eval makes of an item's JSON, and an order is a sort. What it shares
// with the answers that it is compared with are the definitions: of the distance (package sphere), of
// what is in an area (Area.Contains), of the place on the Z-order curve, and of the hash of an id.

// scanStep is how many items a scan looks at between two calls of its pace.
const scanStep = 256

// Check answers the question again, by a scan of the snapshot, which must be of the version that gave the
// answer. pace is called after each few items, and its error ends the scan. compared is how
// many items were looked at. The error is a *DifferenceError if the answers differ.
func (a *Answer) Check(s *Snapshot, pace func() error) (compared int, err error) {
	scan := a.given.scan(s.evaluator(&a.filter).holds)
	var seen Item // one for all, since it is lent
	for it := range s.All() {
		seen = it
		scan.see(&seen)
		if compared++; compared%scanStep == 0 {
			if err := pace(); err != nil {
				return compared, err
			}
		}
	}
	if at := scan.difference(s); at != "" {
		return compared, &DifferenceError{a.String(), at}
	}
	return compared, nil
}

// DifferenceError says that an answer is not what a scan of the same snapshot finds. It is a defect of
// the program.
type DifferenceError struct {
	Question string
	First    string // the first difference
}

func (e *DifferenceError) Error() string {
	return fmt.Sprintf("the answer differs from that of a scan: %s: %s", e.First, e.Question)
}

// given is the part of an Answer that each kind of question has in its own way.
type given interface {
	fmt.Stringer
	// scan begins a scan for the items that keeps is true for.
	scan(keeps func(*Item) bool) rescan
}

// rescan is a scan that is under way.
type rescan interface {
	see(it *Item)
	// difference is called when all items were seen. It returns the first difference between the answer,
	// which a snapshot gave, and the scan; "": there is none.
	difference(s *Snapshot) string
}

// evaluator evaluates a filter for one item at a time.
type evaluator struct {
	filter *Filter
	expr   cql2.Expr // all of the filter but its During and Except; nil: nothing
	time   string    // the property that During is about
}

func (s *Snapshot) evaluator(f *Filter) *evaluator {
	e := &evaluator{filter: f, time: s.schema.Time}
	var all []cql2.Expr
	if f.expr != nil {
		all = append(all, f.expr)
	}
	for name, texts := range f.equal {
		var any []cql2.Expr // one for each value, since their kinds may differ
		for _, text := range texts {
			values, _ := value.Parse(s.schema.Queryables.TypeOf(name), text)
			for _, v := range values {
				any = append(any, &cql2.In{Property: cql2.Property{Name: name}, Values: []cql2.Literal{{Value: v}}})
			}
		}
		all = append(all, &cql2.Or{Of: any})
	}
	if len(all) > 0 {
		e.expr = &cql2.And{Of: all}
	}
	return e
}

func (e *evaluator) holds(it *Item) bool {
	if e.filter.Except != "" && it.ID() == e.filter.Except {
		return false
	}
	if e.expr != nil && cql2.Eval(e.expr, it.Properties, it.Lon, it.Lat) != cql2.True {
		return false
	}
	if e.filter.During == nil || e.time == "" {
		return true
	}
	var properties map[string]jsontext.Value
	_ = json.Unmarshal(it.Properties, &properties) // what cannot be read has no time
	return e.filter.During.holds(value.TimeIn(properties[e.time]))
}

// rank is where an item stands in an order: by distance or by key, then by id.
type rank struct {
	distance float64 // metres; 0 where the order is by key
	key      uint64
	id       string
}

func (p *rank) compare(o *rank) int {
	return cmp.Or(cmp.Compare(p.distance, o.distance), cmp.Compare(p.key, o.key), strings.Compare(p.id, o.id))
}

func (p *rank) String() string {
	if p.key != 0 {
		return fmt.Sprintf("item %q with key %d", p.id, p.key)
	}
	return fmt.Sprintf("item %q at %v m", p.id, p.distance)
}

// first keeps the n places that come first of those it is given, which follow after.
type first struct {
	n     int
	after *rank  // nil: the beginning
	ranks []rank // in no order, and up to twice as many
	last  *rank  // of the n that come first so far; nil: there are fewer
}

// wants reports whether a place may be among the first n.
func (f *first) wants(p *rank) bool {
	return (f.after == nil || f.after.compare(p) < 0) && (f.last == nil || p.compare(f.last) < 0)
}

func (f *first) add(p rank) {
	if f.ranks = append(f.ranks, p); len(f.ranks) >= 2*f.n+scanStep {
		f.sort()
	}
}

// sort puts the places in order, and drops those that are too many.
func (f *first) sort() {
	slices.SortFunc(f.ranks, func(a, b rank) int { return a.compare(&b) })
	if len(f.ranks) >= f.n {
		f.ranks = f.ranks[:f.n]
		last := f.ranks[f.n-1]
		f.last = &last
	}
}

// against compares an answer with the places, of which there may be one more. It returns that one, nil if
// there is none, or the first difference.
func (f *first) against(answer []rank) (next *rank, difference string) {
	f.sort()
	for i := range answer {
		if i == len(f.ranks) {
			return nil, fmt.Sprintf("at %d the answer has %v, and the scan has nothing", i, &answer[i])
		}
		if answer[i] != f.ranks[i] {
			return nil, fmt.Sprintf("at %d the answer has %v, and the scan has %v", i, &answer[i], &f.ranks[i])
		}
	}
	if len(f.ranks) > len(answer) {
		next = &f.ranks[len(answer)]
	}
	return next, ""
}

// missing is the difference where an answer ends before a place that belongs to it.
func missing(at int, p *rank) string {
	return fmt.Sprintf("at %d the answer has nothing, and the scan has %v", at, p)
}

// nearestAnswer is that of Nearest.
type nearestAnswer struct {
	q     index.Query
	hits  []index.Hit
	proof index.Proof
}

func (a *nearestAnswer) String() string {
	s := fmt.Sprintf("nearest %s k=%d", describe(&a.q), a.q.K)
	if a.q.After != nil {
		s += fmt.Sprintf(" after=%v,%q", a.q.After.Distance, a.q.After.ID)
	}
	return s
}

// describe writes what all queries have.
func describe(q *index.Query) string {
	return fmt.Sprintf("lon=%v lat=%v radius=%v min_radius=%v area=%v budget=%d", q.Lon, q.Lat, q.MaxDistance, q.MinDistance, q.Area, q.Budget)
}

// nearestScan finds one item more than the answer has.
type nearestScan struct {
	*nearestAnswer
	ring
	first
	keeps func(*Item) bool
}

func (a *nearestAnswer) scan(keeps func(*Item) bool) rescan {
	s := &nearestScan{nearestAnswer: a, ring: ringOf(&a.q), keeps: keeps}
	s.n = len(a.hits) + 1
	if a.q.After != nil {
		s.after = &rank{distance: a.q.After.Distance, id: a.q.After.ID}
	}
	return s
}

func (s *nearestScan) see(it *Item) {
	p, in := s.in(it)
	if !in || s.last != nil && p.distance > s.last.distance {
		return
	}
	if p.id = it.ID(); s.wants(&p) && s.keeps(it) {
		s.add(p)
	}
}

func (s *nearestScan) difference(of *Snapshot) string {
	answer := make([]rank, len(s.hits))
	for i, h := range s.hits {
		it := of.Item(h.Ref)
		answer[i] = rank{distance: h.Distance, id: it.ID()}
	}
	next, difference := s.against(answer)
	switch {
	case difference != "" || next == nil:
		return difference
	case len(s.hits) > s.q.K:
		return fmt.Sprintf("the answer has %d items", len(s.hits))
	case len(s.hits) < s.q.K && s.proof.Exact:
		return missing(len(s.hits), next)
	case s.proof.Radius > next.distance:
		return fmt.Sprintf("the answer has all items within %v m, and the scan has %v", s.proof.Radius, next)
	}
	return ""
}

// ring is what a query says of distances and of the area.
type ring struct {
	centre      sphere.Vec
	least, most float64 // metres
	area        *area.Area
}

func ringOf(q *index.Query) ring {
	return ring{sphere.FromDegrees(q.Lon, q.Lat), q.MinDistance, q.MaxDistance, q.Area}
}

// in returns where an item stands, without its id, and whether it lies in the ring.
func (r *ring) in(it *Item) (p rank, in bool) {
	p.distance = sphere.Distance(r.centre, sphere.FromDegrees(it.Lon, it.Lat))
	return p, p.distance >= r.least && p.distance <= r.most && r.area.Contains(it.Lon, it.Lat)
}

// countAnswer is that of Count, and of Within.
type countAnswer struct {
	q      index.Query
	within []float64 // distances in metres, which increase
	counts []int
	exact  bool // else there may be more
}

func (a *countAnswer) String() string {
	return fmt.Sprintf("count %s within=%v", describe(&a.q), a.within)
}

type countScan struct {
	*countAnswer
	ring
	keeps func(*Item) bool
	found []int
}

func (a *countAnswer) scan(keeps func(*Item) bool) rescan {
	s := &countScan{a, ringOf(&a.q), keeps, make([]int, len(a.within))}
	if s.most = 0; len(a.within) > 0 {
		s.most = a.within[len(a.within)-1]
	}
	return s
}

func (s *countScan) see(it *Item) {
	p, in := s.in(it)
	if !in || !s.keeps(it) {
		return
	}
	for i, most := range s.within {
		if p.distance <= most {
			s.found[i]++
		}
	}
}

func (s *countScan) difference(*Snapshot) string {
	for i, n := range s.counts {
		if n > s.found[i] || n < s.found[i] && s.exact {
			return fmt.Sprintf("within %v m the answer counts %d, and the scan %d", s.within[i], n, s.found[i])
		}
	}
	return ""
}

// pageAnswer is that of Range and of List: items in an order by key, of which a page ends where there
// are limit items, or at what was reached.
type pageAnswer struct {
	area    *area.Area
	after   *rank // nil: the beginning
	limit   int
	refs    []index.Ref
	reached *rank // nil: the end, or the last item of a page that is full
	full    bool  // the page ends with its last item, since it has limit of them
	keyOf   func(*Item) uint64
}

func zKey(it *Item) uint64 { return zorder.Key(it.Lon, it.Lat) }

func idKey(it *Item) uint64 { return uint64(hashID(it.ID())) }

func (a *pageAnswer) String() string {
	s := fmt.Sprintf("page area=%v limit=%d", a.area, a.limit)
	if a.after != nil {
		s += fmt.Sprintf(" after=%d,%q", a.after.key, a.after.id)
	}
	return s
}

// pageScan finds one item more than the answer has.
type pageScan struct {
	*pageAnswer
	first
	keeps func(*Item) bool
}

func (a *pageAnswer) scan(keeps func(*Item) bool) rescan {
	return &pageScan{a, first{n: len(a.refs) + 1, after: a.after}, keeps}
}

func (s *pageScan) see(it *Item) {
	p := rank{key: s.keyOf(it)}
	if s.last != nil && p.key > s.last.key {
		return
	}
	if p.id = it.ID(); s.wants(&p) && s.area.Contains(it.Lon, it.Lat) && s.keeps(it) {
		s.add(p)
	}
}

func (s *pageScan) difference(of *Snapshot) string {
	answer := make([]rank, len(s.refs))
	for i, ref := range s.refs {
		it := of.Item(ref)
		answer[i] = rank{key: s.keyOf(&it), id: it.ID()}
	}
	next, difference := s.against(answer)
	switch {
	case difference != "" || next == nil || s.full:
		return difference
	case len(s.refs) > s.limit:
		return fmt.Sprintf("the answer has %d items", len(s.refs))
	case s.reached == nil || next.compare(s.reached) <= 0:
		return missing(len(s.refs), next)
	}
	return ""
}
