package api_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"nearby/api"
)

// orderedPlaces makes a collection of five items to the east of (0, 0), a the nearest.
func orderedPlaces(t *testing.T, h *fixture) string {
	t.Helper()
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", `{"queryables":{"rating":"number","name":"string","open":"boolean","when":"date-time"}}`).want(t, 201)
	for i, properties := range []string{
		`{"rating":3,"name":"x"}`, `{"rating":5,"name":"y"}`, `{"name":"y"}`, `{"rating":5.0,"name":"x","open":true}`, `{"rating":-1e0}`,
	} {
		id := string(rune('a' + i))
		h.do("PUT", c+"/items/"+id, geoJSON, feature(id, float64(i)/1000, 0, properties)).want(t, 201)
	}
	return c
}

// TestSortBy: items are in the order that is asked for, on pages of every length, which go on
// where the last one ended.
func TestSortBy(t *testing.T) {
	h := start(t, api.Options{})
	c := orderedPlaces(t, h)
	for _, tt := range []struct{ query, want string }{
		{"/items?sortby=rating", "e a b d c"},
		{"/items?sortby=-rating", "b d a e c"},
		{"/items?sortby=%2Brating", "e a b d c"},
		{"/items?sortby=+rating", "e a b d c"},
		{"/items?sortby=-rating,name", "d b a e c"},
		{"/items?sortby=-rating%2Cname", "d b a e c"},
		{"/items?sortby=-rating&sortby=name", "d b a e c"},
		{"/items?sortby=name,-rating", "d a b c e"},
		{"/items?sortby=open", "d a b c e"},
		{"/items?sortby=-name&bbox=-1,-1,0.0025,1", "b c a"},
		{"/items?sortby=-rating&filter=" + url.QueryEscape("name = 'x'"), "d a"},
		{"/items?sortby=-rating&name=y", "b c"},
		{"/nearby?lat=0&lon=0&sortby=-rating", "b d a e c"},
		{"/nearby?lat=0&lon=1&sortby=-rating", "d b a e c"},
		{"/nearby?lat=0&lon=0&sortby=-distance", "e d c b a"},
		{"/nearby?lat=0&lon=0&sortby=distance,name", "a b c d e"},
		{"/nearby?lat=0&lon=0&sortby=name,distance&radius=300", "a b c"},
		{"/nearby?lat=0&lon=0&sortby=-name&radius=300&min_radius=50", "b c"},
		{"/nearby?lat=0&lon=0&sortby=-name&radius=300&rating=5", "b"},
	} {
		want := strings.Fields(tt.want)
		for size := 1; size <= 6; size++ {
			var got []string
			limit := "limit"
			if strings.HasPrefix(tt.query, "/nearby") {
				limit = "k"
			}
			for next := fmt.Sprintf("%s%s&%s=%d", c, tt.query, limit, size); next != ""; {
				f := decode[features](t, h.do("GET", next, "", "").want(t, 200))
				got = append(got, f.ids()...)
				next = h.next(&f)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s in pages of %d finds %v, want %v", tt.query, size, got, want)
			}
		}
	}
}

// TestSortByPages: a page begins behind the place where the last one ended, also if the item that
// was there has another value now, or is gone. The cursor belongs to its order.
func TestSortByPages(t *testing.T) {
	h := start(t, api.Options{})
	c := orderedPlaces(t, h)
	for _, change := range []func(){
		func() {},
		func() { h.do("PUT", c+"/items/d", geoJSON, feature("d", 1, 1, `{"rating":9}`)).want(t, 200) },
		func() { h.do("DELETE", c+"/items/d", "", "").want(t, 204) },
	} {
		for _, path := range []string{"/items?limit=2&sortby=-rating,name", "/nearby?lat=0&lon=0&k=2&sortby=-rating,name"} {
			orderedPlaces2(t, h, c)
			f := decode[features](t, h.do("GET", c+path, "", "").want(t, 200))
			if got := f.ids(); !slices.Equal(got, []string{"d", "b"}) {
				t.Fatalf("%s begins with %v", path, got)
			}
			h.do("DELETE", c+"/items/b", "", "").want(t, 204)
			change()
			next := h.next(&f)
			if got := decode[features](t, h.do("GET", next, "", "").want(t, 200)).ids(); !slices.Equal(got, []string{"a", "e"}) {
				t.Errorf("%s goes on with %v", path, got)
			}
			for _, other := range []string{"sortby=-rating", "sortby=rating%2Cname"} {
				h.do("GET", strings.Replace(strings.Replace(next, "sortby=-rating%2Cname", other, 1), "sortby=-rating,name", other, 1), "", "").want(t, 400)
			}
		}
	}
	long := strings.Repeat("x", 5000)
	h.do("PUT", c+"/items/long", geoJSON, feature("long", 0, 0, `{"name":"`+long+`"}`)).want(t, 201)
	if body := string(h.do("GET", c+"/items?limit=1&sortby=name&filter="+url.QueryEscape("rating IS NULL"), "", "").want(t, 400).body); !strings.Contains(body, "too long for the end of a page") {
		t.Errorf("a long value: %s", body)
	}
}

// orderedPlaces2 makes the items of orderedPlaces again that are gone or changed.
func orderedPlaces2(t *testing.T, h *fixture, c string) {
	t.Helper()
	h.do("PUT", c+"/items/b", geoJSON, feature("b", 0.001, 0, `{"rating":5,"name":"y"}`))
	h.do("PUT", c+"/items/d", geoJSON, feature("d", 0.003, 0, `{"rating":5.0,"name":"x","open":true}`))
}

// TestSortByAnswer: an answer says how many items match, whether they are all, and where nothing is
// missing.
func TestSortByAnswer(t *testing.T) {
	h := start(t, api.Options{})
	c := orderedPlaces(t, h)
	for _, tt := range []struct{ query, want string }{
		{"/items?sortby=rating&limit=2", `"numberReturned":2,"numberMatched":5,`},
		{"/items?sortby=rating&limit=2&name=x", `"numberReturned":2,"numberMatched":2,`},
		{"/nearby?lat=0&lon=0&sortby=-rating&k=2", `"numberReturned":2,"complete":true,"proof":{"exact":true,"radius":0,`},
		{"/nearby?lat=0&lon=0&sortby=-rating&k=2&radius=300", `"numberReturned":2,"numberMatched":3,"complete":false,"proof":{"exact":true,"radius":0,`},
		{"/nearby?lat=0&lon=0&sortby=-rating&radius=300", `"numberReturned":3,"numberMatched":3,"complete":true,"proof":{"exact":true,"radius":300,`},
	} {
		if body := string(h.do("GET", c+tt.query, "", "").want(t, 200).body); !strings.Contains(body, tt.want) {
			t.Errorf("%s: %s, want %s", tt.query, body, tt.want)
		}
	}
	small := start(t, api.Options{Limits: api.Limits{MaxCompared: 3}})
	c = orderedPlaces(t, small)
	for _, path := range []string{"/items?sortby=name", "/nearby?lat=0&lon=0&sortby=name"} {
		if body := string(small.do("GET", c+path, "", "").want(t, 400).body); !strings.Contains(body, "more than 3 points") {
			t.Errorf("%s: %s", path, body)
		}
	}
}

// TestSortByErrors: what cannot be an order is refused, with the properties that can be.
func TestSortByErrors(t *testing.T) {
	h := start(t, api.Options{})
	c := orderedPlaces(t, h)
	h.do("PUT", "/v1/collections/none", "application/json", `{}`).want(t, 201)
	for _, tt := range []struct{ path, says string }{
		{c + "/items?sortby=", "rating"},
		{c + "/items?sortby=stars", "cannot be sorted by, only rating"},
		{c + "/items?sortby=distance", `distance\" cannot be sorted by`},
		{c + "/items?sortby=rating,,name", `\"\" cannot be sorted by`},
		{c + "/items?sortby=rating,-rating", "names rating twice"},
		{c + "/nearby?lat=0&lon=0&sortby=stars", "distance"},
		{"/v1/collections/none/items?sortby=stars", "no sortable properties"},
	} {
		if body := string(h.do("GET", tt.path, "", "").want(t, 400).body); !strings.Contains(body, tt.says) || !strings.Contains(body, `"parameter":"sortby"`) {
			t.Errorf("%s: %s, want %s", tt.path, body, tt.says)
		}
	}
	names := strings.Split("abcdeghij", "")
	h.do("PUT", "/v1/collections/many", "application/json", `{"queryables":["`+strings.Join(names, `","`)+`"]}`).want(t, 201)
	h.do("GET", "/v1/collections/many/items?sortby="+strings.Join(names[:8], ","), "", "").want(t, 200)
	h.do("GET", "/v1/collections/many/items?sortby="+strings.Join(names, ","), "", "").want(t, 400)
}
