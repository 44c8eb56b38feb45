package api_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nearby/api"
)

// searchPage is what tests look at in the answer to a search.
type searchPage struct {
	features
	Links []struct {
		Rel, Href, Method string
		Body              map[string]any
		Merge             bool
	}
}

// search returns the ids of all pages of a search, in the order of the ids.
func (h *fixture) search(collection, body string) []string {
	return slices.Sorted(slices.Values(h.searchPages(collection, body)))
}

// searchPages returns the ids of all pages of a search, in their order. It does what the next links say.
func (h *fixture) searchPages(collection, body string) (ids []string) {
	h.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(body), &members); err != nil {
		h.Fatal(err)
	}
	for path := collection + "/items/search"; path != ""; {
		sent, _ := json.Marshal(members)
		page := decode[searchPage](h, h.do("POST", path, "application/json", string(sent)).want(h, 200))
		ids, path = append(ids, page.ids()...), ""
		for _, l := range page.Links {
			if l.Rel == "next" && l.Method == "POST" && l.Merge {
				path = strings.TrimPrefix(l.Href, h.url)
				maps.Copy(members, l.Body)
			}
		}
	}
	return ids
}

// TestSearch: a search has what the same parameters of GET have.
func TestSearch(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const c = "/v1/collections/c"
	for body, want := range map[string]string{
		`{}`:                             "abcdef",
		`{"limit":2}`:                    "abcdef",
		`{"bbox":[178,-1,-178,11]}`:      "de",
		`{"bbox":[178,-1,0,-178,11,0]}`:  "de",
		`{"bbox":[-1,-1,1,1],"limit":1}`: "abc",
		`{"filter":{"category":"sea"}}`:  "abe",
		`{"filter":"category = 'sea'"}`:  "abe",
		`{"filter":{"op":"=","args":[{"property":"category"},"sea"]},"limit":1}`:                                                                   "abe",
		`{"filter":{"category":["sea","ice"]},"bbox":[0,-90,180,90],"limit":1}`:                                                                    "abf",
		`{"intersects":{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}}`:                                                              "ab",
		`{"intersects":{"type":"Polygon","coordinates":[[[-1,-1],[1,-1],[1,1],[-1,1],[-1,-1]]]},"filter":{"category":"sea"},"bbox":[-9,-9,0.5,9]}`: "a",
	} {
		if got := strings.Join(h.search(c, body), ""); got != want {
			t.Errorf("%s finds %s, want %s", body, got, want)
		}
	}
	post := func(body string) *answer { return h.do("POST", c+"/items/search", "application/json", body) }
	if a := post(`{"properties":["name"],"bbox":[-0.5,-1,0.5,1]}`).want(t, 200); !strings.Contains(string(a.body), `"properties":{"name":"Origin"}`) {
		t.Errorf("the properties: %s", a.body)
	}
	if a := post(`{"id_property":"key","bbox":[-0.5,-1,0.5,1]}`).want(t, 200); !strings.Contains(string(a.body), `"key":"a"`) {
		t.Errorf("the id as a property: %s", a.body)
	}
	first := decode[searchPage](t, post(`{"limit":1,"filter":{"category":"sea"}}`).want(t, 200))
	cursor, _ := first.Links[1].Body["cursor"].(string)
	many := `"` + strings.Repeat(`a","`, 256) + `a"`
	for body, want := range map[string]string{
		`{"bbox":[1,2,3]}`:                      "bbox must be four numbers",
		`{"limit":-1}`:                          "limit must be a whole number from 0 to 10000",
		`{"limit":"5"}`:                         "limit must be",
		`{"datetime":"yesterday"}`:              "datetime ",
		`{"filter":{"name":"x"}}`:               "filter",
		`{"filter":5}`:                          "filter",
		`{"intersects":5}`:                      "intersects must be a GeoJSON geometry",
		`{"near":5}`:                            "near is not a known member",
		`{"sortby":["category","-category"]}`:   "sortby names category twice",
		`{"sortby":[]}`:                         "sortby must have at least one name",
		`{"sortby":["distance"]}`:               "sortby must be names of properties",
		`{"id_property":""}`:                    "id_property must have 1 to 128 characters",
		`{"cursor":"x"}`:                        "cursor does not come from an answer to this request",
		`{"limit":1,"cursor":"` + cursor + `"}`: "cursor does not come from an answer to this request",
		`{"properties":[` + many + `]}`:         "properties must name at most 256 properties",
	} {
		p := decode[struct {
			Errors []struct{ Field, Reason string }
		}](t, post(body).want(t, 400))
		if len(p.Errors) != 1 || !strings.HasPrefix(p.Errors[0].Field+" "+p.Errors[0].Reason, want) {
			t.Errorf("%.100s: %+v, want %s", body, p.Errors, want)
		}
	}
	h.do("POST", "/v1/collections/none/items/search", "application/json", `{}`).want(t, 404)
	h.do("POST", c+"/items/search", "text/csv", `{}`).want(t, 415)
}

// TestSearchSorted: the pages of a search with sortby are all items that a scan finds, in the order
// that it puts them in. Their cursors belong to the order.
func TestSearchSorted(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", `{"queryables":{"rating":"number","name":"string","a,b":"integer"}}`).want(t, 201)
	type place struct {
		id, name string
		lon, lat float64
		rating   *float64
		comma    int
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	var rows strings.Builder
	all := make([]place, 400)
	for i := range all {
		p := place{id: fmt.Sprint("i", i), name: fmt.Sprint("n", rnd.IntN(5)), lon: 4*rnd.Float64() - 2, lat: 4*rnd.Float64() - 2, comma: rnd.IntN(3)}
		if rnd.IntN(4) > 0 {
			p.rating = new(float64(rnd.IntN(6)) / 2)
		}
		all[i] = p
		properties, _ := json.Marshal(map[string]any{"name": p.name, "rating": p.rating, "a,b": p.comma})
		fmt.Fprintf(&rows, "%s\n", feature(p.id, p.lon, p.lat, string(properties)))
	}
	h.do("POST", c+"/items", "application/geo+json-seq", rows.String()).want(t, 200)
	byName := func(a, b *place) int { return strings.Compare(a.name, b.name) }
	byRating := func(a, b *place) int { // the greatest first, none last
		switch {
		case a.rating == nil || b.rating == nil:
			return map[[2]bool]int{{true, false}: 1, {false, true}: -1}[[2]bool{a.rating == nil, b.rating == nil}]
		default:
			return cmp.Compare(*b.rating, *a.rating)
		}
	}
	byComma := func(a, b *place) int { return cmp.Compare(b.comma, a.comma) }
	for _, tt := range []struct {
		sortby string
		orders []func(a, b *place) int
	}{
		{`["-rating"]`, []func(a, b *place) int{byRating}},
		{`["name","-rating"]`, []func(a, b *place) int{byName, byRating}},
		{`["-a,b","-rating","+name"]`, []func(a, b *place) int{byComma, byRating, byName}},
	} {
		for range 4 {
			x := 3*rnd.Float64() - 1.5 // the corners are (-2, -2), (2, -2) and (x, 1.5)
			name := fmt.Sprint("n", rnd.IntN(7))
			inside := func(p *place) bool {
				side := func(ax, ay, bx, by float64) bool { return (bx-ax)*(p.lat-ay)-(by-ay)*(p.lon-ax) > 0 }
				return side(-2, -2, 2, -2) && side(2, -2, x, 1.5) && side(x, 1.5, -2, -2)
			}
			var want []string
			body := fmt.Sprintf(`{"sortby":%s,"limit":%d,"intersects":{"type":"Polygon","coordinates":[[[-2,-2],[2,-2],[%v,1.5],[-2,-2]]]},"filter":"name <> '%s'"}`, tt.sortby, 1+rnd.IntN(60), x, name)
			kept := slices.DeleteFunc(slices.Clone(all), func(p place) bool { return p.name == name || !inside(&p) })
			slices.SortFunc(kept, func(a, b place) int {
				for _, order := range tt.orders {
					if c := order(&a, &b); c != 0 {
						return c
					}
				}
				return strings.Compare(a.id, b.id)
			})
			for _, p := range kept {
				want = append(want, p.id)
			}
			if got := h.searchPages(c, body); !slices.Equal(got, want) {
				t.Errorf("%s finds %v, want %v", body, got, want)
			}
		}
	}
}
