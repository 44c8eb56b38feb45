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

// The places of a posting have the cells of all of its items in each of its versions, whoever
// asks for them first: where items move, come and go. Items that are gone have no records any more.
func TestPlacesFollowTheItems(t *testing.T) {
	rnd := rand.New(rand.NewPCG(63, 64))
	const items, first = 4000, 1500 // that lie together
	const wander = 5                // items of the posting that are far away, somewhere else in each version
	known, handedOn, readAgain, unknown := 0, 0, 0, 0
	for round := range 40 {
		var a arena
		var locations []uint64 // of each item, the newest
		spread := []float64{1, 15, 40}[rnd.IntN(3)]
		locate := func(far bool) uint64 {
			spread := spread
			if far {
				spread = 180
			}
			return 1<<32 + a.append(&item.Item{ID: "x", Lon: spread * (2*rnd.Float64() - 1), Lat: spread / 2 * (2*rnd.Float64() - 1)})
		}
		for ref := range items {
			locations = append(locations, locate(ref >= first))
		}
		type version struct {
			Snapshot
			p *posting
		}
		now := new(version)
		has := map[uint32]bool{}
		var versions []*version
		for range 20 {
			e := newEdit()
			next := &version{p: now.p}
			next.crossed, next.records.where = now.crossed, now.records.where.own()
			at := func(loc uint64) index.Position {
				lon, lat, _ := position(a.chunks[loc>>32-1][uint32(loc):])
				return index.Position{Lon: lon, Lat: lat}
			}
			moves := []int{0, 30, 3000, 3 * maxCrossings}[min(3, rnd.IntN(3+round%2))]
			for i := range moves + wander {
				ref := uint32(rnd.IntN(items))
				if i < wander {
					ref = uint32(i)
				}
				to := locate(i < wander || rnd.IntN(1000) == 0)
				next.crossed.add(index.Ref(ref), at(locations[ref]), at(to))
				if locations[ref] = to; has[ref] {
					next.records.locate(e, index.Ref(ref), to)
				}
			}
			var refs []uint32
			if rnd.IntN(2) == 0 {
				for range 1 + rnd.IntN(60) {
					refs = append(refs, uint32(wander+rnd.IntN(items-wander)))
				}
			}
			if next.p.len() == 0 {
				refs = []uint32{0, 1, 2, 3, 4}
				for range 1000 {
					refs = append(refs, uint32(wander+rnd.IntN(first-wander)))
				}
			}
			slices.Sort(refs)
			refs = slices.Compact(refs)
			for _, ref := range refs {
				loc := uint64(0)
				if has[ref] = !has[ref]; has[ref] {
					loc = locations[ref]
				}
				next.records.locate(e, index.Ref(ref), loc)
			}
			if len(refs) > 0 {
				next.p = next.p.change(refs, items, func(ref uint32) bool { return has[ref] })
			}
			next.records.chunks = append([][]byte{nil}, a.chunks...) // whoever reads what is nowhere finds nothing
			now = next
			for versions = append(versions, now); len(versions) > 4; versions = versions[1:] {
			}
			for range rnd.IntN(3) { // else nobody asks
				v := versions[rnd.IntN(len(versions))]
				before := v.p.places.Load()
				at := v.placed(v.p)
				switch {
				case at == nil && before == nil:
					v.p.places.Store(v.placesOf(v.p.appendTo(nil)))
					continue
				case at == nil:
					unknown++
					continue
				case at == before:
					known++
				case at.from == at.to && at.grown == 0:
					readAgain++
				default:
					handedOn++
				}
				if len(at.cells) > max(1, v.p.len()/placeItems) || len(at.added) > 0 {
					t.Fatalf("%d cells for %d items, %d of them not read", len(at.cells), v.p.len(), len(at.added))
				}
				for _, ref := range v.p.appendTo(nil) {
					key := zorder.Key(v.records.Position(index.Ref(ref)))
					for _, n := range []int{0, 5, 12, 16, 33, 64} {
						if at.none(key, n) {
							t.Fatalf("places of %d bits say that there is no item in the cell of %d bits round item %d", at.bits, n, ref)
						}
					}
				}
			}
		}
	}
	if known < 30 || handedOn < 100 || readAgain < 20 || unknown < 5 {
		t.Errorf("places were known %d times, handed on %d times, read again %d times, unknown to older snapshots %d times: too few", known, handedOn, readAgain, unknown)
	}
}

// A snapshot has the latest crossings, in their order, also after later ones were added.
func TestCrossingsSince(t *testing.T) {
	var c crossings
	var versions []crossings
	here, there := index.Position{}, index.Position{Lon: 90}
	for i := range 7*maxCrossings + 5 {
		c.add(index.Ref(i), here, here)
		c.add(index.Ref(i), here, there)
		if i%(maxCrossings/2) == 3 {
			versions = append(versions, c)
		}
	}
	for _, c := range versions {
		for n := range c.n + 2 {
			if n%97 > 2 && n+2 < c.n {
				continue
			}
			latest, ok := c.since(n)
			want := int(c.n) - int(min(n, c.n))
			if !ok && want <= maxCrossings || ok && len(latest) != want {
				t.Fatalf("of %d crossings those after %d are %d, %v", c.n, n, len(latest), ok)
			}
			for i, one := range latest {
				if want := (crossing{uint32(n) + uint32(i), placeOf(there.Lon, there.Lat)}); one != want {
					t.Fatalf("crossing %d is %v, want %v", n, one, want)
				}
			}
		}
	}
}
