package indextest

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"github.com/mmcloughlin/geohash"
	"github.com/paulmach/orb"

	"nearby/index"
	"nearby/internal/zorder"
)

// wantPath fails if what holds points at so many places is not one cell, or leaf, for each
// place at most, below no more inner nodes than a path to each place can have: one for each
// bit of a ZKey. An index that divides what cannot be divided has more, or does not end.
func (v version) wantPath(t *testing.T, places int) {
	t.Helper()
	if s := v.index.Stats(); s.Cells < 1 || s.Cells > places || s.Nodes > places*zorder.Bits {
		t.Errorf("%d places are in %d cells below %d nodes", places, s.Cells, s.Nodes)
	}
}

func trapIdentical(t *testing.T, builder index.Builder) {
	const n = 100_000
	positions := make([]index.Position, n)
	for i := range positions {
		positions[i] = at(13.4, 52.5)
	}
	items := NewItems(positions...)
	v, err := build(builder, items)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.check(); err != nil {
		t.Fatal(err)
	}
	v.wantPath(t, 1)
	smallest := make([]index.Ref, n)
	for i := range smallest {
		smallest[i] = index.Ref(i)
	}
	slices.SortFunc(smallest, func(a, b index.Ref) int { return cmp.Compare(items.ID(a), items.ID(b)) })
	v.wantRefs(t, 13.4, 52.5, 10, index.Everywhere, smallest[:10]...)
	v.wantRefs(t, -100, -40, 10, index.Everywhere, smallest[:10]...)
	after, err := v.nearest(index.Query{Lon: 13.4, Lat: 52.5, K: 3, MaxDistance: 0, After: &index.After{ID: items.ID(smallest[9])}})
	if err != nil || len(after) != 3 || after[0].Ref != smallest[10] {
		t.Errorf("after the first ten: %v, %v", after, err)
	}

	full := v.index.Stats().Bytes
	deletes := make([]index.Update, n)
	for i := range deletes {
		deletes[i] = index.Update{Kind: index.Delete, Ref: index.Ref(i), Old: positions[i]}
	}
	if v, err = v.apply(deletes, &Items{}); err != nil {
		t.Fatal(err)
	}
	if err := v.check(); err != nil {
		t.Error(err)
	}
	if empty := v.index.Stats().Bytes; empty > full/10 {
		t.Errorf("%d bytes when full, still %d when empty", full, empty)
	}
	v.wantRefs(t, 13.4, 52.5, 10, index.Everywhere)

	close := []index.Position{at(13.4, 52.5), at(math.Nextafter(13.4, 14), 52.5), at(13.4, math.Nextafter(52.5, 0)), at(13.4+1e-13, 52.5)}
	both(t, builder, close, func(t *testing.T, v version) {
		v.wantPath(t, len(close))
		for i, p := range close {
			if hits := v.hits(t, p.Lon, p.Lat, 4, 1e-3); len(hits) != 4 {
				t.Errorf("round ref %d: %v", i, hits)
			}
		}
	})
}

// trapBorders stores points within one ulp of cell borders, where a cell's own
// box may not contain them.
func trapBorders(t *testing.T, builder index.Builder) {
	var positions []index.Position
	rnd := newRand(14)
	for range 60 {
		box := geohash.BoundingBox(geohash.EncodeWithPrecision(rnd.Float64()*180-90, rnd.Float64()*360-180, 6))
		for _, lon := range []float64{math.Nextafter(box.MinLng, -200), box.MinLng, math.Nextafter(box.MinLng, 200)} {
			positions = append(positions, at(lon, math.Nextafter(box.MinLat, 100)), at(lon, math.Nextafter(box.MinLat, -100)))
		}
	}
	both(t, builder, positions, func(t *testing.T, v version) {
		for i, p := range positions[:60] {
			hits := v.hits(t, p.Lon, p.Lat, 20, 0)
			if !slices.ContainsFunc(hits, func(h index.Hit) bool { return h.Ref == index.Ref(i) }) {
				t.Errorf("radius 0 round ref %d: %v", i, hits)
			}
			v.hits(t, p.Lon+0.001, p.Lat, 3, index.Everywhere)
		}
	})
	tiny := []index.Position{at(-1e-17, -1e-17), at(0, 0), at(1e-17, -1e-17)}
	both(t, builder, tiny, func(t *testing.T, v version) {
		for _, side := range []index.Position{at(0.01, 0), at(-0.01, 0), at(0, 0.01), at(0, -0.01)} {
			hits := v.hits(t, side.Lon, side.Lat, 3, 1112)
			if len(hits) != 3 {
				t.Fatalf("from %v: %v", side, hits)
			}
			wantDistance(t, hits, 0, 1111.950802, 1e-6)
			wantDistance(t, hits, 2, 1111.950802, 1e-6)
		}
	})
}

func trapTies(t *testing.T, builder index.Builder) {
	// Four places at one distance from (0, 0), with ten items there.
	places := []index.Position{at(1, 0), at(-1, 0), at(0, 1), at(0, -1)}
	var positions []index.Position
	for i := range 10 {
		positions = append(positions, places[i%4])
	}
	both(t, builder, positions, func(t *testing.T, v version) {
		byID := make([]index.Ref, 10)
		for i := range byID {
			byID[i] = index.Ref(i)
		}
		slices.SortFunc(byID, v.items.CompareIDs)
		for k := range 11 {
			v.wantRefs(t, 0, 0, k, index.Everywhere, byID[:k]...)
		}
		d := v.hits(t, 0, 0, 1, index.Everywhere)[0].Distance
		v.wantRefs(t, 0, 0, 20, d, byID...)
		v.wantRefs(t, 0, 0, 20, math.Nextafter(d, 0))
	})
}

func trapBoxes(t *testing.T, builder index.Builder) {
	positions := []index.Position{
		at(179, -18), at(180, -18), at(-180, -18), at(-179, -18), at(0, -18), at(0, 90), at(180, 90), at(-77, -90),
	}
	both(t, builder, positions, func(t *testing.T, v version) {
		v.wantArea(t, box(-180, -90, 180, 90), 0, 1, 2, 3, 4, 5, 6, 7)
		v.wantArea(t, box(180, -90, -180, 90), 1, 2, 6)
		v.wantArea(t, box(180, -90, 180, 90), 1, 2, 6)
		v.wantArea(t, box(-180, -90, -180, 90), 1, 2, 6)
		v.wantArea(t, box(177, -20, -178, -16), 0, 1, 2, 3)
		v.wantArea(t, box(177, -20, 180, -16), 0, 1, 2)
		v.wantArea(t, box(-180, -20, -178, -16), 1, 2, 3)
		v.wantArea(t, box(-180, -18, 180, -18), 0, 1, 2, 3, 4)
		v.wantArea(t, box(10, -20, -10, -16), 0, 1, 2, 3)
	})
}

func trapSeamPolygon(t *testing.T, builder index.Builder) {
	positions := []index.Position{at(179.5, 0), at(-179.5, 0), at(180, 0), at(-180, 0), at(0, 0), at(179.5, 1.6), at(177.9, 0)}
	both(t, builder, positions, func(t *testing.T, v version) {
		v.wantArea(t, polygons(
			orb.Polygon{ring(178, -1.5, 180, -1.5, 180, 1.5, 178, 1.5)},
			orb.Polygon{ring(-180, -1.5, -178, -1.5, -178, 1.5, -180, 1.5)},
		), 0, 1, 2, 3)
	})
}

func trapPolePolygon(t *testing.T, builder index.Builder) {
	positions := []index.Position{at(0, 90), at(-120, 85), at(179.9, 80.5), at(180, 81), at(0, 79.9), at(0, -90)}
	both(t, builder, positions, func(t *testing.T, v version) {
		v.wantArea(t, polygons(orb.Polygon{ring(-180, 80, 180, 80, 180, 90, -180, 90)}), 0, 1, 2, 3)
	})
}

func trapStraightEdge(t *testing.T, builder index.Builder) {
	both(t, builder, []index.Position{at(30, 62), at(30, 59)}, func(t *testing.T, v version) {
		v.wantArea(t, polygons(orb.Polygon{ring(0, 0, 60, 0, 60, 60, 0, 60)}), 1)
	})
}

func trapHoles(t *testing.T, builder index.Builder) {
	positions := []index.Position{at(1, 1), at(5, 5), at(0, 5), at(10, 10), at(10, 5), at(15, 5), at(3, 0), at(2, 4)}
	outer, hole := ring(0, 0, 10, 0, 10, 10, 0, 10), ring(4, 4, 6, 4, 6, 6, 4, 6)
	both(t, builder, positions, func(t *testing.T, v version) {
		for _, o := range []orb.Ring{outer, reversed(outer)} {
			for _, h := range []orb.Ring{hole, reversed(hole)} {
				v.wantArea(t, polygons(orb.Polygon{o, h}), 0, 2, 3, 4, 6, 7)
			}
		}
		// The border between two tiles belongs to both; an item on it is found once.
		east := ring(10, 0, 20, 0, 20, 10, 10, 10)
		v.wantArea(t, polygons(orb.Polygon{east}), 3, 4, 5)
		v.wantArea(t, polygons(orb.Polygon{outer}, orb.Polygon{east}), 0, 1, 2, 3, 4, 5, 6, 7)
		// A ray from (2, 4) runs through the hole's vertex and edge, one from
		// (1, 1) through the tip of a triangle.
		v.wantArea(t, polygons(orb.Polygon{ring(0, 1, 5, 1, 5, 3, 3, 1.5)}), 0)
		v.wantArea(t, polygons(orb.Polygon{ring(0, 0, 2, 0, 4, 1, 2, 2, 0, 2)}), 0)
		// A box cuts the polygon.
		v.wantArea(t, polygons(orb.Polygon{outer}).And(box(2, 2, 7, 7)), 1, 7)
		// Polygons that overlap.
		v.wantArea(t, polygons(orb.Polygon{outer, hole}, orb.Polygon{ring(4, 0, 11, 0, 11, 6, 4, 6)}), 0, 1, 2, 3, 4, 6, 7)
	})
}

func reversed(r orb.Ring) orb.Ring {
	c := slices.Clone(r)
	slices.Reverse(c)
	return c
}

func trapNarrow(t *testing.T, builder index.Builder) {
	positions := []index.Position{at(180, 45), at(-180, 45), at(12, 90), at(12, -90), at(0, 0), at(12.345678901234567, 78.9)}
	both(t, builder, positions, func(t *testing.T, v version) {
		for i, p := range positions {
			for _, step := range []float64{0, 1} {
				low, high := clamp(p.Lon, p.Lat), clamp(p.Lon, p.Lat)
				if step == 1 {
					low = clamp(math.Nextafter(p.Lon, -200), math.Nextafter(p.Lat, -100))
					high = clamp(math.Nextafter(p.Lon, 200), math.Nextafter(p.Lat, 100))
				}
				if refs := v.box(t, low.Lon, low.Lat, high.Lon, high.Lat); !slices.Contains(refs, index.Ref(i)) {
					t.Errorf("box of %v ulp round ref %d: %v", step, i, refs)
				}
				if low.Lon == high.Lon || low.Lat == high.Lat {
					continue // no ring has no area
				}
				narrow := polygons(orb.Polygon{ring(low.Lon, low.Lat, high.Lon, low.Lat, high.Lon, high.Lat, low.Lon, high.Lat)})
				if refs := v.area(t, narrow); !slices.Contains(refs, index.Ref(i)) {
					t.Errorf("polygon of %v ulp round ref %d: %v", step, i, refs)
				}
			}
		}
	})
}
