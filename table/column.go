package table

import (
	"bytes"
	"errors"
	"hash/maphash"
	"iter"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/index"
	"nearby/value"
)

// A column keeps the queryable of the same place in the Schema, of every item, as the
// number of its value, so that a filter compares numbers, and for each value the set of the
// items that have it. Strings, numbers and booleans can be filtered on; null, arrays, objects
// and missing members match nothing.
//
// Each version of a column has its own version of the dictionary, so a value goes
// away with the last item that has it, and its number is given to another value at
// once: an older version still has the value, under the same number.
type column struct {
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

	// changed has what this edit has put. Where that is much, most is true instead: all
	// postings are made anew.
	changed []changed
	most    bool
	begins  []uint32 // by number, 0 but in post: where the refs of a value begin
}

// changed is a value's number and a ref that had or has the value.
type changed struct{ number, ref uint32 }

// maxChanged is how many changes of a column are kept in an edit, if the column is not so large
// that it takes more to be much of it.
const maxChanged = 1 << 16

func newColumn() column {
	return column{
		dict: dictionary{seed: maphash.MakeSeed()},
		uses: &uses{texts: make([]string, 1), counts: make([]uint32, 1)},
	}
}

// edit makes what is to be changed the edit's own.
func (c *column) edit(e edit) {
	if c.owner != e {
		c.values, c.dict.buckets = c.values.own(), c.dict.buckets.own()
		c.postings.own()
		c.owner = e
	}
}

// number returns a value's number, a new one if need be.
func (c *column) number(e edit, key []byte) uint32 {
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

// put says which value an item has, by its number.
func (c *column) put(e edit, ref index.Ref, n uint32) {
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
		u.change(n, ref)
	}
	if old != 0 {
		if u.counts[old]--; u.counts[old] == 0 {
			u.idle = append(u.idle, old)
		}
		u.change(old, ref)
	}
	if len(u.changed) > max(maxChanged, int(c.end/4)) {
		u.changed, u.most = nil, true
	}
}

func (u *uses) change(n uint32, ref index.Ref) {
	if !u.most {
		u.changed = append(u.changed, changed{n, uint32(ref)})
	}
}

// post brings the postings up to what an edit has put.
func (c *column) post(e edit) {
	u := c.uses
	if u.most {
		u.most = false
		c.postAll(e)
		return
	}
	if len(u.changed) == 0 {
		return
	}
	var numbers []uint32 // that are there
	u.begins = append(u.begins, make([]uint32, len(u.counts)-len(u.begins))...)
	for _, ch := range u.changed {
		if u.begins[ch.number] == 0 {
			numbers = append(numbers, ch.number)
		}
		u.begins[ch.number]++
	}
	end := uint32(0)
	for _, n := range numbers {
		end += u.begins[n]
		u.begins[n] = end
	}
	refs := make([]uint32, end)
	for _, ch := range slices.Backward(u.changed) {
		u.begins[ch.number]--
		refs[u.begins[ch.number]] = ch.ref
	}
	for i, n := range numbers {
		of := refs[u.begins[n]:]
		if i+1 < len(numbers) {
			of = refs[u.begins[n]:u.begins[numbers[i+1]]]
		}
		slices.Sort(of) // new items are in order already
		from := c.postings.several.at(n)
		if single := c.postings.single.at(n); single != 0 {
			from = &posting{n: 1, few: []uint32{single - 1}}
		}
		c.postings.set(e, n, from.change(slices.Compact(of), c.end, func(ref uint32) bool { return c.values.at(ref) == n }))
	}
	for _, n := range numbers {
		u.begins[n] = 0
	}
	u.changed = u.changed[:0]
}

// postAll makes all postings anew.
func (c *column) postAll(e edit) {
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

// sweep ends an edit: the postings follow, and the values that no item has any more go away.
func (c *column) sweep(e edit) {
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
		*c = newColumn()
	}
}

// bytes estimates the memory that the column takes.
func (c *column) bytes() int64 {
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

// members calls yield with the name and the value of each member of an item's
// properties, in their order. Only the top level counts. That they are a JSON object was
// checked when they came in, so that it suffices to see where members begin and end. The
// name is valid until yield returns.
func members(properties []byte, yield func(name, value []byte) error) error {
	if len(properties) == 0 {
		return nil
	}
	b := properties
	i := blanks(b, 0)
	if i == len(b) || b[i] != '{' {
		return errProperties
	}
	for {
		// Here is the { or a comma.
		if i = blanks(b, i+1); i < len(b) && b[i] == '}' {
			return nil
		}
		end := stringEnd(b, i)
		if end < 0 {
			return errProperties
		}
		name := b[i:end]
		if i = blanks(b, end); i == len(b) || b[i] != ':' {
			return errProperties
		}
		i = blanks(b, i+1)
		if end = valueEnd(b, i); end < 0 {
			return errProperties
		}
		value := b[i:end]
		if i = blanks(b, end); i == len(b) || b[i] != ',' && b[i] != '}' {
			return errProperties
		}
		text, err := unquoted(name)
		if err != nil {
			return err
		}
		if err = yield(text, value); err != nil {
			return err
		}
		if b[i] == '}' {
			return nil
		}
	}
}

var errProperties = errors.New("an item's properties are no JSON object")

// blanks returns where b goes on from i after white space.
func blanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// stringEnd returns where the string ends whose quote is at i, or -1.
func stringEnd(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// valueEnd returns where the value ends that begins at i, or -1.
func valueEnd(b []byte, i int) int {
	begin, depth := i, 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = stringEnd(b, i); i < 0 || depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		if depth <= 0 && (b[i] == ',' || b[i] == '}' || b[i] <= ' ') {
			if i == begin {
				return -1
			}
			return i
		}
		i++
	}
	return -1
}

// unquoted returns the text of a string, which is a part of it unless it has escapes.
func unquoted(quoted []byte) ([]byte, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1], nil
	}
	return jsontext.AppendUnquote(nil, quoted)
}

// columns has what filters need of the items' properties.
type columns struct {
	queryable []column // by the place in the Schema
	times     timeline
}

// next returns columns like c for the writer to change.
func (c columns) next() columns {
	c.queryable = slices.Clone(c.queryable)
	return c
}

// bytes estimates the memory that the columns take.
func (c *columns) bytes() int64 {
	n := c.times.values.bytes(16)
	for i := range c.queryable {
		n += c.queryable[i].bytes()
	}
	return n
}

// setColumns puts an item's queryable values and its time into the columns.
func (s *Snapshot) setColumns(e edit, ref index.Ref, properties []byte) error {
	if !s.schema.reads() {
		return nil
	}
	c := &s.columns
	var numbers [MaxQueryables]uint32
	var at value.Time
	var key []byte
	err := members(properties, func(name, json []byte) (err error) {
		if i := s.schema.Queryables.Index(viewString(name)); i >= 0 {
			var ok bool
			if key, ok = appendKey(key[:0], s.schema.Queryables[i].Type, json); ok {
				numbers[i] = c.queryable[i].number(e, key)
			}
		}
		if s.schema.Time == string(name) && s.schema.Time != "" {
			at = value.TimeIn(json)
		}
		return err
	})
	for i := range c.queryable {
		c.queryable[i].put(e, ref, numbers[i])
	}
	if s.schema.Time != "" {
		c.times.put(e, uint32(ref), at)
	}
	return err
}

// sweepColumns ends an edit of the columns.
func (s *Snapshot) sweepColumns(e edit) {
	for i := range s.columns.queryable {
		s.columns.queryable[i].sweep(e)
	}
}

// fillColumns makes the columns from the items.
func (s *Snapshot) fillColumns() error {
	s.columns = columns{queryable: make([]column, len(s.schema.Queryables))}
	for i := range s.columns.queryable {
		s.columns.queryable[i] = newColumn()
	}
	if !s.schema.reads() {
		return nil
	}
	e := newEdit()
	var there []chunkSet // the items, which are in memory in about the order of their refs
	s.ids.walk(&s.records, "", func(ref index.Ref) bool {
		at := int(ref >> chunkBits)
		for len(there) <= at {
			there = append(there, chunkSet{})
		}
		there[at].add(uint32(ref))
		return true
	})
	var refs []uint32
	for at := range there {
		refs = there[at].appendTo(refs[:0], at)
		for _, ref := range refs {
			it := s.records.item(index.Ref(ref))
			if err := s.setColumns(e, index.Ref(ref), it.Properties); err != nil {
				return err
			}
		}
	}
	s.sweepColumns(e)
	return nil
}
