package table_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	"nearby/sphere"
	"nearby/table"
)

// scored is an item with its score.
type scored struct {
	*subject
	distance, score float64
}

// compareScored orders by score, distance and id.
func compareScored(a, b scored) int {
	return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.distance, b.distance), cmp.Compare(a.ID, b.ID))
}

// askScores asks for the items of the least scores, page after page.
func (o *ordered) askScores(t *testing.T) {
	t.Helper()
	r := o.rnd
	v := &o.version[r.IntN(len(o.version))]
	q, filter, keeps, say := o.question(t)
	var weights []table.Weight
	for _, name := range []string{"stars", "beds", "any", "exact"} {
		if r.IntN(3) == 0 {
			weights = append(weights, table.Weight{Name: name, Metres: []float64{500, -500, 0.001, 1e6, math.Exp(10 * r.NormFloat64())}[r.IntN(5)]})
		}
	}
	if weights == nil {
		weights = []table.Weight{{Name: "stars", Metres: 300}}
	}
	say = fmt.Sprintf("%s by %+v", say, weights)
	centre := sphere.FromDegrees(q.Lon, q.Lat)
	of := func(k *subject) scored {
		gain := 0.0
		for _, w := range weights {
			if n := k.values[w.Name].number; n != nil && n.Sign() != 0 {
				f, _ := n.Float64()
				if f != 0 {
					gain += max(-1e300, min(1e300, w.Metres*f))
				}
			}
		}
		d := sphere.Distance(centre, k.vec)
		return scored{k, d, d - gain}
	}
	var all []scored
	for _, k := range v.items {
		if keeps(k) {
			all = append(all, of(k))
		}
	}
	slices.SortFunc(all, compareScored)
	want := all
	var after *table.ScorePlace
	if old := o.version[0]; r.IntN(3) == 0 && len(old.items) > 0 {
		place := of(old.items[r.IntN(len(old.items))])
		after = &table.ScorePlace{Score: place.score, Distance: place.distance, ID: place.ID}
		at, found := slices.BinarySearchFunc(all, place, compareScored)
		if found {
			at++
		}
		want = all[at:]
	}
	equal := func(hits []table.ScoredHit, want []scored) bool {
		return slices.EqualFunc(hits, want, func(h table.ScoredHit, k scored) bool {
			it := v.Item(h.Ref)
			return it.ID() == k.ID && h.Distance == k.distance && h.Score == k.score
		})
	}
	begin := want
	for page := range 3 {
		hits, within, proof, err := v.Scored(nil, &q, weights, after, filter)
		if first := want[:min(q.K, len(want))]; err != nil || !proof.Exact || !equal(hits, first) {
			t.Fatalf("%s, page %d after %+v: %d hits, want %d: %+v %v", say, page, after, len(hits), len(first), proof, err)
		}
		if want = want[len(hits):]; len(want) > 0 && want[0].score < within || len(hits) > 0 && hits[len(hits)-1].Score > within {
			t.Fatalf("%s: complete within %v, but %v follows", say, within, want[0])
		}
		if len(hits) == 0 {
			break
		}
		last := hits[len(hits)-1]
		it := v.Item(last.Ref)
		after = &table.ScorePlace{Score: last.Score, Distance: last.Distance, ID: it.ID()}
	}
	// A search that ends early has the first items, and knows which.
	if begin = all; len(begin) > 0 {
		q.Budget = 1 + r.IntN(1<<r.IntN(12))
		hits, within, proof, err := v.Scored(nil, &q, weights, nil, filter)
		if err != nil || len(hits) > len(begin) || !equal(hits, begin[:len(hits)]) || proof.Exact && len(hits) < min(q.K, len(begin)) || len(hits) < min(q.K, len(begin)) && begin[len(hits)].score < within {
			t.Fatalf("%s, budget %d: %d hits, complete within %v: %+v %v", say, q.Budget, len(hits), within, proof, err)
		}
	}
}

// Answers by scores, and their pages, equal those of sorting all items that match by their scores.
func TestScoredAnswersEqualSorting(t *testing.T) {
	driveOrdered(t, 4, func(t *testing.T, o *ordered) { o.askScores(t) })
}
