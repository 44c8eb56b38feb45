package table

import (
	"hash/maphash"
	"iter"
	"slices"

	"nearby/cql2"
	"nearby/index"
	"nearby/value"
)

// A dictionaryColumn has the number of each item's value, so that a filter compares numbers,
// and for each value the set of the items that have it. A value is what has a key
// (value.Value.AppendKey); for all else the number is 0.
//
// Each version of a column has its own version of the dictionary, so a value goes
// away with the last item that has it, and its number is given to another value at
// once: an older version still has the value, under the same number.
type dictionaryColumn struct {
	typ      value.Type
	values   vector[uint32] // by ref; 0: nothing to match
	end      uint32         // above all refs that ever had a value
	dict     dictionary
	postings postings
	owner    edit  // of all of them
	uses     *uses // the writer's
}

// uses belongs to the writer of a column.
type uses struct {
	texts  []string // by number; "": none
	counts []uint32 // by number: items that have the value
	free   []uint32 // numbers without a value
	idle   []uint32 // may have lost, or never got, an item in this edit
	key    []byte   // memory

	changes
}

// changes are those of an edit. Where they are many, most is true instead: all postings are made
// again.
type changes struct {
	changed []changed
	most    bool

	// Memory of group.
	begins  []uint32 // by number, 0 outside group: where the refs of a value begin
	numbers []uint32
	refs    []uint32
}

// changed is the number of a value, or its code, and a ref that had or has the value.
type changed struct{ number, ref uint32 }

// maxChanged is how many changes of a column are kept in an edit, or a quarter of the column if
// that is more.
const maxChanged = 1 << 16

// change notes a change of a column whose refs are below end.
func (c *changes) change(n uint32, ref index.Ref, end uint32) {
	if c.most {
		return
	}
	if c.changed = append(c.changed, changed{n, uint32(ref)}); len(c.changed) > max(maxChanged, int(end/4)) {
		c.changed, c.most = nil, true
	}
}

// group calls yield with each number that was changed, in no order, and its refs in order, none of
// them twice. The numbers are below end. The changes are gone then.
func (c *changes) group(end int, yield func(number uint32, refs []uint32)) {
	c.numbers = c.numbers[:0]
	if n := end - len(c.begins); n > 0 {
		c.begins = append(c.begins, make([]uint32, n)...)
	}
	for _, ch := range c.changed {
		if c.begins[ch.number] == 0 {
			c.numbers = append(c.numbers, ch.number)
		}
		c.begins[ch.number]++
	}
	n := uint32(0)
	for _, number := range c.numbers {
		n += c.begins[number]
		c.begins[number] = n
	}
	c.refs = slices.Grow(c.refs[:0], int(n))[:n]
	for _, ch := range slices.Backward(c.changed) {
		c.begins[ch.number]--
		c.refs[c.begins[ch.number]] = ch.ref
	}
	for i, number := range c.numbers {
		of := c.refs[c.begins[number]:]
		if i+1 < len(c.numbers) {
			of = c.refs[c.begins[number]:c.begins[c.numbers[i+1]]]
		}
		if !slices.IsSorted(of) { // new items are in order already
			slices.Sort(of)
		}
		yield(number, slices.Compact(of))
	}
	for _, number := range c.numbers {
		c.begins[number] = 0
	}
	c.changed = c.changed[:0]
}

func newDictionaryColumn(t value.Type) *dictionaryColumn {
	return &dictionaryColumn{
		typ:  t,
		dict: dictionary{seed: maphash.MakeSeed()},
		uses: &uses{texts: make([]string, 1), counts: make([]uint32, 1)},
	}
}

// next implements column.
func (c *dictionaryColumn) next() column {
	next := *c
	return &next
}

// edit makes what is to be changed the edit's own.
func (c *dictionaryColumn) edit(e edit) {
	if c.owner != e {
		c.values, c.dict.buckets = c.values.own(), c.dict.buckets.own()
		c.postings.own()
		c.owner = e
	}
}

// number returns a value's number, a new one if need be.
func (c *dictionaryColumn) number(e edit, key []byte) uint32 {
	n, ok := c.dict.lookup(key)
	if ok {
		return n
	}
	u, text := c.uses, string(key)
	if last := len(u.free) - 1; last >= 0 {
		n, u.free = u.free[last], u.free[:last]
		u.texts[n] = text
	} else {
		n = uint32(len(u.counts))
		u.texts, u.counts = append(u.texts, text), append(u.counts, 0)
	}
	u.idle = append(u.idle, n)
	c.edit(e)
	c.dict.add(e, n, text)
	return n
}

// put implements column.
func (c *dictionaryColumn) put(e edit, ref index.Ref, json []byte, _ uint32) {
	number := uint32(0)
	if len(json) > 0 {
		var ok bool
		if c.uses.key, ok = appendKey(c.uses.key[:0], c.typ, json); ok {
			number = c.number(e, c.uses.key)
		}
	}
	c.set(e, ref, number)
}

// set says which value an item has, by its number.
func (c *dictionaryColumn) set(e edit, ref index.Ref, n uint32) {
	old := c.values.at(uint32(ref))
	if old == n {
		return
	}
	c.edit(e)
	c.values.set(e, uint32(ref), n)
	c.end = max(c.end, uint32(ref)+1)
	u := c.uses
	if n != 0 {
		u.counts[n]++
		u.change(n, ref, c.end)
	}
	if old != 0 {
		if u.counts[old]--; u.counts[old] == 0 {
			u.idle = append(u.idle, old)
		}
		u.change(old, ref, c.end)
	}
}

// post brings the postings up to what an edit has put.
func (c *dictionaryColumn) post(e edit) {
	u := c.uses
	if u.most {
		u.most = false
		c.postAll(e)
		return
	}
	u.group(len(u.counts), func(n uint32, refs []uint32) {
		from := c.postings.several.at(n)
		if single := c.postings.single.at(n); single != 0 {
			from = &posting{n: 1, few: []uint32{single - 1}}
		}
		c.postings.set(e, n, from.change(refs, c.end, func(ref uint32) bool { return c.values.at(ref) == n }))
	})
}

// postAll makes all postings again.
func (c *dictionaryColumn) postAll(e edit) {
	counts := c.uses.counts
	next := make([]uint32, len(counts)+1) // where the next ref of a value is put
	for n, count := range counts {
		next[n+1] = next[n] + count
	}
	refs := make([]uint32, next[len(counts)])
	for ref := range c.end {
		if n := c.values.at(ref); n != 0 {
			refs[next[n]] = ref
			next[n]++
		}
	}
	c.postings = postings{}
	for n, count := range counts {
		if count > 0 {
			c.postings.set(e, uint32(n), newPosting(refs[:count], c.end))
			refs = refs[count:]
		}
	}
}

// sweep implements column: the postings follow, and the values that no item has any more go away.
func (c *dictionaryColumn) sweep(e edit) {
	c.post(e)
	u := c.uses
	for _, n := range u.idle {
		if u.counts[n] == 0 && u.texts[n] != "" {
			c.edit(e)
			c.dict.remove(e, n, u.texts[n])
			u.texts[n], u.free = "", append(u.free, n)
		}
	}
	u.idle = u.idle[:0]
	if c.dict.n == 0 && len(u.counts) > 1 { // what it grew to goes with the last value
		*c = *newDictionaryColumn(c.typ)
	}
}

// chunks implements column.
func (c *dictionaryColumn) chunks() int { return chunksOf(c.end) }

// has implements column.
func (c *dictionaryColumn) has(ref index.Ref) bool { return c.values.at(uint32(ref)) != 0 }

// equal implements column.
func (c *dictionaryColumn) equal(p *plan, test tested, texts []string) condition {
	from := len(p.numbers)
	for _, text := range texts {
		p.key = keys(p.key, c.typ, text, func(key []byte) {
			if n, ok := c.dict.lookup(key); ok && !slices.Contains(p.numbers[from:], n) {
				p.numbers = append(p.numbers, n)
			}
		})
	}
	p.equals = append(p.equals, equal{column: c, numbers: p.numbers[from:], items: test.snapshot.Len()})
	one := &p.equals[len(p.equals)-1]
	one.prepare()
	return one
}

// maxEvaluated is how many values of a column a predicate is evaluated for before a query. It
// is evaluated for the items themselves where the column has more.
const maxEvaluated = 4096

// meets implements column. Where the truth is known of all values, it is known by their
// numbers.
func (c *dictionaryColumn) meets(test tested) condition {
	one := &equal{column: c, items: test.snapshot.Len()}
	if in, ok := test.pred.(*cql2.In); ok && test.want == cql2.True && looksUp(in, c.typ) {
		for _, v := range in.Values {
			if key, ok := v.AppendKey(nil); ok {
				if n, ok := c.dict.lookup(key); ok && !slices.Contains(one.numbers, n) {
					one.numbers = append(one.numbers, n)
				}
			}
		}
	} else if c.dict.n > maxEvaluated {
		return &test
	} else {
		for n, key := range c.dict.all() {
			if test.plan.stops() {
				break
			}
			if v, ok := value.OfKey(key); ok && test.pred.Match(v) == test.want {
				one.numbers = append(one.numbers, n)
			}
		}
	}
	one.prepare()
	return one
}

// looksUp reports whether the values that fulfil a predicate have the keys of its literals.
func looksUp(in *cql2.In, t value.Type) bool {
	// Where a queryable has no type, its times are strings, which are written in many ways.
	return !in.CaseI && (t != value.Any || in.Values[0].Kind() != value.KindTime)
}

// bytes implements column.
func (c *dictionaryColumn) bytes() int64 {
	// Memory comes in sizes that are a sixteenth more than asked for, on average.
	const value = 24 + 16 + 4 // in a bucket, and in texts and counts
	return c.values.bytes(4) + c.dict.buckets.bytes(8) + c.postings.single.bytes(4) + c.postings.several.bytes(8) +
		(c.postings.bytes+c.dict.textBytes+value*int64(c.dict.n))*17/16
}

// dictionary numbers the values of one column, from 1. It is a hash table of 2^bits
// buckets, each of which is copied when it changes.
type dictionary struct {
	seed      maphash.Seed
	bits      int
	n         int
	textBytes int64
	buckets   vector[*bucket]
}

type bucket struct{ values []numbered }

// numbered is a value, the first 32 bits of its hash, and its number.
type numbered struct {
	text         string
	hash, number uint32
}

// dictionaryLoad is the mean number of values in a bucket at which the table doubles.
const (
	dictionaryLoad    = 8
	maxDictionaryBits = 28
)

func (d *dictionary) hash(text string) uint32 { return uint32(maphash.String(d.seed, text) >> 32) }

// bucket returns the number of the bucket of a hash.
func (d *dictionary) bucket(hash uint32) uint32 { return uint32(uint64(hash) >> (32 - d.bits)) }

// values returns those in a bucket.
func (d *dictionary) values(bucket uint32) []numbered {
	if b := d.buckets.at(bucket); b != nil {
		return b.values
	}
	return nil
}

// all yields the number and the key of each value.
func (d *dictionary) all() iter.Seq2[uint32, string] {
	return func(yield func(number uint32, key string) bool) {
		for b := range uint32(1) << d.bits {
			for _, v := range d.values(b) {
				if !yield(v.number, v.text) {
					return
				}
			}
		}
	}
}

// lookup returns a value's number.
func (d *dictionary) lookup(key []byte) (uint32, bool) {
	text := viewString(key)
	hash := d.hash(text)
	values := d.values(d.bucket(hash))
	for i := range values {
		if v := &values[i]; v.hash == hash && v.text == text {
			return v.number, true
		}
	}
	return 0, false
}

// add puts in a value that is not there.
func (d *dictionary) add(e edit, number uint32, text string) {
	if d.n >= dictionaryLoad<<d.bits && d.bits < maxDictionaryBits {
		d.double(e)
	}
	hash := d.hash(text)
	at := d.bucket(hash)
	values := d.values(at)
	d.buckets.set(e, at, &bucket{append(values[:len(values):len(values)], numbered{text, hash, number})})
	d.n++
	d.textBytes += int64(len(text))
}

// remove takes out a value that is there.
func (d *dictionary) remove(e edit, number uint32, text string) {
	at := d.bucket(d.hash(text))
	left := slices.DeleteFunc(slices.Clone(d.values(at)), func(v numbered) bool { return v.number == number })
	d.buckets.set(e, at, &bucket{left})
	d.n--
	d.textBytes -= int64(len(text))
}

// double splits every bucket in two by the next bit of the hash.
func (d *dictionary) double(e edit) {
	old := *d
	d.bits++
	d.buckets = vector[*bucket]{}
	for b := range uint32(1) << old.bits {
		for _, v := range old.values(b) {
			to := d.buckets.edit(e, d.bucket(v.hash))
			if *to == nil {
				*to = new(bucket)
			}
			(*to).values = append((*to).values, v)
		}
	}
}
