package area_test

import (
	"testing"

	"github.com/paulmach/orb"

	"nearby/area"
)

// comb returns a ring with n teeth, which are of different lengths if uneven is set, and whose ends
// are flat if flat is set. It is 8 degrees wide.
func (g generator) comb(n int, uneven, flat bool) (r orb.Ring) {
	step := 8 / float64(n)
	for i := range n {
		x, top := step*float64(i), 10.0
		if uneven {
			top -= float64(g.IntN(256)) / 64
		}
		if flat {
			r = append(r, orb.Point{x, 0}, orb.Point{x, top}, orb.Point{x + step/2, top}, orb.Point{x + step/2, 0})
		} else {
			r = append(r, orb.Point{x, 0}, orb.Point{x + step/2, top})
		}
	}
	r = append(r, orb.Point{8, 0}, orb.Point{8, -1}, orb.Point{0, -1})
	return append(r, r[0])
}

// Long sides next to each other, in any direction, as a border, as a hole, and of polygons that
// overlap.
func TestDense(t *testing.T) {
	g := newGenerator(6)
	turns := []func(p orb.Point) orb.Point{
		func(p orb.Point) orb.Point { return p },
		func(p orb.Point) orb.Point { return orb.Point{p[1], p[0]} },
		func(p orb.Point) orb.Point { return orb.Point{(p[0] + p[1]) / 2, (p[1] - p[0]) / 2} },
		func(p orb.Point) orb.Point { return orb.Point{p[0] - p[1]/4, p[1] + p[0]/4} },
	}
	for i, turn := range turns {
		for _, uneven := range []bool{false, true} {
			for _, flat := range []bool{false, true} {
				r := g.comb(512, uneven, flat)
				for k := range r {
					r[k] = turn(r[k])
				}
				around := r.Bound().Pad(1)
				box := ring(around.Min[0], around.Min[1], around.Max[0], around.Min[1], around.Max[0], around.Max[1], around.Min[0], around.Max[1])
				for name, mp := range map[string]orb.MultiPolygon{
					"border": {{r}},
					"hole":   {{box, r}},
					"two":    {{r}, {g.star(4, 4, 5, 0.01, 1, 1000)}},
				} {
					a, err := area.New(mp)
					if err != nil {
						t.Fatalf("%s %d: %v", name, i, err)
					}
					checkArea(t, g, mp, a, map[area.Cover]int{})
				}
			}
		}
	}
}
