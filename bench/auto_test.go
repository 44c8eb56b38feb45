package bench

import (
	"testing"

	"nearby/bench/dataset"
	"nearby/bench/measure"
	"nearby/indexes"
)

// Work is weighed in points compared. Entering a node or a cell costs as much as
// comparing twenty points: 40 to 70 ns against 2 to 3, from rows of one run at
// 200 000 points.
const enteredWeight = 20

// autoSlack is how much more work than the better index does the one that auto
// chooses may do.
const autoSlack = 1.20

// TestAutoChoosesWell compares the work that queries cost the index that auto
// chooses for every named set with what they cost the other: counted, so the same
// on every machine.
func TestAutoChoosesWell(t *testing.T) {
	const points = 10_000
	for _, name := range dataset.Names() {
		t.Run(name, func(t *testing.T) {
			positions, err := dataset.Generate(name, points, 1)
			if err != nil {
				t.Fatal(err)
			}
			chosen, reason := indexes.Kinds().Auto((&measure.Places{At: positions}).Points())
			work := weighted(t, name, positions)
			t.Logf("%s: grid %.0f, tree %.0f; %s: %s", name, work[measure.KindGeohash], work[measure.KindQuadtree], chosen, reason)
			if best := min(work[measure.KindGeohash], work[measure.KindQuadtree]); work[chosen] > autoSlack*best {
				t.Errorf("auto chooses %s, which costs %.0f where the better costs %.0f; %s", chosen, work[chosen], best, reason)
			}
		})
	}
}

// weighted is the work of a query for each index: as a verdict weighs it, most
// come where the points are.
func weighted(t *testing.T, name string, positions []dataset.Position) map[string]float64 {
	t.Helper()
	weights, sum := map[string]float64{}, 0.0
	for _, j := range judged()[:3] {
		weights[j.workload] = j.weight
		sum += j.weight
	}
	sums := map[string]float64{}
	workOfBoth(t, name, positions, func(kind string, w measure.Workload, done work) {
		sums[kind] += weights[w.Name] / sum * (done.compared + enteredWeight*done.entered)
	})
	return sums
}
