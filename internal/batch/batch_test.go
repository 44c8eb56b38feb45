package batch_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nearby/index"
	. "nearby/internal/batch"
	"nearby/internal/runs"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// point is what an edit is about, whichever way it goes.
type point struct {
	rec runs.Record
	key uint64
}

func pointOf(ref index.Ref, p index.Position) point {
	return point{runs.Record{V: sphere.FromDegrees(p.Lon, p.Lat), Ref: ref}, zorder.Key(p.Lon, p.Lat)}
}

// The edits of a batch, in any order, make of the points before it those that the
// changes make in theirs; none of a point that comes and goes.
func TestBatchIsWhatItsChangesComeTo(t *testing.T) {
	rnd := rand.New(rand.NewPCG(21, 22))
	for range 3000 {
		places := make([]index.Position, 1+rnd.IntN(4))
		for i := range places {
			places[i] = index.Position{Lon: rnd.Float64(), Lat: rnd.Float64()}
		}
		places = append(places, index.Position{Lon: places[0].Lon + 1e-12, Lat: places[0].Lat}) // most often of the same key
		at := map[index.Ref]index.Position{}
		for ref := range index.Ref(rnd.IntN(4)) {
			at[ref] = places[rnd.IntN(len(places))]
		}
		before := map[point]bool{}
		for ref, p := range at {
			before[pointOf(ref, p)] = true
		}
		var changes []index.Update
		for range rnd.IntN(1 << rnd.IntN(10)) {
			c := index.Update{Ref: index.Ref(rnd.IntN(6)), New: places[rnd.IntN(len(places))]}
			old, in := at[c.Ref]
			switch {
			case !in:
				c.Kind = index.Insert
			case rnd.IntN(2) == 0:
				c.Kind, c.Old, c.New = index.Delete, old, index.Position{}
			default:
				c.Kind, c.Old = index.Move, old
			}
			if at[c.Ref] = c.New; c.Kind == index.Delete {
				delete(at, c.Ref)
			}
			changes = append(changes, c)
		}
		b := New(changes)
		if err := b.Err(); err != nil {
			t.Fatal(err)
		}
		var come []point
		for i := range b.Edits {
			e := &b.Edits[i]
			p := point{e.Record, e.Key}
			switch {
			case i > 0 && b.Edits[i-1].Key > e.Key:
				t.Fatalf("edit %d is out of order", i)
			case !e.Gone:
				come = append(come, p)
			case !before[p]:
				t.Fatalf("%v goes and was not there, or twice: %v", p, changes)
			default:
				delete(before, p)
			}
		}
		for _, p := range come {
			if before[p] {
				t.Fatalf("%v comes and was there: %v", p, changes)
			}
			before[p] = true
		}
		for ref, p := range at {
			if !before[pointOf(ref, p)] {
				t.Fatalf("ref %d is not at %v: %v", ref, p, changes)
			}
		}
		if len(before) != len(at) {
			t.Fatalf("%d points, want %d: %v", len(before), len(at), changes)
		}
	}
}

// The error is that of the first change that cannot be made, whatever is found
// first.
func TestBatchErr(t *testing.T) {
	p, nan := index.Position{Lon: 1, Lat: 2}, index.Position{Lon: math.NaN()}
	for _, c := range []struct {
		changes []index.Update
		missing []int // edits
		want    error
		text    string
	}{
		{[]index.Update{{Kind: index.Insert, Ref: 7, New: p}, {Kind: index.Insert, Ref: 8, New: nan}}, nil, index.ErrInvalid, "change 1 of ref 8"},
		{[]index.Update{{Kind: index.Delete, Ref: 7, Old: p}, {Kind: index.Insert, Ref: 8, New: nan}}, []int{0}, index.ErrUnknown, "change 0 of ref 7"},
		{[]index.Update{{Kind: index.Insert, Ref: 8, New: nan}, {Kind: index.Delete, Ref: 7, Old: p}}, nil, index.ErrInvalid, "change 0 of ref 8"},
		{[]index.Update{{Kind: index.Delete, Ref: 9, Old: p}, {Kind: index.Delete, Ref: 7, Old: p}}, []int{0, 1}, index.ErrUnknown, "change 0 of ref 9"},
		{[]index.Update{{Kind: index.Delete, Ref: 9, Old: p}, {Kind: index.Delete, Ref: 9, Old: p}}, nil, index.ErrUnknown, "change 1 of ref 9"},
		{[]index.Update{{Kind: index.Delete, Ref: 3, Old: nan}}, nil, index.ErrUnknown, "change 0 of ref 3"},
		{[]index.Update{{Ref: 3, Old: p, New: p}}, nil, index.ErrInvalid, "change 0 of ref 3"},
	} {
		b := New(c.changes)
		for _, i := range c.missing {
			b.Missing(&b.Edits[i])
		}
		if err := b.Err(); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%v: error is %v, want %s: %v", c.changes, err, c.text, c.want)
		}
	}
}

// Patching does to a run what edits say, and Rebox to its box.
func TestRunPatch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(23, 24))
	for range 5000 {
		n := rnd.IntN(20)
		at := make([]index.Position, n)
		recs := make([]runs.Record, n)
		for i := range at {
			at[i] = index.Position{Lon: rnd.Float64() * 10, Lat: rnd.Float64() * 10}
			recs[i] = runs.Record{V: sphere.FromDegrees(at[i].Lon, at[i].Lat), Ref: index.Ref(i)}
		}
		from, _ := runs.Run(nil).Pack(recs)
		lo := rnd.IntN(n + 1)
		hi := lo + rnd.IntN(n+1-lo)
		var changes []index.Update
		want := []runs.Record{}
		for i := lo; i < hi; i++ {
			if rnd.IntN(3) == 0 {
				changes = append(changes, index.Update{Kind: index.Delete, Ref: index.Ref(i), Old: at[i]})
			} else {
				want = append(want, recs[i])
			}
		}
		for range rnd.IntN(1 + rnd.IntN(8)) {
			ref, to := index.Ref(100+len(changes)), index.Position{Lon: rnd.Float64() * 10, Lat: rnd.Float64() * 10}
			changes = append(changes, index.Update{Kind: index.Insert, Ref: ref, New: to})
			want = append(want, pointOf(ref, to).rec)
		}
		b := New(changes)
		holes, come := b.Holes(nil, from, lo, hi, b.Edits)
		size := hi - lo - len(holes) + come
		to := make(runs.Run, runs.RunWords(size+2))
		to.Copy(1, from, lo, min(hi, lo+size))
		Patch(to, 1, from, lo, hi, holes, b.Edits)
		got := to.Append(nil)[1 : 1+size]
		byRef := func(x, y runs.Record) int { return int(x.Ref) - int(y.Ref) }
		slices.SortFunc(got, byRef)
		slices.SortFunc(want, byRef)
		if b.Err() != nil || !slices.Equal(got, want) || !slices.Equal(from.Append(nil), recs) {
			t.Fatalf("%v: %v, want %v; error %v", changes, got, want, b.Err())
		}
		if box, ok := Rebox(from.Box(lo, hi), b.Edits); ok && box != runs.BoxOf(want) {
			t.Fatalf("%v: the box became %v, want %v", changes, box, runs.BoxOf(want))
		}
	}
}
