//go:build !purego

package topk

import (
	"golang.org/x/sys/cpu"

	"nearby/internal/runs"
	"nearby/sphere"
)

var hasSIMD = cpu.X86.HasAVX2

// simdAVX2 offers to f the n points whose coordinates begin at x, stride words
// apart. Point i has the id id+i. It returns foundTie, and the point to go on
// with, when f cannot tell what the answer needs.
//
//go:noescape
func simdAVX2(f *simd, x *uint64, stride, n int, centre *sphere.Vec, id uint64) (next int, found uint8)

// scan offers the points lo to hi-1 of a run, lo < hi.
func (f *simd) scan(r runs.Run, lo, hi int, centre *sphere.Vec, run int) (next int, found uint8) {
	n := r.Len()
	_ = r[:n][lo:hi:n]
	next, found = simdAVX2(f, &r[lo], n, hi-lo, centre, uint64(run)<<32|uint64(lo))
	return lo + next, found
}
