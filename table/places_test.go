package table

import (
	"math/rand/v2"
	"slices"
	"testing"

	"nearby/index"
	"nearby/internal/zorder"
	"nearby/item"
)

// Places have the cells of all positions that they were made of, and of no others but for those
// that share a cell with one.
func TestPlacesHaveTheCellsOfAllPositions(t *testing.T) {
	rnd := rand.New(rand.NewPCG(61, 62))
	for range 300 {
		var keys []uint64
		lon, lat := 360*rnd.Float64()-180, 180*rnd.Float64()-90
		for range 1 + rnd.IntN(1<<rnd.IntN(11)) {
			if rnd.IntN(20) == 0 {
				lon, lat = 360*rnd.Float64()-180, 180*rnd.Float64()-90
			}
			keys = append(keys, zorder.Key(max(-180, min(180, lon+rnd.NormFloat64())), max(-90, min(90, lat+rnd.NormFloat64()))))
		}
		cells := make([]uint16, len(keys))
		for i, key := range keys {
			cells[i] = uint16(key >> (zorder.Bits - placeBits))
		}
		at := newPlaces(0, cells)
		if len(at.cells) > max(1, len(keys)/placeItems) {
			t.Fatalf("%d cells of %d bits for %d items", len(at.cells), at.bits, len(keys))
		}
		slices.Sort(keys)
		for range 300 {
			n, key := rnd.IntN(zorder.Bits+1), rnd.Uint64()
			if rnd.IntN(3) > 0 { // one of theirs, or one beside it
				key = keys[rnd.IntN(len(keys))] ^ rnd.Uint64N(4)<<rnd.IntN(zorder.Bits-1)
			}
			// Whether an item lies in the cell of min(n, at.bits) bits round it.
			round := min(n, at.bits)
			first := key >> (zorder.Bits - round) << (zorder.Bits - round)
			i, _ := slices.BinarySearch(keys, first)
			some := i < len(keys) && keys[i] <= zorder.Last(first, round)
			if at.none(key, n) == some {
				t.Fatalf("cell %x of %d bits among %d of %d: none is %v", key, n, len(at.cells), at.bits, !some)
			}
		}
	}
}

// The places that a posting hands on to the one that takes its place have the cells of all of its
// items, those that it gets among them; items that are gone have no records any more.
func TestPlacesAreHandedOn(t *testing.T) {
	rnd := rand.New(rand.NewPCG(63, 64))
	const items, first = 4000, 1500 // that lie together
	handedOn := 0
	for range 40 {
		var s Snapshot
		var a arena
		e := newEdit()
		spread := []float64{1, 15, 40}[rnd.IntN(3)]
		locations := make([]uint64, items)
		for ref := range locations {
			if ref == first {
				spread = 180
			}
			locations[ref] = 1<<32 + a.append(&item.Item{ID: "x", Lon: spread * (2*rnd.Float64() - 1), Lat: spread / 2 * (2*rnd.Float64() - 1)})
		}
		s.records.chunks = append([][]byte{nil}, a.chunks...) // whoever reads what is nowhere finds nothing
		has := map[uint32]bool{}
		var p *posting
		for range 20 {
			var refs []uint32
			for range 1 + rnd.IntN(60) {
				refs = append(refs, uint32(rnd.IntN(items)))
			}
			if p.len() == 0 {
				refs = refs[:0]
				for range 1000 {
					refs = append(refs, uint32(rnd.IntN(first)))
				}
			}
			slices.Sort(refs)
			refs = slices.Compact(refs)
			for _, ref := range refs {
				if has[ref] = !has[ref]; has[ref] {
					s.records.locate(e, index.Ref(ref), locations[ref])
				} else {
					s.records.locate(e, index.Ref(ref), 0)
				}
			}
			p = p.change(refs, items, func(ref uint32) bool { return has[ref] })
			if rnd.IntN(2) == 0 {
				continue // nobody asks
			}
			at := s.placed(p)
			if at == nil {
				p.places.Store(s.placesOf(p.appendTo(nil)))
				continue
			}
			handedOn++
			if len(at.cells) > max(1, p.len()/placeItems) || len(at.added) > 0 {
				t.Fatalf("%d cells for %d items, %d of them not read", len(at.cells), p.len(), len(at.added))
			}
			for _, ref := range p.appendTo(nil) {
				key := zorder.Key(s.records.Position(index.Ref(ref)))
				for _, n := range []int{0, 5, 12, 16, 33, 64} {
					if at.none(key, n) {
						t.Fatalf("places of %d bits say that there is no item in the cell of %d bits round item %d", at.bits, n, ref)
					}
				}
			}
		}
	}
	if handedOn < 100 {
		t.Errorf("places were handed on %d times only", handedOn)
	}
}
