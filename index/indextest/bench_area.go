package indextest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/paulmach/orb"

	"nearby/area"
	"nearby/index"
)

// BenchmarkArea measures Range and Count in a polygon of 10,000 positions that is rough at every
// scale, beside the same in the box round it: 10^6 points, of which a quarter lie in the box. The
// time of the polygon includes that of making it an area. It reports the ratio.
func BenchmarkArea(b *testing.B, builder index.Builder) {
	rnd := rand.New(rand.NewPCG(8, 9))
	s := make(scene, benchPoints)
	for i := range s {
		s[i] = at(rnd.Float64()*20, rnd.Float64()*20)
	}
	ix, err := builder(s.points(0, len(s)), s)
	if err != nil {
		b.Fatal(err)
	}
	polygon := orb.MultiPolygon{{coast(rnd, 10_000)}}
	bound := polygon.Bound()
	var refs []index.Ref
	questions := map[string]func(*area.Area) int{
		"Range": func(a *area.Area) int {
			if refs, _, err = ix.Range(refs[:0], &index.RangeQuery{Area: a, Limit: math.MaxInt}, s); err != nil {
				b.Fatal(err)
			}
			return len(refs)
		},
		"Count": func(a *area.Area) int {
			n, _, err := ix.Count(&index.Query{MaxDistance: index.Everywhere, Area: a}, s)
			if err != nil {
				b.Fatal(err)
			}
			return n
		},
	}
	for name, ask := range questions {
		b.Run(fmt.Sprintf("%s/box=%.1fx%.1f", name, bound.Max[0]-bound.Min[0], bound.Max[1]-bound.Min[1]), func(b *testing.B) {
			var spent [3]time.Duration
			var found [2]int
			for b.Loop() {
				start := time.Now()
				found[0] = ask(box(bound.Min[0], bound.Min[1], bound.Max[0], bound.Max[1]))
				spent[0] += time.Since(start)
				start = time.Now()
				a := polygons(polygon...)
				spent[2] += time.Since(start)
				found[1] = ask(a)
				spent[1] += time.Since(start)
			}
			ms := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(b.N) }
			b.ReportMetric(ms(spent[0]), "box-ms")
			b.ReportMetric(ms(spent[1]), "polygon-ms")
			b.ReportMetric(ms(spent[2]), "made-ms")
			b.ReportMetric(float64(spent[1])/float64(spent[0]), "ratio")
			b.ReportMetric(float64(found[1])/float64(found[0]), "inside")
		})
	}
}

// coast returns a ring of n positions about 5 degrees from (10, 10), rough at every scale.
func coast(rnd *rand.Rand, n int) orb.Ring {
	distances := make([]float64, n)
	for step, rough := n/4, 0.3; step > 0; step, rough = step/2, rough*0.6 {
		bumps := make([]float64, n/step+2)
		for i := range bumps {
			bumps[i] = (rnd.Float64() - 0.5) * rough
		}
		last := len(bumps) - 1
		bumps[last-1], bumps[last] = bumps[0], bumps[1]
		for i := range distances {
			t := float64(i) / float64(step)
			k := int(t)
			distances[i] += bumps[k] + (t-float64(k))*(bumps[k+1]-bumps[k])
		}
	}
	var r orb.Ring
	for i, d := range distances {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(n))
		r = append(r, orb.Point{10 + 5*math.Exp(d)*cos, 10 + 5*math.Exp(d)*sin})
	}
	return append(r, r[0])
}
