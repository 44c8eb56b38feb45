package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"

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

// Stretch is a range of densities in which one index is the quicker one, or the
// two are level.
type Stretch struct {
	From    float64 `json:"from"` // distance of the tenth neighbour, metres
	To      float64 `json:"to"`
	Quicker string  `json:"quicker"` // "geohash", "quadtree" or "" if level
	Times   float64 `json:"times"`   // as quick, by the geometric mean of the medians' ratios
}

// stretches tells which index is the quicker one at which density, from the
// queries for ten of the two with their standard settings.
func stretches(sets []SetResult) []Stretch {
	times := map[string]map[int][]float64{kindGeohash: {}, kindQuadtree: {}}
	for kind, bins := range times {
		for i := range sets {
			x := sets[i].standard(kind)
			if x == nil {
				continue
			}
			for _, row := range x.Rows {
				for _, s := range row.Samples {
					b := binOf(s.Tenth)
					bins[b] = append(bins[b], s.Ns)
				}
			}
		}
	}
	var bins []int
	for b, g := range times[kindGeohash] {
		if len(g) >= leastInBin && len(times[kindQuadtree][b]) >= leastInBin {
			bins = append(bins, b)
		}
	}
	slices.Sort(bins)
	var list []Stretch
	var logs []float64
	for _, b := range bins {
		c := contest{median(times[kindGeohash][b]), median(times[kindQuadtree][b])}
		kind, _ := c.winner()
		if n := len(list); n == 0 || list[n-1].Quicker != kind {
			list = append(list, Stretch{From: binStart(b), Quicker: kind})
			logs = logs[:0]
		}
		last := &list[len(list)-1]
		logs = append(logs, math.Log(c.geohash/c.quadtree))
		last.To, last.Times = min(binStart(b+1), sphere.HalfCircumference), math.Exp(math.Abs(mean(logs)))
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
	name := map[string]string{kindGeohash: "the geohash grid", kindQuadtree: "the quadtree"}
	var parts []string
	for _, s := range list {
		who := "the two are level"
		if s.Quicker != "" {
			who = fmt.Sprintf("%s is %s × as fast", name[s.Quicker], factor(s.Times))
		}
		parts = append(parts, fmt.Sprintf("from %s to %s %s", metres(s.From), metres(s.To), who))
	}
	text := "By density, told by the distance of the tenth neighbour: " + strings.Join(parts, ", ") + "."
	at := crossings(list)
	if len(at) == 0 {
		return text + " There is no crossing: nowhere does one overtake the other."
	}
	var where []string
	for _, m := range at {
		where = append(where, metres(m))
	}
	if len(at) == 1 {
		return text + " The crossing is at " + where[0] + "."
	}
	return text + " Crossings are at " + and(where) + "."
}
