package indextest

import (
	"testing"

	"nearby/index"
)

// The oracle has to pass its own suite: the suite then asks for nothing that
// brute force does not give.
func TestOracle(t *testing.T) { Run(t, BuildOracle) }

// liar answers like the Oracle but for one thing.
type liar struct {
	index.Index
	nearest func([]index.Hit, *index.Proof)
	area    func([]index.Ref) []index.Ref
	count   func(*int, *index.Proof)
	each    func(visit func(index.Ref)) func(index.Ref)
}

func (l liar) Each(q *index.Query, visit func(index.Ref), items index.Items) (index.Proof, error) {
	if l.each != nil {
		visit = l.each(visit)
	}
	return l.Index.Each(q, visit, items)
}

func (l liar) Count(q *index.Query, items index.Items) (int, index.Proof, error) {
	n, proof, err := l.Index.Count(q, items)
	if l.count != nil {
		l.count(&n, &proof)
	}
	return n, proof, err
}

func (l liar) Nearest(dst []index.Hit, q *index.Query, items index.Items) ([]index.Hit, index.Proof, error) {
	hits, proof, err := l.Index.Nearest(dst, q, items)
	if l.nearest != nil {
		l.nearest(hits, &proof)
	}
	return hits, proof, err
}

func (l liar) Range(dst []index.Ref, q *index.RangeQuery, items index.Items) ([]index.Ref, index.Proof, error) {
	refs, proof, err := l.Index.Range(dst, q, items)
	if l.area != nil {
		refs = l.area(refs)
	}
	return refs, proof, err
}

// The checks have to find every kind of wrong answer out.
func TestChecksFindLies(t *testing.T) {
	v, err := build(BuildOracle, NewItems(at(1, 0), at(2, 0), at(2, 0), at(179, 0)))
	if err != nil {
		t.Fatal(err)
	}
	q := index.Query{K: 3, MaxDistance: index.Everywhere}
	world := index.RangeQuery{Limit: 10}
	for name, l := range map[string]liar{
		"swapped tie":       {nearest: func(h []index.Hit, _ *index.Proof) { n := len(h); h[n-1], h[n-2] = h[n-2], h[n-1] }},
		"distance one off":  {nearest: func(h []index.Hit, _ *index.Proof) { h[len(h)-1].Distance++ }},
		"other item":        {nearest: func(h []index.Hit, _ *index.Proof) { h[len(h)-1].Ref = 3 }},
		"radius too great":  {nearest: func(_ []index.Hit, p *index.Proof) { p.Radius = 19.99e6 }},
		"radius too small":  {nearest: func(_ []index.Hit, p *index.Proof) { p.Radius = 7 }},
		"radius negative":   {nearest: func(_ []index.Hit, p *index.Proof) { p.Radius = -7 }},
		"falsely inexact":   {nearest: func(_ []index.Hit, p *index.Proof) { p.Exact = false }},
		"count of compared": {nearest: func(_ []index.Hit, p *index.Proof) { p.Compared++ }},
		"count of entered":  {nearest: func(_ []index.Hit, p *index.Proof) { p.Entered++ }},
		"one too many":      {count: func(n *int, _ *index.Proof) { *n++ }},
		"one too few":       {count: func(n *int, _ *index.Proof) { *n-- }},
		"count unsure":      {count: func(_ *int, p *index.Proof) { p.Exact = false }},
		"visited twice": {each: func(visit func(index.Ref)) func(index.Ref) {
			return func(ref index.Ref) { visit(ref); visit(ref) }
		}},
		"not visited":   {each: func(func(index.Ref)) func(index.Ref) { return func(index.Ref) {} }},
		"item left out": {area: func(r []index.Ref) []index.Ref { return r[:len(r)-1] }},
		"item twice":    {area: func(r []index.Ref) []index.Ref { return append(r, r[len(r)-1]) }},
	} {
		l.Index = v.index
		lying := version{l, v.oracle, v.items}
		_, errNearest := lying.nearest(q)
		_, errRange := lying.inRange(world)
		if errNearest == nil && errRange == nil {
			t.Errorf("%s: not found out", name)
		}
	}
	if _, err := v.nearest(q); err != nil {
		t.Error(err)
	}
	if _, err := v.inRange(world); err != nil {
		t.Error(err)
	}
}
