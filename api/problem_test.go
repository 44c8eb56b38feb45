package api_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"nearby/api"
)

// TestProblemsAreBounded: however long what is quoted from the caller is, a problem stays
// short, is UTF-8, and says how much of a list it leaves out.
func TestProblemsAreBounded(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const c, items, near, js = "/v1/collections/c", "/v1/collections/c/items", "/v1/collections/c/nearby", "application/json"
	long := strings.Repeat("€", 5000)
	escaped := url.QueryEscape(strings.Repeat("€", 800))
	var header strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&header, "c%d,", i)
	}
	var queryables []string
	for i := range 32 {
		queryables = append(queryables, fmt.Sprintf("q%d%s", i, strings.Repeat("x", 120)))
	}
	h.do("PUT", "/v1/collections/many", js, `{"queryables":["`+strings.Join(queryables, `","`)+`"]}`).want(t, 201)
	many := h.do("POST", items, "text/csv", header.String()+"\n"+strings.Repeat("1,", 20_000)+"\n").want(t, 400)
	if !strings.Contains(string(many.body), " more") {
		t.Errorf("it does not say how many names are left out: %.2000s", many.body)
	}
	for _, a := range []*answer{
		many,
		h.do("POST", items, "text/csv", strings.Repeat(long+",", 20)+"\n1\n"),
		h.do("POST", items, "text/csv", "lat,"+long+",lat,lon\n1,1\n"),
		h.do("POST", items, "text/csv", "id,lat,lon,"+long+"\na,1,1,\xff\n"),
		h.do("POST", items, "text/csv", "id,lat,lon\n"+long+","+long+",1\n"),
		h.do("POST", items, "application/x-ndjson", `{"id":"`+long+`","lat":1,"lon":1}`+"\n"),
		h.do("POST", items, "application/x-ndjson", `{"id":"x","lat":"`+long+`","lon":1}`+"\n"),
		h.do("POST", items, geoJSON, `{"type":"`+long+`"}`),
		h.do("POST", items, geoJSON, `{"type":"Feature","`+long+`":1}`),
		h.do("POST", items, geoJSON, feature(long, 1, 1, "")),
		h.do("POST", items, long, ""),
		h.do("PUT", items+"/"+escaped, geoJSON, feature("x", 1, 1, "")),
		h.do("PUT", items+"/x", geoJSON, feature(long, 1, 1, "")),
		h.do("PUT", items+"/x", geoJSON, feature("x", 1, 1, ""), "If-Match", long),
		h.do("PUT", items+"/x", geoJSON, feature("x", 1, 1, ""), "Idempotency-Key", long),
		h.do("PUT", items+"/x", geoJSON, feature("x", 1, 1, ""), "Content-Encoding", long),
		h.do("PUT", c, js, `{"`+long+`":1}`),
		h.do("PUT", c, js, `{"title":"`+long+`\u0000"}`),
		h.do("PUT", c, js, `{"index":{"kind":"`+long+`"}}`),
		h.do("PUT", c, js, `{"writePolicy":"`+long+`"}`),
		h.do("PUT", c, js, `{"queryables":[`+strings.Repeat(`"k",`, 200_000)+`"k"]}`),
		h.do("PATCH", c, mergePatch, `{"queryables":[`+strings.Repeat(`"\u0001",`, 50_000)+`"k"]}`),
		h.do("PUT", c, js, `{"queryables":[`+strings.Repeat(`"",`, 200_000)+`"lat"]}`),
		h.do("PUT", "/v1/collections/"+escaped, js, `{}`),
		h.do("GET", "/v1/collections/"+escaped, "", ""),
		h.do("GET", "/v1/"+escaped, "", ""),
		h.do("GET", "/v1/errors/"+escaped, "", ""),
		h.do("GET", items+"/"+escaped, "", ""),
		h.do("GET", items+"?"+escaped+"=1", "", ""),
		h.do("GET", items+"?limit="+escaped, "", ""),
		h.do("GET", items+"?cursor="+escaped, "", ""),
		h.do("GET", items+"?bbox=1,1,1,"+escaped, "", ""),
		h.do("GET", items+"?consistency="+escaped, "", ""),
		h.do("GET", "/v1/collections/many/items?x=1", "", ""),
		h.do("GET", near+"?lat="+escaped+"&lon=1", "", ""),
		h.do("POST", near, js, `{"queries":[{"lat":1,"lon":1,"filter":{"`+long+`":["a"]}}]}`),
		h.do("POST", near, js, `{"queries":[{"lat":1,"lon":1,"`+long+`":1}]}`),
		h.do("GET", c, "", "", "Nearby-After", long),
		h.do("GET", c, "", "", "Nearby-Wait", long),
		h.do("POST", "/v1/verify", "", "", "Origin", "http://"+strings.Repeat("e", 5000)),
	} {
		if len(a.body) > 4000 || strings.Contains(string(a.body), `\ufffd`) || strings.Contains(string(a.body), "\ufffd€") {
			t.Errorf("%d: %d bytes: %.3000s", a.status, len(a.body), a.body)
		}
		if a.status < 400 && !strings.Contains(string(a.body), `"rejected":1`) {
			t.Errorf("it was taken, with %d: %.300s", a.status, a.body)
		}
	}
}

// TestNothingThere: what is not there is told in a sentence, by every way to ask for it.
func TestNothingThere(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const none = "/v1/collections/none"
	for _, r := range [][5]string{
		{"GET", none, "", "", `collection "none" does not exist`},
		{"GET", none + "/items", "", "", `collection "none" does not exist`},
		{"GET", none + "/nearby?lat=0&lon=0", "", "", `collection "none" does not exist`},
		{"POST", none + "/nearby", "application/json", `{"queries":[]}`, `collection "none" does not exist`},
		{"PUT", none + "/items/a", geoJSON, feature("a", 1, 1, ""), `collection "none" does not exist`},
		{"POST", none + "/items", "text/csv", "id,lat,lon\na,1,1\n", `collection "none" does not exist`},
		{"PATCH", none, "application/json", `{}`, `collection "none" does not exist`},
		{"DELETE", none, "", "", `collection "none" does not exist`},
		{"GET", "/v1/collections/c/items/none", "", "", `item "none" does not exist in collection "c"`},
		{"PATCH", "/v1/collections/c/items/none", mergePatch, `{}`, `item "none" does not exist in collection "c"`},
		{"DELETE", "/v1/collections/c/items/none", "", "", `item "none" does not exist in collection "c"`},
	} {
		if p := decode[struct{ Detail string }](t, h.do(r[0], r[1], r[2], r[3]).want(t, 404)); p.Detail != r[4] {
			t.Errorf("%s %s is answered %q, want %q", r[0], r[1], p.Detail, r[4])
		}
	}
}
