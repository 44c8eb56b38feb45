package table

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"nearby/cql2"
	"nearby/index"
	"nearby/value"
)

// A numericColumn has the code of each item's number or time; see value.Value.Code. It divides
// all codes into intervals, and for each of them it has the set of the items with such a code. An
// interval has about a thousand items, or one code that more items have. So where a range begins
// and ends within intervals, few codes have to be compared.
type numericColumn struct {
	typ       value.Type
	codes     vector[uint32] // by ref; 0: nothing to match
	end       uint32         // above all refs that ever had a code
	n         int            // items with a code
	intervals []interval     // in order; an edit makes others of what it splits and joins
	postings  vector[*posting]
	lens      vector[uint32] // of the postings: a sum of many reads little memory
	held      int64          // bytes of the postings
	owner     edit
	uses      *intervalUses // the writer's
}

// interval has the codes up to the one with which the next interval begins.
type interval struct {
	from   uint32 // the first is 1
	number uint32 // of the posting
}

// intervalUses belongs to the writer of a column.
type intervalUses struct {
	changes
	numbers uint32   // of postings, given so far
	free    []uint32 // of these, not in use
	sparse  int      // postings that fell below intervalFew since intervals were last joined
	items   []uint32 // memory
}

const (
	intervalItems = 1024 // of an interval that is made, at most
	intervalMost  = 1536 // from here on it is split
	intervalFew   = 256  // below, it is joined with the next ones, if there are many such intervals
)

func newNumericColumn(t value.Type) *numericColumn {
	return &numericColumn{typ: t, intervals: []interval{{from: 1}}, uses: &intervalUses{numbers: 1}}
}

// next implements column.
func (c *numericColumn) next() column {
	next := *c
	return &next
}

// edit makes what is to be changed the edit's own.
func (c *numericColumn) edit(e edit) {
	if c.owner != e {
		c.codes, c.postings, c.lens = c.codes.own(), c.postings.own(), c.lens.own()
		c.owner = e
	}
}

// put implements column. Values of the same code are told apart by the records.
func (c *numericColumn) put(e edit, ref index.Ref, _ []byte, code uint32) {
	old := c.codes.at(uint32(ref))
	if old == code {
		return
	}
	c.edit(e)
	c.codes.set(e, uint32(ref), code)
	c.end = max(c.end, uint32(ref)+1)
	if code != 0 {
		c.n++
		c.uses.change(code, ref, c.end)
	}
	if old != 0 {
		c.n--
		c.uses.change(old, ref, c.end)
	}
}

// at returns the place of the interval that has a code.
func (c *numericColumn) at(code uint32) int { return place(c.intervals, code) }

// place returns the place of the interval that has a code.
func place(intervals []interval, code uint32) int {
	// No branch depends on a code: processors do not foresee what codes are.
	lo, n := 0, len(intervals)
	for n > 1 {
		half := n / 2
		_, less := bits.Sub64(uint64(code), uint64(intervals[lo+half].from), 0)
		lo += half & (int(less) - 1)
		n -= half
	}
	return lo
}

// bounds returns the first and the last code of an interval.
func (c *numericColumn) bounds(at int) (from, to uint32) {
	if at+1 < len(c.intervals) {
		return c.intervals[at].from, c.intervals[at+1].from - 1
	}
	return c.intervals[at].from, math.MaxUint32
}

// number returns one for another posting.
func (c *numericColumn) number() uint32 {
	u := c.uses
	if last := len(u.free) - 1; last >= 0 {
		n := u.free[last]
		u.free = u.free[:last]
		return n
	}
	u.numbers++
	return u.numbers - 1
}

// set puts a posting in the place of the one that had its number.
func (c *numericColumn) set(e edit, number uint32, to *posting) {
	c.held += to.bytes() - c.postings.at(number).bytes()
	c.postings.set(e, number, to)
	c.lens.set(e, number, uint32(to.len()))
}

// sweep implements column: the postings follow what was put.
func (c *numericColumn) sweep(e edit) {
	u := c.uses
	switch {
	case !u.most && len(u.changed) == 0:
		return
	case c.n == 0: // what it grew to goes with the last value
		*c = *newNumericColumn(c.typ)
		return
	case u.most:
		u.most = false
		c.postAll(e)
		return
	}
	for i := range u.changed {
		u.changed[i].number = uint32(c.at(u.changed[i].number))
	}
	var full []int
	u.group(len(c.intervals), func(place uint32, refs []uint32) {
		at := int(place)
		from, to := c.bounds(at)
		number := c.intervals[at].number
		old := c.postings.at(number)
		now := old.change(refs, c.end, func(ref uint32) bool {
			code := c.codes.at(ref)
			return from <= code && code <= to
		})
		c.set(e, number, now)
		switch {
		case now.len() >= intervalMost && from < to:
			full = append(full, at)
		case now.len() < intervalFew && old.len() >= intervalFew:
			u.sparse++
		}
	})
	if len(full) > 0 {
		slices.Sort(full)
		c.split(e, full)
	}
	if u.sparse > 4+len(c.intervals)/4 {
		u.sparse = 0
		c.join(e)
	}
}

// postAll makes all postings again.
func (c *numericColumn) postAll(e edit) {
	c.postings, c.lens, c.held = vector[*posting]{}, vector[uint32]{}, 0
	c.uses.numbers, c.uses.free, c.uses.sparse = 0, nil, 0
	refs := make([]uint32, 0, c.n)
	for ref := range c.end {
		if c.codes.at(ref) != 0 {
			refs = append(refs, ref)
		}
	}
	c.intervals = c.divide(e, nil, 1, math.MaxUint32, refs)
}

// split divides the intervals of some places, which are in order.
func (c *numericColumn) split(e edit, full []int) {
	intervals, done := make([]interval, 0, len(c.intervals)+2*len(full)), 0
	for _, at := range full {
		intervals = append(intervals, c.intervals[done:at]...)
		done = at + 1
		number := c.intervals[at].number
		u := c.uses
		u.items = c.postings.at(number).appendTo(u.items[:0])
		from, to := c.bounds(at)
		u.free = append(u.free, number)
		intervals = c.divide(e, intervals, from, to, u.items)
	}
	c.intervals = append(intervals, c.intervals[done:]...)
}

// divide appends intervals of the codes from from to to. They have the items of the refs, which are
// in order.
func (c *numericColumn) divide(e edit, dst []interval, from, to uint32, refs []uint32) []interval {
	first := len(dst)
	codes := make([]uint32, len(refs))
	for i, ref := range refs {
		codes[i] = c.codes.at(ref)
	}
	if code, ok := pivot(from, codes); ok {
		dst = append(dst, interval{from: from}, interval{from: code})
	} else {
		dst = appendIntervals(dst, from, to, sortCodes(slices.Clone(codes)))
	}
	made := dst[first:]
	// The refs are brought together by their intervals. So those of each stay in order.
	begins, places := make([]uint32, len(made)+1), make([]uint32, len(refs))
	for i := range refs {
		places[i] = uint32(place(made, codes[i]))
		begins[places[i]+1]++
	}
	for i := range made {
		begins[i+1] += begins[i]
	}
	next, together := slices.Clone(begins), make([]uint32, len(refs))
	for i, ref := range refs {
		together[next[places[i]]] = ref
		next[places[i]]++
	}
	for i := range made {
		made[i].number = c.number()
		c.set(e, made[i].number, newPosting(together[begins[i]:begins[i+1]], c.end))
	}
	return dst
}

// pivot returns a code that divides the codes of an interval that is just full in two parts, of
// which neither has much less than half, if a look at a few of them finds one. To divide by it
// takes a tenth of the time of a sort.
func pivot(from uint32, codes []uint32) (code uint32, ok bool) {
	if len(codes) < intervalMost || len(codes) > 2*intervalMost {
		return 0, false
	}
	var some [63]uint32
	for i := range some {
		some[i] = codes[i*len(codes)/len(some)]
	}
	slices.Sort(some[:])
	code = some[len(some)/2]
	after := 0
	for _, c := range codes {
		if c >= code {
			after++
		}
	}
	before := len(codes) - after
	return code, code > from && min(before, after) > len(codes)/3 && max(before, after) < intervalMost
}

// appendIntervals appends intervals of the codes from from to to, by the codes of their items, which
// are in order.
func appendIntervals(dst []interval, from, to uint32, codes []uint32) []interval {
	first := 0 // item of the interval that begins with from
	for i := 0; i < len(codes); {
		code, n := codes[i], 1
		for i+n < len(codes) && codes[i+n] == code {
			n++
		}
		if i+n-first > intervalItems && code > from {
			dst = append(dst, interval{from: from})
			from, first = code, i
		}
		i += n
		if n > intervalItems && code < to { // from is code
			dst = append(dst, interval{from: from})
			from, first = code+1, i
		}
	}
	return append(dst, interval{from: from})
}

// sortCodes returns the codes in order, in the memory of codes or in as much again: a radix sort
// from the least digit up, where there are many.
func sortCodes(codes []uint32) []uint32 {
	const many, digitBits, mask = 1 << 12, 11, 1<<11 - 1
	if len(codes) < many {
		slices.Sort(codes)
		return codes
	}
	to := make([]uint32, len(codes))
	for shift := 0; shift < 32; shift += digitBits {
		var next [mask + 2]uint32
		for _, code := range codes {
			next[code>>shift&mask+1]++
		}
		for d := range mask {
			next[d+1] += next[d]
		}
		for _, code := range codes {
			d := code >> shift & mask
			to[next[d]] = code
			next[d]++
		}
		codes, to = to, codes
	}
	return codes
}

// join makes one interval of neighbours that have few items.
func (c *numericColumn) join(e edit) {
	var intervals []interval
	for rest := c.intervals; len(rest) > 0; {
		joined, n := 1, c.lens.at(rest[0].number)
		for joined < len(rest) && n+c.lens.at(rest[joined].number) <= intervalItems {
			n += c.lens.at(rest[joined].number)
			joined++
		}
		if joined > 1 {
			var refs []uint32
			for _, iv := range rest[:joined] {
				refs = c.postings.at(iv.number).appendTo(refs)
				c.set(e, iv.number, nil)
			}
			for _, iv := range rest[1:joined] {
				c.uses.free = append(c.uses.free, iv.number)
			}
			slices.Sort(refs)
			c.set(e, rest[0].number, newPosting(refs, c.end))
		}
		intervals = append(intervals, rest[0])
		rest = rest[joined:]
	}
	c.intervals = intervals
}

// bytes implements column.
func (c *numericColumn) bytes() int64 {
	// Memory comes in sizes that are a sixteenth more than asked for, on average.
	return c.codes.bytes(4) + c.postings.bytes(8) + c.lens.bytes(4) + 8*int64(cap(c.intervals)) + c.held*17/16
}

// chunks implements column.
func (c *numericColumn) chunks() int { return chunksOf(c.end) }

// has implements column.
func (c *numericColumn) has(ref index.Ref) bool { return c.codes.at(uint32(ref)) != 0 }

// equal implements column.
func (c *numericColumn) equal(_ *plan, test tested, texts []string) condition {
	in := &cql2.In{Property: cql2.Property{Name: test.queryable.Name}}
	for _, text := range texts {
		values, _ := value.Parse(c.typ, text) // no value has a text that the type does not read
		for _, v := range values {
			in.Values = append(in.Values, cql2.Literal{Value: v})
		}
	}
	test.pred = in
	return c.meets(test)
}

// meets implements column.
func (c *numericColumn) meets(test tested) condition {
	none := constant{false, test.snapshot.Len()}
	var literals []value.Value
	switch pred := test.pred.(type) {
	case *cql2.In:
		for i := range pred.Values {
			literals = append(literals, pred.Values[i].Value)
		}
	case *cql2.Range:
		for _, b := range []*cql2.Bound{pred.Low, pred.High} {
			if b != nil {
				literals = append(literals, b.Value)
			}
		}
	case *cql2.Like: // of strings alone
		return none
	default: // only Match knows what it means
		return &test
	}
	kind := value.KindNumber
	if c.typ == value.DateTime {
		kind = value.KindTime
	}
	if len(literals) == 0 || literals[0].Kind() != kind || test.pred.Subject().CaseI {
		return none // it is unknown of all values
	}
	codes := make([]uint32, len(literals))
	for i, v := range literals {
		codes[i] = v.Code()
	}
	slices.Sort(codes)
	codes = slices.Compact(codes)
	r := &ranged{column: c, tests: []tested{test}}
	next := uint32(1)
	for _, code := range codes {
		if short := code &^ 1; short >= next {
			r.add(codes, next, short-1)
			r.add(codes, short, short)
			r.add(codes, short+1, short+1)
			next = short + 2
		}
	}
	r.add(codes, next, math.MaxUint32)
	r.prepare()
	return r
}

// ranks implements column.
func (c *numericColumn) ranks() ranks { return codeRanks{c} }

// codeRanks are codes without the bit that says whether a value is long.
type codeRanks struct{ column *numericColumn }

func (r codeRanks) of(ref index.Ref) (rank uint32, exact bool) {
	code := r.column.codes.at(uint32(ref))
	return code >> 1, code&1 == 0
}

func (r codeRanks) rank(v value.Value) (rank uint32, exact bool) {
	code := v.Code()
	return code >> 1, code&1 == 0
}

// ranged demands that the value of a numeric column lies in some ranges of codes, and where
// they are not sure, that it passes the tests.
type ranged struct {
	column *numericColumn
	tests  []tested
	ranges []codeRange // in order, apart from each other
	n      int         // items that meet it, at most
	parts  int         // postings that they are in
	exact  bool        // n do
	about  float64     // items that meet it
}

type codeRange struct {
	from, to uint32
	sure     bool
}

// add appends a range, if values may meet the test that have its codes. What is so of its first
// code is so of all. codes are those of the predicate's literals.
func (c *ranged) add(codes []uint32, from, to uint32) {
	if from > to {
		return
	}
	truth, sure := c.truth(codes, from)
	if sure && truth != c.tests[0].want {
		return
	}
	if last := len(c.ranges) - 1; last >= 0 && c.ranges[last].to+1 == from && c.ranges[last].sure == sure {
		c.ranges[last].to = to
	} else {
		c.ranges = append(c.ranges, codeRange{from, to, sure})
	}
}

// truth returns which truth the predicate has for the values of a code, if that is sure.
func (c *ranged) truth(codes []uint32, code uint32) (truth cql2.Truth, sure bool) {
	pred, ok := c.tests[0].pred.(*cql2.Range)
	if !ok { // *cql2.In: meets makes a ranged of these two alone
		if _, found := slices.BinarySearch(codes, code); found {
			return cql2.True, code&1 == 0
		}
		return cql2.False, true
	}
	sure = true
	for i, b := range []*cql2.Bound{pred.Low, pred.High} {
		if b == nil {
			continue
		}
		bound := b.Code()
		order := cmp.Compare(code>>1, bound>>1)
		if order == 0 && (code|bound)&1 != 0 {
			sure = false
			continue
		}
		if i == 1 {
			order = -order
		}
		if order < 0 || order == 0 && b.Open {
			return cql2.False, true
		}
	}
	return cql2.True, sure
}

// and makes the condition demand what another one does, too, and returns true, if that is on the
// same column: of a range with two ends, each end alone may keep much more than both.
func (c *ranged) and(other condition) bool {
	o, ok := other.(*ranged)
	if !ok || o.column != c.column {
		return false
	}
	var both []codeRange
	for a, b := c.ranges, o.ranges; len(a) > 0 && len(b) > 0; {
		if from, to := max(a[0].from, b[0].from), min(a[0].to, b[0].to); from <= to {
			both = append(both, codeRange{from, to, a[0].sure && b[0].sure})
		}
		if a[0].to < b[0].to {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	c.ranges, c.tests = both, append(c.tests, o.tests...)
	c.prepare()
	return true
}

// prepare counts, once the ranges are there.
func (c *ranged) prepare() {
	c.n, c.parts, c.about, c.exact = 0, 0, 0, true
	c.each(func(number uint32, whole bool) {
		n := int(c.column.lens.at(number))
		c.n += n
		c.parts++
		if c.about += float64(n); !whole && n > 0 {
			c.about -= float64(n) / 2
			c.exact = false
		}
	})
}

// each calls yield with the number of each posting that may have items of the ranges, and
// whether all of its items are surely in one.
func (c *ranged) each(yield func(number uint32, whole bool)) {
	next := 0
	for _, r := range c.ranges {
		for at := max(next, c.column.at(r.from)); at < len(c.column.intervals) && c.column.intervals[at].from <= r.to; at++ {
			from, to := c.column.bounds(at)
			yield(c.column.intervals[at].number, r.sure && r.from <= from && to <= r.to)
			next = at + 1
		}
	}
}

// keptAtOnce is how many codes keep reads at once.
const keptAtOnce = 64

// keep moves the refs whose items meet the condition to the front, and returns how many they are.
// Codes lie anywhere in memory: those of several refs are read before one is looked at, so that
// they come at once.
func (c *ranged) keep(refs []uint32) (n int) {
	var codes [keptAtOnce]uint32
	for from := 0; from < len(refs); from += len(codes) {
		some := refs[from:min(from+len(codes), len(refs))]
		for i, ref := range some {
			codes[i] = c.column.codes.at(ref)
		}
		for i, ref := range some {
			if c.has(ref, codes[i]) {
				refs[n] = ref
				n++
			}
		}
	}
	return n
}

func (c *ranged) holds(ref index.Ref) bool { return c.has(uint32(ref), c.column.codes.at(uint32(ref))) }

// has reports whether an item whose code is given meets the condition.
func (c *ranged) has(ref, code uint32) bool {
	at := 0
	if few := 8; len(c.ranges) > few {
		at, _ = slices.BinarySearchFunc(c.ranges, code, func(r codeRange, code uint32) int { return cmp.Compare(r.to, code) })
	}
	for at < len(c.ranges) && c.ranges[at].to < code {
		at++
	}
	return at < len(c.ranges) && c.ranges[at].from <= code && (c.ranges[at].sure || c.passes(index.Ref(ref)))
}

func (c *ranged) passes(ref index.Ref) bool {
	for i := range c.tests {
		if !c.tests[i].holds(ref) {
			return false
		}
	}
	return true
}

func (c *ranged) most() (n int, exact bool) { return c.n, c.exact }

func (c *ranged) share() float64 { return c.about / float64(max(1, c.tests[0].snapshot.Len())) }

func (c *ranged) list(dst []uint32) ([]uint32, bool) {
	// To go through so many items a chunk takes as long as to fill and read a set of the chunk.
	const listed = 512
	if c.n > listed*c.column.chunks() {
		return dst, false
	}
	c.each(func(number uint32, whole bool) {
		from := len(dst)
		if dst = c.column.postings.at(number).appendTo(dst); !whole {
			dst = dst[:from+c.keep(dst[from:])]
		}
	})
	return dst, true
}

func (c *ranged) narrow(s *chunkSet, at int) {
	// To look at one item of the set takes as long as to add three of the postings.
	if 3*s.len()*c.column.chunks() <= c.n {
		c.narrowEach(s, at)
		return
	}
	var any, some chunkSet
	c.each(func(number uint32, whole bool) {
		if p := c.column.postings.at(number); whole {
			p.addTo(&any, at)
		} else {
			p.addTo(&some, at)
		}
	})
	some.and(s)
	c.narrowEach(&some, at)
	any.or(&some)
	s.and(&any)
}

// narrowEach is narrow by the codes of all items of the set.
func (c *ranged) narrowEach(s *chunkSet, at int) {
	var refs [keptAtOnce]uint32
	n := 0
	flush := func() {
		for _, ref := range refs[:n] {
			s.remove(ref)
		}
		for _, ref := range refs[:c.keep(refs[:n])] {
			s.add(ref)
		}
		n = 0
	}
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			if n == len(refs) {
				flush()
			}
			refs[n] = uint32(at<<chunkBits | i*64 | bits.TrailingZeros64(word))
			n++
		}
	}
	flush()
}

func (c *ranged) postings(dst []*posting, most int) ([]*posting, bool) {
	if c.parts > most-len(dst) {
		return dst, false
	}
	c.each(func(number uint32, _ bool) {
		if p := c.column.postings.at(number); p != nil {
			dst = append(dst, p)
		}
	})
	return dst, true
}

func (c *ranged) fetch(refs []index.Ref) (sum uint64) {
	for _, ref := range refs {
		sum += uint64(c.column.codes.at(uint32(ref)))
	}
	return sum
}
