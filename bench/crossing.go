package bench

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"nearby/bench/report"
	"nearby/sphere"
)

// leastInBin is how many queries of like density make a median.
const leastInBin = 5

// binsPerDecade is how finely densities are told apart.
const binsPerDecade = 3

// binOf is the bin of a density, given as the distance of the tenth neighbour.
func binOf(tenth float64) int {
	return int(math.Floor(binsPerDecade * math.Log10(max(tenth, leastTenth))))
}

// binStart is the distance at which a bin begins.
func binStart(bin int) float64 { return math.Pow(10, float64(bin)/binsPerDecade) }

// Stretch is a range of densities that were asked for in every round, without a
// hole, in which one index is the quicker one or the rounds do not tell.
type Stretch struct {
	From float64 `json:"from"` // distance of the tenth neighbour, metres
	To   float64 `json:"to"`
	Ratio
	bins   int       // that it joins
	values []float64 // of each round
}

// stretches tells which index is the quicker one at which density, from the
// rounds of the two with their standard settings. Of several sets each counts alike.
func stretches(sets []SetResult) []Stretch {
	ratios := map[int][][]float64{}
	for i := range sets {
		rounds := sets[i].Rounds
		if len(rounds) == 0 {
			continue
		}
		for bin := range rounds[0].Density {
			if values := ofRounds(rounds, func(r Round) (float64, bool) { v, ok := r.Density[bin]; return v, ok }); values != nil {
				ratios[bin] = append(ratios[bin], values)
			}
		}
	}
	var list []Stretch
	for _, bin := range slices.Sorted(maps.Keys(ratios)) {
		values := together(ratios[bin], nil)
		list = append(list, Stretch{binStart(bin), min(binStart(bin+1), sphere.HalfCircumference), ratioOf("", values), 1, values})
	}
	// Two that touch and say the same are one, which has less noise than either
	// and may say more: so until none are left.
	for i := 0; i+1 < len(list); {
		a, b := list[i], list[i+1]
		if a.To < b.From*(1-1e-9) || a.Quicker != b.Quicker {
			i++
			continue
		}
		n := min(len(a.values), len(b.values))
		values := together([][]float64{a.values[:n], b.values[:n]}, []float64{float64(a.bins), float64(b.bins)})
		list[i] = Stretch{a.From, b.To, ratioOf("", values), a.bins + b.bins, values}
		list = slices.Delete(list, i+1, i+2)
		i = max(i-1, 0)
	}
	return list
}

// crossings are the densities at which another index becomes the quicker one,
// stretches where they are level between them or not.
func crossings(list []Stretch) []float64 {
	var at []float64
	last := ""
	for _, s := range list {
		if s.Quicker != "" && last != "" && s.Quicker != last {
			at = append(at, s.From)
		}
		if s.Quicker != "" {
			last = s.Quicker
		}
	}
	return at
}

// densityWords tells the stretches and names the crossing.
func densityWords(list []Stretch) string {
	if len(list) == 0 {
		return ""
	}
	var parts []string
	for _, s := range list {
		who := "the rounds do not tell which is quicker"
		if s.level() {
			who = "the two are level"
		}
		if median, _, _ := s.times(); s.Quicker != "" {
			who = fmt.Sprintf("%s is %s × as fast", called(s.Quicker), report.Factor(median))
		}
		parts = append(parts, fmt.Sprintf("from %s to %s %s (%s)", report.Metres(s.From), report.Metres(s.To), who, s.interval()))
	}
	text := "By density, told by the distance of the tenth neighbour: " + strings.Join(parts, ", ") + "."
	at := crossings(list)
	if len(at) == 0 {
		return text + " There is no crossing: nowhere does one overtake the other."
	}
	var where []string
	for _, m := range at {
		where = append(where, report.Metres(m))
	}
	if len(at) == 1 {
		return text + " The crossing is at " + where[0] + "."
	}
	return text + " Crossings are at " + report.And(where) + "."
}

// against says where the densities speak against a choice, and why it stands.
func against(choose string, list []Stretch) string {
	var parts []string
	for _, s := range list {
		if s.Quicker != "" && s.Quicker != choose {
			parts = append(parts, fmt.Sprintf("from %s to %s", report.Metres(s.From), report.Metres(s.To)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	var weights []string
	for _, j := range judged() {
		weights = append(weights, fmt.Sprintf("%s with %g", j.where, j.weight))
	}
	return fmt.Sprintf(" That speaks against the choice, %s, %s; the choice weighs what is asked %s.", choose, report.And(parts), report.And(weights))
}
