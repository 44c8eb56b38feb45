package geohash

import (
	"sort"

	"nearby/index"
	"nearby/sphere"
)

const (
	chunkPoints = 512 // greatest number of points in a chunk
	fusePoints  = 256 // neighbouring chunks with no more points become one
)

// bigCell keeps the points of a cell in the order of (ZKey, id).
type bigCell struct {
	owner  *owner
	chunks []chunk
	// one says that all points are at one place, as far as is known.
	one bool
}

// chunk is a run of points and what a search needs to know to pass it by.
type chunk struct {
	box  sphere.Box
	one  bool // all points are at one place
	rows *rows
}

// rows has the points of a chunk.
type rows struct {
	owner *owner
	keys  []uint64
	vecs  []sphere.Vec
	refs  []index.Ref
}

// newChunk describes rows.
func newChunk(r *rows) chunk {
	c := chunk{box: boxOf(r.vecs), one: true, rows: r}
	for _, v := range r.vecs {
		if v != r.vecs[0] {
			c.one = false
			break
		}
	}
	return c
}

// newBigCell makes a cell of rows that are in order.
func newBigCell(o *owner, all rows) *bigCell {
	b := &bigCell{owner: o}
	for lo := 0; lo < len(all.keys); lo += chunkPoints {
		hi := min(lo+chunkPoints, len(all.keys))
		b.chunks = append(b.chunks, newChunk(&rows{
			owner: o,
			keys:  append([]uint64(nil), all.keys[lo:hi]...),
			vecs:  append([]sphere.Vec(nil), all.vecs[lo:hi]...),
			refs:  append([]index.Ref(nil), all.refs[lo:hi]...),
		}))
	}
	b.one = b.isOne()
	return b
}

func (b *bigCell) isOne() bool {
	for i := range b.chunks {
		if !b.chunks[i].one || b.chunks[i].rows.vecs[0] != b.chunks[0].rows.vecs[0] {
			return false
		}
	}
	return true
}

func (b *bigCell) box() sphere.Box {
	box := sphere.EmptyBox()
	for i := range b.chunks {
		box.Union(b.chunks[i].box)
	}
	return box
}

// seek returns the chunk and the row in it of the first point for which after is
// true, given that it is false for the points before; (len(chunks), 0) if it is
// false for all.
func (b *bigCell) seek(after func(r *rows, i int) bool) (int, int) {
	c := sort.Search(len(b.chunks), func(c int) bool {
		r := b.chunks[c].rows
		return after(r, len(r.keys)-1)
	})
	if c == len(b.chunks) {
		return c, 0
	}
	r := b.chunks[c].rows
	return c, sort.Search(len(r.keys)-1, func(i int) bool { return after(r, i) })
}

// own returns the chunk's rows for editing.
func (b *bigCell) own(o *owner, c int) *rows {
	r := b.chunks[c].rows
	if r.owner != o {
		r = &rows{
			owner: o,
			keys:  grown(r.keys),
			vecs:  grown(r.vecs),
			refs:  grown(r.refs),
		}
		b.chunks[c].rows = r
	}
	return r
}

// grown copies s and leaves a little room.
func grown[T any](s []T) []T {
	return append(make([]T, 0, len(s)+len(s)/16+2), s...)
}

// insert adds a point. The cell must be owned.
func (b *bigCell) insert(o *owner, key uint64, v sphere.Vec, ref index.Ref, items index.Items) {
	c, i := b.seek(func(r *rows, i int) bool {
		return r.keys[i] > key || r.keys[i] == key && items.CompareIDs(r.refs[i], ref) > 0
	})
	if c == len(b.chunks) {
		c--
		i = len(b.chunks[c].rows.keys)
	}
	r := b.own(o, c)
	ch := &b.chunks[c]
	b.one = b.one && v == r.vecs[0]
	ch.one = ch.one && v == r.vecs[0]
	r.keys = insertAt(r.keys, i, key)
	r.vecs = insertAt(r.vecs, i, v)
	r.refs = insertAt(r.refs, i, ref)
	ch.box.Extend(v)
	if n := len(r.keys); n > chunkPoints {
		half := &rows{owner: o, keys: grown(r.keys[n/2:]), vecs: grown(r.vecs[n/2:]), refs: grown(r.refs[n/2:])}
		r.keys, r.vecs, r.refs = r.keys[:n/2], r.vecs[:n/2], r.refs[:n/2]
		b.chunks[c] = newChunk(r)
		b.chunks = insertAt(b.chunks, c+1, newChunk(half))
	}
}

// delete removes a point, and reports false if it is not there. The cell must be
// owned.
func (b *bigCell) delete(o *owner, key uint64, v sphere.Vec, ref index.Ref, items index.Items) bool {
	c, i := b.seek(func(r *rows, i int) bool {
		return r.keys[i] > key || r.keys[i] == key && items.CompareIDs(r.refs[i], ref) >= 0
	})
	if c == len(b.chunks) || b.chunks[c].rows.refs[i] != ref || b.chunks[c].rows.vecs[i] != v {
		return false
	}
	r := b.own(o, c)
	r.keys = deleteAt(r.keys, i)
	r.vecs = deleteAt(r.vecs, i)
	r.refs = deleteAt(r.refs, i)
	if len(r.keys) == 0 {
		b.chunks = deleteAt(b.chunks, c)
		return true
	}
	b.chunks[c] = newChunk(r)
	if c+1 < len(b.chunks) && len(r.keys)+len(b.chunks[c+1].rows.keys) <= fusePoints {
		next := b.chunks[c+1].rows
		r.keys = append(r.keys, next.keys...)
		r.vecs = append(r.vecs, next.vecs...)
		r.refs = append(r.refs, next.refs...)
		b.chunks = deleteAt(b.chunks, c+1)
		b.chunks[c] = newChunk(r)
	}
	return true
}

func insertAt[T any](s []T, i int, v T) []T {
	s = append(s, v)
	copy(s[i+1:], s[i:])
	s[i] = v
	return s
}

func deleteAt[T any](s []T, i int) []T { return append(s[:i], s[i+1:]...) }
