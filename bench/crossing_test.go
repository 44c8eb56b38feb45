package bench

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// sampled returns a set whose queries at each density take these times.
func sampled(densities []float64, geohash, quadtree []float64) []SetResult {
	s := figures("s", [4]float64{1, 1, 1, 1}, [4]float64{1, 1, 1, 1})
	for i := range s.Indexes {
		x := &s.Indexes[i]
		times := geohash
		if x.Kind == kindQuadtree {
			times = quadtree
		}
		for j, d := range densities {
			for range leastInBin {
				x.Rows[0].Samples = append(x.Rows[0].Samples, Sample{Tenth: d, Ns: times[j]})
			}
		}
	}
	return []SetResult{s}
}

func TestCrossings(t *testing.T) {
	densities := []float64{1.5, 15, 150, 1500, 15_000}
	for _, c := range []struct {
		name              string
		geohash, quadtree []float64
		quicker           []string
		at                []float64
		words             string
	}{
		{"one crossing", []float64{100, 100, 100, 300, 300}, []float64{200, 200, 100, 100, 100},
			[]string{kindGeohash, "", kindQuadtree}, []float64{1000}, "from 1.00 m to 21.5 m the geohash grid is 2.0 × as fast, from 100 m to 215 m the two are level, from 1.00 km to 21.5 km the quadtree is 3.0 × as fast. The crossing is at 1.00 km."},
		{"two", []float64{100, 300, 300, 100, 100}, []float64{200, 100, 100, 200, 200},
			[]string{kindGeohash, kindQuadtree, kindGeohash}, []float64{10, 1000}, "Crossings are at 10.0 m and 1.00 km."},
		{"none", []float64{300, 300, 100, 300, 300}, []float64{100, 100, 100, 100, 100},
			[]string{kindQuadtree, "", kindQuadtree}, nil, "There is no crossing"},
	} {
		list := stretches(sampled(densities, c.geohash, c.quadtree))
		var quicker []string
		for _, s := range list {
			quicker = append(quicker, s.Quicker)
		}
		at := crossings(list)
		same := slices.EqualFunc(at, c.at, func(a, b float64) bool { return math.Abs(a-b) < 1e-6*b })
		if words := densityWords(list); !slices.Equal(quicker, c.quicker) || !same || !strings.Contains(words, c.words) {
			t.Errorf("%s: %v, crossings %v: %s", c.name, quicker, at, words)
		}
	}
	if list := stretches(nil); len(list) != 0 || densityWords(list) != "" {
		t.Errorf("of nothing: %v", list)
	}
	// Too few queries of a density make no median.
	few := sampled([]float64{5}, []float64{1}, []float64{2})
	for i := range few[0].Indexes {
		few[0].Indexes[i].Rows[0].Samples = few[0].Indexes[i].Rows[0].Samples[:leastInBin-1]
	}
	if list := stretches(few); len(list) != 0 {
		t.Errorf("of few: %v", list)
	}
}
