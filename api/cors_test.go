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
					for _, name := range []string{"Etag", "Location", "X-Request-Id", "Nearby-Token", "Nearby-Staleness-Ms", "Nearby-Durability", "Idempotent-Replayed"} {
						if !strings.Contains(exposed, name) {
							t.Errorf("%s is not exposed by %q", name, exposed)
						}
					}
				}
			}
			for _, method := range []string{"PUT", "PATCH", "DELETE", "POST", "TRACE"} {
				a := h.do("OPTIONS", "/v1/collections/c/items/a", "", "", "Origin", origin,
					"Access-Control-Request-Method", method, "Access-Control-Request-Headers", "content-type,idempotency-key,if-match,nearby-after,nearby-wait").want(t, 200)
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
	for _, bad := range []string{"", "example.org", "https://*.example.org", "https://example.org/", "https://example.org/x", "ftp://example.org", "null", "https://", "https://:80"} {
		if _, err := api.New(api.Options{Catalog: newCatalog(t), CORSOrigins: []string{bad}}); err == nil {
			t.Errorf("the origin %q was taken", bad)
		}
	}
}

func varies(h http.Header, name string) bool {
	return slices.ContainsFunc(h.Values("Vary"), func(v string) bool { return strings.Contains(v, name) })
}
