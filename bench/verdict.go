package bench

import (
	"fmt"
	"strings"

	"nearby/bench/measure"
	"nearby/bench/report"
)

// contest is the comparison of the two indexes, each with its standard
// settings, on one workload.
type contest struct {
	Ratio
	geohash, quadtree float64 // median nanoseconds over all rounds
}

// words tells the contest, e.g. "the quadtree is 9.1 × as fast near the points
// (8.8 to 9.5; p50 1.20 µs against 10.9 µs)".
func (c contest) words(where string) string {
	text := c.Ratio.words(where)
	switch c.Quicker {
	case measure.KindQuadtree:
		return fmt.Sprintf("%s; p50 %s against %s)", text, report.Duration(c.quadtree), report.Duration(c.geohash))
	case measure.KindGeohash:
		return fmt.Sprintf("%s; p50 %s against %s)", text, report.Duration(c.geohash), report.Duration(c.quadtree))
	default:
		return fmt.Sprintf("%s; p50 %s and %s)", text, report.Duration(c.geohash), report.Duration(c.quadtree))
	}
}

// contest returns the comparison on a workload, and whether both ran it.
func (s *SetResult) contest(workload string) (contest, bool) {
	g, q := s.standard(measure.KindGeohash), s.standard(measure.KindQuadtree)
	values := s.onWorkload(workload)
	if g == nil || q == nil || len(values) == 0 {
		return contest{}, false
	}
	rg, rq := g.row(workload), q.row(workload)
	if rg == nil || rq == nil {
		return contest{}, false
	}
	return contest{ratioOf(workload, values), rg.P50, rq.P50}, true
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
		{measure.NearTen, "near the points", 0.6},
		{measure.AnywhereTen, "anywhere on Earth", 0.2},
		{measure.EmptiestTen, "in the emptiest places", 0.1},
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
// of the ratios of their medians, and only if all rounds choose alike.
func (s *SetResult) judge() {
	s.Ratios, s.All = nil, nil
	for _, w := range measure.Workloads() {
		if c, ok := s.contest(w.Name); ok {
			s.Ratios = append(s.Ratios, c.Ratio)
		}
	}
	var clauses []string
	var ratios [][]float64
	var weights []float64
	for _, j := range judged() {
		if c, ok := s.contest(j.workload); ok {
			clauses = append(clauses, c.words(j.where))
			ratios, weights = append(ratios, s.onWorkload(j.workload)), append(weights, j.weight)
		}
	}
	s.Choose = "either"
	s.Density = stretches([]SetResult{*s})
	if len(ratios) == 0 {
		s.Verdict = "Nothing to compare."
		return
	}
	all := ratioOf("", together(ratios, weights))
	s.All = &all
	s.Verdict = fmt.Sprintf("In %s, at k = 10, %s; the grid takes %.0f bytes a point and the quadtree %.0f. ",
		s.Name, strings.Join(clauses, "; "), s.standard(measure.KindGeohash).BytesPerPoint, s.standard(measure.KindQuadtree).BytesPerPoint)
	s.Verdict += "All in all " + all.words("") + "): choose "
	if all.Quicker != "" {
		s.Choose = all.Quicker
	}
	s.Verdict += s.Choose + "." + s.automatic() + s.filtered() + s.tuning()
	if words := densityWords(s.Density); words != "" {
		s.Verdict += " " + words + against(s.Choose, s.Density)
	}
}

// automatic says what auto chooses and why, and where these figures say other.
func (s *SetResult) automatic() string {
	if s.Auto.Kind == "" {
		return ""
	}
	text := " auto would choose " + s.Auto.Kind
	if s.Choose != "either" && s.Choose != s.Auto.Kind {
		text += ", against these figures: it goes by how the points lie and not by times"
	}
	if s.Choose == s.Auto.Kind {
		text += " too"
	}
	return fmt.Sprintf("%s (%s).", text, s.Auto.Reason)
}

// filtered compares the two where a filter keeps few points.
func (s *SetResult) filtered() string {
	var clauses []string
	for _, w := range measure.Workloads() {
		if w.Keeps == 0 {
			continue
		}
		if c, ok := s.contest(w.Name); ok {
			clauses = append(clauses, c.words(fmt.Sprintf("where a filter keeps one in %s", report.Count(w.Keeps))))
		}
	}
	if len(clauses) == 0 {
		return ""
	}
	return " With filters, " + strings.Join(clauses, "; ") + "."
}

// tuning says what a setting chosen by hand brings or costs near the points,
// or returns "" if no other was measured, or none made a difference.
func (s *SetResult) tuning() string {
	var b strings.Builder
	for _, kind := range []string{measure.KindGeohash, measure.KindQuadtree} {
		standard := s.standard(kind)
		var best, worst *IndexResult
		var quicker, slower Ratio // the setting's time / the standard one's
		for i := range s.Indexes {
			x := &s.Indexes[i]
			if x.Kind != kind || len(x.Rounds) == 0 {
				continue
			}
			r := ratioOf(measure.NearTen, x.Rounds)
			if r.Greatest < 1/level && (best == nil || r.Median < quicker.Median) {
				best, quicker = x, r
			}
			if r.Least > level && (worst == nil || r.Median > slower.Median) {
				worst, slower = x, r
			}
		}
		if best != nil {
			fmt.Fprintf(&b, " With %s the %s would be %s × as fast near the points as with %s (%s).",
				best.Setting, kind, report.Factor(1/quicker.Median), standard.Setting, report.Factor(1/quicker.Greatest)+" to "+report.Factor(1/quicker.Least))
		}
		if worst != nil {
			fmt.Fprintf(&b, " With %s the %s is %s × as slow (%s).", worst.Setting, kind, report.Factor(slower.Median), slower.interval())
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
	for _, kind := range []string{measure.KindQuadtree, measure.KindGeohash} {
		if sets := by[kind]; len(sets) > 0 {
			parts = append(parts, fmt.Sprintf("choose %s for %s", kind, report.And(sets)))
		}
	}
	if sets := by["either"]; len(sets) > 0 {
		parts = append(parts, fmt.Sprintf("either will do for %s", report.And(sets)))
	}
	if len(parts) == 0 {
		return "No set was measured."
	}
	text := "Overall: " + strings.Join(parts, "; ") + "."
	if len(r.Sets) == 1 && r.Sets[0].All != nil {
		text += " All in all " + r.Sets[0].All.words("") + ")."
	}
	for _, j := range judged()[:3] {
		var ratios [][]float64
		for i := range r.Sets {
			if values := r.Sets[i].onWorkload(j.workload); len(values) > 0 {
				ratios = append(ratios, values)
			}
		}
		if len(ratios) > 1 {
			text += fmt.Sprintf(" Over the %d sets %s; geometric mean).", len(ratios), ratioOf("", together(ratios, nil)).words(j.where))
		}
	}
	if len(r.Sets) > 1 {
		text += " " + densityWords(r.Density)
		if len(by) == 1 {
			text += against(r.Sets[0].Choose, r.Density)
		}
	}
	return strings.TrimRight(text, " ")
}
