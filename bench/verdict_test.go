package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"nearby/bench/measure"
	"nearby/bench/report"
)

// figures returns a set whose two indexes have these medians near the points,
// anywhere, in the emptiest places and when points move, in every round.
func figures(name string, geohash, quadtree [4]float64) SetResult {
	return noisy(name, geohash, quadtree, func() float64 { return 1 })
}

// noisy is figures with the times of each round multiplied by what noise draws.
func noisy(name string, geohash, quadtree [4]float64, noise func() float64) SetResult {
	s := SetResult{Name: name}
	for _, kind := range []string{measure.KindGeohash, measure.KindQuadtree} {
		p50 := geohash
		if kind == measure.KindQuadtree {
			p50 = quadtree
		}
		x := IndexResult{Kind: kind, Setting: "x", BytesPerPoint: 40, BuildRate: 1e6}
		for i, j := range judged() {
			x.Rows = append(x.Rows, measure.Row{Workload: j.workload, P50: p50[i], Recall: 1})
		}
		s.Indexes = append(s.Indexes, x)
	}
	for range rounds {
		round := Round{Ratios: map[string]float64{}}
		for i, j := range judged() {
			round.Ratios[j.workload] = geohash[i] * noise() / (quadtree[i] * noise())
		}
		s.Rounds = append(s.Rounds, round)
	}
	return s
}

// normal returns noise of a size: its logarithm is normal.
func normal(r *rand.Rand, size float64) func() float64 {
	return func() float64 { return math.Exp(size * r.NormFloat64()) }
}

// TestVerdictBearsNoise: what is level is called so in spite of the noise, what
// is not is found in spite of it, and it is never the slower one that is chosen.
func TestVerdictBearsNoise(t *testing.T) {
	const draws = 1000
	equal := [4]float64{1000, 1000, 1000, 1000}
	for _, c := range []struct {
		times, noise  float64 // the grid takes so many times as long
		choose, words string
		least         int // of 1000 draws
	}{
		{1, 0.02, "either", "both are level", 995},
		{1, 0.05, "either", "both are level", 990},
		{1, 0.10, "either", "", 990},
		{1, 0.30, "either", "", 990},
		{1.03, 0.01, "either", "both are level", 990}, // less than counts
		{1.3, 0.05, measure.KindQuadtree, "the quadtree is 1.", 990},
		{1 / 1.3, 0.05, measure.KindGeohash, "the geohash grid is 1.", 990},
		{1.5, 0.10, measure.KindQuadtree, "the quadtree is 1.", 990},
		{3, 0.30, measure.KindQuadtree, "the quadtree is ", 990},
	} {
		r := rand.New(rand.NewPCG(3, 4))
		grid := equal
		for i := range grid {
			grid[i] *= c.times
		}
		right := 0
		for range draws {
			s := noisy("s", grid, equal, normal(r, c.noise))
			s.judge()
			if s.Choose == c.choose && strings.Contains(s.Verdict, "All in all "+c.words) {
				right++
			}
			if c.times != 1 && s.Choose != c.choose && s.Choose != "either" {
				t.Fatalf("%v × with noise of %v: %s", c.times, c.noise, s.Verdict)
			}
			if s.All.Least > s.All.Median || s.All.Median > s.All.Greatest {
				t.Fatalf("an interval of %+v", *s.All)
			}
		}
		if right < c.least {
			t.Errorf("%v × with noise of %v: %d of %d draws choose %s", c.times, c.noise, right, draws, c.choose)
		}
	}
}

// TestIntervalsHoldTheMedian: the least and the greatest of the rounds have the
// true ratio between them as often as is said.
func TestIntervalsHoldTheMedian(t *testing.T) {
	if want := 98.4375; confidence(7) != want || confidence(1) != 0 {
		t.Errorf("confidence of 7 rounds: %v, want %v", confidence(7), want)
	}
	const draws = 20_000
	r := rand.New(rand.NewPCG(5, 6))
	held := 0
	for range draws {
		values := make([]float64, rounds)
		for i := range values {
			values[i] = 2 * normal(r, 0.2)()
		}
		if of := ratioOf("", values); of.Least <= 2 && of.Greatest >= 2 {
			held++
		}
	}
	if share := 100 * float64(held) / draws; math.Abs(share-confidence(rounds)) > 0.5 {
		t.Errorf("%.2f %% of the intervals hold the median, want %.2f", share, confidence(rounds))
	}
}

func TestVerdictInWords(t *testing.T) {
	s := figures("wilderness", [4]float64{9100, 1000, 500, 400}, [4]float64{1000, 1050, 2000, 400})
	s.Rounds[2].Ratios[measure.NearTen], s.Rounds[3].Ratios[measure.NearTen] = 8.5, 9.94
	s.Rounds[2].Ratios["move"], s.Rounds[3].Ratios["move"] = 0.8, 1.4
	s.judge()
	for _, want := range []string{
		"In wilderness, ",
		"the quadtree is 9.1 × as fast near the points (8.5 to 9.9; p50 1.00 µs against 9.10 µs)",
		"both are level anywhere on Earth (grid / quadtree 0.95 to 0.95; p50 1.00 µs and 1.05 µs)",
		"the geohash grid is 4.0 × as fast in the emptiest places (4.0 to 4.0; p50 500 ns against 2.00 µs)",
		"the rounds do not tell which is quicker when points move (grid / quadtree 0.80 to 1.40; p50 400 ns and 400 ns)",
		"): choose quadtree.",
	} {
		if !strings.Contains(s.Verdict, want) {
			t.Errorf("the verdict does not say %q:\n%s", want, s.Verdict)
		}
	}
}

// TestVerdictsMatchFigures draws figures and reads the words back: who wins, and
// by how much, follows from the figures, and swapping the indexes' figures swaps
// the verdict.
func TestVerdictsMatchFigures(t *testing.T) {
	said := regexp.MustCompile(`the (quadtree|geohash grid) is ([0-9.]+) × as fast near the points`)
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var g, q [4]float64
		for i := range g {
			g[i], q[i] = math.Pow(10, 2+4*r.Float64()), math.Pow(10, 2+4*r.Float64())
		}
		s := noisy("s", g, q, normal(r, 0.1))
		swapped := s
		swapped.Indexes = []IndexResult{s.Indexes[0], s.Indexes[1]}
		swapped.Indexes[0].Rows, swapped.Indexes[1].Rows = s.Indexes[1].Rows, s.Indexes[0].Rows
		swapped.Rounds = nil
		for _, round := range s.Rounds {
			ratios := map[string]float64{}
			for w, v := range round.Ratios {
				ratios[w] = 1 / v
			}
			swapped.Rounds = append(swapped.Rounds, Round{Ratios: ratios})
		}
		s.judge()
		swapped.judge()
		opposite := map[string]string{measure.KindGeohash: measure.KindQuadtree, measure.KindQuadtree: measure.KindGeohash, "either": "either"}
		if swapped.Choose != opposite[s.Choose] {
			t.Fatalf("with %v and %v it chooses %s, swapped %s", g, q, s.Choose, swapped.Choose)
		}
		if !strings.Contains(s.Verdict, "choose "+s.Choose) {
			t.Fatalf("chooses %s in: %s", s.Choose, s.Verdict)
		}
		if allQuicker(q, g) && s.Choose != measure.KindQuadtree || allQuicker(g, q) && s.Choose != measure.KindGeohash {
			t.Fatalf("one index is far quicker at everything (%v, %v), the choice is %s", g, q, s.Choose)
		}

		near := s.Ratios[0]
		m := said.FindStringSubmatch(s.Verdict)
		if (m == nil) != (near.Quicker == "") || (near.Quicker == "") != (near.Least <= level && near.Greatest >= 1/level) {
			t.Fatalf("ratio %+v: %s", near, s.Verdict)
		}
		if m == nil {
			continue
		}
		times, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		want := max(near.Median, 1/near.Median)
		if (m[1] == "quadtree") != (near.Median > 1) || math.Abs(times/want-1) > 0.06 {
			t.Fatalf("ratio %+v is told as %q", near, m[0])
		}
	}
}

func allQuicker(a, b [4]float64) bool {
	for i := range a {
		if a[i]*4 > b[i] {
			return false
		}
	}
	return true
}

// TestVerdictBesideAuto: what auto would choose is named with its reason, and one
// sentence says so where the figures differ from it beyond their noise.
func TestVerdictBesideAuto(t *testing.T) {
	for _, c := range []struct {
		ratio      float64
		auto, says string
	}{
		{2, measure.KindQuadtree, "choose quadtree. auto would choose quadtree too (it is so)."},
		{0.5, measure.KindQuadtree, "choose geohash. auto would choose quadtree, against these figures: it goes by how the points lie and not by times (it is so)."},
		{2, measure.KindGeohash, "choose quadtree. auto would choose geohash, against these figures: it goes by how the points lie and not by times (it is so)."},
		{1, measure.KindGeohash, "choose either. auto would choose geohash (it is so)."},
	} {
		s := figures("s", [4]float64{c.ratio, c.ratio, c.ratio, c.ratio}, [4]float64{1, 1, 1, 1})
		s.Auto = Auto{c.auto, "it is so"}
		s.judge()
		if !strings.Contains(s.Verdict, c.says) {
			t.Errorf("%v, auto %s: the verdict does not say %q: %s", c.ratio, c.auto, c.says, s.Verdict)
		}
	}
}

// TestTuningBearsNoise: of a setting that is as quick as the standard one but for
// noise nothing is said; of others, what their rounds agree on.
func TestTuningBearsNoise(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	noise := normal(r, 0.05)
	said := 0
	const draws = 1000
	for range draws {
		s := figures("s", [4]float64{1, 1, 1, 1}, [4]float64{1, 1, 1, 1})
		for _, factor := range []float64{1, 1, 1.3, 0.6} {
			x := IndexResult{Kind: measure.KindGeohash, Setting: fmt.Sprint(factor)}
			for range rounds {
				x.Rounds = append(x.Rounds, factor*noise()/noise())
			}
			s.Indexes = append(s.Indexes, x)
		}
		words := s.tuning()
		if strings.Contains(words, "With 1 the") || !strings.Contains(words, "With 0.6 the geohash would be 1.") {
			t.Fatalf("it is said: %s", words)
		}
		if strings.Contains(words, "With 1.3 the geohash is 1.") {
			said++
		}
	}
	if said < 980 {
		t.Errorf("a setting that is 1.3 × as slow is named in %d of %d draws", said, draws)
	}
}

func TestOverallVerdictNamesEverySet(t *testing.T) {
	fast, slow := [4]float64{1000, 1000, 1000, 1000}, [4]float64{5000, 5000, 5000, 5000}
	r := Report{Sets: []SetResult{figures("a", slow, fast), figures("b", fast, slow), figures("c", fast, fast), figures("d", slow, fast)}}
	r.judge()
	for _, want := range []string{"choose quadtree for a and d", "choose geohash for b", "either will do for c",
		fmt.Sprintf("the quadtree is %s × as fast near the points", report.Factor(math.Pow(5, 1.0/4)))} {
		if !strings.Contains(r.Verdict, want) {
			t.Errorf("the verdict does not say %q: %s", want, r.Verdict)
		}
	}
}

func TestVerdictWithoutAnOpponent(t *testing.T) {
	s := figures("a", [4]float64{1, 1, 1, 1}, [4]float64{1, 1, 1, 1})
	s.Indexes = s.Indexes[:1]
	r := Report{Sets: []SetResult{s}}
	r.judge()
	if r.Sets[0].Choose != "either" {
		t.Errorf("alone, it chooses %s", r.Sets[0].Choose)
	}
	if (&Report{}).overall() == "" {
		t.Error("no sets, no words")
	}
}
