//go:build !amd64 || purego

package index

import "nearby/sphere"

func scan(r Run, lo, hi int, centre *sphere.Vec, limit float64, out *[scanPoints]float64) uint64 {
	return scanPortable(r, lo, hi, centre, limit, out)
}

// Prefetch asks for the memory of the points lo to hi-1, lo < hi, which a search is
// about to scan.
func (r Run) Prefetch(lo, hi int) {}
