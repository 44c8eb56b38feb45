package indextest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"nearby/index"
)

// apply makes the next version; after holds the items as they are then.
func (v version) apply(changes []index.Update, after *Items) (version, error) {
	lent := during(v.items, after, changes)
	oracle, err := v.oracle.Apply(changes, lent)
	if err != nil {
		return version{}, fmt.Errorf("oracle: %w", err)
	}
	ix, err := v.index.Apply(changes, lent)
	if err != nil {
		return version{}, fmt.Errorf("apply: %w", err)
	}
	return version{ix, oracle, after}, nil
}

// history is a random sequence of batches and what earlier versions answered.
type history struct {
	*generator
	version
	builds   int // ids carry it, so that a Ref comes back as another item
	asked    []asked
	greatest int // refs in use
}

// asked is a question that a version has answered once.
type asked struct {
	version version
	query   index.Query
	hits    []index.Hit
	area    index.RangeQuery
	refs    []index.Ref
}

func newHistory(builder index.Builder, seed uint64, n, greatest int) (*history, error) {
	g := newGenerator(seed)
	v, err := build(builder, g.someItems(n))
	return &history{generator: g, version: v, greatest: greatest}, err
}

// batch draws n changes in order, often several of one Ref, and the items
// after them.
func (h *history) batch(n int) ([]index.Update, *Items) {
	after := h.items.Clone()
	var changes []index.Update
	h.builds++
	// Few refs make a batch return to them; a shrinking phase empties cells.
	refs := 1 + h.IntN(h.greatest)
	shrink := h.builds/20%2 == 1
	for range n {
		r := index.Ref(h.IntN(refs))
		c := index.Update{Ref: r}
		switch {
		case !after.Has(r):
			if shrink && h.IntN(4) != 0 {
				continue
			}
			c.Kind, c.New = index.Insert, h.position()
			// Within a batch a Ref keeps its id.
			id := fmt.Sprintf("%s-%d", IDOf(r), h.builds)
			if h.items.Has(r) {
				id = h.items.ID(r)
			}
			after.Set(r, id, c.New)
		case h.IntN(2) == 0 || shrink:
			c.Kind, c.Old = index.Delete, after.refs[r].pos
			after.Remove(r)
		default:
			c.Kind, c.Old, c.New = index.Move, after.refs[r].pos, h.position()
			switch h.IntN(4) {
			case 0:
				c.New = c.Old // to the same place
			case 1:
				c.New = clamp(c.Old.Lon+h.NormFloat64()*1e-6, c.Old.Lat) // most often in the same cell
			}
			after.Set(r, after.ID(r), c.New)
		}
		changes = append(changes, c)
	}
	return changes, after
}

// step applies a batch, checks the new version, asks it and asks an old one again.
func (h *history) step(n int) error {
	changes, after := h.batch(n)
	next, err := h.apply(changes, after)
	if err != nil {
		return err
	}
	h.version = next
	if err := h.check(); err != nil {
		return err
	}
	a := asked{version: next, query: h.query(next), area: h.rangeQuery(next)}
	if a.hits, err = next.nearest(a.query); err != nil {
		return err
	}
	if a.refs, err = next.inRange(a.area); err != nil {
		return err
	}
	if len(h.asked) < 30 {
		h.asked = append(h.asked, a)
	} else if h.IntN(5) == 0 {
		h.asked[h.IntN(len(h.asked))] = a
	}
	return h.asked[h.IntN(len(h.asked))].again()
}

// again asks an old version its old question.
func (a asked) again() error {
	hits, err := a.version.nearest(a.query)
	if err != nil {
		return fmt.Errorf("old version: %w", err)
	}
	refs, err := a.version.inRange(a.area)
	if err != nil {
		return fmt.Errorf("old version: %w", err)
	}
	if !slices.Equal(hits, a.hits) || !slices.Equal(refs, a.refs) {
		return errors.New("an old version changed its answer")
	}
	return nil
}

// testHistory is trap G22 and the snapshot law: random batches against the
// Oracle, with moves and deletes of one item inside a batch and cells that
// become empty.
func testHistory(t *testing.T, builder index.Builder, seed uint64) {
	ops := count(t, "NEARBY_TEST_OPS", 20_000)
	for i, greatest := range []int{5, 60, 500} {
		h, err := newHistory(builder, seed+uint64(i), greatest/2, greatest)
		if err != nil {
			t.Fatal(err)
		}
		for done := 0; done < ops/3; {
			n := 1 + h.IntN(min(200, 2*greatest))
			if err := h.step(n); err != nil {
				t.Fatalf("%d refs, batch %d: %v", greatest, h.builds, err)
			}
			done += n
		}
		for _, a := range h.asked {
			if err := a.version.check(); err != nil {
				t.Fatalf("%d refs: old version: %v", greatest, err)
			}
			if err := a.again(); err != nil {
				t.Fatalf("%d refs: %v", greatest, err)
			}
		}
	}
}

// testRefused spoils batches and wants an error, nothing returned, and the
// receiver as it was.
func testRefused(t *testing.T, builder index.Builder, seed uint64) {
	h, err := newHistory(builder, seed, 60, 80)
	if err != nil {
		t.Fatal(err)
	}
	nan := math.NaN()
	for name, c := range map[string]struct {
		change index.Update
		want   error
	}{
		"UnknownDelete":   {index.Update{Kind: index.Delete, Ref: 9999, Old: at(1, 2)}, index.ErrUnknown},
		"UnknownMove":     {index.Update{Kind: index.Move, Ref: 9999, Old: at(1, 2), New: at(3, 4)}, index.ErrUnknown},
		"InsertNaN":       {index.Update{Kind: index.Insert, Ref: 9999, New: at(nan, 0)}, index.ErrInvalid},
		"InsertNaNLat":    {index.Update{Kind: index.Insert, Ref: 9999, New: at(0, nan)}, index.ErrInvalid},
		"InsertInfinite":  {index.Update{Kind: index.Insert, Ref: 9999, New: at(math.Inf(1), 0)}, index.ErrInvalid},
		"InsertBeyond180": {index.Update{Kind: index.Insert, Ref: 9999, New: at(math.Nextafter(180, 181), 0)}, index.ErrInvalid},
		"InsertBeyond90":  {index.Update{Kind: index.Insert, Ref: 9999, New: at(0, math.Nextafter(-90, -91))}, index.ErrInvalid},
		"NoOperation":     {index.Update{Ref: 9999, New: at(1, 2)}, index.ErrInvalid},
		"BadOperation":    {index.Update{Kind: 77, Ref: 9999, New: at(1, 2)}, index.ErrInvalid},
		"DeleteNaN":       {index.Update{Kind: index.Delete, Ref: 9999, Old: at(nan, nan)}, nil},
		"MoveToNaN":       {index.Update{Kind: index.Move, Ref: 0, Old: h.items.refs[0].pos, New: at(nan, nan)}, index.ErrInvalid},
		"DeleteElsewhere": {index.Update{Kind: index.Delete, Ref: 1, Old: opposite(h.items.refs[1].pos)}, index.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			before, _, err := h.index.Nearest(nil, &index.Query{K: 1000, MaxDistance: index.Everywhere}, h.items)
			if err != nil {
				t.Fatal(err)
			}
			changes, after := h.batch(20)
			// The spoilt change names a Ref that the rest leaves alone.
			changes = slices.DeleteFunc(changes, func(o index.Update) bool { return o.Ref == c.change.Ref })
			changes = slices.Insert(changes, h.IntN(len(changes)+1), c.change)
			got, err := h.index.Apply(changes, during(h.items, after, changes))
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error is %v, want %v", err, c.want)
			}
			if got != nil {
				t.Errorf("returned %v with the error", got)
			}
			if err := h.check(); err != nil {
				t.Errorf("the receiver afterwards: %v", err)
			}
			again, _, err := h.index.Nearest(nil, &index.Query{K: 1000, MaxDistance: index.Everywhere}, h.items)
			if err != nil || !slices.Equal(before, again) {
				t.Errorf("the receiver answers otherwise afterwards: %v", err)
			}
		})
	}
	// Of two changes that cannot be made the error names the first.
	for _, wrong := range [][]index.Update{
		{{Kind: index.Delete, Ref: 9998, Old: at(170, 80)}, {Kind: index.Delete, Ref: 9999, Old: at(-170, -80)}},
		{{Kind: index.Delete, Ref: 9998, Old: at(170, 80)}, {Kind: index.Insert, Ref: 9999, New: at(nan, 0)}},
		{{Kind: index.Insert, Ref: 9998, New: at(nan, 0)}, {Kind: index.Delete, Ref: 9999, Old: at(-170, -80)}},
	} {
		changes, after := h.batch(200)
		i := h.IntN(len(changes) + 1)
		changes = slices.Insert(changes, i, wrong...)
		_, err := h.index.Apply(changes, during(h.items, after, changes))
		if want := fmt.Sprintf("change %d of ref 9998", i); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error is %v, want one of %s", wrong, err, want)
		}
	}
	for _, p := range []index.Position{at(nan, 0), at(0, nan), at(181, 0), at(0, -91), at(math.Inf(-1), 0)} {
		ix, err := builder([]index.Point{{Ref: 0, Lon: 1, Lat: 1}, {Ref: 1, Lon: p.Lon, Lat: p.Lat}}, NewItems(at(1, 1), p))
		if !errors.Is(err, index.ErrInvalid) || ix != nil {
			t.Errorf("building with %v: error is %v", p, err)
		}
	}
	// An empty batch is a version too.
	if v, err := h.apply(nil, h.items); err != nil {
		t.Error(err)
	} else if err := v.check(); err != nil {
		t.Error(err)
	}
}

// opposite returns a position far from p.
func opposite(p index.Position) index.Position {
	lon := p.Lon + 170
	if p.Lon > 0 {
		lon = p.Lon - 170
	}
	return at(lon, -p.Lat/2+10*math.Copysign(1, -p.Lat))
}
