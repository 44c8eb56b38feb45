//go:build !amd64 || purego

package runs

import (
	"nearby/sphere"
)

// Scan puts the squared chords from the centre to the points lo to hi-1 into out, at most
// ScanMost, and returns which of them are at most limit: bit i for point lo+i.
func (r Run) Scan(lo, hi int, centre *sphere.Vec, limit float64, out *[ScanMost]float64) uint64 {
	return scanPortable(r, lo, hi, centre, limit, out)
}

// Prefetch asks for the memory of the points lo to hi-1, lo < hi, which a search is
// about to scan.
func (r Run) Prefetch(lo, hi int) {}
