//go:build !purego

package runs

import (
	"golang.org/x/sys/cpu"

	"nearby/sphere"
)

// scanAVX is scanPortable of n points, 4 to 64, whose coordinates begin at x,
// stride words apart.
//
//go:noescape
func scanAVX(x *uint64, stride, n int, centre *sphere.Vec, limit float64, out *float64) (near uint64)

var hasAVX = cpu.X86.HasAVX

// Scan puts the squared chords from the centre to the points lo to hi-1 into out, at most
// ScanMost, and returns which of them are at most limit: bit i for point lo+i. It looks at
// four points at a time where the processor can.
func (r Run) Scan(lo, hi int, centre *sphere.Vec, limit float64, out *[ScanMost]float64) uint64 {
	n := r.Len()
	if !hasAVX || hi-lo < 4 {
		return scanPortable(r, lo, hi, centre, limit, out)
	}
	_ = r[:n][lo:hi:n]
	return scanAVX(&r[lo], n, hi-lo, centre, limit, &out[0])
}

//go:noescape
func prefetch(x *uint64, stride, n int)

// Prefetch asks for the memory of the points lo to hi-1, lo < hi, which a search is
// about to scan.
func (r Run) Prefetch(lo, hi int) {
	n := r.Len()
	_ = r[:n][lo:hi:n]
	prefetch(&r[lo], n, hi-lo)
}
