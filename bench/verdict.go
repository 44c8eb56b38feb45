package bench

import (
	"fmt"
	"math"
	"strings"
)

// level is the ratio up to which two times count as equal: less than what they
// differ by from run to run.
const level = 1.1

// contest is the comparison of the two indexes, each with its standard
// settings, on one workload.
type contest struct {
	geohash, quadtree float64 // median nanoseconds
}

// winner returns the quicker index and how many times as quick it is, or "" if
// the two are level.
func (c contest) winner() (kind string, times float64) {
	switch ratio := c.geohash / c.quadtree; {
	case ratio > level:
		return kindQuadtree, ratio
	case ratio < 1/level:
		return kindGeohash, 1 / ratio
	default:
		return "", 1
	}
}

// words tells the contest, e.g. "the quadtree is 9.1 × as fast near the points
// (p50 1.2 µs against 10.9 µs)".
func (c contest) words(where string) string {
	switch kind, times := c.winner(); kind {
	case kindQuadtree:
		return fmt.Sprintf("the quadtree is %s × as fast %s (p50 %s against %s)", factor(times), where, duration(c.quadtree), duration(c.geohash))
	case kindGeohash:
		return fmt.Sprintf("the geohash grid is %s × as fast %s (p50 %s against %s)", factor(times), where, duration(c.geohash), duration(c.quadtree))
	default:
		return fmt.Sprintf("both are level %s (p50 %s and %s for grid and quadtree)", where, duration(c.geohash), duration(c.quadtree))
	}
}

// contest returns the comparison on a workload, and whether both ran it.
func (s *SetResult) contest(workload string) (contest, bool) {
	g, q := s.standard(kindGeohash), s.standard(kindQuadtree)
	if g == nil || q == nil {
		return contest{}, false
	}
	rg, rq := g.row(workload), q.row(workload)
	if rg == nil || rq == nil || rg.P50 <= 0 || rq.P50 <= 0 {
		return contest{}, false
	}
	return contest{rg.P50, rq.P50}, true
}

// judged are the workloads that the choice rests on, each with its weight: most
// queries come where the points are.
func judged() []struct {
	workload, where string
	weight          float64
} {
	return []struct {
		workload, where string
		weight          float64
	}{
		{nearTen, "near the points", 0.6},
		{anywhereTen, "anywhere on Earth", 0.2},
		{emptiestTen, "in the emptiest places", 0.1},
		{"move", "when points move", 0.1},
	}
}

// judge fills in all verdicts from the figures.
func (r *Report) judge() {
	for i := range r.Sets {
		r.Sets[i].judge()
	}
	r.Density = stretches(r.Sets)
	r.Verdict = r.overall()
}

// judge compares the two on one set. It chooses by the weighted geometric mean
// of the ratios of their medians.
func (s *SetResult) judge() {
	var clauses []string
	score, weights := 0.0, 0.0
	for _, j := range judged() {
		if c, ok := s.contest(j.workload); ok {
			clauses = append(clauses, c.words(j.where))
			score += j.weight * math.Log(c.geohash/c.quadtree)
			weights += j.weight
		}
	}
	if weights == 0 {
		s.Verdict, s.Choose = "Nothing to compare.", "either"
		return
	}
	score = math.Exp(score / weights)
	text := fmt.Sprintf("In %s, at k = 10, %s; the grid takes %.0f bytes a point and the quadtree %.0f. ",
		s.Name, strings.Join(clauses, "; "), s.standard(kindGeohash).BytesPerPoint, s.standard(kindQuadtree).BytesPerPoint)
	switch kind, times := (contest{score, 1}).winner(); kind {
	case "":
		s.Choose = "either"
		text += "All in all they are level: choose either."
	default:
		s.Choose = kind
		text += fmt.Sprintf("All in all the %s is %s × as fast: choose %s.", kind, factor(times), kind)
	}
	s.Density = stretches([]SetResult{*s})
	s.Verdict = text + s.filtered() + s.tuning()
	if words := densityWords(s.Density); words != "" {
		s.Verdict += " " + words
	}
	s.PeersVerdict = s.comparePeers()
}

// filtered compares the two where a filter keeps few points.
func (s *SetResult) filtered() string {
	var clauses []string
	for _, w := range workloads() {
		if w.keeps == 0 {
			continue
		}
		if c, ok := s.contest(w.name); ok {
			clauses = append(clauses, c.words(fmt.Sprintf("where a filter keeps one in %s", count(w.keeps))))
		}
	}
	if len(clauses) == 0 {
		return ""
	}
	return " With filters, " + strings.Join(clauses, "; ") + "."
}

// tuning says what a setting chosen by hand brings or costs near the points,
// or returns "" if no other was measured.
func (s *SetResult) tuning() string {
	var b strings.Builder
	for _, kind := range []string{kindGeohash, kindQuadtree} {
		standard := s.standard(kind)
		if standard.row(nearTen) == nil {
			continue
		}
		base := standard.row(nearTen).P50
		best, worst := standard, standard
		for i := range s.Indexes {
			x := &s.Indexes[i]
			if x.Kind != kind || x.row(nearTen) == nil {
				continue
			}
			if x.row(nearTen).P50 < best.row(nearTen).P50 {
				best = x
			}
			if x.row(nearTen).P50 > worst.row(nearTen).P50 {
				worst = x
			}
		}
		if t := base / best.row(nearTen).P50; t > level {
			fmt.Fprintf(&b, " With %s the %s would be %s × as fast near the points as with %s.", best.Setting, kind, factor(t), standard.Setting)
		}
		if t := worst.row(nearTen).P50 / base; t > level {
			fmt.Fprintf(&b, " With %s the %s is %s × as slow.", worst.Setting, kind, factor(t))
		}
	}
	return b.String()
}

// overall sums up the sets.
func (r *Report) overall() string {
	by := map[string][]string{}
	for _, s := range r.Sets {
		by[s.Choose] = append(by[s.Choose], s.Name)
	}
	var parts []string
	for _, kind := range []string{kindQuadtree, kindGeohash} {
		if sets := by[kind]; len(sets) > 0 {
			parts = append(parts, fmt.Sprintf("choose %s for %s", kind, and(sets)))
		}
	}
	if sets := by["either"]; len(sets) > 0 {
		parts = append(parts, fmt.Sprintf("either will do for %s", and(sets)))
	}
	if len(parts) == 0 {
		return "No set was measured."
	}
	text := "Overall: " + strings.Join(parts, "; ") + "."
	for _, j := range judged()[:3] {
		sum, n := 0.0, 0
		for i := range r.Sets {
			if c, ok := r.Sets[i].contest(j.workload); ok {
				sum += math.Log(c.geohash / c.quadtree)
				n++
			}
		}
		if n < 2 {
			continue
		}
		switch kind, times := (contest{math.Exp(sum / float64(n)), 1}).winner(); kind {
		case "":
			text += fmt.Sprintf(" Over the %d sets both are level %s.", n, j.where)
		default:
			text += fmt.Sprintf(" Over the %d sets the %s is %s × as fast %s (geometric mean).", n, kind, factor(times), j.where)
		}
	}
	if len(r.Sets) > 1 {
		text += " " + densityWords(r.Density)
	}
	return strings.TrimRight(text, " ")
}

// and joins names: "a", "a and b", "a, b and c".
func and(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
