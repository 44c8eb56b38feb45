package indextest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/mmcloughlin/geohash"
	"github.com/paulmach/orb"
	"github.com/paulmach/orb/clip"

	"nearby/area"
	"nearby/index"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// generator draws positions and queries. A fifth of the positions are extreme:
// poles, antimeridian, cell borders, duplicates and antipodes of earlier ones.
// The rest lies in a few towns or anywhere.
type generator struct {
	*rand.Rand
	towns   []index.Position
	earlier []index.Position
}

func newGenerator(seed uint64) *generator {
	g := &generator{Rand: newRand(seed)}
	for range 5 {
		g.towns = append(g.towns, g.anywhere())
	}
	return g
}

// position draws a position on Earth and remembers it.
func (g *generator) position() index.Position {
	var p index.Position
	switch x := g.Float64(); {
	case x < 0.2:
		p = g.extreme()
	case x < 0.6:
		p = g.towns[g.IntN(len(g.towns))]
		p = clamp(p.Lon+g.NormFloat64()*0.05, p.Lat+g.NormFloat64()*0.05)
	default:
		p = g.anywhere()
	}
	if len(g.earlier) < 1000 {
		g.earlier = append(g.earlier, p)
	} else {
		g.earlier[g.IntN(len(g.earlier))] = p
	}
	return p
}

// anywhere draws uniformly by area.
func (g *generator) anywhere() index.Position {
	return clamp(g.Float64()*360-180, math.Asin(g.Float64()*2-1)*180/math.Pi)
}

func (g *generator) extreme() index.Position {
	p := g.anywhere()
	sign := float64(1 - 2*g.IntN(2))
	switch g.IntN(10) {
	case 0: // a pole, by any longitude
		return clamp(p.Lon, sign*90)
	case 1: // near a pole, at any scale
		return clamp(p.Lon, sign*(90-math.Pow(10, -g.Float64()*13)))
	case 2: // the antimeridian and its neighbours
		return clamp(g.ulps(sign*180), p.Lat)
	case 3: // a side or corner of a geohash cell
		box := geohash.BoundingBox(geohash.EncodeWithPrecision(p.Lat, p.Lon, 1+uint(g.IntN(9))))
		if g.IntN(2) == 0 {
			p.Lon = g.ulps(box.MinLng)
		}
		return clamp(p.Lon, g.ulps(box.MinLat))
	case 4: // binary fractions, which are sides of the quadtree and of cells
		return clamp(g.ulps(math.Round(p.Lon/22.5)*22.5), g.ulps(math.Round(p.Lat/11.25)*11.25))
	case 5: // zeros of either sign and the least numbers
		tiny := []float64{0, math.Copysign(0, -1), 5e-324, -5e-324, 1e-17, -1e-17, 1e-160}
		return clamp(tiny[g.IntN(len(tiny))], tiny[g.IntN(len(tiny))])
	}
	if len(g.earlier) == 0 {
		return p
	}
	p = g.earlier[g.IntN(len(g.earlier))]
	switch g.IntN(4) {
	case 0: // the antipode, exact or nearly
		if p.Lon > 0 {
			p.Lon -= 180
		} else {
			p.Lon += 180
		}
		return clamp(g.ulps(p.Lon), g.ulps(-p.Lat))
	case 1: // a tie by symmetry
		return clamp(p.Lon, -p.Lat)
	case 2: // a neighbour at a millimetre or less
		return clamp(p.Lon+g.NormFloat64()*1e-9, p.Lat+g.NormFloat64()*1e-9)
	}
	return p // a duplicate
}

// ulps moves x by -1, 0 or +1 unit in the last place.
func (g *generator) ulps(x float64) float64 {
	switch g.IntN(3) {
	case 0:
		return math.Nextafter(x, -1000)
	case 1:
		return math.Nextafter(x, 1000)
	}
	return x
}

func clamp(lon, lat float64) index.Position {
	return index.Position{Lon: max(-180, min(180, lon)), Lat: max(-90, min(90, lat))}
}

// someItems draws n items.
func (g *generator) someItems(n int) *Items {
	items := &Items{}
	for r := range n {
		items.Set(index.Ref(r), IDOf(index.Ref(r)), g.position())
	}
	return items
}

// query draws a query: any k, radius, filter, page and budget. oracle gives it
// distances that some item has exactly.
func (g *generator) query(v version) index.Query {
	p := g.position()
	q := index.Query{Lon: p.Lon, Lat: p.Lat, K: g.IntN(51), MaxDistance: index.Everywhere}
	if g.IntN(20) == 0 {
		q.K = v.items.Len() + g.IntN(3) - 1
		q.K = max(q.K, 0)
	}
	switch g.IntN(8) {
	case 0:
		q.MaxDistance = math.Pow(10, g.Float64()*11-3)
	case 1:
		q.MaxDistance = sphere.HalfCircumference * g.Float64()
	case 2: // exactly as far as an item
		if h, ok := g.hit(v, q); ok {
			q.MaxDistance = h.Distance
		}
	case 3:
		q.MaxDistance = 0
	}
	if g.IntN(4) == 0 {
		if h, ok := g.hit(v, q); ok {
			q.After = &index.After{Distance: h.Distance, ID: v.items.ID(h.Ref)}
		}
	}
	if g.IntN(6) == 0 {
		q.MinDistance = min(q.MaxDistance, sphere.HalfCircumference) * g.Float64()
		if h, ok := g.hit(v, q); ok && g.IntN(2) == 0 { // exactly as far as an item
			q.MinDistance = h.Distance
		}
	}
	if g.IntN(4) == 0 {
		q.Area = g.area()
	}
	if q.Filter, q.Skip = g.filter(v.items); q.Filter != nil {
		q.Fetch = fetchOf(v.items)
		if q.K%2 == 1 {
			q.Sift = siftOf(v.items, q.Filter)
		}
	}
	if g.IntN(3) == 0 {
		q.Budget = 1 + g.IntN(1<<g.IntN(10))
	}
	return q
}

// hit returns one of the items nearest to the query's centre.
func (g *generator) hit(v version, q index.Query) (index.Hit, bool) {
	q.K = 20
	hits, _, err := v.oracle.Nearest(nil, &q, v.items)
	if err != nil || len(hits) == 0 {
		return index.Hit{}, false
	}
	return hits[g.IntN(len(hits))], true
}

// filter returns nil or a predicate that keeps from none to most items, and now and then what it
// skips.
func (g *generator) filter(items *Items) (filter func(index.Ref) bool, skip func(uint64, int) bool) {
	if g.IntN(4) != 0 {
		return nil, nil
	}
	m, r := index.Ref(1+g.IntN(7)), index.Ref(g.IntN(7))
	if g.IntN(3) == 0 {
		m = 1 << g.IntN(10) // few or none
	}
	filter = func(ref index.Ref) bool { return ref%m == r }
	if g.IntN(2) == 0 {
		skip = skipOf(items, filter)
	}
	return filter, skip
}

// fetchOf returns a Fetch that wants items that are there.
func fetchOf(items *Items) func([]index.Ref) {
	return func(refs []index.Ref) {
		for _, ref := range refs {
			if !items.Has(ref) {
				panic(fmt.Sprintf("item %d is fetched, and is not there", ref))
			}
		}
	}
}

// siftOf returns a Sift that lets some pass that the filter does not.
func siftOf(items *Items, filter func(index.Ref) bool) func([]index.Ref) uint64 {
	return func(refs []index.Ref) (may uint64) {
		if len(refs) > 64 {
			panic(fmt.Sprintf("%d items are sifted at once", len(refs)))
		}
		for i, ref := range refs {
			if !items.Has(ref) {
				panic(fmt.Sprintf("item %d is sifted, and is not there", ref))
			}
			if filter(ref) || ref%5 == 0 {
				may |= 1 << i
			}
		}
		return may
	}
}

// skipOf returns the Skip that knows all: it is true of every cell none of whose items passes.
func skipOf(items *Items, filter func(index.Ref) bool) func(uint64, int) bool {
	var keys []uint64
	for _, p := range items.Points() {
		if filter(p.Ref) {
			keys = append(keys, zorder.Key(p.Lon, p.Lat))
		}
	}
	slices.Sort(keys)
	return func(key uint64, n int) bool {
		i, _ := slices.BinarySearch(keys, key)
		return i == len(keys) || keys[i] > zorder.Last(key, n)
	}
}

// rangeQuery draws a query for an area.
func (g *generator) rangeQuery(v version) index.RangeQuery {
	q := index.RangeQuery{Area: g.area(), Limit: g.IntN(60)}
	q.Filter, q.Skip = g.filter(v.items)
	if g.IntN(4) == 0 {
		q.Limit = v.items.Len() + 1
	}
	if n := v.items.Len(); n > 0 && g.IntN(4) == 0 {
		p := v.items.Points()[g.IntN(n)]
		q.After = &index.RangeAfter{ZKey: zorder.Key(p.Lon, p.Lat), ID: v.items.ID(p.Ref)}
	}
	if g.IntN(4) == 0 {
		q.Budget = 1 + g.IntN(1<<g.IntN(10))
	}
	return q
}

// area draws an area: a box between two positions, a small one round a position, one that crosses
// the antimeridian, polygons, what two of these have in common, or everything.
func (g *generator) area() *area.Area {
	if g.IntN(30) == 0 {
		return nil
	}
	if g.IntN(8) == 0 {
		return g.area().And(g.area())
	}
	if g.IntN(4) == 0 {
		return polygons(g.polygon()...)
	}
	a, b := g.position(), g.position()
	if g.IntN(3) == 0 {
		s := math.Pow(10, g.Float64()*15-14)
		b = clamp(a.Lon+g.Float64()*s, a.Lat+g.Float64()*s)
	}
	return box(a.Lon, min(a.Lat, b.Lat), b.Lon, max(a.Lat, b.Lat))
}

// polygon draws a star round somewhere, with a hole, cut at the antimeridian and at the poles; or a
// triangle between positions.
func (g *generator) polygon() orb.MultiPolygon {
	if g.IntN(4) == 0 {
		a, b, c := g.position(), g.position(), g.position()
		if mp := (orb.MultiPolygon{{ring(a.Lon, a.Lat, b.Lon, b.Lat, c.Lon, c.Lat)}}); valid(mp) {
			return mp
		}
	}
	c := g.towns[g.IntN(len(g.towns))]
	if g.IntN(2) == 0 {
		c = g.anywhere()
	}
	size := math.Pow(10, g.Float64()*3-1)
	star := func(scale float64) orb.Ring {
		var r orb.Ring
		n := 3 + g.IntN(9)
		for i := range n {
			sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(n))
			radius := size * scale * (0.7 + 0.3*g.Float64())
			r = append(r, orb.Point{c.Lon + radius*cos, c.Lat + radius*sin})
		}
		return append(r, r[0])
	}
	polygon := orb.Polygon{star(1)}
	if g.IntN(2) == 0 {
		polygon = append(polygon, star(0.2))
	}
	var cut orb.MultiPolygon
	for _, shift := range []float64{0, 360, -360} {
		world := orb.Bound{Min: orb.Point{-180, -90}, Max: orb.Point{180, 90}}
		p := polygon.Clone()
		for _, r := range p {
			for i := range r {
				r[i][0] += shift
			}
		}
		if p = clip.Polygon(world, p); len(p) > 0 && valid(orb.MultiPolygon{p}) {
			cut = append(cut, p)
		}
	}
	if len(cut) == 0 {
		return orb.MultiPolygon{{ring(0, 0, 1, 0, 1, 1)}}
	}
	return cut
}

func valid(mp orb.MultiPolygon) bool {
	_, err := area.New(mp)
	return err == nil
}
