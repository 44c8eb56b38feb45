package table

import (
	"math"
	"slices"

	"nearby/index"
	"nearby/internal/zorder"
)

// places says in which cells of the Z-order curve the items of a posting lie. A search outward does
// not enter parts of an index that have none of these cells. It may name cells that the items have
// left.
//
// No writer makes them. The first query whose matches turn out to be far away leaves them with its
// postings, for those that follow: see plan.learn. A posting that changes hands them on, with the
// items that it gets, and each snapshot has the items that have moved to another cell: the next
// query adds the cells of both. When they have become many, it reads where all items lie.
type places struct {
	from, to uint64   // they hold for snapshots that have so many crossings
	bits     int      // of the cells
	cells    []uint16 // the first bits of the items' keys, in order, none of them twice
	grown    int      // cells that were added since the positions of all items were read
	added    []uint32 // refs of items whose cells are not among them yet, some of which may be gone
}

// crossings are the moves of items to other cells. Each snapshot has those before it. Snapshots
// share their memory: only the writer, who has the newest one, appends to it.
type crossings struct {
	n      uint64     // all that there ever were
	latest []crossing // the last of them, in their order
}

// crossing is the move of an item to a cell.
type crossing struct {
	ref  uint32
	cell uint16
}

// add notes a move, if it is to another cell.
func (c *crossings) add(ref index.Ref, from, to index.Position) {
	cell := placeOf(to.Lon, to.Lat)
	if placeOf(from.Lon, from.Lat) == cell {
		return
	}
	if len(c.latest) == 2*maxCrossings {
		c.latest = append(make([]crossing, 0, 2*maxCrossings), c.latest[maxCrossings:]...)
	}
	c.latest = append(c.latest, crossing{uint32(ref), cell})
	c.n++
}

// since returns the crossings after the first n, or false if it does not have them all.
func (c *crossings) since(n uint64) ([]crossing, bool) {
	if n >= c.n {
		return nil, true
	}
	first := len(c.latest) - int(min(c.n-n, math.MaxInt32))
	if first < 0 {
		return nil, false
	}
	return c.latest[first:], true
}

const (
	// placeBits is how many bits of a key a cell has at most: on the equator it is then 156 km wide
	// and 78 km high.
	placeBits = 16
	// placeItems: there is one cell for so many items of a posting at most, so that places take a
	// quarter of a byte an item.
	placeItems = 8

	// maxCrossings is how many crossings a snapshot has at least, if there were so many.
	maxCrossings = 1 << 14
	// crossingsOfItem: to look at so many crossings takes as long as to read where one item lies.
	crossingsOfItem = 8
)

// placeOf returns the cell of a position.
func placeOf(lon, lat float64) uint16 {
	return uint16(zorder.Key(lon, lat) >> (zorder.Bits - placeBits))
}

// placesOf reads the positions of items.
func (s *Snapshot) placesOf(refs []uint32) *places {
	cells := make([]uint16, len(refs))
	for i, ref := range refs {
		cells[i] = placeOf(s.records.Position(index.Ref(ref)))
	}
	return newPlaces(s.crossed.n, cells)
}

// newPlaces returns places of the cells of all items, whose memory it changes.
func newPlaces(crossings uint64, cells []uint16) *places {
	at := &places{from: crossings, to: crossings, bits: placeBits, cells: cells}
	at.fit(len(cells))
	return at
}

// fit puts the cells in order, and makes them as coarse as they must be for so many items.
func (at *places) fit(items int) {
	slices.Sort(at.cells)
	for at.cells = slices.Compact(at.cells); len(at.cells) > max(1, items/placeItems); at.cells = slices.Compact(at.cells) {
		at.bits--
		for i := range at.cells {
			at.cells[i] >>= 1
		}
	}
	at.cells = slices.Clone(at.cells)
}

// inherit takes over the places of the posting that refs were changed in; in is true for those that
// are in this one.
func (p *posting) inherit(from *posting, refs []uint32, in func(ref uint32) bool) {
	at := from.places.Load()
	if at == nil {
		return
	}
	added := slices.Clip(at.added)
	for _, ref := range refs {
		if in(ref) {
			added = append(added, ref)
		}
	}
	if len(added) > p.n/placeItems {
		return // to read them all again takes not much longer
	}
	next := *at
	next.added = added
	p.places.Store(&next)
}

// placed returns the places of a posting, or nil if they are not known.
func (s *Snapshot) placed(p *posting) *places {
	at := p.places.Load()
	if at == nil || s.crossed.n < at.from {
		return nil
	}
	if len(at.added) == 0 && s.crossed.n <= at.to {
		return at
	}
	next := *at
	next.to, next.added = s.crossed.n, nil
	crossed, ok := s.crossed.since(at.to)
	ok = ok && len(crossed) <= crossingsOfItem*p.n
	if ok {
		var cells []uint16 // that are not there yet
		add := func(cell uint16) {
			cell >>= placeBits - at.bits
			if _, found := slices.BinarySearch(at.cells, cell); !found {
				cells = append(cells, cell)
			}
		}
		for _, ref := range at.added {
			if p.has(ref) {
				add(placeOf(s.records.Position(index.Ref(ref))))
				next.from = s.crossed.n
			}
		}
		for _, c := range crossed {
			if p.has(c.ref) {
				add(c.cell)
			}
		}
		if len(cells) > 0 {
			next.grown += len(cells)
			next.cells = append(slices.Clone(at.cells), cells...)
			next.fit(p.n)
		}
	}
	if !ok || next.grown > p.n/placeItems {
		if p.n > maxCrossings {
			return nil // the query may not look far; else it learns
		}
		next = *s.placesOf(p.appendTo(nil))
	}
	p.places.CompareAndSwap(at, &next)
	return &next
}

// none reports whether no item lies in the cell of the first n bits of key.
func (at *places) none(key uint64, n int) bool {
	key = key >> (zorder.Bits - n) << (zorder.Bits - n) // n = 0 shifts by 64, which gives 0
	first, last := uint16(key>>(zorder.Bits-at.bits)), uint16(zorder.Last(key, n)>>(zorder.Bits-at.bits))
	i, found := slices.BinarySearch(at.cells, first)
	return !found && (i == len(at.cells) || at.cells[i] > last)
}

// maxPlaces is how many postings have their places asked at most, for one part of an index.
const maxPlaces = 32

// skip returns what index.Query.Skip is for the root, nil if it is not known where the matches lie.
// It is also nil where a budget might end the search: what an answer has must not depend on what was
// asked before.
func (p *plan) skip(budget int, est estimate) func(key uint64, n int) bool {
	most, _ := p.root.most()
	if most == p.snapshot.Len() || budget > 0 && budget < p.enough(most, est) {
		return nil
	}
	var ok bool
	if p.postings, ok = p.root.postings(p.postings[:0], maxPlaces); !ok || len(p.postings) == 0 {
		return nil
	}
	p.places = p.places[:0]
	for _, one := range p.postings {
		at := p.snapshot.placed(one)
		if at == nil {
			return nil
		}
		p.places = append(p.places, at)
	}
	return p.skips
}

// enough returns a budget that hardly any search exhausts.
func (p *plan) enough(most int, est estimate) int {
	if est.listable && most <= p.mostListed() {
		return est.list + most
	}
	const entered = 1 << 16 // cells or nodes that have few points
	return 2*p.snapshot.Len() + entered
}

// none reports whether no item that meets the root lies in the cell of the first n bits of key.
func (p *plan) none(key uint64, n int) bool {
	for _, at := range p.places {
		if !at.none(key, n) {
			return false
		}
	}
	return true
}

// learn leaves the places of the items that may meet the root with their postings, if these have
// limit items at most. It is called after a search outward whose matches were farther away than
// expected, and takes no longer than that. It uses the memory of the list.
func (p *plan) learn(limit int) {
	var ok bool
	if p.postings, ok = p.root.postings(p.postings[:0], maxPlaces); !ok {
		return
	}
	n := 0
	for _, one := range p.postings {
		n += one.n
	}
	if n > limit {
		return
	}
	for _, one := range p.postings {
		if at := one.places.Load(); at == nil || at.to < p.snapshot.crossed.n {
			p.refs = one.appendTo(p.refs[:0])
			one.places.Store(p.snapshot.placesOf(p.refs))
		}
	}
}
