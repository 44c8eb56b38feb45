package api_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"nearby/api"
	"nearby/collection"
	"nearby/store/postgres/pgtest"
)

// TestNothingIsGuessedFresh: no cache may show an answer again without asking (RFC 9111,
// section 4.2.2, lets it where nothing is said), and what changes the answer is named.
func TestNothingIsGuessedFresh(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const c = "/v1/collections/c"
	for _, path := range []string{"/v1/", "/v1/api", "/v1/api.html", "/v1/conformance", "/v1/errors", "/v1/collections", c, c + "/items", c + "/items?bbox=0,0,1,1", c + "/items/a", c + "/nearby?lat=0&lon=0",
		"/v1/collections/none", c + "/items/none", "/none", "/healthz", "/readyz"} {
		for _, method := range []string{"GET", "HEAD"} {
			for _, encoding := range []string{"identity", "gzip"} {
				if method == "GET" {
					encoding = "identity" // the document says nothing of packed bodies
				}
				a := h.do(method, path, "", "", "Accept-Encoding", encoding)
				if got := a.header.Get("Cache-Control"); got != "no-cache" && got != "no-store" {
					t.Errorf("%s %s: Cache-Control is %q", method, path, got)
				}
				if !varies(a.header, "Accept-Encoding") || !varies(a.header, "Nearby-After") {
					t.Errorf("%s %s: Vary is %q", method, path, a.header.Values("Vary"))
				}
			}
		}
	}
	if a := h.do("POST", c+"/nearby", "application/json", `{"queries":[{"lat":0,"lon":0}]}`).want(t, 200); a.header.Get("Cache-Control") != "no-cache" {
		t.Errorf("%v", a.header)
	}
}

// TestEncodingsHaveTags: an answer that is packed has another strong tag (RFC 9110
// §8.8.3.3), and whoever has one of both is served as with the other.
func TestEncodingsHaveTags(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/c", "application/json", `{}`).want(t, 201)
	const a = "/v1/collections/c/items/a"
	h.do("PUT", a, geoJSON, feature("a", 1, 1, `{"text":"`+strings.Repeat("x", 3000)+`"}`)).want(t, 201)
	for _, packing := range []string{"gzip", "zstd"} { // browsers take both
		for _, path := range []string{a, "/v1/collections/c", "/v1/collections", "/v1/api", "/v1/collections/c/items", "/v1/collections/c/nearby?lat=1&lon=1"} {
			plain := h.do("GET", path, "", "", "Accept-Encoding", "identity").want(t, 200).header.Get("Etag")
			resp := h.do("HEAD", path, "", "", "Accept-Encoding", packing).want(t, 200)
			packed := resp.header.Get("Etag")
			if plain == "" || packed == "" || resp.header.Get("Content-Encoding") == packing && plain == packed {
				t.Errorf("%s: the tags are %s and, packed, %s", path, plain, packed)
			}
			for _, tag := range []string{plain, packed, "W/" + strings.TrimPrefix(packed, "W/"), `"x", ` + packed} {
				for _, encoding := range []string{"identity", "gzip", "gzip, deflate, br, zstd"} {
					got := h.do("GET", path, "", "", "If-None-Match", tag, "Accept-Encoding", encoding).want(t, 304)
					if is := strings.TrimPrefix(got.header.Get("Etag"), "W/"); !strings.Contains(tag, is) || got.header.Get("Cache-Control") != "no-cache" || !varies(got.header, "Accept-Encoding") {
						t.Errorf("%s: 304 to %s has %v", path, tag, got.header)
					}
				}
			}
			for _, tag := range []string{strings.ToUpper(plain), strings.Replace(plain, `"`, `"0`, 1), strings.TrimSuffix(plain, `"`) + `-br"`, strings.TrimSuffix(plain, `"`) + `-gzip-gzip"`} {
				h.do("GET", path, "", "", "If-None-Match", tag).want(t, 200)
			}
		}
		for _, r := range [][3]string{{a, geoJSON, feature("a", 2, 2, `{"text":"`+strings.Repeat(packing, 1000)+`"}`)}, {"/v1/collections/c", "application/json", `{"title":"` + packing + `"}`}} {
			packed := h.do("HEAD", r[0], "", "", "Accept-Encoding", packing).want(t, 200).header.Get("Etag")
			h.do("PUT", r[0], r[1], r[2], "If-None-Match", packed).want(t, 412)
			h.do("PUT", r[0], r[1], r[2], "If-Match", "W/"+packed).want(t, 412)
			h.do("PUT", r[0], r[1], r[2], "If-Match", packed).want(t, 200)
			h.do("PUT", r[0], r[1], r[2], "If-Match", packed).want(t, 412)
		}
	}
}

// TestHeadIsLikeGet: HEAD answers with the headers of GET, in every encoding; a Content-Length
// may be left out, and is not another one (RFC 9110, sections 8.6 and 9.3.2).
func TestHeadIsLikeGet(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	long := feature("long", 1, 1, `{"text":"`+strings.Repeat("some words ", 300)+`"}`)
	h.do("PUT", "/v1/collections/c/items/long", geoJSON, long).want(t, 201)
	compressed := 0
	for _, path := range []string{
		"/v1/", "/v1/api", "/v1/conformance", "/v1/collections", "/v1/collections/c", "/v1/collections/c/schema", "/v1/collections/c/items", "/v1/collections/c/items?limit=1",
		"/v1/collections/c/items/long", "/v1/collections/c/items/a", "/v1/collections/c/nearby?lat=0&lon=0&k=3", "/v1/collections/c/items/none", "/v1/collections/c/nearby?k=0", "/healthz",
	} {
		for _, accepted := range [][]string{{"gzip"}, {"zstd"}, {"br, gzip;q=0.5"}, {"gzip", "identity;q=0"}, {"identity"}, {"br, *;q=0"}} {
			var answers [2]*http.Response
			for i, method := range []string{"GET", "HEAD"} {
				req, err := http.NewRequest(method, h.url+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header["Accept-Encoding"] = accepted
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				answers[i] = resp
				if err != nil || method == "HEAD" && len(body) > 0 {
					t.Errorf("%s %s with %q: %v, %d bytes", method, path, accepted, err, len(body))
				}
			}
			get, head := answers[0], answers[1]
			if get.Header.Get("Content-Encoding") != "" {
				compressed++
			}
			if get.StatusCode != head.StatusCode {
				t.Errorf("%s with %q: GET %d, HEAD %d", path, accepted, get.StatusCode, head.StatusCode)
			}
			for _, name := range []string{"Content-Type", "Content-Encoding", "ETag", "Last-Modified", "Vary", "Cache-Control", "Link"} {
				if g, h := get.Header[name], head.Header[name]; !slices.Equal(g, h) {
					t.Errorf("%s with %q: %s of GET %q, of HEAD %q", path, accepted, name, g, h)
				}
			}
			// The time, the cost of a search and the number of a request are of other lengths now and then.
			fixed := get.StatusCode == 200 && !strings.Contains(path, "nearby") && !strings.Contains(path, "items?") && !strings.HasSuffix(path, "items")
			if n := head.Header.Get("Content-Length"); fixed && n != "" && n != get.Header.Get("Content-Length") && get.ContentLength >= 0 {
				t.Errorf("%s with %q: Content-Length of GET %d, of HEAD %s", path, accepted, get.ContentLength, n)
			}
		}
	}
	if compressed < 10 {
		t.Errorf("only %d answers were compressed", compressed)
	}
}

// TestAcceptedEncodings: an answer is never in an encoding that the request excludes, be it
// long or short, a problem or not (RFC 9110, section 12.5.3). A request that leaves none is 406,
// and nothing is done.
func TestAcceptedEncodings(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/c", "application/json", `{}`).want(t, 201)
	const short, long, none = "/v1/collections/c/items/short", "/v1/collections/c/items/long", "/v1/collections/c/items/none"
	h.do("PUT", short, geoJSON, feature("short", 1, 1, "")).want(t, 201)
	h.do("PUT", long, geoJSON, feature("long", 1, 1, `{"text":"`+strings.Repeat("x", 3000)+`"}`)).want(t, 201)
	send := func(method, path string, accepted []string) (status int, encoding string) {
		t.Helper()
		var body io.Reader
		if method == "PUT" {
			body = strings.NewReader(feature("written", 2, 2, ""))
		}
		req, err := http.NewRequest(method, h.url+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Accept-Encoding"], req.Header["Content-Type"] = accepted, []string{geoJSON}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		var unpacked io.Reader = bytes.NewReader(text)
		coding := resp.Header.Get("Content-Encoding")
		if method == "HEAD" {
			coding = "" // there is nothing to unpack
		}
		switch coding {
		case "gzip":
			unpacked, err = gzip.NewReader(unpacked)
		case "zstd":
			unpacked, err = zstd.NewReader(unpacked)
		}
		if err == nil {
			text, err = io.ReadAll(unpacked)
		}
		if err != nil || method != "HEAD" && !json.Valid(text) {
			t.Errorf("%s %s with %q: %v %q", method, path, accepted, err, text)
		}
		if !varies(resp.Header, "Accept-Encoding") {
			t.Errorf("%s %s with %q: Vary is %q", method, path, accepted, resp.Header["Vary"])
		}
		return resp.StatusCode, resp.Header.Get("Content-Encoding")
	}
	for _, c := range []struct {
		accepted    []string
		short, long string // their encodings; 406: the answer is that
	}{
		{nil, "", ""},
		{[]string{""}, "", ""},
		{[]string{"gzip"}, "", "gzip"},
		{[]string{"gzip;q=0"}, "", ""},
		{[]string{"identity;q=0.1, gzip;q=0"}, "", ""},
		{[]string{"br"}, "", ""},
		{[]string{"*"}, "", ""},
		{[]string{"gzip, identity;q=0"}, "gzip", "gzip"},
		{[]string{"gzip", "identity;q=0"}, "gzip", "gzip"},
		{[]string{"identity ; Q=0.000 , zstd;q=0.5"}, "zstd", "zstd"},
		{[]string{"gzip;q=0.4, zstd;q=0.5, *;q=0"}, "zstd", "zstd"},
		{[]string{"gzip, *;q=0"}, "gzip", "gzip"},
		{[]string{"br", "gzip"}, "", "gzip"}, // two lines are one list
		{[]string{"x-gzip"}, "", "gzip"},     // RFC 9110, section 8.4.1.3
		{[]string{"X-GZIP"}, "", "gzip"},
		{[]string{"br", "x-gzip"}, "", "gzip"},
		{[]string{"identity;q=0.5, x-gzip;q=1"}, "", "gzip"},
		{[]string{"x-gzip;q=0"}, "", ""},
		{[]string{"x-gzip ;q=0.5, identity;q=0"}, "gzip", "gzip"},
		{[]string{"x-gzip;q=0.4, zstd;q=0.5, *;q=0"}, "zstd", "zstd"},
		{[]string{"x-gzip, *;q=0"}, "gzip", "gzip"},
		{[]string{"*;q=0.5, identity;q=0"}, "gzip", "gzip"},
		{[]string{"*;q=0, identity"}, "", ""},
		{[]string{"*;q=0, identity;q=0.1"}, "", ""},
		{[]string{"identity;q=0"}, "406", "406"},
		{[]string{"*;q=0"}, "406", "406"},
		{[]string{"br, *;q=0"}, "406", "406"},
		{[]string{"identity;q=0, gzip;q=0, br"}, "406", "406"},
		{[]string{"identity;q=x"}, "", ""}, // no weight
	} {
		for path, want := range map[string]string{short: c.short, long: c.long, none: c.short} {
			status := map[bool]int{true: 406, false: 200}[want == "406"]
			if path == none && status == 200 {
				status = 404
			}
			if got, encoding := send("GET", path, c.accepted); got != status || encoding != strings.TrimPrefix(want, "406") {
				t.Errorf("%s with %q: %d in %q, want %d in %q", path, c.accepted, got, encoding, status, want)
			}
		}
		refused := c.short == "406"
		if status, _ := send("HEAD", short, c.accepted); (status == 406) != refused {
			t.Errorf("HEAD with %q: %d", c.accepted, status)
		}
		written := "/v1/collections/c/items/written"
		if status, _ := send("PUT", written, c.accepted); (status == 406) != refused {
			t.Errorf("PUT with %q: %d", c.accepted, status)
		}
		if there := h.do("DELETE", written, "", "").status != 404; there == refused {
			t.Errorf("PUT with %q: it is written: %v", c.accepted, there)
		}
	}
}

// TestAnswersHaveTags: who has the answer to a query is told so, until the collection
// changes, and by every server of one store.
func TestAnswersHaveTags(t *testing.T) {
	onBoth(t, func(t *testing.T, servers [3]*fixture) {
		h := servers[0]
		h.load("c", places)
		h.load("other", places)
		const c = "/v1/collections/c"
		tags := map[string]string{}
		seen := map[string]string{}
		paths := []string{"/v1/collections", c, c + "/items", c + "/items?limit=2", c + "/items?limit=2&bbox=-2,-1,2,1", c + "/items?bbox=-2,-1,2,1", c + "/items?category=sea", c + "/items?category=land",
			c + "/items?category=sea&category=land", c + "/nearby?lat=0&lon=0", c + "/nearby?lat=0&lon=1", c + "/nearby?lat=1&lon=0", c + "/nearby?lat=0&lon=0&k=1", c + "/nearby?lat=0&lon=0&category=ice"}
		for _, path := range paths {
			tag := h.do("GET", path, "", "").want(t, 200).header.Get("Etag")
			if first, twice := seen[tag]; twice || tag == "" {
				t.Errorf("%s and %s have the tag %s", first, path, tag)
			}
			seen[tag], tags[path] = path, tag
			h.do("GET", path, "", "", "If-None-Match", tag).want(t, 304)
			h.do("GET", path, "", "", "If-None-Match", `"x"`).want(t, 200)
			h.do("GET", path, "", "", "If-Match", `"x"`).want(t, 412)
		}
		again := map[string]string{
			c + "/items?bbox=-2,-1,2,1&limit=2":          c + "/items?limit=2&bbox=-2,-1,2,1",
			c + "/items?category=land&category=sea":      c + "/items?category=sea&category=land",
			c + "/nearby?lon=%30&lat=0&k=1":              c + "/nearby?lat=0&lon=0&k=1",
			c + "/items?limit=2&&bbox=%2D2%2C-1%2C2%2C1": c + "/items?limit=2&bbox=-2,-1,2,1",
		}
		for path, same := range again {
			h.do("GET", path, "", "", "If-None-Match", tags[same]).want(t, 304)
		}
		h.do("GET", c+"/nearby?lat=0&lon=0&explain=true", "", "").want(t, 200)
		h.do("GET", c+"/nearby?lat=0&lon=200000", "", "", "If-None-Match", "*").want(t, 400) // what is refused is refused
		// Another collection changes nothing here.
		put := h.do("PUT", "/v1/collections/other/items/a", geoJSON, feature("a", 9, 9, "")).want(t, 200)
		for _, path := range paths[1:] {
			h.do("GET", path, "", "", "If-None-Match", tags[path]).want(t, 304)
		}
		put = h.do("DELETE", c+"/items/f", "", "", "Nearby-After", put.header.Get("Nearby-Token")).want(t, 204)
		for _, s := range servers {
			for _, path := range paths {
				got := s.do("GET", path, "", "", "If-None-Match", tags[path], "Nearby-After", put.header.Get("Nearby-Token"), "Nearby-Wait", "60000").want(t, 200)
				s.do("GET", path, "", "", "If-None-Match", got.header.Get("Etag")).want(t, 304)
			}
		}
	})
}

// TestPendingHasNoTag: what is shown before it is committed has no number, and so no tag.
func TestPendingHasNoTag(t *testing.T) {
	t.Parallel()
	h := replica(t, pgtest.Database(t), collection.Options{WritePolicy: collection.WriteBack})
	h.load("c", places)
	for i := range 5 {
		h.do("PUT", "/v1/collections/c/items/a", geoJSON, feature("a", float64(i), 0, "")).want(t, 200)
		for _, path := range []string{"/items", "/nearby?lat=0&lon=0"} {
			if a := h.do("GET", "/v1/collections/c"+path, "", "", "If-None-Match", `W/"x"`).want(t, 200); a.header.Get("Etag") != "" {
				t.Errorf("%s has the tag %s", path, a.header.Get("Etag"))
			}
		}
	}
}
