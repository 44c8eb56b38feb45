package api_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"nearby/api"
	"nearby/sphere"
)

// beside is another server for the same collections, with other limits.
func (h *fixture) beside(l api.Limits) *fixture {
	h.Helper()
	s, err := api.New(api.Options{Catalog: h.catalog, Limits: l})
	if err != nil {
		h.Fatal(err)
	}
	ts := httptest.NewServer(s)
	h.Cleanup(ts.Close)
	return &fixture{TB: h.TB, server: s, catalog: h.catalog, url: ts.URL, log: h.log, cover: h.cover, covered: h.covered}
}

// spot is an item that the tests know without asking the server.
type spot struct {
	id       string
	lon, lat float64
	kind     string
}

// crowd makes spots round (0, 180): scattered ones, a grid with many ties, and
// many at one position. One in fifty is rare.
func crowd(n int) []spot {
	rng := rand.New(rand.NewPCG(7, 7))
	spots := make([]spot, n)
	for i := range spots {
		s := spot{id: fmt.Sprintf("s%03d", rng.IntN(1000)*1000+i), lon: 175 + rng.Float64()*10, lat: rng.Float64()*10 - 5, kind: "usual"}
		switch i % 4 {
		case 1:
			s.lon, s.lat = 175+float64(rng.IntN(11)), float64(rng.IntN(11)-5)
		case 2:
			s.lon, s.lat = 180, 0
		}
		if s.lon > 180 {
			s.lon -= 360
		}
		if i%50 == 7 {
			s.kind = "rare"
		}
		spots[i] = s
	}
	return spots
}

func (h *fixture) loadSpots(name, index string, spots []spot) {
	h.Helper()
	h.do("PUT", "/v1/collections/"+name, "application/json", `{"index":`+index+`,"queryables":["kind"]}`).want(h, 201)
	rows := strings.Builder{}
	rows.WriteString("id,lat,lon,kind\n")
	for _, s := range spots {
		fmt.Fprintf(&rows, "%s,%v,%v,%s\n", s.id, s.lat, s.lon, s.kind)
	}
	h.do("POST", "/v1/collections/"+name+"/items", "text/csv", rows.String()).want(h, 200)
}

// walk follows the next links and returns the ids. No page but the last may be
// empty, since some clients would stop there.
func (h *fixture) walk(path string) (ids []string, last features) {
	h.Helper()
	for pages := 1; path != ""; pages++ {
		last = decode[features](h, h.do("GET", path, "", "").want(h, 200))
		ids = append(ids, last.ids()...)
		if path = h.next(&last); path != "" && len(last.Features) == 0 {
			h.Fatalf("page %d is empty and not the last: %s", pages, path)
		}
		if len(last.Features) != last.NumberReturned || pages > 2000 {
			h.Fatalf("page %d has %d items and says %d", pages, len(last.Features), last.NumberReturned)
		}
	}
	return ids, last
}

// TestPagesWithinBounds: however little a request may compare or answer, the
// pages of a list and of a box put together are all there is, in order.
func TestPagesWithinBounds(t *testing.T) {
	spots := crowd(250)
	h := start(t, api.Options{})
	bounded := map[string]*fixture{
		"compared 1":   h.beside(api.Limits{MaxCompared: 1}),
		"compared 40":  h.beside(api.Limits{MaxCompared: 40}),
		"compared 249": h.beside(api.Limits{MaxCompared: 249}),
		"bytes 1":      h.beside(api.Limits{MaxAnswerBytes: 1}),
		"bytes 900":    h.beside(api.Limits{MaxAnswerBytes: 900}),
		"both":         h.beside(api.Limits{MaxCompared: 10, MaxAnswerBytes: 400}),
	}
	for _, index := range []string{`{"kind":"quadtree","maxPointsPerNode":8}`, `{"kind":"quadtree","maxPointsPerNode":1,"maxDepth":3}`, `{"kind":"geohash","bits":12}`, `{"kind":"geohash","bits":30}`} {
		h.loadSpots("c", index, spots)
		for _, q := range []struct {
			query string
			match func(spot) bool
		}{
			{"", func(spot) bool { return true }},
			{"&kind=rare", func(s spot) bool { return s.kind == "rare" }},
			{"&kind=none", func(s spot) bool { return false }},
			{"&bbox=178,-3,-178,3", func(s spot) bool { return (s.lon >= 178 || s.lon <= -178) && s.lat >= -3 && s.lat <= 3 }},
			{"&bbox=178,-3,-178,3&kind=rare", func(s spot) bool {
				return (s.lon >= 178 || s.lon <= -178) && s.lat >= -3 && s.lat <= 3 && s.kind == "rare"
			}},
			{"&bbox=0,0,10,10", func(s spot) bool { return false }},
		} {
			var want []string
			for _, s := range spots {
				if q.match(s) {
					want = append(want, s.id)
				}
			}
			slices.Sort(want)
			whole := decode[features](t, h.do("GET", "/v1/collections/c/items?limit=1000"+q.query, "", "").want(t, 200)).ids()
			if got := slices.Sorted(slices.Values(whole)); !slices.Equal(got, want) {
				t.Fatalf("%s: %d items at once, want %d", q.query, len(got), len(want))
			}
			for name, b := range bounded {
				got, _ := b.walk("/v1/collections/c/items?limit=70" + q.query)
				if !slices.Equal(got, whole) {
					t.Errorf("%s, %s, %s: %d items in pages, %d at once", index, name, q.query, len(got), len(whole))
				}
			}
		}
		h.do("DELETE", "/v1/collections/c", "", "").want(t, 204)
	}
}

// TestNearbyPagesOutward: a radius alone, in pages, is all within it, once and in
// order, whatever ends the pages.
func TestNearbyPagesOutward(t *testing.T) {
	spots := crowd(400)
	h := start(t, api.Options{})
	small := h.beside(api.Limits{MaxK: 7})
	short := h.beside(api.Limits{MaxAnswerBytes: 1000})
	cut := h.beside(api.Limits{MaxCompared: 150})
	for _, index := range []string{`{"kind":"quadtree","maxPointsPerNode":8}`, `{"kind":"geohash","bits":12}`} {
		h.loadSpots("c", index, spots)
		for _, centre := range [][2]float64{{180, 0}, {179.5, 0.5}, {-178, -2}} {
			for _, kind := range []string{"", "rare"} {
				const radius = 400_000
				type hit struct {
					d  float64
					id string
				}
				var want []hit
				from := sphere.FromDegrees(centre[0], centre[1])
				for _, s := range spots {
					if d := sphere.Distance(from, sphere.FromDegrees(s.lon, s.lat)); d <= radius && (kind == "" || kind == s.kind) {
						want = append(want, hit{d, s.id})
					}
				}
				slices.SortFunc(want, func(a, b hit) int { return cmp.Or(cmp.Compare(a.d, b.d), cmp.Compare(a.id, b.id)) })
				ids := make([]string, len(want))
				for i, w := range want {
					ids[i] = w.id
				}
				path := fmt.Sprintf("/v1/collections/c/nearby?lat=%v&lon=%v&radius=%d", centre[1], centre[0], radius)
				if kind != "" {
					path += "&kind=" + kind
				}
				for name, b := range map[string]*fixture{"whole": h, "small": small, "short": short} {
					if got, last := b.walk(path); !slices.Equal(got, ids) || !last.Proof.Exact {
						t.Errorf("%s, %s from %v: %d items, exact %v, want %d", index, name, centre, len(got), last.Proof.Exact, len(ids))
					}
				}
				// Cut short, the answer is a beginning, complete within its radius; it
				// says so, and offers no link that could not get on. The list of what is rare
				// is short enough.
				got, last := cut.walk(path)
				if kind == "rare" {
					if !last.Proof.Exact || !slices.Equal(got, ids) {
						t.Errorf("%s, cut, rare ones from %v: %d items, want %d, %+v", index, centre, len(got), len(ids), last.Proof)
					}
					continue
				}
				if last.Proof.Exact || last.Proof.Reason == "" || len(got) > len(ids) || !slices.Equal(got, ids[:len(got)]) ||
					len(got) < len(want) && want[len(got)].d < last.Proof.Radius {
					t.Errorf("%s, cut, from %v: %d items, %+v", index, centre, len(got), last.Proof)
				}
			}
		}
		h.do("DELETE", "/v1/collections/c", "", "").want(t, 204)
	}
}

// TestAnswersAreBounded: an answer has the bytes that it may have, whatever is
// asked for, and says how to go on or to ask for less.
func TestAnswersAreBounded(t *testing.T) {
	const most = 50_000
	h := start(t, api.Options{Limits: api.Limits{MaxAnswerBytes: most, MaxBatchK: 500}})
	var rows strings.Builder
	rows.WriteString("id,lat,lon,kind,text\n")
	for i := range 200 {
		fmt.Fprintf(&rows, "i%d,%d,1,k,%s\n", i, i%90, strings.Repeat("x", 2000))
	}
	h.load("c", rows.String())
	const c = "/v1/collections/c"
	for _, path := range []string{"/items?limit=200", "/items?limit=200&bbox=-180,-90,180,90", "/nearby?lat=0&lon=0&k=200", "/nearby?lat=0&lon=0&radius=1e7"} {
		a := h.do("GET", c+path, "", "").want(t, 200)
		page := decode[features](t, a)
		if len(a.body) > most+1000 || len(a.body) < most-3000 || h.next(&page) == "" {
			t.Errorf("%s: %d bytes, next %q", path, len(a.body), h.next(&page))
		}
		if strings.HasPrefix(path, "/nearby") && (page.Proof.Exact || !strings.Contains(page.Proof.Reason, "next")) {
			t.Errorf("%s: %+v", path, page.Proof)
		}
		if all, _ := h.walk(c + path); len(all) != 200 {
			t.Errorf("%s: %d items in pages", path, len(all))
		}
	}
	many := func(n int, query, more string) string {
		return `{"queries":[` + strings.TrimSuffix(strings.Repeat(query+",", n), ",") + `]` + more + `}`
	}
	for body, says := range map[string]string{
		many(1, `{"lat":0,"lon":0,"k":100}`, ""):                       "query 1 of 1",
		many(10, `{"lat":0,"lon":0,"k":10}`, ""):                       "query 3 of 10",
		many(10, `{"lat":0,"lon":0,"k":51}`, ""):                       "510 items; a batch may ask for at most 500",
		many(1, `{"lat":0,"lon":0,"radius":1}`, ""):                    "1000 items; a batch may ask for at most 500",
		many(2, `{"lat":0,"lon":0,"k":100}`, `,"properties":["kind"]`): "",
	} {
		a := h.do("POST", c+"/nearby", "application/json", body)
		if says == "" {
			a.want(t, 200)
		} else if a.status != 413 || !strings.Contains(string(a.body), says) {
			t.Errorf("%.80s: %d %.300s, want 413 and %q", body, a.status, a.body, says)
		}
	}
}

// TestSearchesEnd: a page that would be empty after the time of a request is a
// problem, since an empty page would pass for the end.
func TestSearchesEnd(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	slow := h.beside(api.Limits{MaxCompared: 1, Timeout: time.Nanosecond})
	for _, q := range []string{"?filter=category+IS+NULL&bbox=-180,-90,180,90", "?filter=category+IS+NULL", "?bbox=50,50,60,60"} {
		a := slow.do("GET", "/v1/collections/c/items"+q, "", "").want(t, 503)
		if !strings.Contains(string(a.body), "bbox") {
			t.Errorf("%s: %s", q, a.body)
		}
	}
	slow.do("GET", "/v1/collections/c/items", "", "").want(t, 200)               // it finds one at once
	slow.do("GET", "/v1/collections/c/items?category=none", "", "").want(t, 200) // no item has the value, so there is no search
}

// TestFiltersEnd: a filter that is still being evaluated after the time of a request ends it,
// wherever filters are taken: what it would have found is not known. That holds of predicates
// that are evaluated for each value, and for each item.
func TestFiltersEnd(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", `{"queryables":["kind","text"]}`).want(t, 201)
	rows := "id,lat,lon,kind,text\n"
	for i := range 5000 { // more texts than are evaluated before a search
		rows += fmt.Sprintf("%d,1,%v,k%d,t%d\n", i, float64(i)/100, i%40, i)
	}
	h.do("POST", c+"/items", "text/csv", rows).want(t, 200)
	slow := h.beside(api.Limits{Timeout: time.Nanosecond})
	for _, like := range []string{"kind LIKE '%25_x'", "text LIKE '%25_x'", "NOT text LIKE '%25_%25'"} {
		filter := "filter=" + strings.ReplaceAll(like, " ", "+")
		body := `"filter":"` + strings.ReplaceAll(like, "%25", "%") + `"`
		for _, a := range []*answer{
			slow.do("GET", c+"/items?"+filter, "", ""),
			slow.do("GET", c+"/items?bbox=-1,0,60,2&"+filter, "", ""),
			slow.do("GET", c+"/items?sortby=kind&"+filter, "", ""),
			slow.do("GET", c+"/nearby?lat=1&lon=1&"+filter, "", ""),
			slow.do("GET", c+"/nearby?lat=1&lon=1&radius=9000000&"+filter, "", ""),
			slow.do("GET", c+"/nearby?lat=1&lon=1&at_least=3&radius=10&"+filter, "", ""),
			slow.do("GET", c+"/nearby?lat=1&lon=1&weight=text:5&"+filter, "", ""),
			slow.do("POST", c+"/nearby", "application/json", `{"queries":[{"lat":1,"lon":1,`+body+`}]}`),
			slow.do("POST", c+"/nearby", "application/json", `{"origins":[{"lat":1,"lon":1}],`+body+`}`),
			slow.do("POST", c+"/items/search", "application/json", `{`+body+`}`),
		} {
			if a.status != 503 || !strings.Contains(string(a.body), "/v1/errors/request-timeout") {
				t.Errorf("%s: %d %.200s", like, a.status, a.body)
			}
		}
		h.do("GET", c+"/nearby?lat=1&lon=1&"+filter, "", "").want(t, 200)
	}
}

// TestTraceIsBounded: explain tells the beginning of a long search.
func TestTraceIsBounded(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/c", "application/json", `{"index":{"kind":"quadtree","maxPointsPerNode":1},"time":"at"}`).want(t, 201)
	var rows strings.Builder
	rows.WriteString("lat,lon,at\n")
	for i := range 16_000 {
		fmt.Fprintf(&rows, "%d,%d,2020-01-01\n", i/160-50, i%160)
	}
	h.do("POST", "/v1/collections/c/items", "text/csv", rows.String()).want(t, 200)
	f := decode[features](t, h.do("GET", "/v1/collections/c/nearby?lat=0&lon=0&datetime=2021-01-01&explain=true", "", "").want(t, 200))
	if len(f.Trace) != 10_000 {
		t.Errorf("%d steps", len(f.Trace))
	}
}

// TestBatchIsManyGets: each query of a batch is answered as by GET, with its own
// filter and the properties named for all.
func TestBatchIsManyGets(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/c", "application/json", `{"queryables":["kind","n","open"]}`).want(t, 201)
	var rows strings.Builder
	for i := range 60 {
		rows.WriteString(feature(fmt.Sprintf("i%d", i), float64(i%9), float64(i%7), fmt.Sprintf(`{"kind":"k%d","n":%d,"open":%v,"text":"5"}`, i%3, i%5, i%2 == 0)) + "\n")
	}
	h.do("POST", "/v1/collections/c/items", "application/x-ndjson", rows.String()).want(t, 200)
	const near = "/v1/collections/c/nearby"
	queries := []struct{ in, get string }{
		{`{"lat":1,"lon":2,"k":5}`, "lat=1&lon=2&k=5"},
		{`{"lat":1,"lon":2,"filter":{}}`, "lat=1&lon=2"},
		{`{"lat":1,"lon":2,"k":50,"filter":{"kind":"k1"}}`, "lat=1&lon=2&k=50&kind=k1"},
		{`{"lat":1,"lon":2,"radius":500000,"filter":{"kind":["k1","k2"],"n":3}}`, "lat=1&lon=2&radius=500000&kind=k1&kind=k2&n=3"},
		{`{"lat":1,"lon":2,"filter":{"n":[1,"2",3.0],"open":true}}`, "lat=1&lon=2&n=1&n=2&n=3.0&open=true"},
		{`{"lat":1,"lon":2,"filter":{"open":[false]}}`, "lat=1&lon=2&open=false"},
		{`{"lat":1,"lon":2,"filter":{"kind":""}}`, "lat=1&lon=2&kind="},
	}
	var in []string
	for _, q := range queries {
		in = append(in, q.in)
	}
	for _, properties := range []string{"", "n", "text,kind", "-"} {
		body, get := `{"queries":[`+strings.Join(in, ",")+`]`, ""
		switch properties {
		case "":
		case "-":
			body, get = body+`,"properties":[]`, "&properties="
		default:
			body, get = body+`,"properties":["`+strings.ReplaceAll(properties, ",", `","`)+`"]`, "&properties="+properties
		}
		results := decode[struct{ Results []map[string]json.RawMessage }](t, h.do("POST", near, "application/json", body+`}`).want(t, 200)).Results
		for i, q := range queries {
			want := decode[map[string]json.RawMessage](t, h.do("GET", near+"?"+q.get+get, "", "").want(t, 200))
			// The links belong to the requests. What they lead to is in TestBatchPages.
			if _, more := results[i]["links"]; more != strings.Contains(string(want["links"]), `"next"`) {
				t.Errorf("%s, properties %q: links are %s, by GET %s", q.in, properties, results[i]["links"], want["links"])
			}
			delete(want, "links")
			delete(results[i], "links")
			for name := range want {
				if got := results[i]; string(got[name]) != string(want[name]) || len(got) != len(want) {
					t.Errorf("%s, properties %q: %s is %s, by GET %s", q.in, properties, name, got[name], want[name])
				}
			}
		}
	}
	for _, bad := range []struct {
		body, field, says string
		status            int
	}{
		{`{"queries":[{"lat":1,"lon":1},{"lat":1,"lon":1,"filter":{"foo":1}}]}`, "queries[1].filter.foo", "kind, n, open", 400},
		{`{"queries":[{"lat":1,"lon":1,"filter":{"n":null}}]}`, "queries[0].filter.n", "a string, a number", 400},
		{`{"queries":[{"lat":1,"lon":1,"filter":{"n":[]}}]}`, "queries[0].filter.n", "1 to 256", 400},
		{`{"queries":[{"lat":1,"lon":1,"filter":{"n":[[1]]}}]}`, "queries[0].filter.n", "1 to 256", 400},
		{`{"queries":[{"lat":1,"lon":1,"filter":{"n":{"a":1}}}]}`, "queries[0].filter.n", "1 to 256", 400},
		{`{"queries":[{"lat":1,"lon":1,"filter":{"n":[0` + strings.Repeat(",0", 256) + `]}}]}`, "queries[0].filter.n", "1 to 256", 400},
		{`{"queries":[{"lat":1,"lon":1,"filter":[1]}]}`, "queries[0].filter", "an object", 400},
		{`{"queries":[{"lat":1,"lon":1},{"lat":1,"lon":1,"filtr":{}}]}`, "queries[1].filtr", "not a known member", 400},
		{`{"queries":[{"lat":1,"lon":"2"}]}`, "queries[0].lon", "a number", 400},
		{`{"queries":[{"lat":1,"lon":1}],"properties":"n"}`, "properties", "an array", 400},
		{`{"queries":[{"lat":1,"lon":1}],"properties":[` + strings.Repeat(`"a",`, 256) + `"a"]}`, "properties", "256", 400},
	} {
		a := h.do("POST", near, "application/json", bad.body).want(t, bad.status)
		p := decode[struct {
			Errors []struct{ Field, Reason string }
		}](t, a)
		if len(p.Errors) != 1 || p.Errors[0].Field != bad.field || !strings.Contains(p.Errors[0].Reason, bad.says) {
			t.Errorf("%.100s: %s, want %s and %q", bad.body, a.body, bad.field, bad.says)
		}
	}
}
