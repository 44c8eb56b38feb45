//go:build race

package api_test

// raceEnabled: the race detector makes sync.Pool drop scratch memory at random.
const raceEnabled = true
