package api_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nearby/api"
)

// TestBatchOrders: a query of a batch with sortby, weight or per has the answer of the GET that says the
// same, on all its pages, whether the next link is a URL or a cursor for the same query.
func TestBatchOrders(t *testing.T) {
	h := start(t, api.Options{})
	rnd := rand.New(rand.NewPCG(9, 10))
	spots := globe(rnd, 200)
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", `{"queryables":{"kind":"string","rank":"integer","size":"number"}}`).want(t, 201)
	rows := strings.Builder{}
	rows.WriteString("id,lat,lon,kind,rank,size\n")
	for i, s := range spots {
		fmt.Fprintf(&rows, "%s,%v,%v,%s,%d,%s\n", s.id, s.lat, s.lon, s.kind, i%8, []string{"", "0.5", "-3", "1e3"}[i%4])
	}
	h.do("POST", c+"/items", "text/csv", rows.String()).want(t, 200)
	text := func(v any) string {
		switch v := v.(type) {
		case []string:
			return strings.Join(v, ",")
		case []float64:
			return strings.ReplaceAll(strings.Trim(fmt.Sprint(v), "[]"), " ", ",")
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
		return fmt.Sprint(v)
	}
	plain := func(body []byte) map[string]any { // without links
		var m map[string]any
		if err := json.Unmarshal(body, &m); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		delete(m, "links")
		return m
	}
	long := " OR kind = '" + strings.Repeat("x", 7900) + "'" // for which a URL of a link has no room
	pages := 0
	for i := range 60 {
		lon, lat := somewhere(rnd, spots)
		query := map[string]any{"lat": lat, "lon": lon, "k": 20 + rnd.IntN(60)}
		if rnd.IntN(2) == 0 {
			query["radius"] = 1e6 * float64(1+rnd.IntN(20))
		}
		if rnd.IntN(2) == 0 {
			query["filter"] = "rank <> 3"
		}
		switch i % 5 {
		case 0:
			query["sortby"] = []string{"-rank", "kind"}
		case 1:
			query["sortby"] = []string{"size", "-distance"}
		case 2:
			query["weight"] = []string{"rank:250000", "size:-1000"}
		case 3:
			query["per"], query["k"] = "kind", 1+rnd.IntN(9)
		default:
			query["weight"] = []string{"size:7"}
		}
		if rnd.IntN(2) == 0 {
			query["facets"], query["rings"] = []string{"kind", "rank"}, []float64{1000, 1000000}
		}
		get := c + "/nearby?"
		for name, v := range query {
			get += name + "=" + url.QueryEscape(text(v)) + "&"
		}
		byPost := query["per"] == nil && i%3 == 0
		if byPost {
			f, _ := query["filter"].(string)
			query["filter"] = strings.TrimPrefix(f+long, " OR ")
			if f == "" {
				query["filter"] = "rank >= 0" + long
			}
		}
		for next := get; next != ""; pages++ {
			sent, _ := json.Marshal(map[string]any{"queries": []any{map[string]any{"lat": 0, "lon": 0, "k": 1}, query}})
			var results struct{ Results []json.RawMessage }
			if err := json.Unmarshal(h.do("POST", c+"/nearby", "application/json", string(sent)).want(t, 200).body, &results); err != nil {
				t.Fatal(err)
			}
			asked := h.do("GET", next, "", "").want(t, 200)
			got, want := plain(results.Results[1]), plain(asked.body)
			if byPost { // more predicates are planned in another way
				for _, m := range []map[string]any{got, want} {
					proof, _ := m["proof"].(map[string]any)
					delete(proof, "entered")
					delete(proof, "compared")
				}
			}
			if !reflect.DeepEqual(got, want) {
				for name := range want {
					if !reflect.DeepEqual(got[name], want[name]) {
						t.Errorf("%.200s: %s is %v, want %v", sent, name, got[name], want[name])
					}
				}
				t.FailNow()
			}
			page := decode[batchResult](t, &answer{body: results.Results[1]})
			f := decode[features](t, asked)
			next = h.next(&f)
			of, cursor := page.nextURL(), page.nextCursor()
			if (next != "") != (of != "" || cursor != "") || byPost && of != "" || !byPost && cursor != "" {
				t.Fatalf("%.200s: the next page is %q or %q, for GET %q", sent, of, cursor, next)
			}
			if u, err := url.Parse(of); of != "" {
				if err != nil {
					t.Fatal(err)
				}
				if n := decode[features](t, h.do("GET", of, "", "").want(t, 200)); !slices.Equal(n.ids(), decode[features](t, h.do("GET", next, "", "").want(t, 200)).ids()) {
					t.Fatalf("%.200s: the next page has other items", sent)
				}
				cursor = u.Query().Get("cursor")
			}
			query["cursor"] = cursor
		}
	}
	if pages < 100 {
		t.Errorf("there were %d pages", pages)
	}
	one := func(members string) string { return `{"queries":[{"lat":1,"lon":2,` + members + `}]}` }
	h.refused(nil, refusals{
		one(`"sortby":[]`):                                 "queries[0].sortby must have at least one name",
		one(`"sortby":["rank","-rank"]`):                   "queries[0].sortby names rank twice",
		one(`"weight":[]`):                                 "queries[0].weight must have at least one weight",
		one(`"weight":["rank"]`):                           "queries[0].weight must be PROPERTY:METRES, or several of these separated by commas",
		one(`"weight":["rank:1"],"sortby":["rank"]`):       "queries[0].weight cannot be combined with sortby",
		one(`"weight":["rank:1"],"radius":5,"at_least":1`): "queries[0].at_least cannot be combined with sortby or weight",
		one(`"per":"kind","radius":5,"at_least":1`):        "queries[0].at_least must be left out if per is given",
		one(`"per":"kind","sortby":["rank"]`):              "queries[0].per cannot be combined with sortby or weight",
		one(`"per":"kind","k":0`):                          "queries[0].k must be at least 1 if per is given",
		one(`"per":"kind","cursor":"x"`):                   "queries[0].cursor must be left out if per is given",
		one(`"per":"rank"`):                                "queries[0].per must be a property with strings or booleans; this one is of type integer",
		one(`"sortby":["rank"],"cursor":"x"`):              "queries[0].cursor does not come from an answer to this request",
		one(`"weight":["rank:1"],"cursor":"x"`):            "queries[0].cursor does not come from an answer to this request",
	})
	// Each value counts for the bound of the items that a batch asks for.
	few := h.beside(api.Limits{MaxBatchK: 20})
	few.do("POST", c+"/nearby", "application/json", `{"queries":[{"lat":1,"lon":2,"k":3,"per":"kind"}]}`).want(t, 200)
	few.do("POST", c+"/nearby", "application/json", `{"queries":[{"lat":1,"lon":2,"k":3,"per":"kind"},{"lat":1,"lon":2,"k":6}]}`).want(t, 413)
}
