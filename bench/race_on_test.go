//go:build race

package bench

// raceDetector: sync.Pool drops what it is given at random then.
const raceDetector = true
