package api_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"nearby/api"
)

// TestRepeatedFields: what is no list is given once (RFC 9110 §5.3), by every method; what is a
// list may come in several lines, and dates of conditions are passed over then.
func TestRepeatedFields(t *testing.T) {
	h := start(t, api.Options{CORSOrigins: []string{"https://maps.example.org"}})
	h.load("c", places)
	token := h.do("GET", "/v1/collections/c", "", "").want(t, 200).header.Get("Nearby-Token")
	now := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	const old = "Sat, 29 Oct 1994 19:43:31 GMT"
	for _, f := range []struct {
		name    string
		lines   []string
		refused bool
	}{
		{"Content-Type", []string{geoJSON, "text/csv"}, true},
		{"Content-Type", []string{geoJSON, geoJSON}, true},
		{"Content-Type", []string{"", geoJSON}, true},
		{"Content-Crs", []string{"<http://www.opengis.net/def/crs/OGC/1.3/CRS84>", "<http://www.opengis.net/def/crs/EPSG/0/3857>"}, true},
		{"Idempotency-Key", []string{`"a"`, `"b"`}, true},
		{"Nearby-After", []string{token, token}, true},
		{"Nearby-Wait", []string{"10", "20"}, true},
		{"Origin", []string{"https://maps.example.org", "https://evil.example"}, true},
		{"Sec-Fetch-Site", []string{"same-origin", "cross-site"}, true},
		{"Authorization", []string{"Basic eDp5", "Bearer z"}, true}, // §11.6.2
		{"Content-Range", []string{"bytes 0-9/100"}, true},          // §14.5
		{"Accept", []string{"application/json", geoJSON}, false},
		{"Accept-Encoding", []string{"identity", "gzip"}, false},
		{"If-Match", []string{`"x"`, `*x`}, true}, // as one list
		{"If-None-Match", []string{`"x"`, `"y"`}, false},
		{"If-Modified-Since", []string{now, now}, false},   // or it would be 304
		{"If-Unmodified-Since", []string{old, old}, false}, // or it would be 412
		{"Range", []string{"bytes=0-1", "bytes=2-3"}, false},
		{"X-Forwarded-Host", []string{"a.example", "b.example"}, false},
	} {
		for _, r := range [][2]string{{"GET", ""}, {"HEAD", ""}, {"PUT", feature("a", 1, 2, "")}, {"DELETE", ""}} {
			req, err := http.NewRequest(r[0], h.url+"/v1/collections/c/items/a", strings.NewReader(r[1]))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", geoJSON)
			req.Header[f.name] = f.lines
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || (resp.StatusCode == 400) != f.refused || resp.StatusCode == 304 || !f.refused && resp.StatusCode >= 400 || f.refused && r[0] != "HEAD" && !strings.Contains(string(body), f.name) {
				t.Errorf("%s with %q for %s: %d, %v: %s", r[0], f.lines, f.name, resp.StatusCode, err, body)
			}
			if r[0] == "DELETE" && !f.refused {
				h.do("PUT", "/v1/collections/c/items/a", geoJSON, feature("a", 1, 2, "")).want(t, 201)
			}
		}
	}
}
