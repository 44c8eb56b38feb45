package table

import (
	"math"
	"slices"

	"nearby/index"
	"nearby/value"
)

// A condition is a filter, or a part of one, compiled for one snapshot. Each kind of condition
// is a type of its own; a plan knows none of them.
type condition interface {
	// holds reports whether an item meets the condition.
	holds(ref index.Ref) bool

	// most returns an upper bound of how many items meet it, and whether it is their number. It
	// is less than the number of all items only if they can be taken from postings.
	most() (n int, exact bool)

	// share returns which share of the items meets it about, from 0 to 1.
	share() float64

	// list appends the items that meet it, each of them once, and returns true, if that takes no
	// longer than to go through such a list. Otherwise it returns dst as it is, and false.
	list(dst []uint32) ([]uint32, bool)

	// narrow takes the items that do not meet it out of a set, which has refs of chunk at.
	narrow(s *chunkSet, at int)

	// fetch brings from memory what holds needs of some items. What it returns means nothing.
	fetch(refs []index.Ref) uint64

	// postings appends postings that together have all items that meet it, and returns true. It
	// returns dst as it is, and false, if the items are not taken from postings, or if dst would
	// have more than most.
	postings(dst []*posting, most int) ([]*posting, bool)
}

// equal demands that the value of a column has one of some numbers, all of them different.
type equal struct {
	column  *dictionaryColumn
	numbers []uint32
	items   int      // of the snapshot
	n       int      // items that have one of the numbers
	posting *posting // of the only number, if several items have it
	set     []uint64 // a bit for each of the numbers, if there are many
}

// manyNumbers is from how many on numbers are looked up in a set.
const manyNumbers = 8

// prepare is called once the numbers are there.
func (c *equal) prepare() {
	for _, number := range c.numbers {
		c.n += c.column.postings.len(number)
	}
	if len(c.numbers) == 1 {
		c.posting = c.column.postings.several.at(c.numbers[0])
	}
	if len(c.numbers) >= manyNumbers {
		c.set = make([]uint64, slices.Max(c.numbers)/64+1)
		for _, n := range c.numbers {
			c.set[n/64] |= 1 << (n % 64)
		}
	}
}

func (c *equal) holds(ref index.Ref) bool {
	if c.posting != nil {
		return c.posting.has(uint32(ref))
	}
	n := c.column.values.at(uint32(ref))
	if c.set != nil {
		return n/64 < uint32(len(c.set)) && c.set[n/64]>>(n%64)&1 != 0
	}
	return slices.Contains(c.numbers, n)
}

func (c *equal) fetch(refs []index.Ref) (sum uint64) {
	if c.posting != nil {
		return c.posting.fetch(refs)
	}
	for _, ref := range refs {
		sum += uint64(c.column.values.at(uint32(ref)))
	}
	return sum
}

func (c *equal) most() (n int, exact bool) { return c.n, true }

func (c *equal) share() float64 { return float64(c.n) / float64(max(1, c.items)) }

func (c *equal) list(dst []uint32) ([]uint32, bool) {
	from := len(dst)
	for _, number := range c.numbers {
		if ref := c.column.postings.single.at(number); ref != 0 {
			dst = append(dst, ref-1)
		} else if p := c.column.postings.several.at(number); p != nil {
			if p.chunks != nil {
				return dst[:from], false
			}
			dst = append(dst, p.few...)
		}
	}
	return dst, true
}

func (c *equal) narrow(s *chunkSet, at int) {
	if c.posting != nil {
		c.posting.narrow(s, at)
		return
	}
	var any chunkSet
	for _, number := range c.numbers {
		if ref := c.column.postings.single.at(number); ref == 0 {
			c.column.postings.several.at(number).addTo(&any, at)
		} else if int((ref-1)>>chunkBits) == at {
			any.add(ref - 1)
		}
	}
	s.and(&any)
}

func (c *equal) postings(dst []*posting, most int) ([]*posting, bool) {
	if len(c.numbers) > most-len(dst) {
		return dst, false
	}
	var singles []uint32
	for _, number := range c.numbers {
		if ref := c.column.postings.single.at(number); ref != 0 {
			singles = append(singles, ref-1)
		} else if p := c.column.postings.several.at(number); p != nil {
			dst = append(dst, p)
		}
	}
	if len(singles) > 0 {
		slices.Sort(singles)
		dst = append(dst, &posting{n: len(singles), few: singles})
	}
	return dst, true
}

// unlisted is part of the conditions whose items are in no postings.
type unlisted struct{}

func (unlisted) share() float64 { return 1 } // nobody counts

func (unlisted) list(dst []uint32) ([]uint32, bool) { return dst, false }

func (unlisted) fetch([]index.Ref) uint64 { return 0 }

func (unlisted) postings(dst []*posting, _ int) ([]*posting, bool) { return dst, false }

// during demands that the time of an item lies in a period.
type during struct {
	unlisted
	period Period
	times  *vector[value.Time]
	items  int // of the snapshot
}

func (c *during) holds(ref index.Ref) bool { return c.period.holds(c.times.at(uint32(ref))) }

func (c *during) most() (n int, exact bool) { return c.items, false }

func (c *during) narrow(s *chunkSet, at int) { s.narrow(at, c) }

// every demands several conditions.
type every []condition

func (c every) holds(ref index.Ref) bool {
	for _, part := range c {
		if !part.holds(ref) {
			return false
		}
	}
	return true
}

func (c every) most() (n int, exact bool) {
	n, _ = c[c.rarest()].most()
	return n, n == 0
}

// rarest returns the place of the condition that the fewest items meet.
func (c every) rarest() int {
	at, least := 0, math.MaxInt
	for i, part := range c {
		if n, _ := part.most(); n < least {
			at, least = i, n
		}
	}
	return at
}

func (c every) share() float64 {
	share := 1.0
	for _, part := range c {
		share *= part.share()
	}
	return share
}

func (c every) list(dst []uint32) ([]uint32, bool) {
	from, rarest := len(dst), c.rarest()
	dst, ok := c[rarest].list(dst)
	if !ok {
		return dst, false
	}
	listed := dst[from:]
	dst = dst[:from]
	for _, ref := range listed {
		if c.holds(index.Ref(ref)) {
			dst = append(dst, ref)
		}
	}
	return dst, true
}

func (c every) narrow(s *chunkSet, at int) {
	rarest := c.rarest() // the others may have to look at each item that is left
	c[rarest].narrow(s, at)
	for i, part := range c {
		if i != rarest {
			part.narrow(s, at)
		}
	}
}

func (c every) postings(dst []*posting, most int) ([]*posting, bool) {
	return c[c.rarest()].postings(dst, most)
}

func (c every) fetch(refs []index.Ref) uint64 { return c[0].fetch(refs) } // few meet it
