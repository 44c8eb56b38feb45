package indextest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/mmcloughlin/geohash"
	"github.com/paulmach/orb"

	"nearby/area"
	"nearby/index"
	"nearby/sphere"
)

// traps are the ways in which proximity searches are known to go wrong, each
// with the data that shows it and the answer that is right. The numbers are
// those of the project's list of traps.
var traps = []struct {
	name string
	test func(*testing.T, index.Builder)
}{
	{"G1/RadiusOverAntimeridian", trapSeam},
	{"G2/PoleNeedsAllLongitudes", trapPole},
	{"G3/TopOfTheGrid", trapTopOfGrid},
	{"G4/NeighbourCellsOverSeamAndPole", trapNeighbours},
	{"G5/CellsShrinkTowardsThePole", trapShrinkingCells},
	{"G6/OwnCellIsNotEnough", trapOwnCell},
	{"G7/OneMoreRingIsNotEnough", trapOneMoreRing},
	{"G8/ExitComparesTheKth", trapKth},
	{"G9/NearestOfMeridianIsNotOnTheParallel", trapMeridian},
	{"G10/RadiusOverHalfTheGlobe", trapHugeRadius},
	{"G11/ObliqueHitsAtHighLatitude", trapOblique},
	{"G13/IdenticalPoints", trapIdentical},
	{"G14/BorderRounding", trapBorders},
	{"G15/Ties", trapTies},
	{"G16/WorldAndSeamBoxes", trapBoxes},
	{"G17/PolygonCutAtTheSeam", trapSeamPolygon},
	{"G18/PolygonRoundThePole", trapPolePolygon},
	{"G19/StraightEdgesInThePlane", trapStraightEdge},
	{"G20/HolesWindingBorders", trapHoles},
	{"G21/NarrowBoxes", trapNarrow},
	{"G23/AQuarterFromTheMeridian", trapQuarter},
	{"G24/LessThanAnyDistance", trapTiny},
	{"G25/RingsOfDistance", trapRings},
}

func testTraps(t *testing.T, builder index.Builder) {
	for _, trap := range traps {
		t.Run(trap.name, func(t *testing.T) { trap.test(t, builder) })
	}
}

// at spells a position.
func at(lon, lat float64) index.Position { return index.Position{Lon: lon, Lat: lat} }

// both tests an index built at once, and one that grew point by point.
func both(t *testing.T, builder index.Builder, positions []index.Position, test func(*testing.T, version)) {
	t.Helper()
	items := NewItems(positions...)
	bulk, err := build(builder, items)
	if err != nil {
		t.Fatal(err)
	}
	grown, err := build(builder, &Items{})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range positions {
		c := []index.Update{{Kind: index.Insert, Ref: index.Ref(i), New: p}}
		if grown, err = grown.apply(c, NewItems(positions[:i+1]...)); err != nil {
			t.Fatalf("insert %d: %v", i, err)
		}
	}
	for name, v := range map[string]version{"bulk": bulk, "grown": grown} {
		t.Run(name, func(t *testing.T) {
			if err := v.check(); err != nil {
				t.Error(err)
			}
			test(t, v)
		})
	}
}

// hits asks and fails the test unless the answer is right.
func (v version) hits(t *testing.T, lon, lat float64, k int, within float64) []index.Hit {
	t.Helper()
	hits, err := v.nearest(index.Query{Lon: lon, Lat: lat, K: k, MaxDistance: within})
	if err != nil {
		t.Fatal(err)
	}
	return hits
}

// wantRefs fails the test unless the query finds these refs in this order.
func (v version) wantRefs(t *testing.T, lon, lat float64, k int, within float64, want ...index.Ref) []index.Hit {
	t.Helper()
	hits := v.hits(t, lon, lat, k, within)
	var got []index.Ref
	for _, h := range hits {
		got = append(got, h.Ref)
	}
	if !slices.Equal(got, want) {
		t.Errorf("k %d within %v m of lon %v lat %v: got %v, want %v", k, within, lon, lat, got, want)
	}
	return hits
}

// wantDistance fails the test unless the hit lies that far away.
func wantDistance(t *testing.T, hits []index.Hit, i int, metres, tolerance float64) {
	t.Helper()
	if i >= len(hits) {
		t.Errorf("only %d hits", len(hits))
	} else if math.Abs(hits[i].Distance-metres) > tolerance {
		t.Errorf("hit %d lies at %.6f m, want %.6f", i, hits[i].Distance, metres)
	}
}

func trapSeam(t *testing.T, builder index.Builder) {
	both(t, builder, []index.Position{at(179.5, 0), at(-179.5, 0)}, func(t *testing.T, v version) {
		wantDistance(t, v.wantRefs(t, 179.5, 0, 10, 200e3, 0, 1), 1, 111195.080234, 1e-6)
		wantDistance(t, v.wantRefs(t, -179.5, 0, 10, 200e3, 1, 0), 1, 111195.080234, 1e-6)
		east, west := v.hits(t, 180, 0, 10, 200e3), v.hits(t, -180, 0, 10, 200e3)
		if len(east) != 2 || !slices.Equal(east, west) {
			t.Errorf("180 gives %v, -180 gives %v", east, west)
		}
	})
}

func trapPole(t *testing.T, builder index.Builder) {
	both(t, builder, []index.Position{at(100, 89.9), at(-100, 89.9)}, func(t *testing.T, v version) {
		for _, lon := range []float64{0, 77, 100, 180, -180} {
			if hits := v.hits(t, lon, 90, 10, 100e3); len(hits) != 2 {
				t.Errorf("from the pole as lon %v: %v", lon, hits)
			}
		}
		wantDistance(t, v.wantRefs(t, 100, 89.9, 10, 100e3, 0, 1), 1, 21901.155087, 1e-6)
	})
	across := []index.Position{at(119.97635457771912, 89.99904405694745)}
	both(t, builder, across, func(t *testing.T, v version) {
		hits := v.wantRefs(t, -60.02364542228088, 89.99904405694745, 10, 250, 0)
		wantDistance(t, hits, 0, 212.6, 0.05)
	})
}

func trapTopOfGrid(t *testing.T, builder index.Builder) {
	positions := []index.Position{at(0, 90), at(180, 90), at(5, -90), at(180, 0), at(-180, 0), at(0, math.Nextafter(90, 0))}
	both(t, builder, positions, func(t *testing.T, v version) {
		for i, p := range positions {
			hits := v.hits(t, p.Lon, p.Lat, len(positions), 0)
			if !slices.ContainsFunc(hits, func(h index.Hit) bool { return h.Ref == index.Ref(i) && h.Distance == 0 }) {
				t.Errorf("radius 0 round ref %d: %v", i, hits)
			}
			if hits := v.hits(t, p.Lon, p.Lat, 1, index.Everywhere); len(hits) != 1 || hits[0].Distance != 0 {
				t.Errorf("nearest to ref %d: %v", i, hits)
			}
			refs := v.box(t, p.Lon, p.Lat, p.Lon, p.Lat)
			if !slices.Contains(refs, index.Ref(i)) {
				t.Errorf("box round ref %d: %v", i, refs)
			}
		}
		v.wantRefs(t, 44, -90, 10, 1000, 2)
	})
}

// trapNeighbours puts one point in each of two cells that touch over the seam,
// and in cells of the top and bottom rows, which must not count as neighbours.
func trapNeighbours(t *testing.T, builder index.Builder) {
	centre := func(hash string) index.Position {
		lat, lon := geohash.BoundingBox(hash).Center()
		return at(lon, lat)
	}
	positions := []index.Position{centre("xzrbx"), centre("8p208"), at(-179, 89.99), at(-179, -89.99)}
	both(t, builder, positions, func(t *testing.T, v version) {
		d := sphere.Distance(vec(positions[0]), vec(positions[1]))
		for i := range 2 {
			p := positions[i]
			wantDistance(t, v.wantRefs(t, p.Lon, p.Lat, 2, index.Everywhere, index.Ref(i), index.Ref(1-i)), 1, d, 0)
			wantDistance(t, v.wantRefs(t, p.Lon, p.Lat, 9, d, index.Ref(i), index.Ref(1-i)), 1, d, 0)
		}
		v.wantRefs(t, 1, 89.99, 3, 3000, 2)
		v.wantRefs(t, 1, -89.99, 3, 3000, 3)
	})
}

// trapShrinkingCells asks for radii of the size of a cell where cells are narrow.
func trapShrinkingCells(t *testing.T, builder index.Builder) {
	rnd := newRand(5)
	for _, lat := range []float64{0, 60, 85, 89, 89.9, 89.99, 90} {
		for _, size := range []float64{4892, 1222, 153, 38} {
			items := &Items{}
			for r := range index.Ref(120) {
				// A cloud as wide as it is high, on the ground, four cells across.
				sin, cos := math.Sincos(rnd.Float64() * 2 * math.Pi)
				m := size * 4 * math.Sqrt(rnd.Float64())
				north, east := m*cos/111195, m*sin/111195
				lonScale := math.Cos(lat * math.Pi / 180)
				p := clamp(10+east/lonScale, lat+north)
				if lat > 89.5 {
					// Over the pole longitudes are directions.
					p = clamp(rnd.Float64()*360-180, 90-rnd.Float64()*((90-lat)+size*4/111195))
				}
				items.Set(r, IDOf(r), p)
			}
			v, err := build(builder, items)
			if err != nil {
				t.Fatal(err)
			}
			for range 10 {
				e := items.refs[rnd.IntN(items.Len())].pos
				v.hits(t, e.Lon, e.Lat, items.Len(), size*(0.2+rnd.Float64()*2))
				v.hits(t, e.Lon, e.Lat, 1+rnd.IntN(9), index.Everywhere)
			}
			v.hits(t, 10, lat, 9, size)
		}
	}
}

func trapOwnCell(t *testing.T, builder index.Builder) {
	both(t, builder, []index.Position{at(0.0001, 0.00274), at(0.0111, 0.00274)}, func(t *testing.T, v version) {
		v.wantRefs(t, 0.0109, 0.00274, 1, index.Everywhere, 1)
		hits := v.wantRefs(t, 0.0109, 0.00274, 2, index.Everywhere, 1, 0)
		wantDistance(t, hits, 0, 22.239, 0.001)
		wantDistance(t, hits, 1, 1200.907, 0.001)
	})
}

func trapOneMoreRing(t *testing.T, builder index.Builder) {
	both(t, builder, []index.Position{at(-0.0109, 0.00274), at(0.0221, 0.00274)}, func(t *testing.T, v version) {
		v.wantRefs(t, 0.0109, 0.00274, 1, index.Everywhere, 1)
		hits := v.wantRefs(t, 0.0109, 0.00274, 2, index.Everywhere, 1, 0)
		wantDistance(t, hits, 0, 1245.385, 0.001)
		wantDistance(t, hits, 1, 2424.053, 0.001)
	})
}

func trapKth(t *testing.T, builder index.Builder) {
	g := newGenerator(Seed(t))
	v, err := build(builder, g.someItems(400))
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		p := g.anywhere()
		v.hits(t, p.Lon, p.Lat, 1+g.IntN(50), index.Everywhere)
	}
}

func trapMeridian(t *testing.T, builder index.Builder) {
	positions := []index.Position{at(40, 66.1413452), at(-39, 60)}
	// Fill the box of the trap, so that an index has a large cell to bound.
	rnd := newRand(9)
	for range 60 {
		positions = append(positions, at(45+15*rnd.Float64(), 80*rnd.Float64()))
	}
	both(t, builder, positions, func(t *testing.T, v version) {
		hits := v.wantRefs(t, 0, 60, 2, index.Everywhere, 0, 1)
		wantDistance(t, hits, 0, 2084600.550286, 1e-5)
		wantDistance(t, hits, 1, 2136686.066, 1e-3)
	})
	over := []index.Position{at(180, 89.0125), at(0, 78)}
	both(t, builder, over, func(t *testing.T, v version) {
		v.wantRefs(t, 0, 85, 2, index.Everywhere, 0, 1)
	})
}

func trapHugeRadius(t *testing.T, builder index.Builder) {
	both(t, builder, []index.Position{at(-78.45, 38.13)}, func(t *testing.T, v version) {
		for _, r := range []float64{12975720, 20.1e6, 50e6, 1e300, math.Inf(1)} {
			wantDistance(t, v.wantRefs(t, 72.8, 19.13, 10, r, 0), 0, 12975719, 0.5)
		}
	})
	five := []index.Position{at(-8, -8.8), at(18, 12.8), at(23, -25.78), at(-31, 32.0878), at(41, 40)}
	both(t, builder, five, func(t *testing.T, v version) {
		if hits := v.hits(t, 1, 2.2, 10, 20e6); len(hits) != 5 {
			t.Errorf("got %v, want all 5", hits)
		}
	})
	antipodes := []index.Position{
		at(58.03018760782425, -65.0903427168311), at(180, 0), at(0, -90), at(-179, 15.625), at(86, 12), at(180, 82),
	}
	centres := []index.Position{
		at(-121.96981239217565, 65.09034271683089), at(0, 0), at(0, 90), at(1, -15.625), at(-94, -12), at(0, -82),
	}
	both(t, builder, antipodes, func(t *testing.T, v version) {
		for i, c := range centres {
			hits := v.hits(t, c.Lon, c.Lat, 10, index.Everywhere)
			if len(hits) != len(antipodes) || hits[5].Ref != index.Ref(i) {
				t.Fatalf("from the antipode of ref %d: %v", i, hits)
			}
			wantDistance(t, hits, 5, 20015114.442036, 1e-6)
		}
	})

	// The squared chords are 4 or more by rounding, and the items up to 6 mm short of the
	// antipode. A search that is cut short proves nothing about them.
	for _, c := range [][2]index.Position{
		{at(24.96976750668844, 27.097207585885542), at(-155.03023247279882, -27.09720760690589)},
		{at(-12.194210692171623, 89.99999999998762), at(167.80578931411122, -89.99999995807104)},
		{at(-4.273260641487241, 30.210571740931982), at(175.72673937375527, -30.21057169854103)},
		{at(137.0967207697418, 44.060965448884474), at(-42.90327923656716, -44.060965392762235)},
	} {
		both(t, builder, []index.Position{c[1]}, func(t *testing.T, v version) {
			for budget := range 8 {
				v.ask(t, index.Query{Lon: c[0].Lon, Lat: c[0].Lat, K: 2, MaxDistance: index.Everywhere, Budget: budget + 1})
			}
		})
	}
}

func trapOblique(t *testing.T, builder index.Builder) {
	for _, c := range []struct {
		a, b   index.Position
		metres float64
	}{
		{at(-0.15307903289794921875, 85), at(0.3515625, 85.00019260486917005437), 4890.565},
		{at(-4.95211958885192871094, 85), at(11.25, 85.0511), 155804.580},
		{at(-45, 65.50900022111811438208), at(90, 85.0511), 3135124.576},
		{at(45, 65), at(-135, 85.05), 3330292.653},
	} {
		both(t, builder, []index.Position{c.a, c.b}, func(t *testing.T, v version) {
			hits := v.wantRefs(t, c.a.Lon, c.a.Lat, 10, c.metres+0.005, 0, 1)
			wantDistance(t, hits, 1, c.metres, 0.001)
			v.wantRefs(t, c.a.Lon, c.a.Lat, 10, c.metres-0.005, 0)
		})
	}
}

func vec(p index.Position) sphere.Vec { return sphere.FromDegrees(p.Lon, p.Lat) }

// box asks for a rectangle and fails the test unless the answer is right.
func (v version) box(t *testing.T, west, south, east, north float64) []index.Ref {
	t.Helper()
	return v.area(t, box(west, south, east, north))
}

// area asks for everything in an area, from Range and from Nearest, and returns the refs in order.
func (v version) area(t *testing.T, a *area.Area) []index.Ref {
	t.Helper()
	refs, err := v.inRange(index.RangeQuery{Area: a, Limit: v.items.Len() + 1})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(refs)
	hits := v.ask(t, index.Query{Lon: 179, Lat: -20, K: v.items.Len() + 1, MaxDistance: index.Everywhere, Area: a})
	var nearest []index.Ref
	for _, h := range hits {
		nearest = append(nearest, h.Ref)
	}
	slices.Sort(nearest)
	if !slices.Equal(nearest, refs) {
		t.Errorf("%v: nearest are %v, in the range are %v", a, nearest, refs)
	}
	return refs
}

// wantArea fails the test unless the area holds exactly these refs.
func (v version) wantArea(t *testing.T, a *area.Area, want ...index.Ref) {
	t.Helper()
	if got := v.area(t, a); !slices.Equal(got, want) {
		t.Errorf("%v: got %v, want %v", a, got, want)
	}
}

func box(west, south, east, north float64) *area.Area {
	a, err := area.Box(west, south, east, north)
	if err != nil {
		panic(fmt.Sprintf("indextest: %v", err))
	}
	return a
}

func polygons(p ...orb.Polygon) *area.Area {
	a, err := area.New(p)
	if err != nil {
		panic(fmt.Sprintf("indextest: %v in %v", err, p))
	}
	return a
}

// ring closes a ring of lon, lat pairs.
func ring(degrees ...float64) orb.Ring {
	if len(degrees)%2 != 0 {
		panic(fmt.Sprintf("indextest: %d numbers do not make pairs", len(degrees)))
	}
	var r orb.Ring
	for i := 0; i < len(degrees); i += 2 {
		r = append(r, orb.Point{degrees[i], degrees[i+1]})
	}
	return append(r, r[0])
}

// trapQuarter asks from next to the equator with a radius of nearly a quarter of the
// circumference. The foot of the perpendicular on a meridian that is nearly 90 degrees away
// may be centimetres nearer than a quarter, and its sine is 1 all the same.
func trapQuarter(t *testing.T, builder index.Builder) {
	for _, off := range []float64{1e-5, 1e-7, 1e-9} {
		var positions []index.Position
		for _, lon := range []float64{90, -90, 45, 180} {
			for _, lat := range []float64{45, -45, 30, -30, 90, -90, 0} {
				positions = append(positions, at(lon, lat))
			}
		}
		both(t, builder, positions, func(t *testing.T, v version) {
			for _, lon := range []float64{off, -off, 90 - off, off - 90, 179.9999999, 0} {
				for _, lat := range []float64{off, -off, 0} {
					centre := sphere.FromDegrees(lon, lat)
					for _, p := range positions {
						v.hits(t, lon, lat, len(positions), sphere.Distance(centre, vec(p)))
					}
				}
			}
		})
		// A single one, so that a search has nothing else to go by.
		for _, p := range positions {
			one, err := build(builder, NewItems(p))
			if err != nil {
				t.Fatal(err)
			}
			for _, lon := range []float64{off, -off, 90 - off, off - 90} {
				for _, lat := range []float64{off, -off} {
					one.hits(t, lon, lat, 1, sphere.Distance(sphere.FromDegrees(lon, lat), vec(p)))
				}
			}
		}
	}
}

// trapTiny has items so near to each other and to the centre that their squared chords are
// next to 0, or 0.
func trapTiny(t *testing.T, builder index.Builder) {
	var positions []index.Position
	for i := range 100 {
		positions = append(positions, at(float64(i)*1e-160, 0), at(float64(i%9)*1e-300, float64(i)*3e-162))
	}
	items := NewItems(positions...)
	v, err := build(builder, items)
	if err != nil {
		t.Fatal(err)
	}
	for _, lon := range []float64{0, 1e-160, 5e-324, 3e-159} {
		for _, k := range []int{1, 2, 10, 15, 16, 31, 32, 33, 40, 100, 150, 199, 200, 201} {
			for _, within := range []float64{index.Everywhere, 0, 5e-324, 1e-155, 1.2e-154, 1e-153, 1e-30} {
				v.hits(t, lon, 0, k, within)
			}
		}
	}
	for _, p := range positions[:40] {
		v.hits(t, 0, 0, 200, sphere.Distance(vec(at(0, 0)), vec(p)))
	}
}

// trapRings asks for rings of distance: one that goes round a pole and over the antimeridian, one
// as thin as can be, round places that many items share, and an empty one.
func trapRings(t *testing.T, builder index.Builder) {
	var positions []index.Position
	for i := range 120 {
		positions = append(positions, at(float64(i*3)-180, 89), at(float64(i*3)-180, 90), at(180, 89.5), at(7, 30))
	}
	both(t, builder, positions, func(t *testing.T, v version) {
		for _, c := range []index.Position{at(0, 90), at(50, 89.2), at(-180, 89.5), at(7, 30), at(-173, -30), at(0, 0)} {
			near := v.hits(t, c.Lon, c.Lat, v.items.Len(), index.Everywhere)
			for _, i := range []int{0, 1, 119, 120, 200, 479} {
				d := near[i].Distance
				for _, q := range []index.Query{
					{MinDistance: d, MaxDistance: d},
					{MinDistance: d, MaxDistance: index.Everywhere},
					{MinDistance: math.Nextafter(d, math.Inf(1)), MaxDistance: d},
					{MinDistance: d, MaxDistance: d + 60e3, After: &index.After{Distance: d, ID: v.items.ID(near[i].Ref)}},
					{MinDistance: d, MaxDistance: d + 60e3, After: &index.After{Distance: d / 2, ID: "z"}},
					{MinDistance: d / 2, MaxDistance: d, Area: box(90, 89.2, -90, 90)},
				} {
					for _, k := range []int{1, 10, 200, 500} {
						q.Lon, q.Lat, q.K = c.Lon, c.Lat, k
						hits := v.ask(t, q)
						if q.MinDistance == d && q.After == nil && q.Area == nil && k == 500 && len(hits) == 0 {
							t.Errorf("%s: none", describe(&q))
						}
					}
				}
			}
		}
		for _, h := range v.ask(t, index.Query{Lat: 90, K: 500, MinDistance: 100e3, MaxDistance: 120e3}) {
			if p := positions[h.Ref]; p.Lat != 89 {
				t.Errorf("%v is in the ring from 100 to 120 km", p)
			}
		}
	})
}
