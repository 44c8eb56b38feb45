package table_test

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/golang/geo/s2"

	"nearby/index"
	"nearby/item"
	"nearby/sphere"
	"nearby/table"
)

// far is how much in metres a distance of the scan may differ from that of a search.
const far = 2e-5

// lineFoot is where an arc of a line is nearest to an item: metres from the line's beginning, and from
// the item.
type lineFoot struct{ along, distance float64 }

// feetOf returns the foot on each arc of a line, by another library.
func feetOf(line []sphere.Vec, v sphere.Vec) (feet []lineFoot) {
	point := func(v sphere.Vec) s2.Point { return s2.PointFromCoords(v.X, v.Y, v.Z) }
	p, before := point(v), 0.0
	for i := range len(line) - 1 {
		a, b := point(line[i]), point(line[i+1])
		if line[i] == line[i+1] {
			continue
		}
		at := s2.Project(p, a, b)
		feet = append(feet, lineFoot{before + float64(a.Distance(at))*sphere.EarthRadius, float64(p.Distance(at)) * sphere.EarthRadius})
		before += float64(a.Distance(b)) * sphere.EarthRadius
	}
	return feet
}

// alongKept is an item that a scan has found along a line.
type alongKept struct {
	*subject
	feet  []lineFoot
	least float64
}

// is reports whether a hit may be told of the item: it names one of its nearest feet, and none after
// the first of those that are equally near.
func (k *alongKept) is(h table.LineHit) bool {
	named, first := false, math.Inf(1)
	for _, f := range k.feet {
		named = named || f.distance <= k.least+far && math.Abs(f.along-h.Along) <= 1e-3+far*k.least
		if f.distance <= k.least+1e-8 {
			first = min(first, f.along)
		}
	}
	return named && math.Abs(h.Distance-k.least) <= far && h.Along <= first+1e-3+far*k.least
}

// askAlong asks for the items along a line, page after page.
func (o *ordered) askAlong(t *testing.T) {
	t.Helper()
	r := o.rnd
	v := &o.version[r.IntN(len(o.version))]
	q, filter, keeps, say := o.question(t)
	for q.MinDistance > 0 || q.MaxDistance < index.Everywhere {
		q, filter, keeps, say = o.question(t)
	}
	vertex := func() sphere.Vec {
		if r.IntN(3) == 0 && len(v.items) > 0 {
			return v.items[r.IntN(len(v.items))].vec
		}
		return sphere.FromDegrees(o.position())
	}
	vecs := []sphere.Vec{vertex()}
	for n := 1 + r.IntN(1<<r.IntN(4)); len(vecs) <= n; {
		switch next := vertex(); {
		case r.IntN(5) == 0:
			vecs = append(vecs, vecs[r.IntN(len(vecs))])
		case r.IntN(9) == 0 || sphere.Distance(next, sphere.FromDegrees(0, 0.5)) < 1e5:
			vecs = append(vecs, next)
		}
	}
	line, err := sphere.NewLine(vecs)
	if err != nil {
		return
	}
	ask := table.LineQuery{Line: line, Within: []float64{0, 1, 50, 500, 5000, 1e5}[r.IntN(6)], K: q.K, Area: q.Area}
	say = fmt.Sprintf("%s along %v within %v m", say, vecs, ask.Within)

	may, must := map[string]*alongKept{}, 0
	for _, it := range v.items {
		if !keeps(it) || line.Length() == 0 {
			continue
		}
		k := &alongKept{it, feetOf(vecs, it.vec), math.Inf(1)}
		for _, f := range k.feet {
			k.least = min(k.least, f.distance)
		}
		if k.least <= ask.Within+far {
			may[k.ID] = k
		}
		if k.least < ask.Within-far || k.least == 0 {
			must++
		}
	}
	hits, matched, proof, err := v.Along(nil, &table.LineQuery{Line: line, Within: ask.Within, K: 100_000, Area: q.Area}, filter)
	if err != nil || !proof.Exact || matched != len(hits) || len(hits) < must {
		t.Fatalf("%s: %d hits of %d to %d, matched %d: %+v %v", say, len(hits), must, len(may), matched, proof, err)
	}
	idOf := func(h table.LineHit) string {
		it := v.Item(h.Ref)
		return it.ID()
	}
	for i, h := range hits {
		k := may[idOf(h)]
		if k == nil || h.Distance > ask.Within || !k.is(h) {
			t.Fatalf("%s: %+v is %+v", say, h, k)
		}
		delete(may, k.ID)
		if i > 0 {
			b := hits[i-1]
			if cmp.Or(cmp.Compare(b.Along, h.Along), cmp.Compare(b.Distance, h.Distance), cmp.Compare(idOf(b), k.ID)) >= 0 {
				t.Fatalf("%s: %+v before %+v", say, b, h)
			}
		}
	}
	for _, k := range may {
		if k.least < ask.Within-far || k.least == 0 {
			t.Fatalf("%s: %s is missing, %v m from the line", say, k.ID, k.least)
		}
	}
	if matched == 0 {
		return
	}
	// The pages are the parts of that answer, and any place in it begins one.
	at := 0
	if r.IntN(2) == 0 {
		at = r.IntN(len(hits))
	}
	for pages := 0; pages < 4 && at < len(hits); pages++ {
		if at > 0 {
			ask.After = &table.LinePlace{Along: hits[at-1].Along, Distance: hits[at-1].Distance, ID: idOf(hits[at-1])}
		}
		page, n, proof, err := v.Along(nil, &ask, filter)
		if err != nil || !proof.Exact || !slices.Equal(page, hits[at:min(len(hits), at+ask.K)]) || at == 0 && n != matched || at > 0 && n != -1 {
			t.Fatalf("%s after %d: %d hits, matched %d of %d: %+v %v", say, at, len(page), n, matched, proof, err)
		}
		at += len(page)
	}
	// A search that ends early says so.
	ask.After, ask.Budget = nil, 1+r.IntN(1<<r.IntN(12))
	page, n, proof, err := v.Along(nil, &ask, filter)
	if err != nil || proof.Exact && !slices.Equal(page, hits[:min(len(hits), ask.K)]) || !proof.Exact && (len(page) > 0 || n != -1) || proof.Compared > ask.Budget {
		t.Fatalf("%s, budget %d: %d hits, matched %d: %+v %v", say, ask.Budget, len(page), n, proof, err)
	}
}

// TestAlongEqualsScan: the items along a line, and their pages, are those of a scan of all items and
// all arcs, in this version and in older ones.
func TestAlongEqualsScan(t *testing.T) {
	driveOrdered(t, 4, func(t *testing.T, o *ordered) { o.askAlong(t) })
}

// TestAlongStops: a search ends once it is told to.
func TestAlongStops(t *testing.T) {
	items := make([]item.Item, 5000)
	for i := range items {
		items[i] = item.Item{ID: fmt.Sprint(i), Lon: float64(i) / 1000, Lat: 1}
	}
	line, err := sphere.NewLine([]sphere.Vec{sphere.FromDegrees(0, 1), sphere.FromDegrees(9, 1)})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range kinds {
		asked := 0
		q := table.LineQuery{Line: line, Within: 1e4, K: 10, Stop: func() bool { asked++; return asked == 2 }}
		hits, matched, _, err := benchTable(t, kind.Name, items, nil).Snapshot().Along(nil, &q, nil)
		if !errors.Is(err, table.ErrStopped) || len(hits) > 0 || matched != -1 || asked != 2 {
			t.Errorf("%s: %d hits, matched %d, asked %d times: %v", kind.Name, len(hits), matched, asked, err)
		}
	}
}

// BenchmarkAlong asks for the first hundred of 10^6 items within 500 m of a line of 100 positions:
// in the set world from item to item of a region, and in a city of 50 by 50 km with all items in it.
func BenchmarkAlong(b *testing.B) {
	rnd := rand.New(rand.NewPCG(6, 6))
	city := make([]item.Item, 1_000_000)
	for i := range city {
		city[i] = item.Item{ID: fmt.Sprint("p", i), Lon: 8 + 0.7*rnd.Float64(), Lat: 47 + 0.45*rnd.Float64(), Properties: []byte("{}")}
	}
	for _, set := range []struct {
		name  string
		items []item.Item
		step  float64 // degrees
	}{{"world", benchItems(b, 1_000_000), 0.2}, {"city", city, 0.004}} {
		for _, kind := range kinds {
			s := benchTable(b, kind.Name, set.items, nil).Snapshot()
			for _, all := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/%s/all=%v", set.name, kind.Name, all), func(b *testing.B) {
					rnd := rand.New(rand.NewPCG(7, 7))
					at := set.items[4711]
					vecs := make([]sphere.Vec, 100)
					for i := range vecs {
						vecs[i] = sphere.FromDegrees(at.Lon, at.Lat)
						at.Lon, at.Lat = at.Lon+set.step*(rnd.Float64()-0.3), at.Lat+set.step*(rnd.Float64()-0.5)
					}
					q := table.LineQuery{Within: 500, K: 100}
					if all {
						q.K = 100_000
					}
					var hits []table.LineHit
					var proof index.Proof
					matched := 0
					b.ReportAllocs()
					for b.Loop() {
						var err error
						if q.Line, err = sphere.NewLine(vecs); err != nil {
							b.Fatal(err)
						}
						if hits, matched, proof, err = s.Along(hits[:0], &q, nil); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(matched), "matches")
					b.ReportMetric(float64(proof.Compared), "compared")
					b.ReportMetric(float64(proof.Entered), "entered")
					b.ReportMetric(q.Line.Length()/1000, "km")
				})
			}
		}
	}
}
