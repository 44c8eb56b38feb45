package indextest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"nearby/index"
	"nearby/internal/zorder"
	"nearby/sphere"
)

// testLaws checks what holds for any data: symmetries, prefixes, subsets and
// sums. A mistake that the Oracle shared would show here.
func testLaws(t *testing.T, builder index.Builder, seed uint64) {
	g := newGenerator(seed)
	base, err := build(builder, &Items{})
	if err != nil {
		t.Fatal(err)
	}
	// Odd multiples of 2^-11 degrees: turning them by 90 degrees is exact, and
	// none lies halfway between two multiples of 90.
	grid := func(span float64) float64 { return (math.Floor(g.Float64()*span*1024)-span*512)/1024 + 1.0/2048 }
	var positions []index.Position
	for range 150 {
		positions = append(positions, at(grid(360), grid(180)))
	}
	positions = append(positions, positions[:20]...)
	items := NewItems(positions...)
	if base, err = build(builder, items); err != nil {
		t.Fatal(err)
	}
	queries := make([]index.Query, 40)
	for i := range queries {
		queries[i] = index.Query{Lon: grid(360), Lat: grid(180), K: g.IntN(60), MaxDistance: index.Everywhere}
		if i%2 == 0 {
			queries[i].MaxDistance = sphere.HalfCircumference * g.Float64() / 2
		}
	}

	// same fails unless the changed world gives the same answers.
	same := func(t *testing.T, change func(index.Position) index.Position) {
		var changed []index.Position
		for _, p := range positions {
			changed = append(changed, change(p))
		}
		v, err := build(builder, NewItems(changed...))
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range queries {
			want := base.ask(t, q)
			p := change(at(q.Lon, q.Lat))
			q.Lon, q.Lat = p.Lon, p.Lat
			if got := v.ask(t, q); !slices.Equal(got, want) {
				t.Fatalf("%s: got %v, want %v", describe(&q), got, want)
			}
		}
	}
	for _, turn := range []float64{90, 180, 270} {
		t.Run(fmt.Sprintf("Turn%v", turn), func(t *testing.T) {
			same(t, func(p index.Position) index.Position {
				if p.Lon += turn; p.Lon > 180 {
					p.Lon -= 360
				}
				return p
			})
		})
	}
	t.Run("MirrorLatitude", func(t *testing.T) {
		same(t, func(p index.Position) index.Position { return at(p.Lon, -p.Lat) })
	})
	t.Run("MirrorLongitude", func(t *testing.T) {
		same(t, func(p index.Position) index.Position { return at(-p.Lon, p.Lat) })
	})
	t.Run("InsertionOrder", func(t *testing.T) {
		v, err := build(builder, &Items{})
		if err != nil {
			t.Fatal(err)
		}
		order := g.Perm(len(positions))
		after := &Items{}
		for len(order) > 0 {
			n := min(1+g.IntN(9), len(order))
			var changes []index.Update
			for _, i := range order[:n] {
				r := index.Ref(i)
				changes = append(changes, index.Update{Kind: index.Insert, Ref: r, New: positions[i]})
				after.Set(r, items.ID(r), positions[i])
			}
			if v, err = v.apply(changes, after.Clone()); err != nil {
				t.Fatal(err)
			}
			order = order[n:]
		}
		for _, q := range queries {
			if got, want := v.ask(t, q), base.ask(t, q); !slices.Equal(got, want) {
				t.Fatalf("%s: got %v, want %v", describe(&q), got, want)
			}
		}
	})
	t.Run("PrefixAndSubset", func(t *testing.T) {
		for _, q := range queries {
			longer, wider := q, q
			longer.K++
			if short, long := base.ask(t, q), base.ask(t, longer); !slices.Equal(short, long[:len(short)]) {
				t.Fatalf("%s is no prefix of that with one more", describe(&q))
			}
			q.K, wider.K = 1000, 1000
			wider.MaxDistance = min(q.MaxDistance*2, index.Everywhere)
			if near, far := base.ask(t, q), base.ask(t, wider); !slices.Equal(near, far[:len(near)]) {
				t.Fatalf("%s is no prefix of that with twice the radius", describe(&q))
			}
		}
	})
	t.Run("SplitBox", func(t *testing.T) {
		for range 40 {
			a, b := g.position(), g.position()
			west, east := min(a.Lon, b.Lon), max(a.Lon, b.Lon)
			south, north := min(a.Lat, b.Lat), max(a.Lat, b.Lat)
			lon, lat := grid(360)-1.0/4096, grid(180)-1.0/4096 // no item lies on the cut
			lon, lat = max(west, min(east, lon)), max(south, min(north, lat))
			if lon == west || lon == east || lat == south || lat == north {
				continue
			}
			var parts []index.Ref
			parts = append(parts, base.box(t, west, south, lon, lat)...)
			parts = append(parts, base.box(t, lon, south, east, lat)...)
			parts = append(parts, base.box(t, west, lat, lon, north)...)
			parts = append(parts, base.box(t, lon, lat, east, north)...)
			slices.Sort(parts)
			if whole := base.box(t, west, south, east, north); !slices.Equal(whole, parts) {
				t.Fatalf("box %v %v %v %v: whole %v, parts %v", west, south, east, north, whole, parts)
			}
			// What lies outside in longitude is the box the other way round.
			band := base.box(t, -180, south, 180, north)
			around := append(base.box(t, west, south, east, north), base.box(t, east, south, west, north)...)
			slices.Sort(around)
			if !slices.Equal(band, slices.Compact(around)) {
				t.Fatalf("box %v %v %v %v and its complement do not make the band", west, south, east, north)
			}
		}
	})
}

// ask returns the answer to a query and fails the test unless it is right.
func (v version) ask(t *testing.T, q index.Query) []index.Hit {
	t.Helper()
	hits, err := v.nearest(q)
	if err != nil {
		t.Fatal(err)
	}
	return hits
}

// testPages reads answers page by page: together the pages are the whole.
func testPages(t *testing.T, builder index.Builder, seed uint64) {
	g := newGenerator(seed)
	v, err := build(builder, g.someItems(200))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		q := g.query(v)
		q.K, q.After, q.Budget = 1000, nil, 0
		if i%3 == 0 {
			// Ties: the centre is a place where several items are.
			q.MaxDistance = index.Everywhere
		}
		whole := v.ask(t, q)
		var pages []index.Hit
		q.K = 1 + g.IntN(30)
		for {
			page := v.ask(t, q)
			pages = append(pages, page...)
			if len(page) < q.K || len(pages) > len(whole) {
				break
			}
			last := page[len(page)-1]
			q.After = &index.After{Distance: last.Distance, ID: v.items.ID(last.Ref)}
		}
		if !slices.Equal(pages, whole) {
			t.Fatalf("%s: pages %v, whole %v", describe(&q), pages, whole)
		}
	}
	for range 30 {
		q := g.rangeQuery(v)
		q.Limit, q.After, q.Budget = 1000, nil, 0
		whole, err := v.inRange(q)
		if err != nil {
			t.Fatal(err)
		}
		var pages []index.Ref
		q.Limit = 1 + g.IntN(30)
		for {
			page, err := v.inRange(q)
			if err != nil {
				t.Fatal(err)
			}
			pages = append(pages, page...)
			if len(page) < q.Limit || len(pages) > len(whole) {
				break
			}
			last := page[len(page)-1]
			q.After = &index.RangeAfter{ZKey: zorder.Key(v.items.Position(last)), ID: v.items.ID(last)}
		}
		if !slices.Equal(pages, whole) {
			t.Fatalf("%s: pages %v, whole %v", describeRange(&q), pages, whole)
		}
	}
}

// testBudgets cuts searches short at every length: what they return is the
// beginning of the whole answer, and no budget too large harms.
func testBudgets(t *testing.T, builder index.Builder, seed uint64) {
	g := newGenerator(seed)
	v, err := build(builder, g.someItems(300))
	if err != nil {
		t.Fatal(err)
	}
	budgets := []int{1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1 << 20, math.MaxInt}
	for range 25 {
		q, r := g.query(v), g.rangeQuery(v)
		q.K = 1 + g.IntN(40)
		for _, budget := range budgets {
			q.Budget, r.Budget = budget, budget
			v.ask(t, q)
			if _, err := v.inRange(r); err != nil {
				t.Fatal(err)
			}
		}
		if _, proof, _ := v.index.Nearest(nil, &q, v.items); !proof.Exact {
			t.Fatalf("%s: not exact", describe(&q))
		}
		if _, proof, _ := v.index.Range(nil, &r, v.items); !proof.Exact {
			t.Fatalf("%s: not exact", describeRange(&r))
		}
		r.Budget, r.Limit = 3, v.items.Len()+1
		if err := v.inSteps(r); err != nil {
			t.Fatal(err)
		}
	}
}

// inSteps goes on where the budget ended the range, with a greater one if it
// did not get anywhere, and compares the parts with the whole.
func (v version) inSteps(q index.RangeQuery) error {
	whole := q
	whole.Budget = 0
	want, err := v.inRange(whole)
	if err != nil {
		return err
	}
	var got []index.Ref
	for {
		refs, proof, err := v.index.Range(got, &q, v.items)
		if err != nil {
			return err
		}
		if got = refs; proof.Exact {
			break
		}
		if proof.Reached == q.Reached(0) {
			if q.Budget *= 2; q.Budget > 8*(v.items.Len()+64) {
				return fmt.Errorf("%s: gets no farther than %x %q", describeRange(&q), proof.Reached.ZKey, proof.Reached.ID)
			}
		}
		q.After = &proof.Reached
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s: in steps %v, at once %v", describeRange(&q), clipped(got), clipped(want))
	}
	return nil
}

// testMillimetres asks among points that lie millimetres and less apart,
// everywhere from the equator to the pole.
func testMillimetres(t *testing.T, builder index.Builder, seed uint64) {
	g := newGenerator(seed)
	for _, lat := range []float64{0, 52.5, -89.9999999, 90} {
		for _, lon := range []float64{8, 180} {
			items := &Items{}
			for r := range index.Ref(100) {
				items.Set(r, IDOf(r), clamp(lon-g.Float64()*1e-7, lat-math.Copysign(g.Float64()*1e-7, lat)))
			}
			v, err := build(builder, items)
			if err != nil {
				t.Fatal(err)
			}
			for range 20 {
				p := items.refs[g.IntN(100)].pos
				v.hits(t, p.Lon, p.Lat, g.IntN(101), index.Everywhere)
				v.hits(t, p.Lon, p.Lat, 100, 0.001*g.Float64()*10)
				v.hits(t, opposite(p).Lon, opposite(p).Lat, 10, index.Everywhere)
				v.hits(t, math.Remainder(p.Lon+180, 360), -p.Lat, 10, index.Everywhere)
			}
		}
	}
}

// testInvalid asks what cannot be asked.
func testInvalid(t *testing.T, builder index.Builder) {
	v, err := build(builder, NewItems(at(1, 2), at(3, 4)))
	if err != nil {
		t.Fatal(err)
	}
	nan, inf := math.NaN(), math.Inf(1)
	for name, q := range map[string]index.Query{
		"LonNaN":            {Lon: nan, K: 1},
		"LatNaN":            {Lat: nan, K: 1},
		"LonInfinite":       {Lon: inf, K: 1},
		"LonBeyond":         {Lon: math.Nextafter(180, 181), K: 1},
		"LatBeyond":         {Lat: math.Nextafter(-90, -91), K: 1},
		"NegativeK":         {K: -1},
		"NegativeDistance":  {K: 1, MaxDistance: -1e-300},
		"DistanceNaN":       {K: 1, MaxDistance: nan},
		"NegativeBudget":    {K: 1, Budget: -1},
		"AfterNaN":          {K: 1, After: &index.After{Distance: nan}},
		"AfterNegative":     {K: 1, After: &index.After{Distance: -1}},
		"InvalidWithoutAny": {Lat: 91},
		"MinDistanceNaN":    {K: 1, MinDistance: nan},
		"NegativeMinimum":   {K: 1, MinDistance: -1},
		"SkipAlone":         {K: 1, Skip: func(uint64, int) bool { return false }},
	} {
		hits, _, err := v.index.Nearest(nil, &q, v.items)
		if !errors.Is(err, index.ErrInvalid) || len(hits) != 0 {
			t.Errorf("nearest, %s: %v, error %v", name, hits, err)
		}
	}
	for name, q := range map[string]index.RangeQuery{
		"NegativeLimit":  {Limit: -1},
		"NegativeBudget": {Limit: 1, Budget: -1},
		"SkipAlone":      {Limit: 1, Skip: func(uint64, int) bool { return false }},
	} {
		refs, _, err := v.index.Range(nil, &q, v.items)
		if !errors.Is(err, index.ErrInvalid) || len(refs) != 0 {
			t.Errorf("range, %s: %v, error %v", name, refs, err)
		}
	}
}

// testReaders reads from several goroutines while one writes: a version must
// give the same answer twice, and the right one. It is for the race detector.
func testReaders(t *testing.T, builder index.Builder, seed uint64) {
	h, err := newHistory(builder, seed, 100, 200)
	if err != nil {
		t.Fatal(err)
	}
	var current atomic.Pointer[version]
	first := h.version
	current.Store(&first)
	var done atomic.Bool
	var readers sync.WaitGroup
	for i := range 4 {
		g := newGenerator(seed + 100 + uint64(i))
		readers.Go(func() {
			for !done.Load() {
				v := current.Load()
				a := asked{version: *v, query: g.query(*v), area: g.rangeQuery(*v)}
				var err error
				if a.hits, err = v.nearest(a.query); err == nil {
					if a.refs, err = v.inRange(a.area); err == nil {
						err = a.again()
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 40 {
		changes, after := h.batch(1 + h.IntN(100))
		next, err := h.apply(changes, after)
		if err != nil {
			t.Error(err)
			break
		}
		h.version = next
		current.Store(&next)
	}
	done.Store(true)
	readers.Wait()
	if err := h.check(); err != nil {
		t.Error(err)
	}
}

// testSpelledPoles pages through items at one place under many spellings,
// which have different ZKeys but tie: the order there is that of ids alone.
func testSpelledPoles(t *testing.T, builder index.Builder) {
	var positions []index.Position
	for i := range 120 {
		positions = append(positions, at(float64(i*3)-180, 90))
	}
	both(t, builder, positions, func(t *testing.T, v version) {
		q := index.Query{Lon: 7, Lat: 20, K: 7, MaxDistance: index.Everywhere}
		found := 0
		for {
			page := v.ask(t, q)
			found += len(page)
			if len(page) < q.K {
				break
			}
			last := page[len(page)-1]
			q.After = &index.After{Distance: last.Distance, ID: v.items.ID(last.Ref)}
		}
		if found != len(positions) {
			t.Errorf("found %d of %d", found, len(positions))
		}
	})
}
