package bench

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"nearby/bench/measure"
	"nearby/bench/report"
)

// rounds is how often the two standard indexes take turns. What is said of a
// ratio is its median over the rounds, and the least and the greatest of them:
// between these lies the median of all rounds that could have been, unless all of
// seven fell on one side of it, which has a probability of 2/2^7.
const rounds = 7

// confidence is the probability in per cent with which the least and the greatest
// of so many rounds have the median between them.
func confidence(n int) float64 { return 100 * (1 - math.Exp2(1-float64(n))) }

const (
	// level is the ratio up to which two times count as equal even without noise.
	level = 1.05
	// alike is the ratio within which all rounds lie where the two are called level;
	// where some lie farther off, the rounds do not tell.
	alike = 1.2
)

// Round is one round of turns of the two standard indexes: each ratio is that of
// the grid's median time to the tree's, over the same questions or changes.
type Round struct {
	Ratios map[string]float64 `json:"ratios"` // by workload
	// Density has the ratio of queries for ten by density: bin b begins at
	// 10^(b/3) metres to the tenth neighbour.
	Density map[int]float64 `json:"density,omitempty"`
}

// rounds gives the standard indexes, grid before tree, every workload in turn.
func (m *measurement) rounds(pair []*side) ([]Round, error) {
	var list []Round
	rates := make([][]float64, len(pair))
	for round := range rounds {
		for i, x := range pair {
			// Where an index happens to lie in memory must not pass for its
			// speed: each round has a new one, if that takes no longer than a row.
			took := time.Duration(float64(len(m.items.At)) / x.result.BuildRate * 1e9)
			if round > 0 && took <= m.opt.RowTime {
				ix, built, err := build(x.Variant, m.items)
				if err != nil {
					return nil, fmt.Errorf("bench: set %s: build %s: %w", m.set.Name, x.Name(), err)
				}
				x.ix, x.result = ix, built
			}
			rates[i] = append(rates[i], x.result.BuildRate)
		}
		runtime.GC()
		found := Round{Ratios: map[string]float64{}, Density: map[int]float64{}}
		bins := make([]map[int][]float64, len(pair))
		for i := range bins {
			bins[i] = map[int][]float64{}
		}
		for i, w := range measure.Workloads() {
			if err := m.step(fmt.Sprintf("%s: round %d of %d, %s", m.set.Name, round+1, rounds, w.Name)); err != nil {
				return nil, err
			}
			turns, err := m.both(pair, i, round)
			if err != nil {
				return nil, err
			}
			if len(pair) < 2 {
				continue
			}
			if ratio, ok := medianRatio(turns[0].Times, turns[1].Times); ok {
				found.Ratios[w.Name] = ratio
			}
			for j := range min(len(turns[0].Tenths), len(turns[1].Tenths)) {
				if tenth := turns[0].Tenths[j]; tenth == tenth { // not NaN
					for k, t := range turns {
						bins[k][binOf(tenth)] = append(bins[k][binOf(tenth)], t.Times[j])
					}
				}
			}
		}
		if len(pair) == 2 {
			for bin, times := range bins[0] {
				if ratio, ok := medianRatio(times, bins[1][bin]); ok && len(times) >= leastInBin {
					found.Density[bin] = ratio
				}
			}
			list = append(list, found)
		}
	}
	for i, x := range pair {
		x.result.BuildRate = measure.Median(rates[i])
		for j, w := range measure.Workloads() {
			x.result.Rows = append(x.result.Rows, x.tallies[j].Row(w))
		}
	}
	return list, nil
}

// both gives each side its turn at a workload, another first in the next round.
func (m *measurement) both(pair []*side, workload, round int) ([]measure.Turn, error) {
	turns := make([]measure.Turn, len(pair))
	for i := range pair {
		at := (i + round + workload) % len(pair)
		if measure.Workloads()[workload].Write != "" {
			runtime.GC() // what the other has left
		}
		var err error
		if turns[at], err = m.take(pair[at], workload, measure.Part{Number: round, Of: rounds}); err != nil {
			return nil, err
		}
	}
	return turns, m.ctx.Err()
}

// medianRatio is the ratio of the medians of the operations that both have done,
// and whether there is one.
func medianRatio(a, b []float64) (float64, bool) {
	n := min(len(a), len(b))
	if n == 0 {
		return 0, false
	}
	x, y := measure.Median(slices.Clone(a[:n])), measure.Median(slices.Clone(b[:n]))
	return x / y, x > 0 && y > 0
}

// Ratio is how many times as long the grid takes as the tree, each with its
// standard settings: the median of the rounds, the least and the greatest.
type Ratio struct {
	Workload string  `json:"workload,omitempty"`
	Median   float64 `json:"median"`
	Least    float64 `json:"least"`
	Greatest float64 `json:"greatest"`
	Quicker  string  `json:"quicker"` // "geohash", "quadtree", or "" where the rounds do not tell
}

// ratioOf sums up the ratios of rounds. One index is the quicker one if it is so
// in all of them, by more than times differ that count as equal.
func ratioOf(workload string, values []float64) Ratio {
	r := Ratio{Workload: workload, Median: measure.Median(slices.Clone(values)), Least: slices.Min(values), Greatest: slices.Max(values)}
	switch {
	case r.Least > level:
		r.Quicker = measure.KindQuadtree
	case r.Greatest < 1/level:
		r.Quicker = measure.KindGeohash
	}
	return r
}

// times returns how many times as quick the quicker index is, and the interval of
// that; of two that are not told apart, how many times as long the grid takes.
func (r Ratio) times() (median, least, greatest float64) {
	if r.Quicker == measure.KindGeohash {
		return 1 / r.Median, 1 / r.Greatest, 1 / r.Least
	}
	return r.Median, r.Least, r.Greatest
}

// interval writes the least and the greatest of the rounds.
func (r Ratio) interval() string {
	_, least, greatest := r.times()
	return report.Factor(least) + " to " + report.Factor(greatest)
}

// words tells the ratio, e.g. "the quadtree is 9.1 × as fast near the points (8.8
// to 9.5". The parenthesis is left open for what else there is to say.
func (r Ratio) words(where string) string {
	median, _, _ := r.times()
	if where != "" {
		where = " " + where
	}
	switch {
	case r.Quicker != "":
		return fmt.Sprintf("%s is %s × as fast%s (%s", called(r.Quicker), report.Factor(median), where, r.interval())
	case r.level():
		return fmt.Sprintf("both are level%s (grid / quadtree %s", where, r.interval())
	default:
		return fmt.Sprintf("the rounds do not tell which is quicker%s (grid / quadtree %s", where, r.interval())
	}
}

// level reports whether all rounds found the two alike.
func (r Ratio) level() bool { return r.Quicker == "" && r.Least >= 1/alike && r.Greatest <= alike }

// called is how an index is called in a sentence.
func called(kind string) string {
	if kind == measure.KindGeohash {
		return "the geohash grid"
	}
	return "the quadtree"
}

// ofRounds returns a ratio from each round, or nil if a round is without.
func ofRounds(list []Round, ratio func(Round) (float64, bool)) []float64 {
	var values []float64
	for _, r := range list {
		v, ok := ratio(r)
		if !ok {
			return nil
		}
		values = append(values, v)
	}
	return values
}

// onWorkload returns each round's ratio on a workload.
func (s *SetResult) onWorkload(name string) []float64 {
	return ofRounds(s.Rounds, func(r Round) (float64, bool) { v, ok := r.Ratios[name]; return v, ok })
}

// together is the weighted geometric mean of several ratios, round by round, as
// many rounds as all have. Without weights all count alike.
func together(ratios [][]float64, weights []float64) []float64 {
	if len(ratios) == 0 {
		return nil
	}
	n := len(ratios[0])
	for _, values := range ratios {
		n = min(n, len(values))
	}
	all := make([]float64, n)
	for round := range all {
		sum, of := 0.0, 0.0
		for i, values := range ratios {
			weight := 1.0
			if weights != nil {
				weight = weights[i]
			}
			sum += weight * math.Log(values[round])
			of += weight
		}
		all[round] = math.Exp(sum / of)
	}
	return all
}
