package table

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"nearby/cql2"
	"nearby/index"
	"nearby/value"
)

// Every version of a numeric column goes on to have the items that it had, each in the interval
// of its code, however intervals are split and joined; none of these stays full or empty.
func TestNumericColumnVersionsAreIndependent(t *testing.T) {
	rnd := rand.New(rand.NewPCG(21, 22))
	const items = 20_000
	type version struct {
		c    *numericColumn
		twin []string
	}
	now := version{newNumericColumn(value.Number), make([]string, items)}
	var versions []version
	most := 0
	for step := range 60 {
		now = version{now.c.next().(*numericColumn), slices.Clone(now.twin)}
		e := newEdit()
		n := rnd.IntN(3000)
		if step%20 == 10 {
			n = 0
			for ref := range items { // most lose their values, or all
				if step == 30 || rnd.IntN(30) > 0 {
					now.twin[ref] = ""
					now.c.put(e, index.Ref(ref), nil, 0)
				}
			}
		}
		for range n {
			ref, text := rnd.IntN(items), ""
			switch rnd.IntN(8) {
			case 0:
			case 1, 2:
				text = fmt.Sprint(rnd.IntN(3)) // codes of many items
			case 3:
				text = fmt.Sprintf("1234567.%d", rnd.IntN(1000))
			case 4:
				text = fmt.Sprint(step, ".", rnd.IntN(1000)) // new ones are greater
			default:
				text = fmt.Sprint(rnd.NormFloat64())
			}
			now.twin[ref] = text
			putNumber(now.c, e, index.Ref(ref), text)
		}
		if rnd.IntN(10) == 0 {
			now.c.uses.changed, now.c.uses.most = nil, true
		}
		now.c.sweep(e)
		most = max(most, len(now.c.intervals))
		versions = append(versions, now)
	}
	for n, v := range versions {
		var held int64
		seen := 0
		for at, iv := range v.c.intervals {
			from, to := v.c.bounds(at)
			p := v.c.postings.at(iv.number)
			held += p.bytes()
			refs := p.appendTo(nil)
			if seen += len(refs); from > to || len(refs) != int(v.c.lens.at(iv.number)) || len(refs) > intervalMost && from < to {
				t.Fatalf("version %d: interval %d from %d to %d has %d items, or %d", n, at, from, to, len(refs), v.c.lens.at(iv.number))
			}
			for _, ref := range refs {
				if code := v.c.codes.at(ref); code < from || code > to {
					t.Fatalf("version %d: interval %d from %d to %d has the code %d", n, at, from, to, code)
				}
			}
		}
		want := 0
		for ref, text := range v.twin {
			code := uint32(0)
			if text != "" {
				want++
				number, _ := value.NumberOf(text)
				code = number.Code()
			}
			if v.c.codes.at(uint32(ref)) != code {
				t.Fatalf("version %d: item %d has the code %d, want %d", n, ref, v.c.codes.at(uint32(ref)), code)
			}
		}
		if seen != want || v.c.n != want || v.c.held != held {
			t.Fatalf("version %d: %d items in %d bytes of postings, %d in all; want %d in %d", n, seen, v.c.held, v.c.n, want, held)
		}
		if most := 12 + 4*want/intervalItems; len(v.c.intervals) > most {
			t.Fatalf("version %d: %d intervals of %d items, want at most %d", n, len(v.c.intervals), want, most)
		}
	}
	if most < 10 {
		t.Errorf("there were never more than %d intervals", most)
	}
}

// putNumber puts a number that is written as in JSON, or nothing.
func putNumber(c *numericColumn, e edit, ref index.Ref, text string) {
	code := uint32(0)
	if text != "" {
		_, code, _ = readValue(value.Number, []byte(text))
	}
	c.put(e, ref, []byte(text), code)
}

// A condition on a numeric column says the same of an item in every way, for few items and for
// many, in chunks and in lists.
func TestRangedSaysTheSameInEveryWay(t *testing.T) {
	rnd := rand.New(rand.NewPCG(23, 24))
	c := newNumericColumn(value.Number)
	e := newEdit()
	const items = 140_000
	for ref := range items {
		text := fmt.Sprint(rnd.Float32())
		if rnd.IntN(3) == 0 {
			text = []string{"0.5", "0.25", "7"}[rnd.IntN(3)]
		}
		putNumber(c, e, index.Ref(ref), text)
	}
	c.sweep(e)
	forms := map[string]int{}
	for range 60 {
		low := rnd.Float64()
		high := low + math.Exp(-12*rnd.Float64())
		bound := func(f float64) *cql2.Bound {
			f = math.Round(f*1e4) / 1e4 // all literals are short, so that no record is read
			v, _ := value.NumberOf(fmt.Sprint(f))
			return &cql2.Bound{Literal: cql2.Literal{Value: v}, Open: rnd.IntN(2) == 0}
		}
		var pred cql2.Predicate = &cql2.Range{Low: bound(low), High: bound(high)}
		if rnd.IntN(3) == 0 {
			in := &cql2.In{}
			for range 1 + rnd.IntN(20) {
				in.Values = append(in.Values, bound(low+rnd.Float64()/1000).Literal)
			}
			pred = in
		}
		meets := func(pred cql2.Predicate) *ranged {
			return c.meets(tested{plan: new(plan), snapshot: &Snapshot{}, pred: pred, want: []cql2.Truth{cql2.True, cql2.False}[rnd.IntN(2)]}).(*ranged)
		}
		r := meets(pred)
		if rnd.IntN(2) == 0 {
			r.and(meets(&cql2.Range{High: bound(high - rnd.Float64()/10)}))
		}
		for i := range r.ranges {
			r.ranges[i].sure = true // what is not is tested elsewhere
		}
		var want []uint32
		for ref := range uint32(items) {
			if r.holds(index.Ref(ref)) {
				want = append(want, ref)
			}
		}
		if n, exact := r.most(); n < len(want) || exact && n != len(want) {
			t.Fatalf("%v: %d items, exactly: %v, want %d", r.ranges, n, exact, len(want))
		}
		if math.Abs(r.about-float64(len(want))) > 2*intervalMost {
			t.Fatalf("%v: about %v items, want %d", r.ranges, r.about, len(want))
		}
		var narrowed []uint32
		for at := range chunksOf(items) {
			var all, some, both chunkSet
			all.fill()
			for range rnd.IntN(3) * rnd.IntN(3000) {
				some.add(rnd.Uint32N(chunkRefs))
			}
			r.narrow(&all, at)
			both = all
			both.and(&some)
			if r.narrow(&some, at); some != both {
				t.Fatalf("%v: chunk %d of a set of few is not what it is of all", r.ranges, at)
			}
			narrowed = all.appendTo(narrowed, at)
		}
		if !slices.Equal(narrowed, want) {
			t.Fatalf("%v: %d items are left, want %d", r.ranges, len(narrowed), len(want))
		}
		if list, ok := r.list([]uint32{1}); ok {
			forms["list"]++
			if slices.Sort(list[1:]); list[0] != 1 || !slices.Equal(list[1:], want) {
				t.Fatalf("%v: %d items are listed, want %d", r.ranges, len(list)-1, len(want))
			}
		}
		var b bloom
		b.reset(r.n, items)
		postings, _ := r.postings(nil, items)
		for _, p := range postings {
			p.addAll(&b)
		}
		if i := slices.IndexFunc(want, func(ref uint32) bool { return !b.has(ref) }); i >= 0 {
			t.Fatalf("%v: item %d is no candidate", r.ranges, want[i])
		}
		forms["all"]++
	}
	if forms["list"] < 5 || forms["list"] > 55 {
		t.Errorf("%v", forms)
	}
}
