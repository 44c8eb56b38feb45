package collection

import (
	"hash/maphash"
	"math/bits"
)

// idTable finds ids in a list of pending ones: a hash table, with linear probing, of
// places in the list + 1, each below half of the hash; 0 is free. It is never more
// than half full.
type idTable struct {
	slots []uint64
	hash  func(id string) uint64
}

// newIDTable has room for n ids. A seed of its own keeps callers from choosing ids
// that meet in the table.
func newIDTable(n int) idTable {
	seed := maphash.MakeSeed()
	return idTable{newSlots(n), func(id string) uint64 { return maphash.String(seed, id) }}
}

func newSlots(n int) []uint64 { return make([]uint64, 2<<bits.Len(uint(n))) }

// slot returns where an id is in the table, or is to be, below tag.
func (p *idTable) slot(all []pending, id string) (at *uint64, tag uint64) {
	hash := p.hash(id)
	tag = hash >> 32
	for i := hash; ; i++ {
		at := &p.slots[i&uint64(len(p.slots)-1)]
		if *at == 0 || *at>>32 == tag && all[uint32(*at)-1].id == id {
			return at, tag
		}
	}
}

// find returns the place of an id in the list.
func (p *idTable) find(all []pending, id string) (int32, bool) {
	at, _ := p.slot(all, id)
	return int32(uint32(*at)) - 1, *at != 0
}

// add puts in the last of the list.
func (p *idTable) add(all []pending) {
	from := len(all) - 1
	if 2*len(all) > len(p.slots) {
		p.slots, from = newSlots(len(all)), 0
	}
	for i := from; i < len(all); i++ {
		at, tag := p.slot(all, all[i].id)
		*at = tag<<32 | uint64(i+1)
	}
}
