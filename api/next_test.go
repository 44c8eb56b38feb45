package api_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nearby/api"
	"nearby/collection"
	"nearby/item"
	"nearby/store"
	"nearby/store/embedded"
)

// batchResult is an answer to a query of a batch, with all of its links.
type batchResult struct {
	features
	Widened *bool
	Links   []struct {
		Rel, Href, Type, Method string
		Body                    struct{ Cursor string }
		Merge                   bool
	}
}

// nextURL returns the URL of the next link; "": there is none, or it is no URL for GET.
func (r *batchResult) nextURL() string {
	for _, l := range r.Links {
		if l.Rel == "next" && l.Method == "" {
			return l.Href
		}
	}
	return ""
}

// nextCursor returns the cursor of a next link for POST, or "".
func (r *batchResult) nextCursor() string {
	for _, l := range r.Links {
		if l.Rel == "next" && l.Method == "POST" && l.Merge {
			return l.Body.Cursor
		}
	}
	return ""
}

// batch asks several queries at once.
func (h *fixture) batch(queries ...map[string]any) []batchResult {
	h.Helper()
	body, err := json.Marshal(map[string]any{"queries": queries, "properties": []string{"kind"}})
	if err != nil {
		h.Fatal(err)
	}
	return decode[struct{ Results []batchResult }](h, h.do("POST", "/v1/collections/c/nearby?consistency=strong", "application/json", string(body)).want(h, 200)).Results
}

// follow returns the ids of an answer and of all that its next links lead to, and how many of these
// were sent by POST. between is called before each page.
func (h *fixture) follow(query map[string]any, r batchResult, between func()) (ids []string, posts int) {
	h.Helper()
	ids = r.ids()
	for pages := 0; ; pages++ {
		if pages > 300 {
			h.Fatalf("%v: the pages do not end", query)
		}
		between()
		before, n := r.Widened, len(r.Features)
		switch url, cursor := r.nextURL(), r.nextCursor(); {
		case url != "":
			if len(url) > 8000 || !strings.Contains(url, "consistency=strong") {
				h.Errorf("the next link is %.300s, %d bytes", url, len(url))
			}
			a := h.do("GET", url, "", "").want(h, 200)
			r = decode[batchResult](h, a)
		case cursor != "":
			with := map[string]any{"cursor": cursor}
			for name, v := range query {
				with[name] = v
			}
			r = h.batch(with)[0]
			posts++
		default:
			return ids, posts
		}
		if n == 0 || show(before) != show(r.Widened) {
			h.Errorf("%v: a page of %d items, widened %s, is followed by one widened %s", query, n, show(before), show(r.Widened))
		}
		ids = append(ids, r.ids()...)
	}
}

// TestBatchPages: the next links of the answers to a batch lead through all items that a query asks
// for, in order, each once. They are URLs, but for what a URL cannot say.
func TestBatchPages(t *testing.T) {
	rng := rand.New(rand.NewPCG(51, 1))
	spots := globe(rng, 150)
	h := start(t, api.Options{})
	ring := func(n int) (ring [][2]float64) { // the box from -100 -60 to 100 60, with n positions on a side
		for i := range n {
			ring = append(ring, [2]float64{-100 + 200*float64(i)/float64(n), -60})
		}
		return append(ring, [2]float64{100, -60}, [2]float64{100, 60}, [2]float64{-100, 60}, [2]float64{-100, -60})
	}
	inBox := func(s spot, _ float64) bool { return s.lon >= -100 && s.lon <= 100 && s.lat >= -60 && s.lat <= 60 }
	for _, index := range bothIndexes {
		h.loadSpots("c", index, spots)
		for range 6 {
			lon, lat := somewhere(rng, spots)
			all := rank(spots, lon, lat, func(spot, float64) bool { return true })
			least, most := all[40].metres, all[100].metres
			few := all[8].metres > all[2].metres // less than 9 are as near as the third
			type test struct {
				members map[string]any
				keep    func(spot, float64) bool
				post    bool
			}
			around := all[rng.IntN(len(all))].spot
			tests := []test{
				{map[string]any{}, func(spot, float64) bool { return true }, false},
				{map[string]any{"radius": most, "min_radius": least}, func(_ spot, d float64) bool { return d >= least && d <= most }, false},
				{map[string]any{"radius": most, "at_least": 3}, func(_ spot, d float64) bool { return d <= most }, false},
				{map[string]any{"radius": all[2].metres, "at_least": 9}, func(_ spot, d float64) bool { return few || d <= all[2].metres }, false}, // widened if few
				{map[string]any{"filter": map[string]any{"kind": []string{"k1", "k&4", "k3"}}}, func(s spot, _ float64) bool { return s.kind == "k1" || s.kind == "k3" }, false},
				{map[string]any{"filter": "kind = 'k2' OR kind LIKE '%+&3'  OR kind='k3'"}, func(s spot, _ float64) bool { return s.kind == "k2" || s.kind == "k3" }, false},
				{map[string]any{"filter": map[string]any{"op": "<>", "args": []any{map[string]any{"property": "kind"}, "k0"}}}, func(s spot, _ float64) bool { return s.kind != "k0" }, false},
				{map[string]any{"intersects": map[string]any{"type": "Polygon", "coordinates": [][][2]float64{ring(3)}}}, inBox, false},
				{map[string]any{"intersects": map[string]any{"type": "MultiPolygon", "coordinates": [][][][2]float64{{ring(2000)}}}}, inBox, true},
				{map[string]any{"filter": "kind <> '" + strings.Repeat("x", 8000) + "'"}, func(spot, float64) bool { return true }, true},
				{map[string]any{"near": around.id}, func(s spot, _ float64) bool { return s.id != around.id }, false},
			}
			var queries []map[string]any
			for _, test := range tests {
				test.members["k"] = 9 + rng.IntN(12)
				if test.members["near"] == nil {
					test.members["lat"], test.members["lon"] = lat, lon
				}
				queries = append(queries, test.members)
			}
			for i, r := range h.batch(queries...) {
				from := spot{lon: lon, lat: lat}
				if queries[i]["near"] != nil {
					from = around
				}
				want := idsOf(rank(spots, from.lon, from.lat, tests[i].keep))
				got, posts := h.follow(queries[i], r, func() {})
				if !slices.Equal(got, want) {
					t.Fatalf("%s: %.300s: %q, want %q", index, fmt.Sprint(queries[i]), got, want)
				}
				if (posts > 0) != (tests[i].post && len(want) > queries[i]["k"].(int)) {
					t.Errorf("%s: %.300s: %d of its pages were sent by POST", index, fmt.Sprint(queries[i]), posts)
				}
			}
		}
		h.do("DELETE", "/v1/collections/c", "", "").want(t, 204)
	}
}

// TestBatchPagesBesideWrites: items that stay are on the pages once while others come and go.
func TestBatchPagesBesideWrites(t *testing.T) {
	rng := rand.New(rand.NewPCG(52, 2))
	spots := globe(rng, 120)
	h := start(t, api.Options{})
	for _, index := range bothIndexes {
		h.loadSpots("c", index, spots)
		n := 0
		change := func() {
			n++
			lon, lat := somewhere(rng, spots)
			id := fmt.Sprint("other-", n%7)
			if n%3 == 0 {
				h.do("DELETE", "/v1/collections/c/items/"+id, "", "")
				return
			}
			h.do("PUT", "/v1/collections/c/items/"+id, geoJSON, feature(id, min(180, lon), lat, `{"kind":"k1"}`))
		}
		for _, query := range []map[string]any{
			{"lat": 1, "lon": 2, "k": 7},
			{"lat": -89, "lon": 2, "k": 7, "filter": "kind <> '" + strings.Repeat("x", 8000) + "'"},
			{"lat": 1, "lon": 2, "k": 7, "radius": 9e6},
		} {
			lat, lon, radius := 1.0, 2.0, 3e7
			if query["lat"] == -89 {
				lat = -89
			}
			if query["radius"] != nil {
				radius = 9e6
			}
			want := idsOf(rank(spots, lon, lat, func(_ spot, d float64) bool { return d <= radius }))
			got, _ := h.follow(query, h.batch(query)[0], change)
			got = slices.DeleteFunc(got, func(id string) bool { return strings.HasPrefix(id, "other-") })
			if !slices.Equal(got, want) {
				t.Errorf("%s: %.200s: %q, want %q", index, fmt.Sprint(query), got, want)
			}
		}
		h.do("DELETE", "/v1/collections/c", "", "").want(t, 204)
	}
}

// TestBatchCursors: the cursor of a query's answer belongs to what it asks for, as that of GET does,
// and each of both may follow the other. A URL that would say something else is not given.
func TestBatchCursors(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	h.load("other", places)
	const c = "/v1/collections/c/nearby"
	first := decode[features](t, h.do("GET", c+"?lat=1&lon=2&k=2&category=sea&category=land", "", "").want(t, 200))
	_, cursor, _ := strings.Cut(h.next(&first), "cursor=")
	query := func(members string) string { return `{"queries":[{"lat":0,"lon":0},{"lat":1,` + members + `}]}` }
	rest := decode[struct{ Results []features }](t, h.do("POST", c, "application/json",
		query(`"lon":2.0,"k":3,"filter":{"category":["land","sea"]},"cursor":"`+cursor+`"`)).want(t, 200)).Results[1]
	if want, _ := h.walk(c + "?lat=1&lon=2&category=sea&category=land"); !slices.Equal(slices.Concat(first.ids(), rest.ids()), want) || len(rest.Features) != 3 {
		t.Errorf("after %q: %q, want %q", first.ids(), rest.ids(), want)
	}
	h.refused(nil, refusals{
		query(`"lon":3,"filter":{"category":["land","sea"]},"cursor":"` + cursor + `"`):            "queries[1].cursor does not come from an answer to this request",
		query(`"lon":2,"filter":{"category":["land"]},"cursor":"` + cursor + `"`):                  "queries[1].cursor does not come from an answer to this request",
		query(`"lon":2,"radius":1,"filter":{"category":["land","sea"]},"cursor":"` + cursor + `"`): "queries[1].cursor does not come from an answer to this request",
		query(`"lon":2,"radius":1,"at_least":1,"cursor":"x"`):                                      "queries[1].cursor does not come from an answer to this request",
		query(`"lon":2,"cursor":""`): "queries[1].cursor does not come from an answer to this request",
		query(`"lon":2,"cursor":7`):  "queries[1].cursor must be a string",
	})
	h.do("POST", "/v1/collections/other/nearby", "application/json", query(`"lon":2,"filter":{"category":["land","sea"]},"cursor":"`+cursor+`"`)).want(t, 400)

	// A comma in the name of a property is one between names in a URL.
	body := `{"queries":[{"lat":1,"lon":2,"k":2}],"properties":["na,me"]}`
	r := decode[struct{ Results []batchResult }](t, h.do("POST", c, "application/json", body).want(t, 200)).Results[0]
	if r.nextURL() != "" || r.nextCursor() == "" {
		t.Errorf("%s: %+v", body, r.Links)
	}
	// An item that moves is another centre.
	r = h.batch(map[string]any{"near": "a", "k": 2})[0]
	h.do("GET", r.nextURL(), "", "").want(t, 200)
	h.do("PUT", "/v1/collections/c/items/a", geoJSON, feature("a", 0, 1e-9, "")).want(t, 200)
	h.do("GET", r.nextURL(), "", "").want(t, 400)
}

// TestBatchOldQueryables: a queryable from before the parameter with its name can be filtered by in a
// body alone. So its next link is none for GET, where the name would mean the parameter.
func TestBatchOldQueryables(t *testing.T) {
	db, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	changes := []store.Change{{Op: store.PutCollection, Collection: "c", Definition: []byte(`{"index":{"kind":"auto"},"queryables":["weight","kind"],"created":1,"updated":1}`)}}
	for _, id := range []string{"a", "b", "c"} {
		changes = append(changes, store.Change{Op: store.PutItem, Collection: "c", Item: item.Item{ID: id, Properties: []byte(`{"weight":"x","kind":"y"}`)}})
	}
	if _, err := db.Commit(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	h := openStore(t, db, collection.Options{}, api.Options{})
	query := map[string]any{"lat": 0, "lon": 0, "k": 1, "filter": map[string]any{"weight": "x"}}
	if got, posts := h.follow(query, h.batch(query)[0], func() {}); !slices.Equal(got, []string{"a", "b", "c"}) || posts != 3 {
		t.Errorf("by weight: %q, %d pages by POST", got, posts)
	}
	query["filter"] = map[string]any{"kind": "y"}
	if got, posts := h.follow(query, h.batch(query)[0], func() {}); !slices.Equal(got, []string{"a", "b", "c"}) || posts != 0 {
		t.Errorf("by kind: %q, %d pages by POST", got, posts)
	}
}
