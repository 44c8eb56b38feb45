// Package bucket keeps the points of one cell when they are many: more than a
// leaf takes at the quadtree's greatest depth, or than a page of the grid holds
// for one cell.
//
// They are in the order of (ZKey, id), in chunks of bounded size, so that a
// batch copies the chunks that it touches and the list of chunks. Where all points are at one
// place, that order is the one of every answer: a million equal points cost a
// search no more than the k that it wants, and the place where a page begins is
// found by halving.
//
// A Bucket does not change; Apply makes another one.
package bucket

import (
	"sort"
	"unsafe"

	"nearby/index"
	"nearby/internal/runs"
	"nearby/sphere"
)

const (
	chunkPoints = 128 // greatest number of points in a chunk
	fusePoints  = 64  // neighbouring chunks with no more become one
)

// Bucket is the points of one cell. None that is searched is empty.
type Bucket struct {
	chunks []*chunk
	count  int
	// same: all points have one vector and one ZKey, so that they are in the
	// order of any Nearest answer. (At a pole one vector has many keys.) It may
	// be false although they have.
	same bool
}

// chunk is a part of a bucket and never empty.
type chunk struct {
	run  runs.Run
	keys []uint64 // the ZKeys of the points
	box  sphere.Box
	same bool // as in Bucket
}

// New makes a bucket of points in order of (ZKey, id). It takes over keys.
func New(keys []uint64, recs []runs.Record) *Bucket {
	b := &Bucket{count: len(recs), same: true}
	b.chunks = make([]*chunk, 0, (len(recs)+chunkPoints-1)/chunkPoints)
	for lo := 0; lo < len(recs); lo += chunkPoints {
		hi := min(lo+chunkPoints, len(recs))
		c := &chunk{keys: keys[lo:hi:hi]}
		c.run, c.box = c.run.Pack(recs[lo:hi])
		c.same = c.alike()
		b.chunks = append(b.chunks, c)
		b.same = b.same && c.same && c.continues(b.chunks[0])
	}
	return b
}

// alike reports whether all points have one vector and one ZKey.
func (c *chunk) alike() bool {
	first := c.run.Vec(0)
	for i := range c.keys {
		if c.keys[i] != c.keys[0] || c.run.Vec(i) != first {
			return false
		}
	}
	return true
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
func (b *Bucket) Append(dst []runs.Record) []runs.Record {
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
