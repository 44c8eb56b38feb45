package bench

import (
	"fmt"
	"log/slog"
	"testing"

	"nearby/bench/dataset"
	"nearby/collection"
	"nearby/geohash"
	"nearby/index"
	"nearby/item"
	"nearby/quadtree"
	"nearby/store/embedded"
)

// Work is weighed in points compared. Entering a node or a cell costs as much as
// comparing twenty points: 40 to 70 ns against 2 to 3, from rows of one run at
// 200 000 points.
const enteredWeight = 20

// autoSlack is how much more work than the better index does the one that auto
// chooses may do.
const autoSlack = 1.20

// TestAutoChoosesWell loads every named set into a collection whose index is
// auto, and compares the work that queries cost the chosen index with what they
// cost the other: counted, so the same on every machine.
func TestAutoChoosesWell(t *testing.T) {
	const points = 10_000
	for _, name := range dataset.Names() {
		t.Run(name, func(t *testing.T) {
			positions, err := dataset.Generate(name, points, 1)
			if err != nil {
				t.Fatal(err)
			}
			chosen, reason := autoChoice(t, positions)
			work := weighted(t, name, positions)
			t.Logf("%s: grid %.0f, tree %.0f; %s: %s", name, work[kindGeohash], work[kindQuadtree], chosen, reason)
			if best := min(work[kindGeohash], work[kindQuadtree]); work[chosen] > autoSlack*best {
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
	workOfBoth(t, name, positions, func(kind string, w workload, done work) {
		sums[kind] += weights[w.name] / sum * (done.compared + enteredWeight*done.entered)
	})
	return sums
}

// autoChoice is what a collection of these points chooses.
func autoChoice(t *testing.T, positions []dataset.Position) (kind, reason string) {
	log := slog.New(slog.DiscardHandler)
	st, err := embedded.Open(t.TempDir(), embedded.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	catalog := collection.New(collection.Options{
		Store: st, Log: log,
		Kinds: collection.Kinds{
			collection.KindGeohash: func(collection.IndexSpec) (index.Builder, error) { return geohash.New(geohash.Options{}), nil },
			collection.KindQuadtree: func(collection.IndexSpec) (index.Builder, error) {
				return quadtree.New(quadtree.Options{}), nil
			},
		},
	})
	defer catalog.Close()
	if err := catalog.Load(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	c, _, err := catalog.Put(t.Context(), collection.Definition{Name: "c", Index: collection.IndexSpec{Kind: collection.KindQuadtree}})
	if err != nil {
		t.Fatal(err)
	}
	const step = 4000
	for i := 0; i < len(positions); i += step {
		var writes []collection.Write
		for j := i; j < min(i+step, len(positions)); j++ {
			writes = append(writes, collection.Write{Op: collection.Upsert, Item: item.Item{
				ID: fmt.Sprintf("p%06d", j), Lon: positions[j].Lon, Lat: positions[j].Lat, Properties: []byte("{}")}})
		}
		if _, err := c.Write(t.Context(), writes); err != nil {
			t.Fatal(err)
		}
	}
	// The choice is made when all are there, as at a start.
	if _, _, err := catalog.Put(t.Context(), collection.Definition{Name: "c", Index: collection.IndexSpec{Kind: collection.KindAuto}}); err != nil {
		t.Fatal(err)
	}
	stats := c.Snapshot().Stats()
	return stats.Kind, stats.Reason
}
