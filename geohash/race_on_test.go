//go:build race

package geohash_test

// The race detector makes everything ten times as long.
const (
	raceEnabled  = true
	sparsePoints = 100_000
)

// precisions for the suite.
var precisions = []int{0, 7}
