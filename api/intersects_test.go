package api_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/encoding/wkt"

	"nearby/api"
)

// holds reports whether polygons hold a position, or have it on a border. All numbers are whole
// quarters, so float64 rounds nothing.
func holds(polygons orb.MultiPolygon, p orb.Point) bool {
	for _, polygon := range polygons {
		odd := false
		for _, ring := range polygon {
			for i, b := range ring[1:] {
				a := ring[i]
				turn := (b[0]-a[0])*(p[1]-a[1]) - (b[1]-a[1])*(p[0]-a[0])
				if turn == 0 && (p[0]-a[0])*(p[0]-b[0]) <= 0 && (p[1]-a[1])*(p[1]-b[1]) <= 0 {
					return true
				}
				if (a[1] > p[1]) != (b[1] > p[1]) && (turn > 0) == (b[1] > a[1]) {
					odd = !odd
				}
			}
		}
		if odd {
			return true
		}
	}
	return math.Abs(p[0]) == 180 && p[0] < 0 && holds(polygons, orb.Point{180, p[1]})
}

// ringRound returns a ring of whole degrees round a place, in either direction.
func ringRound(rng *rand.Rand, lon, lat, least, most float64) (r orb.Ring) {
	n := 3 + rng.IntN(8)
	for i := range n {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(n))
		d := least + rng.Float64()*(most-least)
		p := orb.Point{math.Round(lon + d*cos), math.Round(lat + d*sin)}
		if !slices.Contains(r, p) {
			r = append(r, p)
		}
	}
	if r = append(r, r[0]); rng.IntN(2) == 0 {
		slices.Reverse(r)
	}
	return r
}

// polygonsSomewhere returns polygons with holes, some of them cut by the antimeridian.
func polygonsSomewhere(rng *rand.Rand) orb.MultiPolygon {
	if rng.IntN(4) == 0 { // a box round (180, 0), with a hole on the antimeridian
		w, e, d := float64(172+rng.IntN(5)), float64(-175+rng.IntN(5)), float64(4+rng.IntN(5))
		cut := func(x, seam float64) orb.Polygon {
			return orb.Polygon{{{x, -d}, {seam, -d}, {seam, -1}, {seam + math.Copysign(2, x-seam), 0}, {seam, 2}, {seam, d}, {x, d}, {x, -d}}}
		}
		return orb.MultiPolygon{cut(w, 180), cut(e, -180)}
	}
	mp := orb.MultiPolygon{}
	for range 1 + rng.IntN(2) {
		lon, lat := float64(rng.IntN(9)-4), float64(rng.IntN(9)-4)
		p := orb.Polygon{ringRound(rng, lon, lat, 5, 9)}
		if rng.IntN(2) == 0 {
			p = append(p, ringRound(rng, lon, lat, 1, 3))
		}
		mp = append(mp, p)
	}
	return mp
}

// TestIntersects: an answer has exactly what the polygons hold: on pages of items, with a box,
// nearest first, within a radius, and in a batch; with both indexes.
func TestIntersects(t *testing.T) {
	h := start(t, api.Options{})
	rng := rand.New(rand.NewPCG(7, 41))
	at := map[string]orb.Point{}
	rows := "id,lon,lat\n"
	for i := range 240 {
		p := orb.Point{float64(rng.IntN(97)-48) / 4, float64(rng.IntN(97)-48) / 4}
		if i%3 == 0 {
			p[0] = float64(rng.IntN(64)+688) / 4
		}
		if i%6 == 0 {
			p[0] -= 352
		}
		p[0] = max(-180, min(180, p[0]))
		at[fmt.Sprint(i)] = p
		rows += fmt.Sprintf("%d,%v,%v\n", i, p[0], p[1])
	}
	kinds := []string{"geohash", "quadtree"}
	for _, kind := range kinds {
		h.do("PUT", "/v1/collections/"+kind, "application/json", `{"index":{"kind":"`+kind+`"}}`).want(t, 201)
		h.do("POST", "/v1/collections/"+kind+"/items", "text/csv", rows).want(t, 200)
	}
	found := 0
	for range 25 {
		mp := polygonsSomewhere(rng)
		lat, lon := rng.IntN(20)-10, []int{rng.IntN(20) - 10, 180 + rng.IntN(20) - 10}[rng.IntN(2)]
		centre := fmt.Sprintf("lat=%d&lon=%d", lat, lon)
		shape := orb.Geometry(mp)
		if len(mp) == 1 {
			shape = mp[0]
		}
		where := "intersects=" + url.QueryEscape(wkt.MarshalString(shape))
		geo, _ := json.Marshal(map[string]any{"type": shape.GeoJSONType(), "coordinates": shape})
		for _, kind := range kinds {
			c := "/v1/collections/" + kind
			a := h.do("GET", c+"/items?limit=1&"+where, "", "")
			if a.status == 400 && strings.Contains(string(a.body), "touches itself") {
				continue // rounding did that
			}
			all := decode[features](t, h.do("GET", c+"/nearby?k=1000&"+centre, "", "").want(t, 200))
			var nearest, near []string // inside, in order
			for _, f := range all.Features {
				if holds(mp, at[f.ID]) {
					if nearest = append(nearest, f.ID); f.Distance <= 800_000 {
						near = append(near, f.ID)
					}
				}
			}
			found += len(nearest)
			inside := slices.Sorted(slices.Values(nearest))
			west := slices.DeleteFunc(slices.Clone(inside), func(id string) bool { return at[id][0] > 1 || at[id][0] < -170 })
			check := func(what string, want, got []string) {
				t.Helper()
				if !slices.Equal(got, want) {
					t.Fatalf("%s %s %s\nhas %v\nwant %v", kind, what, geo, got, want)
				}
			}
			check("items", inside, h.sorted(c+"/items?limit=7&"+where))
			check("items in a box", west, h.sorted(c+"/items?limit=7&bbox=-170,-90,1,90&"+where))
			check("search", inside, h.search(c, `{"limit":7,"intersects":`+string(geo)+`}`))
			check("search in a box", west, h.search(c, `{"limit":7,"bbox":[-170,-90,1,90],"intersects":`+string(geo)+`}`))
			check("nearby", nearest, h.pages(c+"/nearby?k=7&"+centre+"&"+where))
			within := decode[features](t, h.do("GET", c+"/nearby?k=3&radius=800000&"+centre+"&"+where, "", "").want(t, 200))
			if within.NumberMatched == nil || *within.NumberMatched != len(near) || *within.Complete != (len(near) <= 3) {
				t.Fatalf("%s within a radius of %s in %s: %v match, want %d", kind, centre, geo, within.NumberMatched, len(near))
			}
			check("nearby within a radius", near, h.pages(c+"/nearby?k=3&radius=800000&"+centre+"&"+where))
			batch := decode[struct{ Results []features }](t, h.do("POST", c+"/nearby", "application/json",
				fmt.Sprintf(`{"queries":[{"lat":%v,"lon":%v,"k":5,"intersects":%s},{"lat":%v,"lon":%v,"radius":800000,"intersects":%s}]}`, lat, lon, geo, lat, lon, geo)).want(t, 200))
			check("batch", nearest[:min(5, len(nearest))], batch.Results[0].ids())
			check("batch within a radius", near, batch.Results[1].ids())
		}
	}
	if found < 500 {
		t.Errorf("only %d items were found", found)
	}
}

// pages returns the ids of all pages of an answer.
func (h *fixture) pages(path string) (ids []string) {
	h.Helper()
	for path != "" {
		page := decode[features](h, h.do("GET", path, "", "").want(h, 200))
		ids = append(ids, page.ids()...)
		path = strings.TrimPrefix(h.next(&page), h.url)
	}
	return ids
}

func (h *fixture) sorted(path string) []string {
	h.Helper()
	ids := h.pages(path)
	slices.Sort(ids)
	return ids
}

// TestIntersectsErrors: what is not valid is refused with the polygon and the ring, as text and
// as GeoJSON.
func TestIntersectsErrors(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const c = "/v1/collections/c"
	type problem struct {
		Errors []struct{ Parameter, Field, Reason string }
	}
	for shape, want := range map[string]string{
		"":                             "cannot be read: column 1: expected geometry, or a POINT",
		"POLYGON((0 0,1 0,1 1,0 0":     "cannot be read: column 25: expected a comma or ), found the end",
		"POLYGON((0 0,1 0,1 1,0 0)) x": "cannot be read: column 28: expected the end, found x",
		"POINT(1 2)":                   "must be a POLYGON or a MULTIPOLYGON",
		"BBOX(1,2,3,4)":                "must be a POLYGON or a MULTIPOLYGON",
		"POLYGON((0 0,1 0,1 91,0 0))":  "cannot be read: column 20: expected a latitude from -90 to 90, found 91",
		"POLYGON((0 0,1 0,0 0))":       "is not valid: ring 0 of polygon 0 has less than four positions",
		"MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((0 0,9 0,9 9,0 0),(3 1,4 1,4 2,3 2)))": "is not valid: ring 1 of polygon 1 is not closed",
		"MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((0 0,2 2,2 0,0 2,0 0)))":               "is not valid: ring 0 of polygon 1 crosses or touches itself: the sides from position 0 and from position 2 meet",
		"POLYGON((0 0,9 0,9 9,0 0),(3 1,12 1,4 2,3 1))":                           "is not valid: ring 1 of polygon 0 crosses ring 0",
		"POLYGON((0 0,9 0,9 9,0 0),(20 1,21 1,21 2,20 1))":                        "is not valid: ring 1 of polygon 0 is a hole, but lies outside of ring 0",
	} {
		for _, path := range []string{"/items?", "/nearby?lat=1&lon=1&"} {
			p := decode[problem](t, h.do("GET", c+path+"intersects="+url.QueryEscape(shape), "", "").want(t, 400))
			if len(p.Errors) != 1 || p.Errors[0].Parameter != "intersects" || !strings.HasPrefix(p.Errors[0].Reason, want) {
				t.Errorf("%s: %+v, want %s", shape, p.Errors, want)
			}
		}
	}
	many := strings.Repeat("[0,0],", 100_000)
	for shape, want := range map[string]string{
		`5`:                                    "intersects must be a GeoJSON geometry of the type Polygon or MultiPolygon, or well-known text",
		`{"type":"Point","coordinates":[0,1]}`: "intersects must be a GeoJSON geometry of the type Polygon or MultiPolygon, or well-known text",
		`"POINT(0 1)"`:                         "intersects must be a POLYGON or a MULTIPOLYGON",
		`"POLYGON((0 0,1 0,1 1))"`:             "intersects is not valid: ring 0 of polygon 0 has less than four positions",
		`"POLYGON((0 0,1"`:                     "intersects cannot be read: column 15: expected",
		`{"type":"Polygon"}`:                   "intersects.coordinates must be polygons of rings of positions, [longitude, latitude]",
		`{"type":"Polygon","coordinates":[[[0,0],[1,0],[1],[0,0]]]}`:                                "intersects.coordinates[0][2] must be polygons of rings of positions, [longitude, latitude]",
		`{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,null],[0,0]]]}`:                           "intersects.coordinates[0][2] must be polygons of rings of positions, [longitude, latitude]",
		`{"type":"Polygon","coordinates":[[[0,0],[1,0],[],[0,0]]]}`:                                 "intersects.coordinates[0][2] must be polygons of rings of positions, [longitude, latitude]",
		`{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1,"a"],[0,0]]]}`:                          "intersects.coordinates[0][2] must be polygons of rings of positions, [longitude, latitude]",
		`{"type":"Polygon","coordinates":[[[0,0],[1,0],[1e999,1],[0,0]]]}`:                          "intersects.coordinates[0][2] must be polygons of rings of positions, [longitude, latitude]",
		`{"type":"Polygon","coordinates":[[[0,0],[1,0],{},[0,0]]]}`:                                 "intersects.coordinates[0][2] must be polygons of rings of positions, [longitude, latitude]",
		`{"type":"Polygon","coordinates":[[0,0],[1,0],[1,1],[0,0]]}`:                                "intersects.coordinates[0][0] must be polygons of rings of positions, [longitude, latitude]",
		`{"type":"Polygon","coordinates":null}`:                                                     "intersects is not valid: polygon 0 has no ring",
		`{"type":"MultiPolygon","coordinates":[]}`:                                                  "intersects is not valid: there is no polygon",
		`{"type":"MultiPolygon","coordinates":[[[[0,0],[1,0],[1,1],[0,0]]],[[[0,0],[1,0],[1,1]]]]}`: "intersects is not valid: ring 0 of polygon 1 has less than four positions",
		`{"type":"Polygon","coordinates":[[[0,0],[1,0],[190,0],[0,0]]]}`:                            "intersects is not valid: position 2 of ring 0 of polygon 0: longitude 190, latitude 0 is not on Earth",
		`{"type":"Polygon","coordinates":[[` + many + `[0,0]]]}`:                                    "intersects has too many positions: a request may have 100000",
	} {
		a := h.do("POST", c+"/nearby", "application/json", `{"queries":[{"lat":1,"lon":1},{"lat":1,"lon":1,"intersects":`+shape+`}]}`).want(t, 400)
		p := decode[problem](t, a)
		if len(p.Errors) != 1 || !strings.HasPrefix(p.Errors[0].Field+" "+p.Errors[0].Reason, "queries[1]."+want) {
			t.Errorf("%.200s: %+v, want %s", shape, p.Errors, want)
		}
	}
}
