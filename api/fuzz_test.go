package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"nearby/api"
)

// fine fails the fuzzer on an answer that no request may get.
func fine(t *testing.T, h *fixture, req *http.Request) {
	t.Helper()
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, req)
	if w.Code >= 500 || !json.Valid(w.Body.Bytes()) && w.Code != http.StatusNoContent && w.Code != http.StatusNotModified {
		t.Fatalf("%s %q: %d %.500s", req.Method, req.URL, w.Code, w.Body)
	}
	if w.Code >= 400 {
		(&answer{w.Code, w.Header(), w.Body.Bytes()}).isProblem(t, writes(req))
	}
}

// FuzzParameters: no query string brings the server down or an answer that is
// not JSON.
func FuzzParameters(f *testing.F) {
	for _, q := range []string{
		"lat=1&lon=2&k=3", "lat=NaN&lon=Inf", "lat=0x1p-2&lon=1_0", "lat=90.0000001&lon=-180", "lat=1&lon=1&radius=1e308",
		"lat=1&lat=2", "bbox=170,-10,-170,10&limit=2", "bbox=1,2,3,4,5,6", "limit=99999999999999999999", "cursor=bAAAA", "category=sea&category=land",
		"lat=1&lon=1&explain=true&properties=name,%22&distance_property=%00", "%zz", ";", "f=json&datetime=..",
	} {
		f.Add(q)
	}
	h := start(f, api.Options{})
	h.load("c", places)
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/nearby", "/items", "/items/a", ""} {
			req := httptest.NewRequest("GET", "/v1/collections/c"+path, nil)
			req.URL.RawQuery = query
			fine(t, h, req)
		}
	})
}

// FuzzBodies: the same for bodies of every kind.
func FuzzBodies(f *testing.F) {
	for i, body := range []string{
		`{"title":"x","index":{"kind":"geohash","bits":30}}`, `{"index":{"kind":"quadtree","maxPointsPerNode":-1}}`,
		feature("a", 1, 2, `{"a":[1,{"b":null}]}`), `{"type":"Feature","geometry":null}`, `{"properties":{"a":null,"b":{"c":1}}}`,
		places, "lat;lon\n1;2\n", "\x1e" + feature("x", 1, 2, "") + "\n", `{"queries":[{"lat":1,"lon":2,"k":3}]}`,
		`{"type":"FeatureCollection","features":[{}]}`, strings.Repeat("[", 11_000), "{\"\xff\":1}", "",
	} {
		f.Add(uint8(i), body)
	}
	f.Add(uint8(8), `{"queries":[{"lat":1,"lon":2,"filter":{"category":["sea",1,true]}}],"properties":["name"]}`)
	f.Add(uint8(8), `{"queries":[{"lat":1,"lon":2,"filter":{"category":[[]],"x":{}}}]}`)
	f.Add(uint8(8), `{"line":{"type":"LineString","coordinates":[[0,0],[180,90],[-1,2.5e1,0]]},"within":1e4,"limit":2,"filter":{"category":"sea"}}`)
	h := start(f, api.Options{})
	h.load("c", places)
	requests := [][3]string{
		{"PATCH", "/v1/collections/c", "application/json"},
		{"PUT", "/v1/collections/d", "application/json"},
		{"PUT", "/v1/collections/c/items/a", geoJSON},
		{"PATCH", "/v1/collections/c/items/a", "application/merge-patch+json"},
		{"POST", "/v1/collections/c/items", geoJSON},
		{"POST", "/v1/collections/c/items", "text/csv"},
		{"POST", "/v1/collections/c/items", "application/x-ndjson"},
		{"POST", "/v1/collections/c/items", "application/geo+json-seq"},
		{"POST", "/v1/collections/c/nearby", "application/json"},
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		r := requests[int(which)%len(requests)]
		req := httptest.NewRequest(r[0], r[1], strings.NewReader(body))
		req.Header.Set("Content-Type", r[2])
		fine(t, h, req)
	})
}
