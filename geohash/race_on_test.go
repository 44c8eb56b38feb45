//go:build race

package geohash_test

// precisions for the suite: the race detector makes a run ten times as long.
var precisions = []int{0, 7, 30}
