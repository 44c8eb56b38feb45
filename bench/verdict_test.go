package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// figures returns a set whose two indexes have these medians near the points,
// anywhere, in the emptiest places and when points move.
func figures(name string, geohash, quadtree [4]float64) SetResult {
	s := SetResult{Name: name}
	for kind, p50 := range map[string][4]float64{kindGeohash: geohash, kindQuadtree: quadtree} {
		x := IndexResult{Kind: kind, Setting: "x", BytesPerPoint: 40, BuildRate: 1e6}
		for i, w := range []string{nearTen, anywhereTen, emptiestTen, "move"} {
			x.Rows = append(x.Rows, Row{Workload: w, P50: p50[i], Recall: 1})
		}
		s.Indexes = append(s.Indexes, x)
	}
	return s
}

func TestVerdictInWords(t *testing.T) {
	s := figures("wilderness", [4]float64{9100, 1000, 500, 400}, [4]float64{1000, 1050, 2000, 400})
	s.judge()
	for _, want := range []string{
		"In wilderness, ",
		"the quadtree is 9.1 × as fast near the points (p50 1.00 µs against 9.10 µs)",
		"both are level anywhere on Earth (p50 1.00 µs and 1.05 µs for grid and quadtree)",
		"the geohash grid is 4.0 × as fast in the emptiest places (p50 500 ns against 2.00 µs)",
		"both are level when points move",
		"choose quadtree.",
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
		s, swapped := figures("s", g, q), figures("s", q, g)
		s.judge()
		swapped.judge()

		ratio := g[0] / q[0]
		m := said.FindStringSubmatch(s.Verdict)
		if level := ratio <= level && ratio >= 1/level; level {
			if m != nil {
				t.Fatalf("ratio %v is told as %q", ratio, m[0])
			}
			continue
		}
		if m == nil {
			t.Fatalf("ratio %v is not told: %s", ratio, s.Verdict)
		}
		times, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		want := max(ratio, 1/ratio)
		if (m[1] == "quadtree") != (ratio > 1) || math.Abs(times/want-1) > 0.06 {
			t.Fatalf("ratio %v is told as %q", ratio, m[0])
		}
		opposite := map[string]string{kindGeohash: kindQuadtree, kindQuadtree: kindGeohash, "either": "either"}
		if swapped.Choose != opposite[s.Choose] {
			t.Fatalf("with %v and %v it chooses %s, swapped %s", g, q, s.Choose, swapped.Choose)
		}
		if !strings.Contains(s.Verdict, "choose "+s.Choose) {
			t.Fatalf("chooses %s in: %s", s.Choose, s.Verdict)
		}
		if allQuicker(q, g) && s.Choose != kindQuadtree || allQuicker(g, q) && s.Choose != kindGeohash {
			t.Fatalf("one index is far quicker at everything (%v, %v), the choice is %s", g, q, s.Choose)
		}
	}
}

func allQuicker(a, b [4]float64) bool {
	for i := range a {
		if a[i]*1.2 > b[i] {
			return false
		}
	}
	return true
}

func TestOverallVerdictNamesEverySet(t *testing.T) {
	fast, slow := [4]float64{1000, 1000, 1000, 1000}, [4]float64{5000, 5000, 5000, 5000}
	r := Report{Sets: []SetResult{figures("a", slow, fast), figures("b", fast, slow), figures("c", fast, fast), figures("d", slow, fast)}}
	r.judge()
	for _, want := range []string{"choose quadtree for a and d", "choose geohash for b", "either will do for c",
		fmt.Sprintf("the quadtree is %s × as fast near the points", factor(math.Pow(5, 1.0/4)))} {
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

func TestFigures(t *testing.T) {
	for ns, want := range map[float64]string{0: "0.00 ns", 9.994: "9.99 ns", 999.4: "999 ns", 999.6: "1.00 µs", 12345: "12.3 µs", 999.6e3: "1.00 ms", 2.5e9: "2.50 s"} {
		if got := duration(ns); got != want {
			t.Errorf("%v ns is written %q, want %q", ns, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1 000", 1234567: "1 234 567"} {
		if got := count(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
	values := []float64{5, 1, 4, 2, 3}
	if m, p := median(values), quantile(values, 0.99); m != 3 || p != 5 {
		t.Errorf("median %v and p99 %v, want 3 and 5", m, p)
	}
	if recallText(1-1e-12) == "1" {
		t.Error("a recall below 1 is written as 1")
	}
}
