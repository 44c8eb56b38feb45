// Package bucket keeps the points of one cell when they are many: more than a
// leaf takes at the quadtree's greatest depth, or than a page of the grid holds
// for one cell.
//
// They are in the order of (ZKey, id), in chunks of bounded size, so that an
// insert copies one chunk and the list of chunks. Where all points are at one
// place, that order is the one of every answer: a million equal points cost a
// search no more than the k that it wants, and the place where a page begins is
// found by halving.
//
// A Bucket belongs to whoever's tag it bears and may be edited by that batch
// alone. Readers need no lock: an owner that is not the tag's copies first (Own).
package bucket

import (
	"slices"
	"sort"
	"unsafe"

	"nearby/index"
	"nearby/sphere"
)

const (
	chunkPoints = 512 // greatest number of points in a chunk
	fusePoints  = 256 // neighbouring chunks with no more become one
)

// Bucket is the points of one cell. It is never empty.
type Bucket struct {
	chunks []*chunk
	count  int
	owner  uint64
	// same: all points have one vector and one ZKey, so that they are in the
	// order of any Nearest answer. (At a pole one vector has many keys.) It may
	// be false although they have.
	same bool
}

// chunk is a part of a bucket and never empty.
type chunk struct {
	run   index.Run
	keys  []uint64 // the ZKeys of the points
	box   sphere.Box
	same  bool // as in Bucket
	owner uint64
}

// New makes a bucket of points in order of (ZKey, id). It takes over keys.
func New(owner uint64, keys []uint64, recs []index.Record) *Bucket {
	b := &Bucket{count: len(recs), owner: owner, same: true}
	b.chunks = make([]*chunk, 0, (len(recs)+chunkPoints-1)/chunkPoints)
	for lo := 0; lo < len(recs); lo += chunkPoints {
		hi := min(lo+chunkPoints, len(recs))
		c := newChunk(owner, keys[lo:hi:hi], recs[lo:hi])
		b.chunks = append(b.chunks, c)
		b.same = b.same && c.same && c.continues(b.chunks[0])
	}
	return b
}

func newChunk(owner uint64, keys []uint64, recs []index.Record) *chunk {
	c := &chunk{owner: owner}
	c.set(keys, recs)
	return c
}

// set makes the points those given.
func (c *chunk) set(keys []uint64, recs []index.Record) {
	c.run, c.box = c.run.Pack(recs)
	c.keys, c.same = keys, true
	for i := range recs {
		c.same = c.same && recs[i].V == recs[0].V && keys[i] == keys[0]
	}
}

// continues reports whether c begins with the position that o begins with.
func (c *chunk) continues(o *chunk) bool {
	return c.keys[0] == o.keys[0] && c.run.Vec(0) == o.run.Vec(0)
}

func (c *chunk) len() int { return len(c.keys) }

// Key returns the ZKey of one of the points.
func (b *Bucket) Key() uint64 { return b.chunks[0].keys[0] }

// Len returns the number of points.
func (b *Bucket) Len() int { return b.count }

// Box returns the tight box of the points.
func (b *Bucket) Box() sphere.Box {
	box := sphere.EmptyBox()
	for _, c := range b.chunks {
		box.Union(c.box)
	}
	return box
}

// Append appends all points to dst.
func (b *Bucket) Append(dst []index.Record) []index.Record {
	for _, c := range b.chunks {
		dst = c.run.Append(dst)
	}
	return dst
}

// Bytes returns the memory that the bucket takes.
func (b *Bucket) Bytes() int64 {
	n := int64(unsafe.Sizeof(*b)) + int64(cap(b.chunks))*int64(unsafe.Sizeof(b.chunks[0]))
	for _, c := range b.chunks {
		n += int64(unsafe.Sizeof(*c)) + 8*int64(cap(c.run)+cap(c.keys))
	}
	return n
}

// Own returns the bucket, or a copy that the owner may edit.
func (b *Bucket) Own(owner uint64) *Bucket {
	if b.owner == owner {
		return b
	}
	n := *b
	n.owner, n.chunks = owner, slices.Clone(b.chunks)
	return &n
}

// ownChunk makes chunk ci one that the owner of b may edit.
func (b *Bucket) ownChunk(ci int) *chunk {
	c := b.chunks[ci]
	if c.owner != b.owner {
		c = &chunk{keys: slices.Clone(c.keys), box: c.box, same: c.same, owner: b.owner, run: slices.Clone(c.run)}
		b.chunks[ci] = c
	}
	return c
}

// locate returns the chunk that holds or would hold (key, ref), and where in it.
func (b *Bucket) locate(key uint64, ref index.Ref, items index.Items) (ci, at int) {
	notBefore := func(c *chunk, i int) bool {
		if c.keys[i] != key {
			return c.keys[i] > key
		}
		return items.CompareIDs(c.run.Ref(i), ref) >= 0
	}
	ci = sort.Search(len(b.chunks)-1, func(i int) bool { return notBefore(b.chunks[i], b.chunks[i].len()-1) })
	c := b.chunks[ci]
	return ci, sort.Search(c.len(), func(i int) bool { return notBefore(c, i) })
}

// Insert adds a point to a bucket that the caller owns.
func (b *Bucket) Insert(key uint64, rec index.Record, items index.Items) {
	ci, at := b.locate(key, rec.Ref, items)
	c := b.ownChunk(ci)
	recs := slices.Insert(c.run.Append(make([]index.Record, 0, c.len()+1)), at, rec)
	keys := slices.Insert(c.keys, at, key)
	b.count++
	if half := len(recs) / 2; len(recs) > chunkPoints {
		right := newChunk(b.owner, slices.Clone(keys[half:]), recs[half:])
		b.chunks = slices.Insert(b.chunks, ci+1, right)
		recs, keys = recs[:half], keys[:half]
		b.same = b.same && right.same && right.continues(b.chunks[0])
	}
	c.set(keys, recs)
	b.same = b.same && c.same && c.continues(b.chunks[0])
}

// Remove takes a point out of a bucket of at least two that the caller owns. It
// reports whether the point was there and whether the box may have shrunk.
func (b *Bucket) Remove(key uint64, rec index.Record, items index.Items) (found, shrunk bool) {
	ci, at := b.locate(key, rec.Ref, items)
	if c := b.chunks[ci]; at == c.len() || c.run.Record(at) != rec {
		return false, false
	}
	c := b.ownChunk(ci)
	b.count--
	if c.len() == 1 {
		b.chunks = slices.Delete(b.chunks, ci, ci+1)
		return true, true
	}
	shrunk = !c.same
	recs, keys := slices.Delete(c.run.Append(nil), at, at+1), slices.Delete(c.keys, at, at+1)
	// Chunks that deletes left small join, so that their number stays in
	// proportion to the points.
	if ci+1 < len(b.chunks) && len(recs)+b.chunks[ci+1].len() <= fusePoints {
		next := b.chunks[ci+1]
		recs, keys = next.run.Append(recs), append(keys, next.keys...)
		b.chunks = slices.Delete(b.chunks, ci+1, ci+2)
	}
	c.set(keys, recs)
	return true, shrunk
}

// Walk calls yield for the points in order, from the first one that follows,
// until yield returns false; it reports whether it came to the end. follows must
// be false up to some point and true from there on.
func (b *Bucket) Walk(follows func(key uint64, ref index.Ref) bool, yield func(key uint64, ref index.Ref) bool) bool {
	first := sort.Search(len(b.chunks), func(i int) bool {
		c := b.chunks[i]
		return follows(c.keys[c.len()-1], c.run.Ref(c.len()-1))
	})
	for _, c := range b.chunks[first:] {
		from := sort.Search(c.len(), func(i int) bool { return follows(c.keys[i], c.run.Ref(i)) })
		for i := from; i < c.len(); i++ {
			if !yield(c.keys[i], c.run.Ref(i)) {
				return false
			}
		}
	}
	return true
}
