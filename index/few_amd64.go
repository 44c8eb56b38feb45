//go:build !purego

package index

import (
	"golang.org/x/sys/cpu"

	"nearby/sphere"
)

var hasFew = cpu.X86.HasAVX2

// fewAVX2 offers to f the n points whose coordinates begin at x, stride words
// apart. Point i has the id id+i. It returns foundTie, and the point to go on
// with, when f cannot tell what the answer needs.
//
//go:noescape
func fewAVX2(f *few, x *uint64, stride, n int, centre *sphere.Vec, id uint64) (next int, found uint8)

// scan offers the points lo to hi-1 of a run, lo < hi.
func (f *few) scan(r Run, lo, hi int, centre *sphere.Vec, run int) (next int, found uint8) {
	n := r.Len()
	_ = r[:n][lo:hi:n]
	next, found = fewAVX2(f, &r[lo], n, hi-lo, centre, uint64(run)<<32|uint64(lo))
	return lo + next, found
}
