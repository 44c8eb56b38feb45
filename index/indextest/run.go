package indextest

import (
	"testing"

	"nearby/index"
)

// Run runs the whole suite on the indexes that a builder makes. It is meant to
// be called once for each set of options worth testing.
func Run(t *testing.T, builder index.Builder) {
	seed := Seed(t)
	t.Run("Traps", func(t *testing.T) { testTraps(t, builder) })
	t.Run("G12/Laws", func(t *testing.T) { testLaws(t, builder, seed) })
	t.Run("Pages", func(t *testing.T) { testPages(t, builder, seed) })
	t.Run("SpelledPoles", func(t *testing.T) { testSpelledPoles(t, builder) })
	t.Run("Budgets", func(t *testing.T) { testBudgets(t, builder, seed) })
	t.Run("Millimetres", func(t *testing.T) { testMillimetres(t, builder, seed) })
	t.Run("Invalid", func(t *testing.T) { testInvalid(t, builder) })
	t.Run("Readers", func(t *testing.T) { testReaders(t, builder, seed) })
	t.Run("Refused", func(t *testing.T) { testRefused(t, builder, seed) })
	t.Run("G22/History", func(t *testing.T) { testHistory(t, builder, seed) })
	t.Run("Random", func(t *testing.T) { testRandom(t, builder, seed) })
}

// testRandom asks random questions of random items, from none to many.
func testRandom(t *testing.T, builder index.Builder, seed uint64) {
	queries := count(t, "NEARBY_TEST_QUERIES", 3000)
	sizes := []int{0, 1, 2, 17, 150, 600}
	for i, n := range sizes {
		g := newGenerator(seed + uint64(i))
		v, err := build(builder, g.someItems(n))
		if err != nil {
			t.Fatalf("%d items: %v", n, err)
		}
		if err := v.check(); err != nil {
			t.Errorf("%d items: %v", n, err)
		}
		for range queries / len(sizes) {
			if g.IntN(4) == 0 {
				_, err = v.inRange(g.rangeQuery(v))
			} else {
				_, err = v.nearest(g.query(v))
			}
			if err != nil {
				t.Fatalf("%d items: %v", n, err)
			}
		}
	}
}
