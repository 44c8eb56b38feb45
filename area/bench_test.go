package area_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/paulmach/orb"

	"nearby/area"
	"nearby/sphere"
)

// coast returns a ring of n positions that is rough at every scale, as a coast is.
func (g generator) coast(lon, lat, size float64, n int) orb.Ring {
	radii := make([]float64, n)
	for step, rough := n/4, 0.3; step > 0; step, rough = step/2, rough*0.6 {
		bumps := make([]float64, n/step+2)
		for i := range bumps {
			bumps[i] = (g.Float64() - 0.5) * rough
		}
		bumps[len(bumps)-1], bumps[len(bumps)-2] = bumps[1], bumps[0]
		for i := range radii {
			t := float64(i) / float64(step)
			k := int(t)
			radii[i] += bumps[k] + (t-float64(k))*(bumps[k+1]-bumps[k])
		}
	}
	var r orb.Ring
	for i := range n {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(n))
		d := size * math.Exp(radii[i]-0.3)
		r = append(r, orb.Point{lon + d*cos, lat + d*sin})
	}
	return append(r, r[0])
}

func Benchmark(b *testing.B) {
	for _, n := range []int{4, 100, 10_000, 100_000} {
		g := newGenerator(4)
		comb := orb.Ring{}
		for i := range n/2 - 1 {
			comb = append(comb, orb.Point{10 * float64(2*i) / float64(n), 10}, orb.Point{10 * float64(2*i+1) / float64(n), 0})
		}
		comb = append(comb, orb.Point{10, 11}, orb.Point{-1, 11})
		comb = append(comb, comb[0])
		for name, r := range map[string]orb.Ring{
			"coast": g.coast(5, 5, 5, n),
			"star":  g.star(5, 5, 5, 0.5, 1, n),
			"comb":  comb,
		} {
			mp := orb.MultiPolygon{{r}}
			a, err := area.New(mp)
			if err != nil {
				b.Fatal(err)
			}
			name = fmt.Sprintf("%s/n=%d", name, n)
			b.Run("New/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := area.New(mp); err != nil {
						b.Fatal(err)
					}
				}
			})
			places := make([]orb.Point, 1<<14)
			for i := range places {
				places[i] = orb.Point{g.Float64() * 10, g.Float64() * 10}
			}
			b.Run("Contains/"+name, func(b *testing.B) {
				i := 0
				for b.Loop() {
					p := places[i%len(places)]
					a.Contains(p[0], p[1])
					i++
				}
			})
			b.Run("Cover/"+name, func(b *testing.B) {
				i, covers := 0, [3]int{}
				for b.Loop() {
					p := places[i%len(places)]
					covers[a.Cover(sphere.Rect{West: p[0], South: p[1], East: p[0] + 0.05, North: p[1] + 0.05})]++
					i++
				}
			})
		}
	}
}
