package api_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"nearby/api"
	"nearby/metrics"
)

func feature(id string, lon, lat float64, properties string) string {
	if properties == "" {
		properties = "{}"
	}
	return fmt.Sprintf(`{"type":"Feature","id":%q,"geometry":{"type":"Point","coordinates":[%v,%v]},"properties":%s}`, id, lon, lat, properties)
}

// One walk through every operation, each exchange held to the document.
func TestEveryOperation(t *testing.T) {
	numbers := metrics.New("v")
	s := start(t, api.Options{Metrics: numbers.Handler(), Observer: func(method, route string) api.Observer { return numbers.Route(method, route) }})
	c := "/v1/collections/places"
	s.do("GET", "/v1/", "", "").want(t, 200)
	s.do("GET", "/v1/conformance?f=json", "", "").want(t, 200)
	s.do("GET", "/v1/api", "", "").want(t, 200)
	s.do("GET", "/v1/api.html", "", "").want(t, 200)
	s.do("GET", "/v1/api", "", "", "Accept", "application/yaml").want(t, 200)
	s.do("GET", "/healthz", "", "").want(t, 200)
	s.do("GET", "/readyz", "", "").want(t, 200)
	s.do("GET", "/metrics", "", "").want(t, 200)
	s.do("POST", "/v1/verify", "", "").want(t, 409) // there is nothing to compare with
	s.covered["verify"] = true
	s.do("POST", "/v1/backup", "", "").want(t, 409) // nor a folder to be backed up
	s.covered["backup"] = true
	s.do("GET", "/v1/collections", "", "").want(t, 200)
	s.do("GET", c, "", "").want(t, 404)
	created := s.do("PUT", c, "application/json", `{"title":"Places","index":{"kind":"quadtree","maxPointsPerNode":8},"queryables":["kind","n"]}`).want(t, 201)
	if got := created.header.Get("Location"); got != s.url+c {
		t.Errorf("Location is %q", got)
	}
	s.do("GET", c+"/schema", "", "").want(t, 200)
	s.do("GET", c+"/queryables", "", "").want(t, 200)
	s.do("GET", c+"/sortables", "", "").want(t, 200)
	s.do("PUT", c, "application/json", `{"title":"Places","index":{"kind":"geohash","bits":20},"queryables":["kind","n"]}`).want(t, 200)
	s.do("GET", c, "", "").want(t, 200)
	patched := decode[struct {
		Title      string
		Statistics struct{ Kind string }
	}](t, s.do("PATCH", c, "application/json", `{"index":{"kind":"quadtree"}}`).want(t, 200))
	if patched.Title != "Places" || patched.Statistics.Kind != "quadtree" {
		t.Errorf("after the patch: %+v", patched)
	}

	one := s.do("POST", c+"/items", geoJSON, feature("a b/c", 7.5, 47.25, `{"name":"A","kind":"x","n":1}`)).want(t, 201)
	if got := one.header.Get("Location"); got != s.url+c+"/items/a%20b%2Fc" {
		t.Errorf("Location is %q", got)
	}
	s.do("POST", c+"/items", geoJSON, feature("a b/c", 0, 0, "")).want(t, 409)
	made := s.do("POST", c+"/items", geoJSON, `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":null}`).want(t, 201)
	if !strings.Contains(string(made.body), `"id":"0`) || len(decode[struct{ ID string }](t, made).ID) != 36 {
		t.Errorf("an item without id: %s", made.body)
	}
	got := s.do("GET", c+"/items/a%20b%2Fc", "", "").want(t, 200)
	tag := got.header.Get("ETag")
	if tag == "" || tag != one.header.Get("ETag") {
		t.Errorf("ETag %q on reading, %q on writing", tag, one.header.Get("ETag"))
	}
	s.do("GET", c+"/items/a%20b%2Fc", "", "", "If-None-Match", tag).want(t, 304)
	s.do("PUT", c+"/items/a%20b%2Fc", geoJSON, feature("other", 0, 0, ""), "If-Match", tag).want(t, 400)
	s.do("PUT", c+"/items/a%20b%2Fc", geoJSON, feature("a b/c", 8, 47, `{"name":"A2","kind":"x"}`), "If-Match", tag).want(t, 200)
	s.do("PUT", c+"/items/a%20b%2Fc", geoJSON, feature("a b/c", 9, 47, ""), "If-Match", tag).want(t, 412)
	s.do("PUT", c+"/items/a%20b%2Fc", geoJSON, feature("a b/c", 9, 47, ""), "If-None-Match", "*").want(t, 412)
	s.do("PUT", c+"/items/new", geoJSON, feature("new", 9, 47, `{"kind":"y"}`)).want(t, 201)
	merged := s.do("PATCH", c+"/items/a%20b%2Fc", "application/merge-patch+json", `{"properties":{"name":null,"kind":"z","deep":{"x":1,"y":null}}}`).want(t, 200)
	if !strings.Contains(string(merged.body), `"properties":{"kind":"z","deep":{"x":1}}`) {
		t.Errorf("merged into %s", merged.body)
	}
	s.do("PATCH", c+"/items/none", "application/merge-patch+json", `{}`).want(t, 404)
	s.do("PATCH", c+"/items/new", "application/merge-patch+json", `{"id":"x"}`).want(t, 400)
	s.do("DELETE", c+"/items/new", "", "", "If-Match", `"zzz"`).want(t, 412)
	s.do("DELETE", c+"/items/new", "", "").want(t, 204)
	s.do("DELETE", c+"/items/new", "", "").want(t, 404)

	csv := "id,lat,lon,kind,n\n1,10,20,x,5\n2,91,20,x,5\n3,abc,20,y,6\n4,10.5,20.5,y,5\n1,11,21,x,7\n"
	report := decode[struct {
		Created, Updated, Rejected int
		Errors                     []struct {
			Line  int
			Field string
		}
	}](t, s.do("POST", c+"/items", "text/csv", csv).want(t, 200))
	if report.Created != 2 || report.Updated != 1 || report.Rejected != 2 || len(report.Errors) != 2 || report.Errors[0].Line != 3 || report.Errors[1].Field != "lat" {
		t.Errorf("the CSV load: %+v", report)
	}
	s.do("POST", c+"/items?onError=abort", "text/csv", csv).want(t, 400)
	s.do("POST", c+"/items", "application/x-ndjson", feature("n1", 1, 1, "")+"\n"+feature("n2", 2, 2, "")+"\n").want(t, 200)
	s.do("POST", c+"/items", "application/geo+json-seq", "\x1e"+feature("n3", 3, 3, "")+"\n").want(t, 200)
	s.do("POST", c+"/items", geoJSON, `{"type":"FeatureCollection","features":[`+feature("n4", 4, 4, "")+`]}`).want(t, 200)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	fmt.Fprint(z, "id,lat,lon\nz1,1,1\n")
	z.Close()
	s.do("POST", c+"/items", "text/csv", zipped.String(), "Content-Encoding", "gzip").want(t, 200)

	near := decode[features](t, s.do("GET", c+"/nearby?lat=10&lon=20&k=2&explain=true&distance_property=m&properties=n", "", "").want(t, 200))
	if !slices.Equal(near.ids(), []string{"1", "4"}) || !near.Proof.Exact || len(near.Trace) == 0 ||
		near.Features[0].Properties["m"] != near.Features[0].Distance || near.Features[0].Properties["n"] != 5.0 || near.Features[0].Properties["kind"] != nil {
		t.Errorf("nearby: %+v", near)
	}
	if f := decode[features](t, s.do("GET", c+"/nearby?lat=10&lon=20&kind=y&n=5&n=6", "", "").want(t, 200)); !slices.Equal(f.ids(), []string{"4"}) {
		t.Errorf("filtered: %v", f.ids())
	}
	batch := decode[struct{ Results []features }](t, s.do("POST", c+"/nearby", "application/json", `{"queries":[{"lat":10,"lon":20,"k":1},{"lat":0,"lon":0,"radius":1}]}`).want(t, 200))
	if len(batch.Results) != 2 || !slices.Equal(batch.Results[0].ids(), []string{"1"}) || batch.Results[1].NumberReturned != 0 {
		t.Errorf("the batch: %+v", batch)
	}
	list := decode[features](t, s.do("GET", c+"/items?limit=99999", "", "").want(t, 200))
	if list.NumberMatched == nil || *list.NumberMatched != list.NumberReturned || list.NumberReturned != 9 {
		t.Errorf("the list: %+v", list)
	}
	box := decode[features](t, s.do("GET", c+"/items?bbox=19,9,22,12&datetime=2020-01-01T00:00:00Z", "", "").want(t, 200))
	if ids := box.ids(); len(ids) != 2 || box.NumberMatched == nil || *box.NumberMatched != 2 {
		t.Errorf("the box: %v", ids)
	}
	search := decode[features](t, s.do("POST", c+"/items/search", "application/json", `{"bbox":[19,9,22,12]}`).want(t, 200))
	if !slices.Equal(search.ids(), box.ids()) {
		t.Errorf("the search: %v", search.ids())
	}
	s.do("DELETE", c, "", "").want(t, 204)
	gone := decode[struct{ Type string }](t, s.do("GET", c+"/items", "", "").want(t, 404))
	if page := string(s.do("GET", gone.Type, "", "").want(t, 200).body); !strings.Contains(page, gone.Type+"\n404 ") {
		t.Errorf("the page of %s: %q", gone.Type, page)
	}
	if all := string(s.do("GET", "/v1/errors", "", "").want(t, 200).body); !strings.Contains(all, gone.Type+"\n") || !strings.Contains(all, "/v1/errors/internal-error\n") {
		t.Errorf("the page of all types: %q", all)
	}
	s.do("GET", "/v1/errors/no-such", "", "").want(t, 404)

	admin := decode[struct{ ID, Key string }](t, s.do("POST", "/v1/keys", "application/json", `{"scope":"admin"}`).want(t, 201))
	s.key = admin.Key
	s.do("GET", "/v1/keys", "", "").want(t, 200)
	s.do("GET", "/v1/keys/"+admin.ID, "", "").want(t, 200)
	s.do("POST", "/v1/keys/"+admin.ID+"/rotate", "application/json", `{}`).want(t, 201)
	s.do("DELETE", "/v1/keys/"+admin.ID, "", "").want(t, 204)

	for _, p := range document(t).Paths.Map() {
		for _, op := range p.Operations() {
			if !s.covered[op.OperationID] {
				t.Errorf("operation %s was not exercised", op.OperationID)
			}
		}
	}
}

// Hostile and mistaken requests get the right status and a problem that names
// what was wrong, and never a 5xx.
func TestBadRequests(t *testing.T) {
	s := start(t, api.Options{Limits: api.Limits{MaxBodyBytes: 100_000, MaxBatch: 3}})
	c := "/v1/collections/c"
	s.do("PUT", c, "application/json", `{"index":{"kind":"quadtree"},"queryables":["kind"]}`).want(t, 201)
	s.do("PUT", c+"/items/a", geoJSON, feature("a", 1, 1, `{"kind":"x"}`)).want(t, 201)
	near := c + "/nearby?lat=1&lon=1"
	for _, r := range []struct {
		method, path, contentType, body string
		status                          int
		says                            string
	}{
		{"GET", c + "/nearby", "", "", 400, "lat"},
		{"GET", c + "/nearby?lat=1", "", "", 400, "lon"},
		{"GET", c + "/nearby?lat=NaN&lon=1", "", "", 400, "NaN"},
		{"GET", c + "/nearby?lat=Inf&lon=1", "", "", 400, "Inf"},
		{"GET", c + "/nearby?lat=0x1p-2&lon=1", "", "", 400, "0x1p-2"},
		{"GET", c + "/nearby?lat=1_0&lon=1", "", "", 400, "1_0"},
		{"GET", c + "/nearby?lat=&lon=1", "", "", 400, "lat"},
		{"GET", c + "/nearby?lat=%201&lon=1", "", "", 400, "lat"},
		{"GET", c + "/nearby?lat=null&lon=1", "", "", 400, "null"},
		{"GET", c + "/nearby?lat=1e400&lon=1", "", "", 400, "lat"},
		{"GET", c + "/nearby?lat=90.0000001&lon=1", "", "", 400, "lat"},
		{"GET", c + "/nearby?lat=1&lon=540.0000001", "", "", 400, "lon"},
		{"GET", c + "/nearby?lat=-110.5&lon=44.6", "", "", 400, "swapped"},
		{"GET", c + "/nearby?lat=1&lat=2&lon=1", "", "", 400, "once"},
		{"GET", near + "&k=-1", "", "", 400, "k"},
		{"GET", near + "&k=-1", "", "", 400, "k"},
		{"GET", near + "&k=1001", "", "", 400, "1000"},
		{"GET", near + "&k=1.5", "", "", 400, "whole"},
		{"GET", near + "&radius=-1", "", "", 400, "radius"},
		{"GET", near + "&radius=1e308", "", "", 200, `"a"`},
		{"GET", near + "&radius=0", "", "", 200, `"a"`},
		{"GET", near + "&knd=x", "", "", 400, "kind"},
		{"GET", near + "&explain=yes", "", "", 400, "true or false"},
		{"GET", near + "&cursor=abc", "", "", 400, "cursor"},
		{"GET", near + "&distance_property=", "", "", 400, "distance_property"},
		{"GET", near + "&%zz", "", "", 400, "query string"},
		{"GET", c + "/items?bbox=1,2,3", "", "", 400, "four"},
		{"GET", c + "/items?bbox=1,3,2,2", "", "", 400, "south"},
		{"GET", c + "/items?bbox=a,2,3,4", "", "", 400, "number 1"},
		{"GET", c + "/items?bbox=-541,2,3,4", "", "", 400, "west"},
		{"GET", c + "/items?limit=-1", "", "", 400, "limit"},
		{"GET", c + "/items?limit=99999999999999999999", "", "", 200, ""},
		{"GET", c + "/items?limit=abc", "", "", 400, "limit"},
		{"GET", c + "?x=1", "", "", 400, "x"},
		{"GET", "/v1/nothing", "", "", 404, "nothing"},
		{"GET", "/", "", "", 404, ""},
		{"GET", "/metrics", "", "", 404, "not served"},
		{"GET", "/v1/collections/%2e%2e", "", "", 404, ""},
		{"POST", c, "", "", 405, "POST"},
		{"PUT", "/v1/collections/.hidden", "application/json", `{}`, 400, "name"},
		{"PUT", "/v1/collections/x", "application/json", `{"index":{"kind":"rtree"}}`, 400, "index.kind"},
		{"PUT", "/v1/collections/x", "application/json", `{"indx":{}}`, 400, "indx"},
		{"PUT", "/v1/collections/x", "application/json", `{"title":5}`, 400, "title"},
		{"PUT", "/v1/collections/x", "application/json", `{"title":"a","title":"b"}`, 400, "given twice"},
		{"PUT", "/v1/collections/x", "application/json", `{} {}`, 400, "JSON"},
		{"PUT", "/v1/collections/x", "application/json", ``, 400, "JSON"},
		{"PUT", "/v1/collections/x", "text/plain", `{}`, 415, "text/plain"},
		{"POST", c + "/items", "", feature("b", 0, 0, ""), 415, "content type"},
		{"POST", c + "/items", "image/png", "x", 415, "image/png"},
		{"POST", c + "/items", geoJSON, `{`, 400, ""},
		{"POST", c + "/items", geoJSON, feature("b", 0, 91, ""), 400, "lat"},
		{"POST", c + "/items", geoJSON, feature("b", -110, 44, "")[:40], 400, ""},
		{"POST", c + "/items", geoJSON, `{"type":"Feature","geometry":{"type":"Point","coordinates":[null,1]},"properties":{}}`, 400, ""},
		{"POST", c + "/items", geoJSON, `{"type":"Feature","geometry":{"type":"LineString","coordinates":[[0,0],[1,1]]},"properties":{}}`, 400, "Point"},
		{"POST", c + "/items", geoJSON, feature(strings.Repeat("i", 257), 0, 0, ""), 400, "256"},
		{"POST", c + "/items", geoJSON, feature("..", 0, 0, ""), 400, "id"},
		{"POST", c + "/items", geoJSON, feature("b", 0, 0, `{"a":1,"a":2}`), 0, "given twice"},
		{"POST", c + "/items", geoJSON, feature("b", 0, 0, strings.Repeat(`{"a":`, 40)+"1"+strings.Repeat("}", 40)), 400, "deep"},
		{"POST", c + "/items", geoJSON, feature("b", 0, 0, `{"a":"`+strings.Repeat("x", 70_000)+`"}`), 400, "properties"},
		{"PUT", c + "/items/b", geoJSON, feature("b", 0, 0, `{"a":"`+strings.Repeat("x", 100_000)+`"}`), 413, "100000"},
		{"POST", c + "/items?onError=maybe", "text/csv", "id,lat,lon\n", 400, "onError"},
		{"POST", c + "/items", "text/csv", "", 400, ""},
		{"POST", c + "/items", "text/csv", "a,b\n1,2\n", 400, ""},
		{"POST", c + "/nearby", "application/json", `{"queries":[]}`, 400, "queries"},
		{"POST", c + "/nearby", "application/json", `{"queries":[{"lat":1}]}`, 400, "queries[0]"},
		{"POST", c + "/nearby", "application/json", `{"queries":[{"lat":1,"lon":"2"}]}`, 400, "lon"},
		{"POST", c + "/nearby", "application/json", `{"queries":[{"lat":1,"lon":2,"k":2000}]}`, 400, "k"},
		{"POST", c + "/nearby", "application/json", `{"queries":[{"lat":100,"lon":2}]}`, 400, "swapped"},
		{"POST", c + "/nearby", "application/json", `{"queries":[{"lat":1,"lon":1},{"lat":1,"lon":1},{"lat":1,"lon":1},{"lat":1,"lon":1}]}`, 413, "3"},
	} {
		name := r.method + " " + r.path + " " + r.body[:min(60, len(r.body))]
		a := s.do(r.method, r.path, r.contentType, r.body)
		if r.status != 0 && a.status != r.status || a.status >= 500 || r.status == 0 && a.status < 400 {
			t.Errorf("%s: answered %d, want %d: %s", name, a.status, r.status, a.body)
			continue
		}
		if a.status >= 400 {
			if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("%s: the error is %s", name, ct)
			}
		}
		if !strings.Contains(string(a.body), r.says) {
			t.Errorf("%s: does not say %q: %s", name, r.says, a.body)
		}
	}
	for _, enc := range []string{"br", "gzip, gzip"} {
		s.do("POST", c+"/items", "text/csv", "x", "Content-Encoding", enc).want(t, 415)
	}
	s.do("POST", c+"/items", "text/csv", "not gzip", "Content-Encoding", "gzip").want(t, 400)
	for path, allow := range map[string]string{
		c:              "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
		c + "/items":   "GET, HEAD, POST, OPTIONS",
		c + "/items/a": "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
		c + "/nearby":  "GET, HEAD, POST, OPTIONS",
		"/v1/":         "GET, HEAD, OPTIONS",
	} {
		if a := s.do("OPTIONS", path, "", "").want(t, 200); a.header.Get("Allow") != allow {
			t.Errorf("%s allows %q, want %q", path, a.header.Get("Allow"), allow)
		}
		want := 200
		if strings.HasSuffix(path, "/nearby") {
			want = 400 // no centre
		}
		if a := s.do("HEAD", path, "", "").want(t, want); len(a.body) != 0 {
			t.Errorf("HEAD %s has a body", path)
		}
		if a := s.do("TRACE", path, "", "").want(t, 405); a.header.Get("Allow") != allow {
			t.Errorf("%s: a 405 allows %q, want %q", path, a.header.Get("Allow"), allow)
		}
	}
	// RFC 5789, sections 2.2 and 3.1; RFC 9110, section 15.5.16.
	const patches = "application/merge-patch+json, application/json"
	for _, r := range []struct{ method, path, contentType, header, names string }{
		{"OPTIONS", c, "", "Accept-Patch", patches},
		{"OPTIONS", c + "/items/a", "", "Accept-Patch", patches},
		{"OPTIONS", c + "/items/none", "", "Accept-Patch", patches},
		{"OPTIONS", c + "/items", "", "Accept-Patch", ""},
		{"OPTIONS", "/v1/", "", "Accept-Patch", ""},
		{"PATCH", c, "text/plain", "Accept-Patch", patches},
		{"PATCH", c, "application/json-patch+json", "Accept-Patch", patches},
		{"PATCH", c + "/items/a", "text/plain", "Accept-Patch", patches},
		{"PATCH", c + "/items/a", "", "Accept-Patch", patches},
		{"PATCH", c + "/items/a", "application/json; charset=utf-16", "Accept-Patch", patches},
		{"PATCH", c + "/items/a", "text/plain", "Accept", ""},
		{"PUT", c, "text/plain", "Accept", "application/json"},
		{"PUT", c + "/items/a", "text/plain", "Accept", "application/geo+json, application/json"},
		{"PUT", c + "/items/a", "text/plain", "Accept-Patch", ""},
		{"POST", c + "/items", "text/plain", "Accept", "application/geo+json, application/json, text/csv, text/tab-separated-values, application/x-ndjson, application/geo+json-seq"},
		{"POST", c + "/nearby", "", "Accept", "application/json"},
	} {
		status := map[bool]int{true: 200, false: 415}[r.method == "OPTIONS"]
		if a := s.do(r.method, r.path, r.contentType, "{}").want(t, status); a.header.Get(r.header) != r.names {
			t.Errorf("%s %s with content type %q: %s is %q, want %q", r.method, r.path, r.contentType, r.header, a.header.Get(r.header), r.names)
		}
	}
	if a := s.do("HEAD", c+"/items/a", "", "").want(t, 200); len(a.body) != 0 || a.header.Get("ETag") == "" {
		t.Errorf("HEAD: %q, %v", a.body, a.header)
	}
	if list := decode[features](t, s.do("GET", c+"/items", "", "")); !slices.Equal(list.ids(), []string{"a"}) {
		t.Errorf("bad requests left %v behind", list.ids())
	}
}

// The pages of all three kinds put together are the whole answer, in order.
func TestPagesJoin(t *testing.T) {
	s := start(t, api.Options{})
	for _, kind := range []string{"quadtree", "geohash"} {
		c := "/v1/collections/" + kind
		s.do("PUT", c, "application/json", `{"index":{"kind":"`+kind+`"},"queryables":["even"]}`).want(t, 201)
		rng := rand.New(rand.NewPCG(4, 4))
		var rows strings.Builder
		rows.WriteString("id,lat,lon,even\n")
		for i := range 500 {
			lat, lon := rng.Float64()*20-10, 175+rng.Float64()*10
			if lon > 180 {
				lon -= 360
			}
			if i%7 == 0 {
				lat, lon = 1, 180 // many ties
			}
			fmt.Fprintf(&rows, "p%d,%v,%v,%v\n", i, lat, lon, i%2 == 0)
		}
		s.do("POST", c+"/items", "text/csv", rows.String()).want(t, 200)
		for _, q := range []string{"/nearby?lat=1&lon=-179.9&k=%d", "/nearby?lat=1&lon=179&k=%d&radius=600000&even=true", "/items?limit=%d", "/items?limit=%d&even=true&even=false", "/items?limit=%d&bbox=176,-9,-176,9", "/items?limit=%d&bbox=-180,-90,180,90&even=false"} {
			whole := decode[features](t, s.do("GET", c+fmt.Sprintf(q, 1000), "", "").want(t, 200))
			var joined []string
			pages := 0
			for path := c + fmt.Sprintf(q, 17); path != ""; pages++ {
				page := decode[features](t, s.do("GET", path, "", "").want(t, 200))
				joined = append(joined, page.ids()...)
				path = s.next(&page)
				if pages > 100 {
					t.Fatal("the pages do not end")
				}
			}
			if len(joined) < 100 || !slices.Equal(joined, whole.ids()) {
				t.Errorf("%s: %d items in %d pages, %d at once", q, len(joined), pages, len(whole.ids()))
			}
			last := -1.0
			for _, f := range whole.Features {
				if f.Distance < last || math.IsNaN(f.Distance) {
					t.Errorf("%s: not in order", q)
				}
				last = f.Distance
			}
		}
	}
}

// What was written comes back byte for byte, whatever it is made of.
func TestRoundTrip(t *testing.T) {
	s := start(t, api.Options{PublicURL: "https://example.org/x/"})
	c := "/v1/collections/c"
	s.do("PUT", c, "application/json", `{}`).want(t, 201)
	for i, id := range []string{"x", "a/b", "a b", "é日本", "\"q\"", "100%", "a+b", "a;b", "?", "#", "018f0000-0000-7000-8000-000000000000", "🙂", "<&>"} {
		properties := `{"s":"\u0007 \"é\" <\/>","n":1.50,"e":1E+2,"big":12345678901234567890,"null":null,"a":[1,{"b":[]}],"":0}`
		path := c + "/items/" + url.PathEscape(id)
		body := fmt.Sprintf(`{"type":"Feature","geometry":{"type":"Point","coordinates":[%v,-90]},"properties":%s}`, []float64{180, -180, 0.1, 1e-7}[i%4], properties)
		a := s.do("PUT", path, geoJSON, body).want(t, 201)
		b := s.do("GET", path, "", "").want(t, 200)
		if !bytes.Equal(a.body, b.body) {
			t.Errorf("%q: written as %s, read as %s", id, a.body, b.body)
		}
		if got := decode[struct{ ID string }](t, b).ID; got != id {
			t.Errorf("%q came back as %q", id, got)
		}
		for _, part := range []string{`"n":1.50`, `"e":1E+2`, `12345678901234567890`, `"null":null`} {
			if !strings.Contains(string(b.body), part) {
				t.Errorf("%s is not in %s", part, b.body)
			}
		}
		if !strings.Contains(string(b.body), `"href":"https://example.org/x/v1/collections/c/items/`) {
			t.Errorf("links do not begin with the public URL: %s", b.body)
		}
	}
}

// Answers are compressed when asked for.
func TestGzip(t *testing.T) {
	s := start(t, api.Options{})
	req, _ := http.NewRequest("GET", s.url+"/v1/api", nil)
	req.Header.Set("Accept-Encoding", "gzip")
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("encoding %q", res.Header.Get("Content-Encoding"))
	}
}

// The distance is written into the properties once, whatever is there already and
// however its name is spelt there.
func TestDistanceProperty(t *testing.T) {
	s := start(t, api.Options{})
	s.do("PUT", "/v1/collections/c", "application/json", `{}`).want(t, 201)
	for i, properties := range []string{`{}`, `{"metres":"old","b":1}`, `{"b":1,"m\u0065tres":"old"}`, `{"b":{"metres":2}}`} {
		s.do("PUT", fmt.Sprintf("/v1/collections/c/items/%d", i), geoJSON, feature(fmt.Sprint(i), 0, float64(i), properties)).want(t, 201)
	}
	a := s.do("GET", "/v1/collections/c/nearby?lat=0&lon=0&distance_property=metres", "", "").want(t, 200)
	for i, f := range decode[features](t, a).Features {
		if f.Properties["metres"] != f.Distance {
			t.Errorf("item %d has %v, want %v", i, f.Properties, f.Distance)
		}
	}
	if bytes.Contains(a.body, []byte("old")) || bytes.Contains(a.body, []byte(`\u0065`)) {
		t.Errorf("a second distance in %s", a.body)
	}
	s.do("GET", "/v1/collections/c/nearby?lat=0&lon=0&distance_property=%22%5C%0A", "", "").want(t, 200)
}
