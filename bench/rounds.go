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

// rounds is how often the two standard indexes take turns. A ratio is reported as its median over
// the rounds, with the least and the greatest. The true median lies between these two, unless all
// seven rounds are on one side of it, which has a probability of 2/2^7.
const rounds = 7

// confidence returns the probability, in per cent, that the true median lies between the least and
// the greatest of n rounds.
func confidence(n int) float64 { return 100 * (1 - math.Exp2(1-float64(n))) }

const (
	// level is the ratio up to which two times count as equal, even without noise.
	level = 1.05
	// alike is the greatest ratio of a round if the two indexes are called level. If a round has
	// a greater one, and no index is the quicker one, the rounds do not tell.
	alike = 1.2
)

// Round is one round of the two standard indexes. Each ratio is the grid's median time divided by
// the tree's, over the same queries or changes.
type Round struct {
	Ratios map[string]float64 `json:"ratios"` // by workload
	// Density has the ratio of queries for ten neighbours, by density: in bin b, the tenth
	// neighbour is at least 10^(b/3) metres away.
	Density map[int]float64 `json:"density,omitempty"`
}

// rounds measures the standard indexes in turn with every workload. pair is the grid and the tree.
func (m *measurement) rounds(pair []*side) ([]Round, error) {
	var list []Round
	rates := make([][]float64, len(pair))
	for round := range rounds {
		for i, x := range pair {
			// The place of an index in memory affects its speed by chance. So each round
			// builds the index again, if that takes no longer than a row.
			took := time.Duration(float64(len(m.items.At)) / x.result.BuildRate * 1e9)
			if round > 0 && took <= m.opt.RowTime {
				ix, built, err := build(x.Variant, m.items)
				if err != nil {
					return nil, fmt.Errorf("set %s: build %s: %w", m.set.Name, x.Name(), err)
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

// both measures each side once with a workload. In the next round the other side is first.
func (m *measurement) both(pair []*side, workload, round int) ([]measure.Turn, error) {
	turns := make([]measure.Turn, len(pair))
	for i := range pair {
		at := (i + round + workload) % len(pair)
		if measure.Workloads()[workload].Write != "" {
			runtime.GC() // frees the garbage of the other side
		}
		var err error
		if turns[at], err = m.take(pair[at], workload, measure.Part{Number: round, Of: rounds}); err != nil {
			return nil, err
		}
	}
	return turns, m.ctx.Err()
}

// medianRatio returns the ratio of two medians, over the operations that both sides have done. ok
// is false if there is none.
func medianRatio(a, b []float64) (ratio float64, ok bool) {
	n := min(len(a), len(b))
	if n == 0 {
		return 0, false
	}
	x, y := measure.Median(slices.Clone(a[:n])), measure.Median(slices.Clone(b[:n]))
	return x / y, x > 0 && y > 0
}

// Ratio is the grid's time divided by the tree's, both with their standard settings: the median of
// the rounds, the least and the greatest.
type Ratio struct {
	Workload string  `json:"workload,omitempty"`
	Median   float64 `json:"median"`
	Least    float64 `json:"least"`
	Greatest float64 `json:"greatest"`
	Quicker  string  `json:"quicker"` // "geohash", "quadtree", or "" where the rounds do not tell
}

// ratioOf sums up the ratios of rounds. An index is the quicker one if it was faster in all rounds,
// each time by more than the ratio level.
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

// times returns how many times as fast the quicker index is, with the range. If there is no quicker
// one, it returns the grid's time divided by the tree's.
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

// words describes the ratio, e.g. "the quadtree is 9.1 × as fast near the points (8.8 to 9.5". The
// caller may add more, and closes the parenthesis.
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

// level reports whether the two count as level: no index is the quicker one, and all rounds lie
// within the ratio alike.
func (r Ratio) level() bool { return r.Quicker == "" && r.Least >= 1/alike && r.Greatest <= alike }

// called returns the name of an index in a sentence.
func called(kind string) string {
	if kind == measure.KindGeohash {
		return "the geohash grid"
	}
	return "the quadtree"
}

// ofRounds returns a ratio from each round, or nil if a round has none.
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

// together returns the weighted geometric mean of several ratios for each round that all of them
// have. If weights is nil, all have the same weight.
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
