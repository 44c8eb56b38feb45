//go:build race

package quadtree_test

// raceEnabled: the race detector makes sync.Pool drop scratch memory at random.
const raceEnabled = true
