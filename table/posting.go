package table

import (
	"math/bits"
	"slices"
	"sync/atomic"

	"nearby/index"
)

// A posting is the set of the items that have one value of a column. The set never changes: an
// edit makes another one, which shares the chunks that it did not touch.
//
// Values of few items have a list of refs. Otherwise the refs lie in chunks, by their upper
// bits: lists of their lower bits, of two bytes an item, or, from setFrom items on, a bit for each
// ref. So the posting of a value that many items have takes about 4 bytes an item at most, and
// less than one where every seventh item has the value.
type posting struct {
	n      int
	few    []uint32 // in order
	chunks []chunk  // by the upper bits of the refs
	places atomic.Pointer[places]
}

// chunk is the part of a posting with the same upper bits of the refs.
type chunk struct {
	n   int
	low []uint16  // in order; nil if there is set
	set *chunkSet // nil if there is low
}

// chunkSet has a bit for each of the refs with the same upper bits.
type chunkSet [chunkRefs / 64]uint64

const (
	chunkBits = 16
	chunkRefs = 1 << chunkBits

	// A chunk becomes a set from setFrom items on, and a list below listBelow, so that one
	// that goes to and fro is not rewritten each time.
	setFrom   = 2560
	listBelow = 2048

	// A posting has chunks if it has chunkFrom items or more for each chunk: two bytes are saved
	// for each item, and these pay for the head of a chunk. Below fewBelow it becomes a list.
	chunkFrom = 32
	fewBelow  = 16
)

// chunksOf returns how many chunks refs below end have.
func chunksOf(end uint32) int { return int((uint64(end) + chunkRefs - 1) >> chunkBits) }

// newPosting returns the set of refs, which are in order and below end, and nil for none.
func newPosting(refs []uint32, end uint32) *posting {
	if len(refs) == 0 {
		return nil
	}
	p := &posting{n: len(refs)}
	if len(refs) < chunkFrom*chunksOf(end) {
		p.few = slices.Clone(refs)
		return p
	}
	p.chunks = make([]chunk, chunksOf(end))
	for len(refs) > 0 {
		at := refs[0] >> chunkBits
		n, _ := slices.BinarySearch(refs, (at+1)<<chunkBits)
		if at+1 == 1<<(32-chunkBits) {
			n = len(refs)
		}
		p.chunks[at] = newChunk(refs[:n])
		refs = refs[n:]
	}
	return p
}

func newChunk(refs []uint32) chunk {
	c := chunk{n: len(refs)}
	if len(refs) >= setFrom {
		c.set = new(chunkSet)
		for _, ref := range refs {
			c.set.add(ref)
		}
		return c
	}
	c.low = make([]uint16, len(refs))
	for i, ref := range refs {
		c.low[i] = uint16(ref)
	}
	return c
}

func (s *chunkSet) add(ref uint32) { s[ref%chunkRefs/64] |= 1 << (ref % 64) }

func (s *chunkSet) remove(ref uint32) { s[ref%chunkRefs/64] &^= 1 << (ref % 64) }

func (s *chunkSet) has(ref uint32) bool { return s[ref%chunkRefs/64]>>(ref%64)&1 != 0 }

// fill puts in all refs.
func (s *chunkSet) fill() {
	for i := range s {
		s[i] = 1<<64 - 1
	}
}

// len returns the number of refs.
func (s *chunkSet) len() (n int) {
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// narrow takes the refs of chunk at whose items do not meet a condition out of the set.
func (s *chunkSet) narrow(at int, c condition) {
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			bit := bits.TrailingZeros64(word)
			if !c.holds(index.Ref(at<<chunkBits | i*64 | bit)) {
				s[i] &^= 1 << bit
			}
		}
	}
}

// appendTo appends the refs of the set, whose upper bits are those of chunk at.
func (s *chunkSet) appendTo(dst []uint32, at int) []uint32 {
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			dst = append(dst, uint32(at)<<chunkBits|uint32(i*64+bits.TrailingZeros64(word)))
		}
	}
	return dst
}

// len returns the number of items.
func (p *posting) len() int {
	if p == nil {
		return 0
	}
	return p.n
}

// first returns the least ref, of which there must be one.
func (p *posting) first() uint32 {
	if len(p.few) > 0 {
		return p.few[0]
	}
	at := slices.IndexFunc(p.chunks, func(c chunk) bool { return c.n > 0 })
	if c := &p.chunks[at]; c.set == nil {
		return uint32(at)<<chunkBits | uint32(c.low[0])
	}
	word := slices.IndexFunc(p.chunks[at].set[:], func(word uint64) bool { return word != 0 })
	return uint32(at)<<chunkBits | uint32(word*64+bits.TrailingZeros64(p.chunks[at].set[word]))
}

// addTo adds the items of chunk at to a set.
func (p *posting) addTo(s *chunkSet, at int) {
	if p == nil {
		return
	}
	for _, ref := range p.fewOf(at) {
		s.add(ref)
	}
	if at >= len(p.chunks) {
		return
	}
	c := &p.chunks[at]
	for _, low := range c.low {
		s.add(uint32(low))
	}
	if c.set != nil {
		s.or(c.set)
	}
}

// narrow takes what is not in the posting out of a set that has refs of chunk at.
func (p *posting) narrow(s *chunkSet, at int) {
	if p != nil && at < len(p.chunks) && p.chunks[at].set != nil {
		s.and(p.chunks[at].set)
		return
	}
	var in chunkSet
	p.addTo(&in, at)
	s.and(&in)
}

func (s *chunkSet) or(o *chunkSet) {
	for i, word := range o {
		s[i] |= word
	}
}

func (s *chunkSet) and(o *chunkSet) {
	for i, word := range o {
		s[i] &= word
	}
}

// addAll adds all items to a filter.
func (p *posting) addAll(b *bloom) {
	if p == nil {
		return
	}
	for _, ref := range p.few {
		b.add(ref)
	}
	for at := range p.chunks {
		c, upper := &p.chunks[at], uint32(at)<<chunkBits
		for _, low := range c.low {
			b.add(upper | uint32(low))
		}
		if c.set == nil {
			continue
		}
		for i, word := range c.set {
			b.words[(at*len(c.set)+i)&(len(b.words)-1)] |= word
		}
	}
}

// fetch brings the words of items in sets from memory. What it returns means nothing.
func (p *posting) fetch(refs []index.Ref) (sum uint64) {
	for _, ref := range refs {
		if at := int(ref >> chunkBits); at < len(p.chunks) && p.chunks[at].set != nil {
			sum += p.chunks[at].set[ref%chunkRefs/64]
		}
	}
	return sum
}

// which returns which of at most 64 items are in the posting.
func (p *posting) which(refs []index.Ref) (in uint64) {
	for i, ref := range refs {
		if at := int(ref >> chunkBits); at < len(p.chunks) && p.chunks[at].set != nil {
			in |= p.chunks[at].set[ref%chunkRefs/64] >> (ref % 64) & 1 << i
		} else if p.has(uint32(ref)) {
			in |= 1 << i
		}
	}
	return in
}

// quick reports whether most chunks are sets, so that has takes no longer than a Bloom filter.
func (p *posting) quick() bool { return p.chunks != nil && p.n >= setFrom*len(p.chunks) }

// has reports whether an item is in the posting. It looks at much less memory than a column
// has, of which more is in the caches.
func (p *posting) has(ref uint32) bool {
	if n := len(p.few); n > 0 {
		return in(p.few, ref, int(uint64(ref)*uint64(n)/(uint64(p.few[n-1])+1)))
	}
	at := int(ref >> chunkBits)
	if at >= len(p.chunks) {
		return false
	}
	c := &p.chunks[at]
	if c.set != nil {
		return c.set.has(ref)
	}
	return in(c.low, uint16(ref), int(ref%chunkRefs)*len(c.low)>>chunkBits)
}

// in reports whether refs, which are in order, have one. It is about at guess, if they lie
// evenly. The search has no branches that a processor cannot foresee: of 655 refs of a chunk it
// takes 40 % of the time of a binary search of all.
func in[T uint16 | uint32](refs []T, ref T, guess int) bool {
	lo, n := 0, len(refs)
	const near = 16
	if i := guess - near; i > 0 && i < n && refs[i] <= ref {
		lo = i
	}
	if i := guess + near; i < n && refs[i] > ref {
		n = i
	}
	for n -= lo; n > 1; {
		half := n / 2
		_, before := bits.Sub64(uint64(ref), uint64(refs[lo+half]), 0)
		lo += half & (int(before) - 1)
		n -= half
	}
	return n == 1 && refs[lo] == ref
}

// fewOf returns the part of the list that lies in chunk at.
func (p *posting) fewOf(at int) []uint32 {
	from, _ := slices.BinarySearchFunc(p.few, at, func(ref uint32, at int) int { return int(ref>>chunkBits) - at })
	to, _ := slices.BinarySearchFunc(p.few, at+1, func(ref uint32, at int) int { return int(ref>>chunkBits) - at })
	return p.few[from:to]
}

// appendTo appends all refs in order.
func (p *posting) appendTo(dst []uint32) []uint32 {
	if p == nil {
		return dst
	}
	dst = append(dst, p.few...)
	for at := range p.chunks {
		c := &p.chunks[at]
		for _, low := range c.low {
			dst = append(dst, uint32(at)<<chunkBits|uint32(low))
		}
		if c.set != nil {
			dst = c.set.appendTo(dst, at)
		}
	}
	return dst
}

// change returns the posting in which those of refs are for which in is true, and others of
// refs are not. refs are in order, none of them twice, and below end. A nil posting is empty.
func (p *posting) change(refs []uint32, end uint32, in func(ref uint32) bool) *posting {
	next := p.with(refs, end, in)
	if p != nil && next != nil {
		next.inherit(p, refs, in)
	}
	return next
}

// with is change without the places.
func (p *posting) with(refs []uint32, end uint32, in func(ref uint32) bool) *posting {
	if p == nil || p.chunks == nil {
		var few []uint32
		if p != nil {
			few = p.few
		}
		if few = merged(few, refs, in); len(few) > 0 && len(few) < chunkFrom*chunksOf(end) {
			return &posting{n: len(few), few: few}
		}
		return newPosting(few, end)
	}
	next := &posting{n: p.n, chunks: slices.Grow(slices.Clone(p.chunks), max(0, chunksOf(end)-len(p.chunks)))}
	next.chunks = next.chunks[:max(len(p.chunks), chunksOf(end))]
	for len(refs) > 0 {
		at, n := refs[0]>>chunkBits, 1
		for n < len(refs) && refs[n]>>chunkBits == at {
			n++
		}
		c := &next.chunks[at]
		before := c.n
		*c = c.change(refs[:n], in)
		next.n += c.n - before
		refs = refs[n:]
	}
	if next.n < fewBelow*len(next.chunks) {
		return newPosting(next.appendTo(nil), end)
	}
	return next
}

// change is that of a posting, for the refs of the chunk.
func (c *chunk) change(refs []uint32, in func(ref uint32) bool) chunk {
	if c.set == nil {
		low := merged(c.low, refs, in)
		next := chunk{n: len(low), low: low}
		if next.n >= setFrom {
			next.low, next.set = nil, new(chunkSet)
			for _, low := range low {
				next.set.add(uint32(low))
			}
		}
		return next
	}
	next := chunk{n: c.n, set: new(chunkSet)}
	*next.set = *c.set
	for _, ref := range refs {
		word, bit := &next.set[ref%chunkRefs/64], uint64(1)<<(ref%64)
		was := *word&bit != 0
		switch is := in(ref); {
		case is && !was:
			*word |= bit
			next.n++
		case was && !is:
			*word &^= bit
			next.n--
		}
	}
	if next.n < listBelow {
		return newChunk(next.set.appendTo(nil, int(refs[0]>>chunkBits)))
	}
	return next
}

// merged returns what old has, with those of refs for which in is true and without the others.
// All are in order.
func merged[T uint16 | uint32](old []T, refs []uint32, in func(ref uint32) bool) []T {
	dst := make([]T, 0, len(old)+len(refs))
	for _, ref := range refs {
		n, found := slices.BinarySearch(old, T(ref))
		dst = append(dst, old[:n]...)
		if old = old[n:]; found {
			old = old[1:]
		}
		if in(ref) {
			dst = append(dst, T(ref))
		}
	}
	if dst = append(dst, old...); cap(dst)-len(dst) > len(dst)/8 {
		return slices.Clone(dst)
	}
	return dst
}

// bytes estimates the memory that the posting takes, without its places.
func (p *posting) bytes() int64 {
	if p == nil {
		return 0
	}
	n := 64 + 4*int64(cap(p.few)) + 40*int64(cap(p.chunks))
	for i := range p.chunks {
		if n += 2 * int64(cap(p.chunks[i].low)); p.chunks[i].set != nil {
			n += chunkRefs / 8
		}
	}
	return n
}

// postings has those of all values of a column, by the values' numbers.
type postings struct {
	// single has the ref, plus 1, of a value that one item has, so that it takes no more where
	// each item has a value of its own; 0 for others.
	single  vector[uint32]
	several vector[*posting]
	bytes   int64 // of those in several
}

// len returns how many items have a value.
func (p *postings) len(n uint32) int {
	if p.single.at(n) != 0 {
		return 1
	}
	return p.several.at(n).len()
}

// in returns how many of the items of a value are in a set; nil: all.
func (p *postings) in(n uint32, m *matching) (items int) {
	if one := p.single.at(n); one == 0 {
		items, _ = m.of(p.several.at(n))
	} else if m.has(one - 1) {
		items = 1
	}
	return items
}

// own makes what is to be changed the edit's own.
func (p *postings) own() { p.single, p.several = p.single.own(), p.several.own() }

// set puts the items of a value in the place of those it had.
func (p *postings) set(e edit, n uint32, to *posting) {
	from := p.several.at(n)
	single := uint32(0)
	if to.len() == 1 {
		single, to = to.few[0]+1, nil
	}
	if from != to {
		p.several.set(e, n, to)
		p.bytes += to.bytes() - from.bytes()
	}
	if p.single.at(n) != single {
		p.single.set(e, n, single)
	}
}
