//go:build !race

package geohash_test

const (
	raceEnabled  = false
	sparsePoints = 1_000_000
)

// precisions for the suite: chosen, far too coarse, odd and even, far too fine.
var precisions = []int{0, 2, 7, 13, 20, 26, 30, 31, 45, 60, 63, 64}
