//go:build race

package geohash_test

// The race detector makes everything ten times as long.
const (
	raceEnabled  = true
	sparsePoints = 100_000
)

// precisions for the suite: one at which big cells and small ones both occur.
var precisions = []int{7}
