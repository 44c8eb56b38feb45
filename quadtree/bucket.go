package quadtree

import (
	"slices"
	"sort"
	"sync"

	"nearby/index"
	"nearby/sphere"
)

// chunkSize is the greatest number of points in a chunk. A change copies one
// chunk and the list of chunks.
const chunkSize = 512

// bucket holds the points of a cell at the greatest depth, however many, in
// order of (ZKey, id).
type bucket struct {
	chunks []*chunk
	key    uint64 // of the cell
	count  int
	owner  uint64
	// same: all points have one vector and one key, so that they are in the
	// order of any Nearest answer. (At a pole one vector has many keys.) It may
	// be false although they have.
	same bool
}

// chunk is a part of a bucket and never empty.
type chunk struct {
	recs  []record
	keys  []uint64 // the ZKeys of recs
	box   sphere.Box
	same  bool // as in bucket
	owner uint64
}

// fillBucket makes a bucket of points in order of their keys.
func (g *grower) fillBucket(keys []keyed) *bucket {
	b := &bucket{key: prefix(keys[0].key, g.MaxDepth), count: len(keys), owner: g.owner, same: true}
	for lo := 0; lo < len(keys); {
		hi := lo + 1
		for hi < len(keys) && keys[hi].key == keys[lo].key {
			hi++
		}
		g.sortByID(keys[lo:hi])
		lo = hi
	}
	for part := range slices.Chunk(keys, chunkSize) {
		c := &chunk{recs: make([]record, len(part)), keys: make([]uint64, len(part)), owner: g.owner}
		for i, k := range part {
			c.recs[i], c.keys[i] = g.record(k.idx), k.key
		}
		c.measure()
		b.chunks = append(b.chunks, c)
		b.same = b.same && c.same && c.continues(b.chunks[0])
	}
	b.chunks = slices.Clip(b.chunks)
	return b
}

// sortByID orders points by the bytes of their ids, large sets in two halves at
// once.
func (g *grower) sortByID(keys []keyed) {
	compare := func(a, b keyed) int { return g.items.CompareIDs(g.ref(a.idx), g.ref(b.idx)) }
	if len(keys) < parallelFrom || g.spare == nil || slices.IsSortedFunc(keys, compare) {
		slices.SortFunc(keys, compare)
		return
	}
	left, right := keys[:len(keys)/2], keys[len(keys)/2:]
	var wg sync.WaitGroup
	wg.Go(func() { slices.SortFunc(left, compare) })
	slices.SortFunc(right, compare)
	wg.Wait()
	left = slices.Clone(left)
	for i := range keys {
		if len(left) == 0 {
			return
		}
		if len(right) == 0 || compare(left[0], right[0]) <= 0 {
			keys[i], left = left[0], left[1:]
		} else {
			keys[i], right = right[0], right[1:]
		}
	}
}

// measure sets what follows from the records.
func (c *chunk) measure() {
	c.box, c.same = boxOf(c.recs), true
	for i := range c.recs {
		c.same = c.same && c.recs[i].v == c.recs[0].v && c.keys[i] == c.keys[0]
	}
}

// continues reports whether c begins with the position that o begins with.
func (c *chunk) continues(o *chunk) bool {
	return c.recs[0].v == o.recs[0].v && c.keys[0] == o.keys[0]
}

func (b *bucket) bounds() sphere.Box {
	box := sphere.EmptyBox()
	for _, c := range b.chunks {
		box.Union(c.box)
	}
	return box
}

// search returns the first index in c that is not before (key, ref).
func (c *chunk) search(key uint64, ref index.Ref, items index.Items) int {
	return sort.Search(len(c.recs), func(i int) bool {
		if c.keys[i] != key {
			return c.keys[i] > key
		}
		return items.CompareIDs(c.recs[i].ref, ref) >= 0
	})
}

// locate returns the chunk that holds or would hold (key, ref), and where.
func (b *bucket) locate(key uint64, ref index.Ref, items index.Items) (ci, at int) {
	ci = sort.Search(len(b.chunks)-1, func(i int) bool {
		c := b.chunks[i]
		last := len(c.recs) - 1
		if c.keys[last] != key {
			return c.keys[last] > key
		}
		return items.CompareIDs(c.recs[last].ref, ref) >= 0
	})
	return ci, b.chunks[ci].search(key, ref, items)
}

// own returns the bucket, or a copy that the owner may edit.
func (b *bucket) own(owner uint64) *bucket {
	if b.owner == owner {
		return b
	}
	n := *b
	n.owner, n.chunks = owner, slices.Clone(b.chunks)
	return &n
}

// ownChunk returns chunk ci, or a copy that the owner of b may edit.
func (b *bucket) ownChunk(ci int) *chunk {
	c := b.chunks[ci]
	if c.owner != b.owner {
		n := *c
		n.owner = b.owner
		n.recs = append(make([]record, 0, len(c.recs)+1), c.recs...)
		n.keys = append(make([]uint64, 0, len(c.keys)+1), c.keys...)
		c = &n
		b.chunks[ci] = c
	}
	return c
}

// insert adds a point to a bucket that may be edited.
func (b *bucket) insert(key uint64, r record, items index.Items) {
	ci, at := b.locate(key, r.ref, items)
	c := b.ownChunk(ci)
	c.recs = slices.Insert(c.recs, at, r)
	c.keys = slices.Insert(c.keys, at, key)
	c.box.Extend(r.v)
	last := len(c.recs) - 1
	c.same = c.same && c.recs[0].v == c.recs[last].v && c.keys[0] == c.keys[last] &&
		c.recs[0].v == r.v && c.keys[0] == key
	b.same = b.same && c.same
	b.count++
	if len(c.recs) > chunkSize {
		half := len(c.recs) / 2
		right := &chunk{recs: slices.Clone(c.recs[half:]), keys: slices.Clone(c.keys[half:]), owner: b.owner}
		c.recs, c.keys = slices.Clone(c.recs[:half]), slices.Clone(c.keys[:half])
		c.measure()
		right.measure()
		b.chunks = slices.Insert(b.chunks, ci+1, right)
	}
}

// remove takes a point out of a bucket that may be edited. It reports whether
// the point was there and whether the bucket's box may have shrunk.
func (b *bucket) remove(key uint64, r record, items index.Items) (found, shrunk bool) {
	ci, at := b.locate(key, r.ref, items)
	if c := b.chunks[ci]; at == len(c.recs) || c.recs[at] != r {
		return false, false
	}
	c := b.ownChunk(ci)
	c.recs = slices.Delete(c.recs, at, at+1)
	c.keys = slices.Delete(c.keys, at, at+1)
	b.count--
	switch {
	case len(c.recs) == 0:
		b.chunks = slices.Delete(b.chunks, ci, ci+1)
		return true, true
	case !c.same:
		c.measure()
		shrunk = true
	}
	// Chunks that deletes left small join, so that their number stays in
	// proportion to the points.
	if ci+1 < len(b.chunks) && len(c.recs)+len(b.chunks[ci+1].recs) <= chunkSize/2 {
		next := b.chunks[ci+1]
		c.recs = append(c.recs, next.recs...)
		c.keys = append(c.keys, next.keys...)
		c.measure()
		b.chunks = slices.Delete(b.chunks, ci+1, ci+2)
	}
	return true, shrunk
}

// records returns a copy of all records.
func (b *bucket) records() []record {
	recs := make([]record, 0, b.count)
	for _, c := range b.chunks {
		recs = append(recs, c.recs...)
	}
	return recs
}
