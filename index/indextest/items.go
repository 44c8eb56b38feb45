package indextest

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	"nearby/index"
)

// Items holds ids and positions in memory. It is strict: asked for a Ref that
// it does not hold, it panics, so an index that clings to a deleted item is
// found out.
type Items struct {
	refs []entry // by Ref
	n    int
}

type entry struct {
	live bool
	pos  index.Position
	id   string
}

// NewItems returns items at these positions. Item i has Ref i and an id whose
// order differs from that of the refs, so that no index can pass by comparing
// the wrong one.
func NewItems(positions ...index.Position) *Items {
	items := &Items{}
	for i, p := range positions {
		items.Set(index.Ref(i), IDOf(index.Ref(i)), p)
	}
	return items
}

// IDOf returns the id that NewItems gives to a Ref: hexadecimal digits whose
// order is scattered, the Ref itself at the end.
func IDOf(r index.Ref) string {
	return fmt.Sprintf("%04x-%d", (uint32(r)*40503+17)&0xffff, r)
}

// Set adds or replaces an item.
func (it *Items) Set(r index.Ref, id string, p index.Position) {
	for int(r) >= len(it.refs) {
		it.refs = append(it.refs, entry{})
	}
	if !it.refs[r].live {
		it.n++
	}
	it.refs[r] = entry{true, p, id}
}

// Remove drops an item.
func (it *Items) Remove(r index.Ref) {
	if it.Has(r) {
		it.refs[r] = entry{}
		it.n--
	}
}

// Has reports whether the item is held.
func (it *Items) Has(r index.Ref) bool { return int(r) < len(it.refs) && it.refs[r].live }

// Len returns the number of items.
func (it *Items) Len() int { return it.n }

// Clone returns a copy that later changes do not reach.
func (it *Items) Clone() *Items {
	return &Items{append([]entry(nil), it.refs...), it.n}
}

// Points returns all items as a Builder takes them.
func (it *Items) Points() []index.Point {
	points := make([]index.Point, 0, it.n)
	for r := range it.refs {
		if e := &it.refs[r]; e.live {
			points = append(points, index.Point{Ref: index.Ref(r), Lon: e.pos.Lon, Lat: e.pos.Lat})
		}
	}
	return points
}

// ID returns the id of an item.
func (it *Items) ID(r index.Ref) string { return it.get(r).id }

// Position implements index.Items.
func (it *Items) Position(r index.Ref) (lon, lat float64) {
	e := it.get(r)
	return e.pos.Lon, e.pos.Lat
}

// CompareIDs implements index.Items.
func (it *Items) CompareIDs(a, b index.Ref) int { return strings.Compare(it.get(a).id, it.get(b).id) }

// CompareID implements index.Items.
func (it *Items) CompareID(a index.Ref, id string) int { return cmp.Compare(it.get(a).id, id) }

func (it *Items) get(r index.Ref) *entry {
	if !it.Has(r) {
		panic(fmt.Sprintf("indextest: asked for ref %d, which is not among the items", r))
	}
	return &it.refs[r]
}

// during returns the items as an Apply of the changes may see them: the refs
// from before and after the batch, with no position for those that it changes.
func during(before, after *Items, changes []index.Update) *Items {
	both := before.Clone()
	for r := range after.refs {
		if e := &after.refs[r]; e.live {
			both.Set(index.Ref(r), e.id, e.pos)
		}
	}
	for _, c := range changes {
		// A Ref that lives in neither, inserted and deleted by the batch, has
		// an id all the same.
		id := IDOf(c.Ref)
		if both.Has(c.Ref) {
			id = both.ID(c.Ref)
		}
		both.Set(c.Ref, id, index.Position{Lon: math.NaN(), Lat: math.NaN()})
	}
	return both
}
