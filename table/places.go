package table

import (
	"slices"

	"nearby/index"
	"nearby/internal/zorder"
)

// places says in which cells of the Z-order curve the items of a posting lie. A search outward does
// not enter parts of an index that have none of these cells.
//
// No writer makes them. The first query whose matches turn out to be far away leaves them with its
// postings, for those that follow: see plan.learn. A posting that changes hands them on, with the
// items that it gets; the next query reads where these lie. They hold as long as no item moves to
// another cell of placeBits.
type places struct {
	crossings uint64   // of the snapshot whose positions were read
	bits      int      // of the cells
	cells     []uint16 // the first bits of the items' keys, in order, none of them twice
	added     []uint32 // refs of items whose cells are not among them yet, some of which may be gone
}

const (
	// placeBits is how many bits of a key a cell has at most: on the equator it is then 156 km wide
	// and 78 km high.
	placeBits = 16
	// placeItems: there is one cell for so many items of a posting at most, so that places take a
	// quarter of a byte an item.
	placeItems = 8
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
	return newPlaces(s.crossings, cells)
}

// newPlaces returns places of the cells of all items, whose memory it changes.
func newPlaces(crossings uint64, cells []uint16) *places {
	at := &places{crossings: crossings, bits: placeBits, cells: cells}
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
	p.places.Store(&places{at.crossings, at.bits, at.cells, added})
}

// placed returns the places of a posting, or nil if they are not known.
func (s *Snapshot) placed(p *posting) *places {
	at := p.places.Load()
	if at == nil || at.crossings != s.crossings {
		return nil
	}
	if len(at.added) == 0 {
		return at
	}
	next := &places{crossings: at.crossings, bits: at.bits, cells: slices.Clone(at.cells)}
	for _, ref := range at.added {
		if p.has(ref) {
			next.cells = append(next.cells, placeOf(s.records.Position(index.Ref(ref)))>>(placeBits-at.bits))
		}
	}
	next.fit(p.n)
	p.places.Store(next)
	return next
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
		if at := one.places.Load(); at == nil || at.crossings < p.snapshot.crossings {
			p.refs = one.appendTo(p.refs[:0])
			one.places.Store(p.snapshot.placesOf(p.refs))
		}
	}
}
