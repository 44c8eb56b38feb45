// Package indextest says what a spatial index must do, as code: an oracle that
// is right because it is simple, and a suite that every index.Builder has to
// pass against it.
//
// The Oracle scans all items, sorts the distances and knows nothing of cells,
// trees, chords or budgets. Run compares an index with it in named traps (the
// ways in which proximity searches are known to fail), in laws that hold
// whatever the data (rotation, mirroring, prefixes, paging), in random queries
// of which a fifth are extreme, and in random histories of batches, whose old
// versions are asked again later. Drive turns any byte string into such a
// history and runs it on several indexes at once, for the fuzzer.
//
// Every test that draws numbers prints its seed. Environment:
//
//	NEARBY_TEST_SEED     replays the run with that seed
//	NEARBY_TEST_QUERIES  number of random queries in all of one Run
//	NEARBY_TEST_OPS      number of random operations in all of one Run
package indextest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Seed returns the seed of a test's random numbers and prints it. The variable
// NEARBY_TEST_SEED replays a run.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("NEARBY_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("NEARBY_TEST_SEED: %v", err)
		}
	}
	t.Logf("NEARBY_TEST_SEED=%d", seed)
	return seed
}

// newRand returns the generator that belongs to a seed.
func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)) }

// count returns the number an environment variable sets, or the usual one.
func count(t testing.TB, name string, usual int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return usual
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number of at least 1", name, s)
	}
	return n
}
