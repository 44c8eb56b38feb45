package area_test

import (
	"cmp"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/paulmach/orb"

	"nearby/area"
	"nearby/sphere"
)

// exactly tells on which side of the line from a to b a position lies, with rational numbers
// unless the position is so far from it, or the numbers so short, that float64 is as good.
func exactly(a, b, p orb.Point) int {
	if l, r := (b[0]-a[0])*(p[1]-a[1]), (b[1]-a[1])*(p[0]-a[0]); math.Abs(l-r) > 1e-6*(math.Abs(l)+math.Abs(r)) && math.Abs(l)+math.Abs(r) > 1e-200 || short(a, b, p) {
		return cmp.Compare(l, r)
	}
	of := func(x float64) *big.Rat { return new(big.Rat).SetFloat64(x) }
	sub := func(x, y float64) *big.Rat { return of(x).Sub(of(x), of(y)) }
	l, r := sub(b[0], a[0]), sub(b[1], a[1])
	return l.Mul(l, sub(p[1], a[1])).Cmp(r.Mul(r, sub(p[0], a[0])))
}

// short reports whether all are whole numbers of 64ths.
func short(positions ...orb.Point) bool {
	for _, p := range positions {
		if p[0]*64 != math.Trunc(p[0]*64) || p[1]*64 != math.Trunc(p[1]*64) {
			return false
		}
	}
	return true
}

func on(a, b, p orb.Point) bool {
	return p[0] >= min(a[0], b[0]) && p[0] <= max(a[0], b[0]) && p[1] >= min(a[1], b[1]) && p[1] <= max(a[1], b[1]) && exactly(a, b, p) == 0
}

// inside is Contains by going over all sides.
func inside(polygons orb.MultiPolygon, p orb.Point) bool {
	if p[0] == 180 && inside(polygons, orb.Point{-180, p[1]}) {
		return true
	}
	any := spelled(polygons, p)
	if p[0] == -180 {
		any = any || spelled(polygons, orb.Point{180, p[1]})
	}
	return any
}

func spelled(polygons orb.MultiPolygon, p orb.Point) bool {
	for _, polygon := range polygons {
		odd := false
		for _, ring := range polygon {
			for i, b := range ring[1:] {
				a := ring[i]
				if on(a, b, p) {
					return true
				}
				if (a[1] > p[1]) != (b[1] > p[1]) && (exactly(a, b, p) > 0) == (b[1] > a[1]) {
					odd = !odd
				}
			}
		}
		if odd {
			return true
		}
	}
	return false
}

// valid is what New allows, by comparing all pairs of sides.
func valid(polygons orb.MultiPolygon) bool {
	for _, polygon := range polygons {
		type side struct {
			a, b       orb.Point
			ring, n, i int
		}
		var sides []side
		for r, ring := range polygon {
			n := 0
			for i, b := range ring[1:] {
				if b != ring[i] {
					n++
				}
			}
			if n < 3 {
				return false
			}
			k := 0
			for i, b := range ring[1:] {
				if b != ring[i] {
					sides = append(sides, side{ring[i], b, r, n, k})
					k++
				}
			}
		}
		for x, s := range sides {
			for _, o := range sides[:x] {
				proper := exactly(s.a, s.b, o.a)*exactly(s.a, s.b, o.b) < 0 && exactly(o.a, o.b, s.a)*exactly(o.a, o.b, s.b) < 0
				touches := on(s.a, s.b, o.a) || on(s.a, s.b, o.b) || on(o.a, o.b, s.a) || on(o.a, o.b, s.b)
				joined := s.ring == o.ring && ((s.i+1)%s.n == o.i || (o.i+1)%o.n == s.i)
				flat := exactly(s.a, s.b, o.a) == 0 && exactly(s.a, s.b, o.b) == 0
				in := 0
				for _, p := range []orb.Point{s.a, s.b} {
					if on(o.a, o.b, p) && p != o.a && p != o.b {
						in++
					}
				}
				for _, p := range []orb.Point{o.a, o.b} {
					if on(s.a, s.b, p) && p != s.a && p != s.b {
						in++
					}
				}
				same := s.a == o.a && s.b == o.b || s.a == o.b && s.b == o.a
				if proper || flat && (in > 0 || same) || s.ring == o.ring && !joined && touches {
					return false
				}
			}
		}
		for _, hole := range polygon[1:] {
			for _, p := range hole {
				border := false
				for i, b := range polygon[0][1:] {
					border = border || on(polygon[0][i], b, p)
				}
				if !border && !spelled(orb.MultiPolygon{{polygon[0]}}, p) {
					return false
				}
			}
		}
	}
	return true
}

// ring closes a ring of lon, lat pairs.
func ring(degrees ...float64) orb.Ring {
	var r orb.Ring
	for i := 0; i < len(degrees); i += 2 {
		r = append(r, orb.Point{degrees[i], degrees[i+1]})
	}
	return append(r, r[0])
}

// generator draws rings: on a coarse grid, where all that can touch does, or a star.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 5))} }

// grid returns a ring of few positions of a grid, in order round its middle so that it is often
// valid, or in any.
func (g generator) grid(west, south float64, size int) orb.Ring {
	var r orb.Ring
	n, around := 3+g.IntN(6), g.IntN(3) > 0
	for i := range n {
		p := orb.Point{west + float64(g.IntN(size+1)), south + float64(g.IntN(size+1))}
		if around {
			sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(n))
			half, part := float64(size)/2, 0.4+0.6*g.Float64()
			p = orb.Point{math.Round(west + half + part*half*cos), math.Round(south + half + part*half*sin)}
		}
		r = append(r, p)
		if g.IntN(8) == 0 {
			r = append(r, p)
		}
	}
	return append(r, r[0])
}

// star returns a ring of n positions round (lon, lat), whose distances are at random between
// inner and outer times the size.
func (g generator) star(lon, lat, size, inner, outer float64, n int) orb.Ring {
	var r orb.Ring
	for i := range n {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(n))
		d := size * (inner + (outer-inner)*g.Float64())
		r = append(r, orb.Point{lon + d*cos, lat + d*sin})
	}
	return append(r, r[0])
}

// polygons draws what is often valid.
func (g generator) polygons() orb.MultiPolygon {
	west, south, size := -180.0, 0.0, 2+g.IntN(8)
	switch g.IntN(4) {
	case 0:
		west = 180 - float64(size)
	case 1:
		west, south = float64(g.IntN(20)-10), -90
	}
	var mp orb.MultiPolygon
	for range 1 + g.IntN(3) {
		p := orb.Polygon{g.grid(west, south, size)}
		for range g.IntN(3) {
			p = append(p, g.grid(west+float64(g.IntN(3)), south+float64(g.IntN(3)), size/2))
		}
		mp = append(mp, p)
	}
	return mp
}

func (g generator) position(mp orb.MultiPolygon) orb.Point {
	b := mp.Bound()
	switch g.IntN(6) {
	case 0: // a vertex
		r := mp[g.IntN(len(mp))][0]
		return r[g.IntN(len(r))]
	case 1: // on a side or next to it
		r := mp[g.IntN(len(mp))][0]
		i := g.IntN(len(r) - 1)
		t := float64(g.IntN(17)) / 16
		return orb.Point{r[i][0] + t*(r[i+1][0]-r[i][0]), r[i][1] + t*(r[i+1][1]-r[i][1])}
	case 2: // of a fine grid
		return orb.Point{min(180, b.Min[0]+float64(g.IntN(40))/4), b.Min[1] + float64(g.IntN(40))/4}
	case 3:
		return orb.Point{math.Copysign(180, g.Float64()-0.5), b.Min[1] + float64(g.IntN(40))/4}
	}
	return orb.Point{
		max(-180, min(180, b.Min[0]-0.5+g.Float64()*(b.Max[0]-b.Min[0]+1))),
		max(-90, min(90, b.Min[1]-0.5+g.Float64()*(b.Max[1]-b.Min[1]+1))),
	}
}

// What New allows, Contains and Cover are as going over all sides with rational numbers says.
func TestAgainstAllSides(t *testing.T) {
	g := newGenerator(1)
	allowed, refused := 0, 0
	covers := map[area.Cover]int{}
	for round := range 8000 {
		mp := g.polygons()
		a, err := area.New(mp)
		if want := valid(mp); (err == nil) != want {
			t.Fatalf("round %d: %v is valid: %v, error: %v", round, mp, want, err)
		}
		if err != nil {
			refused++
			continue
		}
		allowed++
		checkArea(t, g, mp, a, covers)
	}
	if allowed < 500 || refused < 500 || len(covers) != 3 || covers[area.All] < 1000 || covers[area.None] < 1000 {
		t.Errorf("%d are valid and %d are not; the covers are %v", allowed, refused, covers)
	}
}

func checkArea(t *testing.T, g generator, mp orb.MultiPolygon, a *area.Area, covers map[area.Cover]int) {
	t.Helper()
	for range 20 {
		p := g.position(mp)
		if got, want := a.Contains(p[0], p[1]), inside(mp, p); got != want {
			t.Fatalf("%v contains %v: %v, want %v", mp, p, got, want)
		}
		q := g.position(mp)
		r := sphere.Rect{West: min(p[0], q[0]), South: min(p[1], q[1]), East: max(p[0], q[0]), North: max(p[1], q[1])}
		if g.IntN(2) == 0 {
			r.East, r.North = min(180, r.West+g.Float64()), min(90, r.South+g.Float64())
		}
		c := a.Cover(r)
		covers[c]++
		for range 10 {
			p := orb.Point{r.West + g.Float64()*(r.East-r.West), r.South + g.Float64()*(r.North-r.South)}
			if g.IntN(4) == 0 {
				p[0] = []float64{r.West, r.East}[g.IntN(2)]
			}
			if g.IntN(4) == 0 {
				p[1] = []float64{r.South, r.North}[g.IntN(2)]
			}
			if in := inside(mp, p); in && c == area.None || !in && c == area.All {
				t.Fatalf("%v covers %d of %+v, but %v is inside: %v", mp, c, r, p, in)
			}
		}
	}
}

// Many sides, of many polygons, that cross each other.
func TestStars(t *testing.T) {
	g := newGenerator(2)
	for _, n := range []int{3, 10, 100, 1000} {
		for range 8 {
			var mp orb.MultiPolygon
			for range 1 + g.IntN(4) {
				lon, lat := g.Float64()*20, g.Float64()*20
				p := orb.Polygon{g.star(lon, lat, 5, 0.5, 1, n)}
				if g.IntN(2) == 0 && n > 3 {
					p = append(p, g.star(lon, lat, 5, 0.1, 0.45, n))
				}
				mp = append(mp, p)
			}
			a, err := area.New(mp)
			if err != nil {
				t.Fatal(err)
			}
			checkArea(t, g, mp, a, map[area.Cover]int{})
		}
	}
}

// A side as near to a position as float64 can have it, and numbers whose products are less than
// the least float64.
func TestNearestNumbers(t *testing.T) {
	g := newGenerator(3)
	sides := 0
	for range 300 {
		scale := math.Pow(10, -g.Float64()*320)
		if g.IntN(2) == 0 {
			scale = 1
		}
		at := func() orb.Point { return orb.Point{g.Float64() * 10 * scale, g.Float64() * 10 * scale} }
		mp := orb.MultiPolygon{{append(orb.Ring{}, at(), at(), at())}}
		mp[0][0] = append(mp[0][0], mp[0][0][0])
		a, err := area.New(mp)
		if (err == nil) != valid(mp) {
			t.Fatalf("%v: %v", mp, err)
		}
		if err != nil {
			continue
		}
		for range 30 {
			r := mp[0][0]
			i, s := g.IntN(3), g.Float64()
			p := orb.Point{r[i][0] + s*(r[i+1][0]-r[i][0]), r[i][1] + s*(r[i+1][1]-r[i][1])}
			for k := range p {
				switch g.IntN(3) {
				case 0:
					p[k] = math.Nextafter(p[k], 1)
				case 1:
					p[k] = math.Nextafter(p[k], -1)
				}
			}
			want := inside(mp, p)
			if got := a.Contains(p[0], p[1]); got != want {
				t.Fatalf("%v contains %v: %v, want %v", mp, p, got, want)
			}
			if want {
				sides++
			}
		}
	}
	if sides < 1000 {
		t.Errorf("only %d lie inside", sides)
	}
}

func TestErrors(t *testing.T) {
	square := ring(0, 0, 10, 0, 10, 10, 0, 10)
	polygon := func(rings ...orb.Ring) orb.MultiPolygon { return orb.MultiPolygon{{square}, rings} }
	long := make(orb.Ring, area.MostPositions+2)
	for i := range long {
		long[i] = orb.Point{float64(i) * 1e-4, 1 + float64(i%2)}
	}
	long[len(long)-1] = long[0]
	for name, c := range map[string]struct {
		polygons             orb.MultiPolygon
		fault                area.Fault
		polygon, ring, place int
		text                 string
	}{
		"none":       {nil, area.NoPolygon, -1, -1, -1, "there is no polygon"},
		"no ring":    {orb.MultiPolygon{{square}, {}}, area.NoRing, 1, -1, -1, "polygon 1 has no ring"},
		"short":      {polygon(orb.Ring{{0, 0}, {1, 1}, {0, 0}}), area.Short, 1, 0, -1, "ring 0 of polygon 1 has less than four positions"},
		"empty":      {polygon(orb.Ring{}), area.Short, 1, 0, -1, "ring 0 of polygon 1"},
		"open":       {polygon(square, orb.Ring{{1, 1}, {2, 1}, {2, 2}, {1, 2}}), area.Open, 1, 1, 3, "ring 1 of polygon 1 is not closed"},
		"east":       {polygon(ring(170, 0, 190, 0, 190, 5)), area.OutOfRange, 1, 0, 1, "position 1 of ring 0 of polygon 1: longitude 190, latitude 0 is not on Earth: longitudes are from -180 to 180, and latitudes from -90 to 90; what crosses the antimeridian is cut there, into two polygons"},
		"north":      {polygon(ring(0, 0, 1, 0, 1, 91)), area.OutOfRange, 1, 0, 2, "latitude 91"},
		"NaN":        {polygon(ring(0, 0, 1, 0, 1, math.NaN())), area.OutOfRange, 1, 0, 2, "NaN"},
		"flat":       {polygon(orb.Ring{{0, 0}, {1, 1}, {1, 1}, {0, 0}}), area.Flat, 1, 0, -1, "has no area"},
		"one line":   {polygon(ring(0, 0, 1, 1, 2, 2)), area.Crossed, 1, 0, 2, "crosses or touches itself"},
		"bow tie":    {polygon(ring(0, 0, 2, 2, 2, 0, 0, 2)), area.Crossed, 1, 0, 2, "ring 0 of polygon 1 crosses or touches itself: the sides from position 0 and from position 2 meet"},
		"spike":      {polygon(ring(0, 0, 2, 0, 2, 2, 2, 3, 2, 2, 0, 2)), area.Crossed, 1, 0, 4, "ring 0 of polygon 1 crosses"},
		"touch":      {polygon(ring(0, 0, 4, 0, 4, 4, 2, 0, 0, 4)), area.Crossed, 1, 0, 3, "touches itself"},
		"one place":  {polygon(ring(0, 0, 2, 0, 4, 0, 4, 4, 2, 0, 1, 4)), area.Crossed, 1, 0, 4, "the sides from position 1 and from position 4 meet"},
		"hole out":   {polygon(square, ring(20, 20, 21, 20, 21, 21)), area.Outside, 1, 1, 0, "ring 1 of polygon 1 is a hole, but lies outside of ring 0"},
		"hole over":  {polygon(square, ring(5, 5, 15, 5, 15, 7)), area.Crossing, 1, 1, 0, "ring 1 of polygon 1 crosses ring 0"},
		"hole along": {polygon(square, ring(0, 1, 0, 2, 2, 2)), area.Crossing, 1, 1, 0, "crosses ring 0"},
		"too large":  {orb.MultiPolygon{{long}}, area.TooLarge, -1, -1, -1, "more than 100000 positions"},
	} {
		a, err := area.New(c.polygons)
		var e *area.Error
		if !errors.As(err, &e) || a != nil {
			t.Errorf("%s: %v, %v", name, a, err)
			continue
		}
		if e.Fault != c.fault || e.Polygon != c.polygon || e.Ring != c.ring || e.Position != c.place || !strings.Contains(e.Error(), c.text) {
			t.Errorf("%s: %+v %q, want fault %d in ring %d of polygon %d at %d: %q", name, e, e, c.fault, c.ring, c.polygon, c.place, c.text)
		}
	}
	for _, box := range [][4]float64{{-181, 0, 1, 1}, {0, 0, 181, 1}, {0, -91, 1, 1}, {0, 0, 1, 91}, {0, 1, 1, 0}, {math.NaN(), 0, 1, 1}, {0, 0, 1, math.Inf(1)}} {
		var e *area.Error
		if a, err := area.Box(box[0], box[1], box[2], box[3]); !errors.As(err, &e) || a != nil || e.Error() == "" {
			t.Errorf("box %v: %v, %v", box, a, err)
		}
	}
	// What is allowed: a hole that touches its shell, and holes that touch each other, in one
	// position each; and a ring of as many positions as there may be.
	for _, mp := range []orb.MultiPolygon{
		polygon(square, ring(0, 1, 2, 0.5, 2, 2)),
		polygon(square, ring(0, 0, 2, 1, 1, 2)),
		polygon(square, ring(1, 1, 2, 1, 2, 2), ring(2, 2, 3, 2, 3, 3)),
		polygon(square, ring(2, 1, 3, 1, 3, 3), ring(1, 1, 2.5, 2, 1, 3)),
		{{square}, {square}},
	} {
		if _, err := area.New(mp); err != nil {
			t.Errorf("%v: %v", mp, err)
		}
	}
	for i := range long[:len(long)/2] { // out above, and back below
		long[i] = orb.Point{float64(i) * 1e-4, 1}
		long[len(long)-2-i] = orb.Point{float64(i) * 1e-4, 0}
	}
	long = append(long[:area.MostPositions], long[0])
	if _, err := area.New(orb.MultiPolygon{{long}}); err != nil {
		t.Error(err)
	}
}

func TestBoxes(t *testing.T) {
	box := func(west, south, east, north float64) *area.Area {
		a, err := area.Box(west, south, east, north)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	var everywhere *area.Area
	fiji := box(177, -20, -178, -16)
	for _, c := range []struct {
		a        *area.Area
		lon, lat float64
		want     bool
	}{
		{everywhere, 1, 2, true}, {everywhere.And(nil), 1, 2, true},
		{fiji, 180, -18, true}, {fiji, -180, -18, true}, {fiji, 177, -20, true}, {fiji, -178, -16, true}, {fiji, 0, -18, false}, {fiji, 180, -15.9, false},
		{box(177, -20, 180, -16), -180, -18, true}, {box(-180, -20, -178, -16), 180, -18, true},
		{fiji.And(box(0, -90, 180, 90)), 178, -18, true}, {fiji.And(box(0, -90, 180, 90)), -179, -18, false},
		{fiji.And(box(0, -90, 180, 90)), -180, -18, true}, {fiji.And(nil), -179, -18, true}, {everywhere.And(fiji), 0, -18, false},
		{fiji.And(box(0, -90, 180, 90)).And(box(0, -17, 180, 90)), 178, -18, false},
		{box(5, 5, 5, 5), 5, 5, true},
	} {
		if got := c.a.Contains(c.lon, c.lat); got != c.want {
			t.Errorf("%v contains %v %v: %v", c.a, c.lon, c.lat, got)
		}
	}
	for _, c := range []struct {
		a    *area.Area
		r    sphere.Rect
		want area.Cover
	}{
		{everywhere, sphere.Rect{West: -180, South: -90, East: 180, North: 90}, area.All},
		{fiji, sphere.Rect{West: -180, South: -19, East: -179, North: -18}, area.All},
		{fiji, sphere.Rect{West: -180, South: -90, East: 180, North: 90}, area.Part},
		{fiji, sphere.Rect{West: 0, South: -19, East: 10, North: -18}, area.None},
		{fiji, sphere.Rect{West: 178, South: -19, East: 179, North: -10}, area.Part},
		{box(170, 0, 180, 1), sphere.Rect{West: -180, South: 0, East: -179, North: 1}, area.Part}, // its longitude -180 is 180
		{box(-180, 0, -170, 1), sphere.Rect{West: 179, South: 0, East: 180, North: 1}, area.Part},
		{box(170, 0, 180, 1), sphere.Rect{West: -180, South: 0, East: -180, North: 1}, area.Part},
		{box(0, 0, 10, 10).And(box(5, 0, 15, 10)), sphere.Rect{West: 6, South: 1, East: 7, North: 2}, area.All},
		{box(0, 0, 10, 10).And(box(5, 0, 15, 10)), sphere.Rect{West: 4, South: 1, East: 7, North: 2}, area.Part},
		{box(0, 0, 10, 10).And(box(5, 0, 15, 10)), sphere.Rect{West: 1, South: 1, East: 2, North: 2}, area.None},
	} {
		if got := c.a.Cover(c.r); got != c.want {
			t.Errorf("%v of %+v: %d, want %d", c.a, c.r, got, c.want)
		}
	}
}

func FuzzContains(f *testing.F) {
	f.Add(0.0, 0.0, 5.0, 1.0, 2.0, 7.0, 3.0, 3.0)
	f.Add(180.0, 0.0, 170.0, 1.0, 180.0, 7.0, -180.0, 3.0)
	f.Add(5e-324, 0.0, 1e-160, 1e-160, 0.0, 1e-300, 1e-161, 1e-161)
	f.Fuzz(func(t *testing.T, x1, y1, x2, y2, x3, y3, x, y float64) {
		mp := orb.MultiPolygon{{ring(x1, y1, x2, y2, x3, y3)}}
		a, err := area.New(mp)
		if err != nil || !(math.Abs(x) <= 180 && math.Abs(y) <= 90) {
			return
		}
		if got, want := a.Contains(x, y), inside(mp, orb.Point{x, y}); got != want {
			t.Errorf("%v contains %v %v: %v, want %v", mp, x, y, got, want)
		}
	})
}
