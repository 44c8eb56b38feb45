package api_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"nearby/api"
)

// TestFilters: a filter in CQL2 finds the same items on pages of items, in a box, nearby and in
// a batch, as text and as JSON, together with conditions by name.
func TestFilters(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", hotels).want(t, 201)
	for id, properties := range map[string]string{
		"a": `{"postcode":"01234","rating":4.5,"beds":2,"open":true,"opened":"2018-02-12T00:00:00+01:00","other":"Café"}`,
		"b": `{"postcode":"1234","rating":4.50,"beds":9007199254740993,"open":false,"opened":"2018-02-12","other":7}`,
		"c": `{"rating":3,"opened":"2019-01-01T12:00:00Z","other":"cafe"}`,
		"d": `{}`,
	} {
		h.do("PUT", c+"/items/"+id, geoJSON, feature(id, float64(id[0]-'a'), 1, properties)).want(t, 201)
	}
	for _, tt := range []struct{ text, asJSON, with, want string }{
		{`rating = 4.5`, `{"op":"=","args":[{"property":"rating"},4.5]}`, "", "a b"},
		{`NOT rating = 4.5`, `{"op":"not","args":[{"op":"=","args":[{"property":"rating"},4.5]}]}`, "", "c"},
		{`rating > 3 OR beds IS NULL`, `{"op":"or","args":[{"op":">","args":[{"property":"rating"},3]},{"op":"isNull","args":[{"property":"beds"}]}]}`, "", "a b c d"},
		{`beds = 9007199254740993`, `{"op":"=","args":[{"property":"beds"},9007199254740993]}`, "", "b"},
		{`beds >= 9007199254740993`, "", "", "b"},
		{`beds > 9007199254740993`, "", "", ""},
		{`postcode = '1234'`, `{"op":"=","args":[{"property":"postcode"},"1234"]}`, "", "b"},
		{`postcode LIKE '%1234'`, `{"op":"like","args":[{"property":"postcode"},"%1234"]}`, "", "a b"},
		{`postcode LIKE '_1234'`, "", "", "a"},
		{`postcode NOT IN ('1234')`, "", "", "a"},
		{`rating BETWEEN 3 AND 4`, `{"op":"between","args":[{"property":"rating"},3,4]}`, "", "c"},
		{`rating BETWEEN 3 AND 4.5`, "", "open=true", "a"},
		{`open`, "", "", "a"},
		{`NOT open`, "", "", "b"},
		{`open = FALSE AND rating > 4`, "", "rating=4.5", "b"},
		{`opened < TIMESTAMP('2018-02-12T00:00:00Z')`, `{"op":"<","args":[{"property":"opened"},{"timestamp":"2018-02-12T00:00:00Z"}]}`, "", "a"},
		{`opened >= DATE('2018-02-12')`, `{"op":">=","args":[{"property":"opened"},{"date":"2018-02-12"}]}`, "", "b c"},
		{`CASEI(other) = CASEI('CAFÉ')`, `{"op":"=","args":[{"op":"casei","args":[{"property":"other"}]},{"op":"casei","args":["CAFÉ"]}]}`, "", "a"},
		{`other = 7`, "", "", "b"},
		{`other = '7'`, "", "", ""},
		{`S_INTERSECTS(geometry, BBOX(0, 0, 1, 2))`, `{"op":"s_intersects","args":[{"property":"geometry"},{"bbox":[0,0,1,2]}]}`, "", "a b"},
		{`S_INTERSECTS(geometry, POLYGON((0.5 0, 3.5 0, 3.5 2, 0.5 2, 0.5 0)))`, `{"op":"s_intersects","args":[{"property":"geometry"},{"type":"Polygon","coordinates":[[[0.5,0],[3.5,0],[3.5,2],[0.5,2],[0.5,0]]]}]}`, "", "b c d"},
		{`S_INTERSECTS(geometry, POINT(2 1)) OR TRUE`, "", "", "a b c d"},
		{`FALSE`, "", "", ""},
	} {
		want := strings.Fields(tt.want)
		query := "filter=" + url.QueryEscape(tt.text)
		if tt.with != "" {
			query += "&" + tt.with
		}
		paths := []string{c + "/items?" + query, c + "/items?bbox=-1,0,5,2&" + query, c + "/nearby?lat=1&lon=0&" + query, c + "/nearby?lat=1&lon=0&radius=1000000&filter-lang=cql2-text&" + query}
		if tt.asJSON != "" {
			paths = append(paths, c+"/nearby?lat=1&lon=0&filter-lang=cql2-json&filter-crs="+url.QueryEscape("http://www.opengis.net/def/crs/OGC/1.3/CRS84")+"&filter="+url.QueryEscape(tt.asJSON))
		}
		for _, path := range paths {
			got := decode[features](t, h.do("GET", path, "", "").want(t, 200)).ids()
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%s finds %v, want %v", path, got, want)
			}
		}
		if tt.with != "" {
			continue
		}
		quoted, _ := json.Marshal(tt.text)
		bodies := []string{string(quoted)}
		if tt.asJSON != "" {
			bodies = append(bodies, tt.asJSON)
		}
		for _, body := range bodies {
			batch := decode[struct{ Results []features }](t, h.do("POST", c+"/nearby", "application/json", `{"queries":[{"lat":1,"lon":0,"filter":`+body+`}]}`).want(t, 200))
			if got := batch.Results[0].ids(); !slices.Equal(got, want) {
				t.Errorf("a batch with %s finds %v, want %v", body, got, want)
			}
		}
	}
}

// TestFilterErrors: what cannot be read is refused with the place and what was expected there.
func TestFilterErrors(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", hotels).want(t, 201)
	for _, tt := range []struct{ query, says string }{
		{"filter=" + url.QueryEscape("rating >"), "column 9"},
		{"filter=" + url.QueryEscape("rating > 'x'"), "column 10"},
		{"filter=" + url.QueryEscape("ratng > 1"), "column 1"},
		{"filter=" + url.QueryEscape("rating > 1 AND (open"), "column 21"},
		{"filter=", "column 1"},
		{"filter=" + url.QueryEscape(strings.Repeat("(", 40)+"open"+strings.Repeat(")", 40)), "32"},
		{"filter=" + url.QueryEscape(strings.Repeat("open OR ", 300)+"open"), "256"},
		{"filter=" + strings.Repeat("x", 9000), "8192"},
		{"filter-lang=cql2-json&filter=" + url.QueryEscape(`{"op":"=","args":[{"property":"rating"},"x"]}`), "/args/1"},
		{"filter-lang=cql2-json&filter=" + url.QueryEscape(`{"op":`), "JSON"},
		{"filter-lang=ecql&filter=open", "must be cql2-text or cql2-json"},
		{"filter-lang=cql2-json", "filter"},
		{"filter-crs=x&filter=open", "CRS84"},
		{"filter=open&filter=open", "given once"},
	} {
		for _, path := range []string{"/items?", "/nearby?lat=1&lon=1&"} {
			if body := string(h.do("GET", c+path+tt.query, "", "").want(t, 400).body); !strings.Contains(body, tt.says) || !strings.Contains(body, `"parameter":"filter`) {
				t.Errorf("%s%s: %s, want %s", path, item50(tt.query), body, tt.says)
			}
		}
	}
	for _, body := range []string{`"rating >"`, `5`, `[1]`, `{"op":"=","args":[1]}`, `{"op":"nor"}`, `{"ratng":1}`} {
		a := h.do("POST", c+"/nearby", "application/json", `{"queries":[{"lat":1,"lon":0},{"lat":1,"lon":0,"filter":`+body+`}]}`).want(t, 400)
		if !strings.Contains(string(a.body), `"field":"queries[1].filter`) {
			t.Errorf("%s: %s", body, a.body)
		}
	}
	// A queryable named op goes on to be a condition.
	h.do("PUT", "/v1/collections/op", "application/json", `{"queryables":["op"]}`).want(t, 201)
	h.do("PUT", "/v1/collections/op/items/a", geoJSON, feature("a", 0, 1, `{"op":"="}`)).want(t, 201)
	batch := decode[struct{ Results []features }](t, h.do("POST", "/v1/collections/op/nearby", "application/json", `{"queries":[{"lat":1,"lon":0,"filter":{"op":"="}}]}`).want(t, 200))
	if got := batch.Results[0].ids(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the condition finds %v", got)
	}
}

func item50(s string) string { return fmt.Sprintf("%.50s", s) }

// TestFilterPages: pages that a filter makes go on where the last one ended, and not with another
// filter.
func TestFilterPages(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", `{"queryables":{"n":"integer"}}`).want(t, 201)
	rows := "id,lat,lon,n\n"
	for i := range 100 {
		rows += fmt.Sprintf("%d,1,%d,%d\n", i, i, i%10)
	}
	h.do("POST", c+"/items", "text/csv", rows).want(t, 200)
	for _, path := range []string{"/items?limit=7", "/items?bbox=-1,0,180,2&limit=7", "/nearby?lat=1&lon=0&k=7"} {
		n := 0
		path = c + path + "&filter="
		for next := path + url.QueryEscape("n > 3 AND n <= 5"); next != ""; {
			f := decode[features](t, h.do("GET", next, "", "").want(t, 200))
			n += len(f.Features)
			if next = h.next(&f); next != "" {
				h.do("GET", strings.Replace(next, "n+%3E+3", "n+%3E+4", 1), "", "").want(t, 400)
			}
		}
		if n != 20 {
			t.Errorf("%s: %d items, want 20", path, n)
		}
	}
}
