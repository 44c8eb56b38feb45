// Package runs is the memory in which indexes keep points, and how they are scanned and
// sorted.
package runs

import (
	"math"

	"nearby/index"
	"nearby/sphere"
)

// Record is a point as indexes keep it.
type Record struct {
	V   sphere.Vec
	Ref index.Ref
}

// Run is points packed for searches: what a leaf, a cell or a chunk of either
// index holds. It has no pointers and is one piece of memory of 28 bytes a point:
//
//	n words        x of the unit vectors, as float64
//	n words        y
//	n words        z
//	(n+1)/2 words  refs, two to a word
//
// So a scan reads its memory from front to back, and several points can be
// compared at once. The number of points follows from the length.
type Run []uint64

// RunWords returns the length of a run of n points.
func RunWords(n int) int { return 3*n + (n+1)/2 }

// BoxOf returns the tight box of the records.
func BoxOf(recs []Record) sphere.Box {
	b := sphere.EmptyBox()
	if len(recs) == 0 {
		return b
	}
	lo, hi := recs[0].V, recs[0].V
	for i := 1; i < len(recs); i++ {
		v := &recs[i].V
		lo = sphere.Vec{X: min(lo.X, v.X), Y: min(lo.Y, v.Y), Z: min(lo.Z, v.Z)}
		hi = sphere.Vec{X: max(hi.X, v.X), Y: max(hi.Y, v.Y), Z: max(hi.Z, v.Z)}
	}
	b.Extend(lo)
	b.Extend(hi)
	return b
}

// Pack writes a run of the records and returns it with their box. It uses the
// memory of r if that suffices; nobody else may be reading it then.
func (r Run) Pack(recs []Record) (Run, sphere.Box) {
	n := len(recs)
	if words := RunWords(n); cap(r) >= words {
		r = r[:words]
	} else {
		r = make(Run, words)
	}
	x, y, z, refs := r.parts()
	for i := range recs {
		v := &recs[i].V
		x[i], y[i], z[i] = math.Float64bits(v.X), math.Float64bits(v.Y), math.Float64bits(v.Z)
	}
	for i := range refs {
		refs[i] = uint64(recs[2*i].Ref)
		if 2*i+1 < n {
			refs[i] |= uint64(recs[2*i+1].Ref) << 32
		}
	}
	return r, BoxOf(recs)
}

// parts returns the four parts of a run.
func (r Run) parts() (x, y, z, refs []uint64) {
	n := r.Len()
	return r[:n:n], r[n : 2*n : 2*n], r[2*n : 3*n : 3*n], r[3*n:]
}

// Len returns the number of points.
func (r Run) Len() int { return len(r) * 2 / 7 }

// Vec returns the unit vector of point i.
func (r Run) Vec(i int) sphere.Vec {
	n := r.Len()
	return sphere.Vec{
		X: math.Float64frombits(r[i]),
		Y: math.Float64frombits(r[n+i]),
		Z: math.Float64frombits(r[2*n+i]),
	}
}

// Ref returns the ref of point i.
func (r Run) Ref(i int) index.Ref { return index.Ref(r[3*r.Len()+i/2] >> (i & 1 * 32)) }

// Refs puts the refs of the points lo to hi-1 into out, at most ScanMost.
func (r Run) Refs(lo, hi int, out *[ScanMost]index.Ref) {
	refs := r[3*r.Len():]
	for i := lo; i < hi; i++ {
		out[i-lo] = index.Ref(refs[i/2] >> (i & 1 * 32))
	}
}

// Chord2 returns the squared chord from the centre to point i, which is that of Scan.
func (r Run) Chord2(i int, centre *sphere.Vec) float64 {
	v := r.Vec(i)
	dx, dy, dz := v.X-centre.X, v.Y-centre.Y, v.Z-centre.Z
	return float64(dx*dx) + float64(dy*dy) + float64(dz*dz)
}

// Record returns point i.
func (r Run) Record(i int) Record { return Record{r.Vec(i), r.Ref(i)} }

// Append appends all points to dst.
func (r Run) Append(dst []Record) []Record {
	for i := range r.Len() {
		dst = append(dst, r.Record(i))
	}
	return dst
}

// Find returns the place of a record among the points lo to hi-1, or -1.
func (r Run) Find(lo, hi int, rec Record) int {
	_, _, _, refs := r.parts()
	for i := lo; i < hi; i++ {
		if index.Ref(refs[i/2]>>(i&1*32)) == rec.Ref && r.Vec(i) == rec.V {
			return i
		}
	}
	return -1
}

// Box returns the tight box of the points lo to hi-1.
func (r Run) Box(lo, hi int) sphere.Box {
	b := sphere.EmptyBox()
	if lo >= hi {
		return b
	}
	x, y, z, _ := r.parts()
	var least, most sphere.Vec
	least.X, most.X = span(x[lo:hi])
	least.Y, most.Y = span(y[lo:hi])
	least.Z, most.Z = span(z[lo:hi])
	b.Extend(least)
	b.Extend(most)
	return b
}

// span returns the least and the greatest of some coordinates.
func span(words []uint64) (least, most float64) {
	least = math.Float64frombits(words[0])
	most = least
	for _, w := range words[1:] {
		v := math.Float64frombits(w)
		if v < least {
			least = v
		} else if v > most {
			most = v
		}
	}
	return least, most
}

// Set puts a record in the place of point i. Nobody else may be reading the run.
func (r Run) Set(i int, rec Record) {
	n := r.Len()
	r[i], r[n+i], r[2*n+i] = math.Float64bits(rec.V.X), math.Float64bits(rec.V.Y), math.Float64bits(rec.V.Z)
	r.setRef(i, rec.Ref)
}

func (r Run) setRef(i int, ref index.Ref) {
	shift := i & 1 * 32
	w := &r[3*r.Len()+i/2]
	*w = *w&^(math.MaxUint32<<shift) | uint64(ref)<<shift
}

// Copy makes the points from at on those from lo to hi-1 of another run. Nobody
// else may be reading r.
func (r Run) Copy(at int, from Run, lo, hi int) {
	n, m := r.Len(), from.Len()
	for axis := range 3 {
		copy(r[axis*n+at:(axis+1)*n], from[axis*m+lo:axis*m+hi])
	}
	if lo < hi && at&1 == 1 {
		r.setRef(at, from.Ref(lo))
		at, lo = at+1, lo+1
	}
	to, refs := r[3*n+at/2:], from[3*m+lo/2:]
	words := (hi - lo) / 2
	if lo&1 == 0 {
		copy(to, refs[:max(0, words)])
	} else {
		for i := range words {
			to[i] = refs[i]>>32 | refs[i+1]<<32
		}
	}
	if (hi-lo)&1 == 1 {
		r.setRef(at+hi-lo-1, from.Ref(hi-1))
	}
}
