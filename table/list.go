package table

import (
	"cmp"
	"math"
	"slices"

	"nearby/area"
	"nearby/index"
	"nearby/internal/runs"
	"nearby/internal/topk"
	"nearby/internal/zorder"
	"nearby/item"
)

// The answers that a plan makes of the items that it has collected.

// listBlock is how many items of a list are compared at a time.
const listBlock = 256

// listNearest appends the nearest of the collected items, and completes the proof.
func (p *plan) listNearest(dst []index.Hit, q *index.Query, proof *index.Proof) []index.Hit {
	p.query = *q
	p.query.Filter, p.query.Skip = nil, nil // which all of them meet
	p.top.Reset(&p.query, &p.snapshot.records)
	used := 0
	for refs := p.refs; len(refs) > 0; {
		n := min(len(refs), listBlock)
		if run := p.block(used, refs[:n]); p.top.Scan(run, 0, n, area.Part) {
			used++
		}
		refs = refs[n:]
	}
	return p.top.Append(dst, math.Inf(1), true, proof)
}

// block returns the points of refs, of which there are listBlock at most, in block at.
func (p *plan) block(at int, refs []uint32) runs.Run {
	recs := p.recs[:len(refs)]
	p.snapshot.records.points(recs, refs)
	if at == len(p.blocks) {
		p.blocks = append(p.blocks, make(runs.Run, 0, runs.RunWords(listBlock)))
	}
	p.blocks[at], _ = p.blocks[at].Pack(recs)
	return p.blocks[at]
}

// listCounts counts the collected items that lie in the area of each of some queries and between its
// distances. visit, when not nil, is called with each of them.
func (p *plan) listCounts(dst []int, queries []index.Query, visit func(index.Ref)) {
	var few [8]topk.Counter
	counters := few[:0]
	for i := range queries {
		p.query = queries[i]
		p.query.Filter, p.query.Skip, p.query.Budget = nil, nil, 0
		counters = append(counters, topk.NewCounter(&p.query, visit, &p.snapshot.records))
	}
	for refs := p.refs; len(refs) > 0; {
		n := min(len(refs), listBlock)
		run := p.block(0, refs[:n])
		for i := range counters {
			counters[i].Scan(run, 0, n, area.Part)
		}
		refs = refs[n:]
	}
	for i := range counters {
		dst[i] = counters[i].N
	}
}

// listAfter appends the first of the collected items that follow the item named after in the
// order of Snapshot.List, limit at most. reached is the id of the last one if others follow.
func (p *plan) listAfter(dst []index.Ref, after string, limit int) (refs []index.Ref, reached string) {
	r, from := &p.snapshot.records, hashID(after)
	p.page = p.page[:0]
	var buf [item.MaxIDBytes]byte
	for _, ref := range p.refs {
		it := r.item(index.Ref(ref))
		hash := hashID(viewString(it.AppendID(buf[:0])))
		if after == "" || hash > from || hash == from && r.CompareID(index.Ref(ref), after) > 0 {
			p.page = append(p.page, entry{hash, index.Ref(ref)})
		}
	}
	sorted := sortEntries(r, p.page)
	for i, e := range sorted {
		if i == limit {
			return dst, r.ID(sorted[i-1].ref)
		}
		dst = append(dst, e.ref)
	}
	return dst, ""
}

// listWithin appends the first of the collected items that are in an area, in the order of
// index.Index.Range.
func (p *plan) listWithin(dst []index.Ref, q *index.RangeQuery) []index.Ref {
	r := &p.snapshot.records
	p.placed = p.placed[:0]
	for _, ref := range p.refs {
		lon, lat := r.Position(index.Ref(ref))
		key := zorder.Key(lon, lat)
		if a := q.After; a != nil && (key < a.ZKey || key == a.ZKey && r.CompareID(index.Ref(ref), a.ID) <= 0) {
			continue
		}
		if q.Area.Contains(lon, lat) {
			p.placed = append(p.placed, placed{key, index.Ref(ref)})
		}
	}
	slices.SortFunc(p.placed, func(a, b placed) int {
		if a.key != b.key {
			return cmp.Compare(a.key, b.key)
		}
		return r.CompareIDs(a.ref, b.ref)
	})
	for _, at := range p.placed[:min(q.Limit, len(p.placed))] {
		dst = append(dst, at.ref)
	}
	return dst
}

// placed is an item and its place on the Z-order curve.
type placed struct {
	key uint64
	ref index.Ref
}
