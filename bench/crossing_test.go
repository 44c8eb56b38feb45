package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nearby/bench/measure"
)

// sampled returns a set whose queries at each density take these times, in every
// round.
func sampled(densities []float64, geohash, quadtree []float64) []SetResult {
	s := figures("s", [4]float64{1, 1, 1, 1}, [4]float64{1, 1, 1, 1})
	for i := range s.Rounds {
		s.Rounds[i].Density = map[int]float64{}
		for j, d := range densities {
			s.Rounds[i].Density[binOf(d)] = geohash[j] / quadtree[j]
		}
	}
	return []SetResult{s}
}

func TestCrossings(t *testing.T) {
	densities := []float64{1.5, 3, 6, 15, 30}
	for _, c := range []struct {
		name              string
		geohash, quadtree []float64
		quicker           []string
		at                []float64
		words             string
	}{
		{"one crossing", []float64{100, 100, 100, 300, 300}, []float64{200, 200, 100, 100, 100},
			[]string{measure.KindGeohash, "", measure.KindQuadtree}, []float64{10}, "from 1.00 m to 4.64 m the geohash grid is 2.0 × as fast (2.0 to 2.0), from 4.64 m to 10.0 m the two are level (1.00 to 1.00), from 10.0 m to 46.4 m the quadtree is 3.0 × as fast (3.0 to 3.0). The crossing is at 10.0 m."},
		{"two", []float64{100, 300, 300, 100, 100}, []float64{200, 100, 100, 200, 200},
			[]string{measure.KindGeohash, measure.KindQuadtree, measure.KindGeohash}, []float64{math.Pow(10, 1.0/3), 10}, "Crossings are at 2.15 m and 10.0 m."},
		{"none", []float64{300, 300, 100, 300, 300}, []float64{100, 100, 100, 100, 100},
			[]string{measure.KindQuadtree, "", measure.KindQuadtree}, nil, "There is no crossing"},
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
	// A density that a round was not asked for is told nothing of.
	some := sampled([]float64{5}, []float64{1}, []float64{2})
	delete(some[0].Rounds[3].Density, binOf(5))
	if list := stretches(some); len(list) != 0 {
		t.Errorf("of some rounds: %v", list)
	}
	// Nor is what lies between two densities.
	if list := stretches(sampled([]float64{1.5, 300}, []float64{3, 3}, []float64{1, 1})); len(list) != 2 || list[0].To > 3 || list[1].From < 200 {
		t.Errorf("of two densities far from each other: %+v", list)
	}
}

// TestStretchesBearNoise: equal indexes are told apart at next to no density,
// different ones at nearly all, and stretches that touch differ.
func TestStretchesBearNoise(t *testing.T) {
	const draws, bins = 1000, 12
	for _, c := range []struct{ times, noise float64 }{{1, 0.05}, {1, 0.3}, {1.3, 0.05}, {1 / 1.3, 0.05}} {
		r := rand.New(rand.NewPCG(7, 8))
		noise := normal(r, c.noise)
		right := 0
		for range draws {
			s := figures("s", [4]float64{1, 1, 1, 1}, [4]float64{1, 1, 1, 1})
			for i := range s.Rounds {
				s.Rounds[i].Density = map[int]float64{}
				for bin := range bins {
					s.Rounds[i].Density[bin] = c.times * noise() / noise()
				}
			}
			list := stretches([]SetResult{s})
			want := map[bool]string{c.times > 1: measure.KindQuadtree, c.times < 1: measure.KindGeohash, c.times == 1: ""}[true]
			for i, one := range list {
				if i > 0 && list[i-1].Quicker == one.Quicker {
					t.Fatalf("two stretches that touch say the same: %+v", list)
				}
				if one.Quicker == want {
					right += one.bins
				} else if c.times != 1 && one.Quicker != "" {
					t.Fatalf("%v × is told as %+v", c.times, one)
				}
			}
		}
		if share := float64(right) / (draws * bins); share < 0.98 {
			t.Errorf("%v × with noise of %v: %.3f of the densities are told right", c.times, c.noise, share)
		}
	}
}

// TestDensitiesAgainstTheChoice: a verdict says where densities speak against it,
// and only then.
func TestDensitiesAgainstTheChoice(t *testing.T) {
	for _, c := range []struct {
		near, dense, empty float64 // grid / quadtree
		choose, says       string
	}{
		{2, 2, 2, measure.KindQuadtree, ""},
		{2, 1, 2, measure.KindQuadtree, ""}, // level speaks against nothing
		{2, 0.5, 2, measure.KindQuadtree, "That speaks against the choice, quadtree, from 1.00 m to 2.15 m; the choice weighs"},
		{0.5, 0.5, 2, measure.KindGeohash, "That speaks against the choice, geohash, from 2.15 m to 4.64 m; the choice weighs"},
		{1, 2, 2, "either", "That speaks against the choice, either, from 1.00 m to 4.64 m; the choice weighs what is asked near the points with 0.6,"},
		{1, 1, 1, "either", ""},
	} {
		s := sampled([]float64{1.5, 3}, []float64{c.dense, c.empty}, []float64{1, 1})[0]
		for i := range s.Rounds {
			for _, j := range judged() {
				s.Rounds[i].Ratios[j.workload] = c.near
			}
		}
		s.judge()
		if s.Choose != c.choose || (c.says == "") != !strings.Contains(s.Verdict, "speaks against") || !strings.Contains(s.Verdict, c.says) {
			t.Errorf("%+v: %s", c, s.Verdict)
		}
	}
}
