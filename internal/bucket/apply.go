package bucket

import (
	"cmp"
	"slices"
	"sort"

	"nearby/index"
	"nearby/internal/batch"
	"nearby/internal/runs"
)

// Apply returns a bucket with the edits made, all of them in its cell and in
// order of their keys. It may be empty, or have few points. Of a point that is
// to go and is not there the batch learns.
func (b *Bucket) Apply(edits []batch.Edit, items index.Items, all *batch.Batch) *Bucket {
	for lo, hi := 0, 0; lo < len(edits); lo = hi {
		for hi = lo + 1; hi < len(edits) && edits[hi].Key == edits[lo].Key; hi++ {
		}
		slices.SortStableFunc(edits[lo:hi], func(x, y batch.Edit) int { return items.CompareIDs(x.Ref, y.Ref) })
	}
	to := &Bucket{chunks: make([]*chunk, 0, len(b.chunks)+1), same: b.same}
	ci, last := 0, len(b.chunks)-1
	for ; len(edits) > 0; ci++ {
		// The first chunk that does not end before the edit, or the last one.
		before := func(c *chunk, e *batch.Edit) bool { return c.compare(c.len()-1, e, items) < 0 }
		skip := 0
		if ci < last && before(b.chunks[ci], &edits[0]) {
			skip = sort.Search(last-ci, func(i int) bool { return !before(b.chunks[ci+i], &edits[0]) })
		}
		for _, c := range b.chunks[ci : ci+skip] {
			to.add(c)
		}
		ci += skip
		n := len(edits)
		if ci < last {
			n = sort.Search(n, func(i int) bool { return before(b.chunks[ci], &edits[i]) })
		}
		for _, c := range b.chunks[ci].apply(edits[:n], items, all) {
			to.same = to.same && c.same && (len(to.chunks) == 0 || c.continues(to.chunks[0]))
			to.add(c)
		}
		edits = edits[n:]
	}
	for _, c := range b.chunks[ci:] {
		to.add(c)
	}
	return to
}

// add appends a chunk. Chunks that have few points join, so that their number
// stays in proportion to the points.
func (b *Bucket) add(c *chunk) {
	b.count += c.len()
	last := len(b.chunks) - 1
	if last < 0 || b.chunks[last].len()+c.len() > fusePoints {
		b.chunks = append(b.chunks, c)
		return
	}
	o := b.chunks[last]
	n := o.len() + c.len()
	both := &chunk{run: make(runs.Run, runs.RunWords(n)), keys: slices.Concat(o.keys, c.keys), box: o.box}
	both.run.Copy(0, o.run, 0, o.len())
	both.run.Copy(o.len(), c.run, 0, c.len())
	both.box.Union(c.box)
	both.same = o.same && c.same && c.continues(o)
	b.chunks[last] = both
}

// compare orders point i and the point of an edit.
func (c *chunk) compare(i int, e *batch.Edit, items index.Items) int {
	if c.keys[i] != e.Key {
		return cmp.Compare(c.keys[i], e.Key)
	}
	return items.CompareIDs(c.run.Ref(i), e.Ref)
}

// apply returns the chunks that edits, in order, make of one.
func (c *chunk) apply(edits []batch.Edit, items index.Items, all *batch.Batch) []*chunk {
	// The places of the edits, -1 for those that cannot be made.
	places := make([]int, len(edits))
	at, size, same := 0, c.len(), c.same
	for i := range edits {
		e := &edits[i]
		at += sort.Search(c.len()-at, func(j int) bool { return c.compare(at+j, e, items) >= 0 })
		places[i] = at
		switch {
		case !e.Gone:
			same = same && e.Key == c.keys[0] && e.V == c.run.Vec(0)
			size++
		case at < c.len() && c.run.Record(at) == e.Record:
			size--
		default:
			all.Missing(e)
			places[i] = -1
		}
	}
	if size == 0 {
		return nil
	}
	n := &chunk{run: make(runs.Run, runs.RunWords(size)), keys: make([]uint64, 0, size)}
	from := 0 // those before have been copied or have gone
	copyTo := func(to int) {
		n.run.Copy(len(n.keys), c.run, from, to)
		n.keys, from = append(n.keys, c.keys[from:to]...), to
	}
	for i, at := range places {
		if at < 0 {
			continue
		}
		if at > from {
			copyTo(at)
		}
		if e := &edits[i]; e.Gone {
			from = at + 1
		} else {
			n.run.Set(len(n.keys), e.Record)
			n.keys = append(n.keys, e.Key)
		}
	}
	copyTo(c.len())
	if size <= chunkPoints {
		n.box, n.same = c.box, same || n.alike()
		if !same {
			n.box = n.run.Box(0, size)
		}
		return []*chunk{n}
	}
	parts := make([]*chunk, (size+chunkPoints-1)/chunkPoints)
	for i := range parts {
		lo, hi := size*i/len(parts), size*(i+1)/len(parts)
		p := &chunk{run: make(runs.Run, runs.RunWords(hi-lo)), keys: slices.Clone(n.keys[lo:hi]), box: n.run.Box(lo, hi)}
		p.run.Copy(0, n.run, lo, hi)
		p.same = same || p.alike()
		parts[i] = p
	}
	return parts
}
