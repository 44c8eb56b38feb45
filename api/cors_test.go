package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"nearby/api"
)

// TestCrossOrigin: a browser lets pages of the named origins, and of no others,
// read answers, errors included, and write.
func TestCrossOrigin(t *testing.T) {
	const page, other = "https://maps.example.org", "https://evil.example"
	for _, s := range []struct {
		origins []string
		allowed map[string]string // by the request's origin
	}{
		{nil, map[string]string{page: "", other: ""}},
		{[]string{page, "http://localhost:5173"}, map[string]string{page: page, "http://localhost:5173": "http://localhost:5173", other: "", page + ".evil.example": "", "null": ""}},
		{[]string{"*"}, map[string]string{page: "*", other: "*"}},
	} {
		h := start(t, api.Options{CORSOrigins: s.origins})
		h.load("c", places)
		for origin, want := range s.allowed {
			for _, path := range []string{"/v1/collections/c/items", "/v1/collections/none", "/v1/api"} {
				a := h.do("GET", path, "", "", "Origin", origin)
				if got := a.header.Get("Access-Control-Allow-Origin"); got != want {
					t.Errorf("%v: %s from %s allows %q, want %q", s.origins, path, origin, got, want)
				}
				if s.origins != nil && !varies(a.header, "Origin") {
					t.Errorf("%v: %s may be cached for another origin: Vary is %q", s.origins, path, a.header.Values("Vary"))
				}
				if exposed := a.header.Get("Access-Control-Expose-Headers"); want != "" {
					for _, name := range []string{"Etag", "Location", "X-Request-Id", "Nearby-Token", "Nearby-Staleness-Ms", "Nearby-Durability", "Nearby-Note", "Idempotent-Replayed", "Www-Authenticate"} {
						if !strings.Contains(exposed, name) {
							t.Errorf("%s is not exposed by %q", name, exposed)
						}
					}
				}
			}
			for _, method := range []string{"PUT", "PATCH", "DELETE", "POST", "TRACE"} {
				a := h.do("OPTIONS", "/v1/collections/c/items/a", "", "", "Origin", origin,
					"Access-Control-Request-Method", method, "Access-Control-Request-Headers", "authorization,content-type,content-crs,content-encoding,idempotency-key,if-match,if-modified-since,if-none-match,if-unmodified-since,nearby-after,nearby-wait").want(t, 200)
				wantMethod, wantOrigin := method, want
				if want == "" || method == "TRACE" {
					wantMethod, wantOrigin = "", ""
				}
				if a.header.Get("Access-Control-Allow-Methods") != wantMethod || a.header.Get("Access-Control-Allow-Origin") != wantOrigin {
					t.Errorf("%v: the preflight of %s from %s allows %v", s.origins, method, origin, a.header)
				}
				if wantMethod != "" && a.header.Get("Access-Control-Max-Age") == "" {
					t.Error("a preflight is not remembered")
				}
				if a.header.Get("Access-Control-Allow-Credentials") != "" {
					t.Error("credentials are allowed")
				}
			}
			if a := h.do("OPTIONS", "/v1/collections/c/items", "", "", "Origin", origin).want(t, 200); a.header.Get("Allow") == "" {
				t.Error("OPTIONS that is no preflight lost its Allow")
			}
		}
	}
	for _, bad := range []string{"", "example.org", "https://*.example.org", "https://example.org/", "https://example.org/x", "ftp://example.org", "null", "https://", "https://:80",
		"https://Maps.example.org", "https://maps.example.org:443", "http://maps.example.org:80", "https://maps.example.org:", "https://maps.example.org:99999", "HTTPS://maps.example.org"} {
		if _, err := api.New(api.Options{Catalog: newCatalog(t), CORSOrigins: []string{bad}}); err == nil {
			t.Errorf("the origin %q was taken", bad)
		}
	}
}

// TestForeignPages: a page of an origin that is not named can make a browser send
// nothing that changes something, by any method and content type; programs, pages of
// the server and reads are not concerned.
func TestForeignPages(t *testing.T) {
	const page, other = "https://maps.example.org", "https://evil.example"
	type headers = map[string]string
	for _, s := range []struct {
		opt     api.Options
		headers headers
		refused bool
	}{
		{api.Options{}, headers{}, false},
		{api.Options{}, headers{"Origin": other}, true},
		{api.Options{}, headers{"Origin": "null"}, true},
		{api.Options{}, headers{"Origin": other, "Sec-Fetch-Site": "cross-site"}, true},
		{api.Options{}, headers{"Sec-Fetch-Site": "cross-site"}, true},
		{api.Options{}, headers{"Origin": "http://a.example.org", "Sec-Fetch-Site": "same-site"}, true},
		{api.Options{}, headers{"Origin": other, "Sec-Fetch-Site": "same-origin"}, false}, // as behind a proxy; a page cannot set it
		{api.Options{}, headers{"Sec-Fetch-Site": "none"}, false},
		{api.Options{}, headers{"Origin": "http://HOST"}, false},
		{api.Options{CORSOrigins: []string{page}}, headers{"Origin": page, "Sec-Fetch-Site": "cross-site"}, false},
		{api.Options{CORSOrigins: []string{page}}, headers{"Origin": other, "Sec-Fetch-Site": "cross-site"}, true},
		{api.Options{CORSOrigins: []string{page}}, headers{"Origin": page + ".evil.example"}, true},
		{api.Options{CORSOrigins: []string{"*"}}, headers{"Origin": other, "Sec-Fetch-Site": "cross-site"}, false},
		{api.Options{PublicURL: "https://geo.example.org/places"}, headers{"Origin": "https://geo.example.org"}, false},
		{api.Options{PublicURL: "https://geo.example.org/places"}, headers{"Origin": other}, true},
	} {
		h := start(t, s.opt)
		h.load("c", places)
		for _, r := range []struct {
			method, path, mediaType, body string
			changes                       bool
		}{
			{"GET", "/v1/collections/c/items/a", "", "", false},
			{"HEAD", "/v1/collections/c/items/a", "", "", false},
			{"OPTIONS", "/v1/collections/c/items/a", "", "", false},
			{"POST", "/v1/verify", "", "", true},
			{"POST", "/v1/verify", "text/plain", "x", true},
			{"POST", "/v1/verify", "application/x-www-form-urlencoded", "a=b", true},
			{"POST", "/v1/verify", "multipart/form-data; boundary=b", "--b--", true},
			{"POST", "/v1/collections/c/items", "text/csv", "id,lat,lon\nx,1,2\n", true},
			{"POST", "/v1/collections/c/items", "text/plain", "id,lat,lon\nx,1,2\n", true},
			{"POST", "/v1/collections/c/items", "", "id,lat,lon\nx,1,2\n", true},
			{"PUT", "/v1/collections/c/items/x", geoJSON, feature("x", 1, 2, ""), true},
			{"PATCH", "/v1/collections/c", "application/json", `{"title":"x"}`, true},
			{"DELETE", "/v1/collections/c", "", "", true},
		} {
			var pairs []string
			for name, value := range s.headers {
				pairs = append(pairs, name, strings.ReplaceAll(value, "HOST", strings.TrimPrefix(h.url, "http://")))
			}
			a := h.do(r.method, r.path, r.mediaType, r.body, pairs...)
			refused := a.status == http.StatusForbidden && strings.Contains(string(a.body), "/v1/errors/foreign-origin")
			if strings.Contains(string(a.body), `\"\"`) {
				t.Errorf("%v: the answer quotes nothing: %s", s.headers, a.body)
			}
			if refused != (s.refused && r.changes) {
				t.Errorf("%v, %v: %s %s %s is answered %d: %.300s", s.opt.CORSOrigins, s.headers, r.method, r.path, r.mediaType, a.status, a.body)
			}
		}
		if a := h.do("GET", "/v1/collections/c", "", ""); (a.status == http.StatusOK) != s.refused {
			t.Errorf("%v, %v: the collection is answered %d", s.opt.CORSOrigins, s.headers, a.status)
		}
	}
}

func varies(h http.Header, name string) bool {
	return slices.ContainsFunc(h.Values("Vary"), func(v string) bool { return strings.Contains(v, name) })
}
