package table

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"nearby/index"
	"nearby/item"
	"nearby/value"
)

// Facet asks how many items have each value of a queryable, or how many have a number in each
// interval.
type Facet struct {
	Name string      // of the queryable
	Step *value.Step // of the intervals; nil: by value
}

// Counts are the numbers of the items that match, by what a Facet asks for. The sum of all of them
// is how many match.
type Counts struct {
	// Values has values with most items, in the order of that number from the greatest on, and then
	// of the values. Steps has the intervals that have items, in their order. One of them is nil.
	Values []ValueCount
	Steps  []StepCount
	// Others is how many items have values that Values does not have, or no number where
	// numbers are divided.
	Others int
	// Without is how many items have no value: no such property, or null, an array, an object, or
	// what does not fit the type of the queryable.
	Without int
}

// ValueCount is how many items have a value.
type ValueCount struct {
	Value value.Value
	Items int
}

// StepCount is how many items have a number that is not less than From, and less than Below.
type StepCount struct {
	From, Below value.Value
	Items       int
}

// Bounds of facets.
const (
	MaxValueCounts = 100     // in Counts.Values
	MaxStepCounts  = 1000    // in Counts.Steps
	MaxFacetValues = 1 << 18 // of a queryable that is counted by value: in all items, or of numbers in those that match
)

// FacetError says why a facet cannot be counted, and what to do.
type FacetError struct {
	Name         string // of the queryable
	Reason, Hint string
}

// Error implements error.
func (e *FacetError) Error() string {
	return fmt.Sprintf("the facet of %s %s; %s", e.Name, e.Reason, e.Hint)
}

// CheckFacet returns a *FacetError if the type of a queryable does not allow a facet.
func CheckFacet(q value.Queryable, stepped bool) error {
	switch numbers := q.Type == value.Number || q.Type == value.Integer; {
	case !stepped && q.Type == value.DateTime:
		return &FacetError{q.Name, "cannot be counted: its type is " + q.Type.String(), "strings, booleans and numbers can; the parameter datetime or a filter counts a period"}
	case stepped && !numbers && q.Type != value.Any:
		return &FacetError{q.Name, "cannot have a step: its type is " + q.Type.String(), "numbers alone are counted by steps"}
	}
	return nil
}

// Facets counts the items that match by each of some facets. matched is how many match. filter is as
// for Nearest. When the proof is not Exact, nothing is counted. The error is a *FacetError if a
// facet cannot be counted.
func (s *Snapshot) Facets(q *index.Query, facets []Facet, filter *Filter) (matched int, counts []Counts, proof index.Proof, err error) {
	if err := q.Validate(); err != nil {
		return 0, nil, index.Proof{}, err
	}
	p, err := s.planOf(filter)
	if err != nil {
		return 0, nil, index.Proof{}, err
	}
	defer p.release()
	all := *q
	all.After, all.Area = nil, filter.within(q.Area)
	var of *matching // nil: all items
	if matched, proof.Exact = s.Len(), true; p.root != nil || !everywhere(&all) {
		of = &p.matching
		proof, err = p.match(&all)
		matched = of.n
	}
	if err = p.end(err); err != nil || !proof.Exact {
		return 0, nil, proof, err
	}
	counts, err = s.tally(facets, of, matched)
	return matched, counts, proof, err
}

// Set is a set of items of a snapshot.
type Set struct {
	snapshot *Snapshot
	items    matching
}

// NewSet returns the empty set.
func (s *Snapshot) NewSet() *Set {
	set := &Set{snapshot: s}
	set.items.reset(s.records.chunks64k())
	return set
}

// Add puts an item in, if it is not there.
func (s *Set) Add(ref index.Ref) {
	if !s.items.sets[ref>>chunkBits].has(uint32(ref)) {
		s.items.add(ref)
		s.items.n++
	}
}

// AddAll puts in the items that match; see Snapshot.Count. When the proof is not Exact, some are
// missing.
func (s *Set) AddAll(q *index.Query, filter *Filter) (index.Proof, error) {
	return s.snapshot.each(q, filter, s.Add)
}

// Len returns the number of items.
func (s *Set) Len() int { return s.items.n }

// Facets counts the items of the set by each of some facets; see Snapshot.Facets.
func (s *Set) Facets(facets []Facet) ([]Counts, error) {
	return s.snapshot.tally(facets, &s.items, s.items.n)
}

// tally counts the items of a set, of which there are so many, by each of some facets. of is nil for all
// items.
func (s *Snapshot) tally(facets []Facet, of *matching, items int) (counts []Counts, err error) {
	counts = make([]Counts, len(facets))
	for i, f := range facets {
		at := s.schema.Queryables.Index(f.Name)
		if at < 0 {
			return nil, fmt.Errorf("%q is %w", f.Name, ErrUnknownQueryable)
		}
		queryable := s.schema.Queryables[at]
		if err := CheckFacet(queryable, f.Step != nil); err != nil {
			return nil, err
		}
		if counts[i], err = s.columns.queryable[at].facet(&tally{s, queryable, f.Step, of}); err != nil {
			return nil, err
		}
		counts[i].Without = items - counts[i].Others
		for _, c := range counts[i].Values {
			counts[i].Without -= c.Items
		}
		for _, c := range counts[i].Steps {
			counts[i].Without -= c.Items
		}
	}
	return counts, nil
}

// tally is a facet to be counted.
type tally struct {
	snapshot  *Snapshot
	queryable value.Queryable
	step      *value.Step
	of        *matching // nil: of all items
}

// pages calls yield with the words of the set whose refs a column has a page of, and with the page
// and the first ref of the word. So a column is read in its order.
func (m *matching) pages(column *vector[uint32], yield func(first uint32, word uint64, page *page[uint32])) {
	for at := range m.sets {
		for i, word := range m.sets[at] {
			if word == 0 {
				continue
			}
			first := uint32(at<<chunkBits | i*64)
			if page := column.page(first); page != nil {
				yield(first, word, page)
			}
		}
	}
}

// wordsOfItem: to find the value of an item takes as long as to compare so many words of two sets.
const wordsOfItem = 4

// facet implements column. Where many items are counted and there are few values, each value tells
// how many of them it has.
func (c *dictionaryColumn) facet(t *tally) (counts Counts, err error) {
	if c.dict.n > MaxFacetValues {
		return counts, &FacetError{t.queryable.Name, fmt.Sprintf("cannot be counted: the items of the collection have %d values, and at most %d are counted", c.dict.n, MaxFacetValues), "a property with fewer values can be counted"}
	}
	postings := t.of == nil || t.of.n > c.dict.n*len(t.of.sets)*len(chunkSet{})/wordsOfItem
	var items []int // by number of the value
	if !postings {
		t.of.pages(&c.values, func(first uint32, word uint64, page *page[uint32]) {
			for ; word != 0; word &= word - 1 {
				n := page[(first+uint32(bits.TrailingZeros64(word)))%pageLen]
				if int(n) >= len(items) {
					items = slices.Grow(items, int(n)+1-len(items))
					items = items[:cap(items)]
				}
				items[n]++
			}
		})
	}
	top, steps := topValues{}, steps{tally: t}
	for n, key := range c.dict.all() {
		count := 0
		switch {
		case postings:
			count = c.postings.in(n, t.of)
		case int(n) < len(items):
			count = items[n]
		}
		v, ok := value.OfKey(key)
		if count == 0 || !ok {
			continue
		}
		switch {
		case t.step == nil:
			top.add(ValueCount{v, count})
		case v.Kind() != value.KindNumber:
			counts.Others += count
		default:
			if err := steps.add(v, count); err != nil {
				return counts, err
			}
		}
	}
	if t.step == nil {
		counts.Values, counts.Others = top.first()
	} else {
		counts.Steps = steps.counts()
	}
	return counts, nil
}

// topValues keeps the values that most items have.
type topValues struct {
	kept   []ValueCount
	sorted int // kept values that are in order, which are all that may be kept, or 0
	others int // items of values that are not kept
}

func (a ValueCount) compare(b ValueCount) int {
	return cmp.Or(cmp.Compare(b.Items, a.Items), value.Compare(a.Value, b.Value))
}

func (t *topValues) add(v ValueCount) {
	if t.sorted > 0 && v.compare(t.kept[t.sorted-1]) > 0 {
		t.others += v.Items
		return
	}
	if t.kept = append(t.kept, v); len(t.kept) == 2*MaxValueCounts {
		t.first()
	}
}

// first drops what is not among the first.
func (t *topValues) first() (values []ValueCount, others int) {
	slices.SortFunc(t.kept, ValueCount.compare)
	if len(t.kept) >= MaxValueCounts {
		for _, v := range t.kept[MaxValueCounts:] {
			t.others += v.Items
		}
		t.kept, t.sorted = t.kept[:MaxValueCounts], MaxValueCounts
	}
	return append([]ValueCount{}, t.kept...), t.others
}

// numberCount is how many items have a number, one of which is ref.
type numberCount struct {
	ref   uint32
	items int
}

// byValue counts numbers by value. Those of one code are equal, but for the long ones, which are read
// from the records.
func (c *numericColumn) byValue(t *tally) (counts Counts, err error) {
	short, long := map[uint32]numberCount{}, map[string]int{}
	var key []byte
	offer := func(ref, code uint32, items int) error {
		switch {
		case code == 0:
			return nil
		case code&1 == 0:
			short[code] = numberCount{ref, short[code].items + items}
		default:
			key, _ = t.snapshot.valueOf(index.Ref(ref), t.queryable).AppendKey(key[:0])
			long[string(key)]++
		}
		if len(short)+len(long) > MaxFacetValues {
			return &FacetError{t.queryable.Name, fmt.Sprintf("has more than %d values in the items that match", MaxFacetValues), t.queryable.Name + ":1 counts by steps of 1"}
		}
		return nil
	}
	if t.of != nil && t.of.n < c.n/askedOfInterval {
		t.of.pages(&c.codes, func(first uint32, word uint64, page *page[uint32]) {
			for ; word != 0 && err == nil; word &= word - 1 {
				ref := first + uint32(bits.TrailingZeros64(word))
				err = offer(ref, page[ref%pageLen], 1)
			}
		})
		return c.values(t, short, long), err
	}
	var refs []uint32
	for at, in := range c.intervals {
		all := c.postings.at(in.number)
		n, first := t.of.of(all)
		if from, to := c.bounds(at); n > 0 && from == to && from&1 == 0 {
			if err = offer(first, from, n); err != nil {
				return counts, err
			}
			continue
		}
		if refs = refs[:0]; n > 0 {
			refs = all.appendTo(refs)
		}
		for _, ref := range refs {
			if !t.of.has(ref) {
				continue
			}
			if err = offer(ref, c.codes.at(ref), 1); err != nil {
				return counts, err
			}
		}
	}
	return c.values(t, short, long), nil
}

// values returns the counts of numbers by their codes, and of long ones by their keys.
func (c *numericColumn) values(t *tally, short map[uint32]numberCount, long map[string]int) (counts Counts) {
	top := topValues{}
	add := func(key string, items int) {
		if v, ok := value.OfKey(key); ok {
			top.add(ValueCount{v, items})
		}
	}
	var key []byte
	for _, n := range short {
		key, _ = t.snapshot.valueOf(index.Ref(n.ref), t.queryable).AppendKey(key[:0])
		add(string(key), n.items)
	}
	for key, items := range long {
		add(key, items)
	}
	counts.Values, counts.Others = top.first()
	return counts
}

// askedOfInterval: to find the step of an item takes as long as to ask so many items of an interval,
// one after the other, whether they are in a set.
const askedOfInterval = 6

// facet implements column. An interval lies in one step, or in few. Where many items are counted,
// each interval tells how many of them it has.
func (c *numericColumn) facet(t *tally) (counts Counts, err error) {
	if t.step == nil {
		return c.byValue(t)
	}
	steps := steps{tally: t}
	if t.of != nil && t.of.n < c.n/askedOfInterval {
		t.of.pages(&c.codes, func(first uint32, word uint64, page *page[uint32]) {
			for ; word != 0 && err == nil; word &= word - 1 {
				ref := first + uint32(bits.TrailingZeros64(word))
				err = steps.offer(ref, page[ref%pageLen])
			}
		})
		counts.Steps = steps.counts()
		return counts, err
	}
	var refs []uint32
	for at, in := range c.intervals {
		all := c.postings.at(in.number)
		n, first := t.of.of(all)
		if n == 0 {
			continue
		}
		from, to := c.bounds(at)
		if steps.within(from, to) == nil { // the first item may be in a step that has not been found yet
			if err = steps.find(first); err != nil {
				return counts, err
			}
		}
		if s := steps.within(from, to); s != nil {
			s.Items += n
			continue
		}
		refs = all.appendTo(refs[:0])
		for _, ref := range refs {
			if !t.of.has(ref) {
				continue
			}
			if err = steps.offer(ref, c.codes.at(ref)); err != nil {
				return counts, err
			}
		}
	}
	counts.Steps = steps.counts()
	return counts, nil
}

// steps are those that have items, in order.
type steps struct {
	*tally
	found []stepCodes
}

// stepCodes is a step, and the codes of its ends.
type stepCodes struct {
	StepCount
	from, below uint32
}

// of returns the step that all values of a code lie in, if there is one and it was found.
func (s *steps) of(code uint32) *StepCount {
	lo, n := 0, len(s.found) // the last step that does not begin with a greater code
	for n > 1 {
		half := n / 2
		_, less := bits.Sub64(uint64(code), uint64(s.found[lo+half].from), 0)
		lo += half & (int(less) - 1)
		n -= half
	}
	if n == 0 {
		return nil
	}
	// The lowest bit of a code says that the value is long. It may be less or greater than a value
	// whose other bits are the same.
	step := &s.found[lo]
	if code >= step.below&^1 || code <= step.from|1 && (code != step.from || code&1 != 0) {
		return nil
	}
	return &step.StepCount
}

// within returns the step that all values of the codes from from to to lie in, as of does. The code
// after one with which a step begins may have values before that step.
func (s *steps) within(from, to uint32) *StepCount {
	step := s.of(from)
	if from < to && (step != s.of(to) || step != s.of(from|1)) {
		return nil
	}
	return step
}

// find finds the step of an item.
func (s *steps) find(ref uint32) error {
	return s.add(s.snapshot.valueOf(index.Ref(ref), s.queryable), 0)
}

// offer counts an item, if it has a number. Its step is known by the code, but near the ends.
func (s *steps) offer(ref, code uint32) error {
	if code == 0 {
		return nil
	}
	if step := s.of(code); step != nil {
		step.Items++
		return nil
	}
	return s.add(s.snapshot.valueOf(index.Ref(ref), s.queryable), 1)
}

// add counts items with a number.
func (s *steps) add(v value.Value, items int) error {
	from, below, ok := s.step.Around(v)
	if !ok || !finite(from) || !finite(below) {
		return &FacetError{s.queryable.Name, "is " + item.Shorten(v.Text()) + " in an item, which lies in no step that has a name", "a greater step may have one; a filter can leave out such numbers"}
	}
	at, found := slices.BinarySearchFunc(s.found, from, func(step stepCodes, from value.Value) int { return value.Compare(step.From, from) })
	if !found {
		if len(s.found) == MaxStepCounts {
			return &FacetError{s.queryable.Name, fmt.Sprintf("has more than %d steps", MaxStepCounts), "a greater step makes fewer"}
		}
		s.found = slices.Insert(s.found, at, stepCodes{StepCount{from, below, 0}, from.Code(), below.Code()})
	}
	s.found[at].Items += items
	return nil
}

// finite reports whether a float64 has about the size of a number. Readers of JSON expect that.
func finite(v value.Value) bool {
	f, _ := v.Float64()
	return !math.IsInf(f, 0)
}

func (s *steps) counts() []StepCount {
	counts := make([]StepCount, len(s.found))
	for i := range s.found {
		counts[i] = s.found[i].StepCount
	}
	return counts
}
