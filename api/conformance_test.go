package api_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"nearby/api"
)

// links are those of any answer.
type links struct {
	Links []struct{ Rel, Href, Type string }
}

// one returns the only link of a relation.
func (l links) one(t *testing.T, rel, mediaType string) string {
	t.Helper()
	var found []string
	for _, k := range l.Links {
		if u, err := url.Parse(k.Href); err != nil || !u.IsAbs() || k.Type == "" {
			t.Errorf("the link %+v is not absolute or has no type", k)
		}
		if k.Rel == rel {
			found = append(found, k.Href)
			if k.Type != mediaType {
				t.Errorf("the link %+v is not %s", k, mediaType)
			}
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d links are %s: %+v", len(found), rel, l.Links)
	}
	return found[0]
}

func (l links) has(rel string) bool {
	return slices.ContainsFunc(l.Links, func(k struct{ Rel, Href, Type string }) bool { return k.Rel == rel })
}

// The requirements of the classes that /conformance names, as far as they can be
// seen from outside: OGC API - Features Part 1 (core, geojson, oas30) and Part 4
// (create-replace-delete, update). Each test is named after its requirement.
func TestConformance(t *testing.T) {
	h := start(t, api.Options{})
	spots := crowd(230)
	h.loadSpots("c", `{"kind":"auto"}`, spots)
	h.do("PUT", "/v1/collections/empty", "application/json", `{"title":"Empty"}`).want(t, 201)
	const c = "/v1/collections/c"
	landing := h.do("GET", "/v1/", "", "").want(t, 200)
	root := decode[links](t, landing)
	const openAPI = "application/vnd.oai.openapi+json;version=3.0"
	isJSON := func(t *testing.T, a *answer, want string) {
		t.Helper()
		if got := a.header.Get("Content-Type"); got != want {
			t.Errorf("the media type is %s, want %s", got, want)
		}
	}
	point := func(id string) string { return feature(id, 1, 2, `{"kind":"x"}`) }

	for _, r := range []struct {
		requirement string
		test        func(t *testing.T)
	}{
		{"core/root-success", func(t *testing.T) {
			isJSON(t, landing, "application/json")
			root.one(t, "self", "application/json")
			for rel, mediaType := range map[string]string{"service-desc": openAPI, "conformance": "application/json", "data": "application/json"} {
				a := h.do("GET", root.one(t, rel, mediaType), "", "", "Accept", mediaType).want(t, 200)
				isJSON(t, a, mediaType)
			}
			w := httptest.NewRecorder() // the document cannot say that /v1 is /v1/
			req := httptest.NewRequest("GET", h.url+"/v1", nil)
			if h.server.ServeHTTP(w, req); w.Code != 200 || w.Body.String() != string(landing.body) {
				t.Errorf("/v1 answers %d: %s", w.Code, w.Body)
			}
		}},
		{"core/conformance-success", func(t *testing.T) {
			got := decode[struct{ ConformsTo []string }](t, h.do("GET", "/v1/conformance", "", "").want(t, 200))
			for _, class := range []string{"ogcapi-features-1/1.0/conf/core", "ogcapi-features-1/1.0/conf/geojson", "ogcapi-features-1/1.0/conf/oas30",
				"ogcapi-features-4/1.0/conf/create-replace-delete", "ogcapi-features-4/1.0/conf/update"} {
				if !slices.Contains(got.ConformsTo, "http://www.opengis.net/spec/"+class) {
					t.Errorf("%s is not claimed", class)
				}
			}
		}},
		{"core/alternate-links", func(t *testing.T) {
			// An alternate link is wanted for each other format. There is none.
			for _, path := range []string{"/v1/", "/v1/collections", c, c + "/items", c + "/items/" + spots[0].id} {
				a := h.do("GET", path, "", "").want(t, 200)
				if decode[links](t, a).has("alternate") {
					t.Errorf("%s has an alternate link", path)
				}
				for _, accept := range []string{"text/html", "application/xml", "*/*", "text/html,application/json;q=0.1"} {
					isJSON(t, h.do("GET", path, "", "", "Accept", accept).want(t, 200), a.header.Get("Content-Type"))
				}
			}
		}},
		{"core/fc-md-success, fc-md-links, fc-md-items, fc-md-items-links", func(t *testing.T) {
			a := h.do("GET", "/v1/collections", "", "").want(t, 200)
			isJSON(t, a, "application/json")
			if self := decode[links](t, a).one(t, "self", "application/json"); self != h.url+"/v1/collections" {
				t.Errorf("self is %s", self)
			}
			all := decode[struct{ Collections []json.RawMessage }](t, a).Collections
			if len(all) != 2 {
				t.Fatalf("%d collections", len(all))
			}
			for _, raw := range all {
				var one struct {
					ID, ItemType string
					links
				}
				if err := json.Unmarshal(raw, &one); err != nil || one.ItemType != "feature" {
					t.Errorf("%v in %s", err, raw)
				}
				h.do("GET", one.one(t, "items", geoJSON), "", "").want(t, 200)
				// sfc-md-success: the collection says the same of itself.
				single := h.do("GET", one.one(t, "self", "application/json"), "", "").want(t, 200)
				if !sameJSON(t, single.body, raw) {
					t.Errorf("%s is shown as %s and as %s", one.ID, single.body, raw)
				}
			}
		}},
		{"core/fc-md-extent", func(t *testing.T) {
			type extent struct {
				Extent struct {
					Spatial *struct {
						BBox [][4]float64
						CRS  string
					}
				}
			}
			e := decode[extent](t, h.do("GET", c, "", "")).Extent.Spatial
			if e == nil || e.CRS != "http://www.opengis.net/def/crs/OGC/1.3/CRS84" {
				t.Fatalf("the extent is %+v", e)
			}
			for _, s := range spots {
				if b := e.BBox[0]; s.lon < b[0] || s.lon > b[2] || s.lat < b[1] || s.lat > b[3] {
					t.Errorf("%+v is not in the extent %v", s, b)
				}
			}
			if e := decode[extent](t, h.do("GET", "/v1/collections/empty", "", "")).Extent.Spatial; e != nil {
				t.Errorf("an empty collection has the extent %+v", e)
			}
		}},
		{"core/fc-bbox-definition, fc-bbox-response", func(t *testing.T) {
			four := decode[features](t, h.do("GET", c+"/items?limit=1000&bbox=178,-2,-178,2", "", "").want(t, 200))
			six := decode[features](t, h.do("GET", c+"/items?limit=1000&bbox=178,-2,-100,-178,2,100", "", "").want(t, 200))
			var want []string
			for _, s := range spots {
				if (s.lon >= 178 || s.lon <= -178) && s.lat >= -2 && s.lat <= 2 {
					want = append(want, s.id)
				}
			}
			slices.Sort(want)
			if got := slices.Sorted(slices.Values(four.ids())); !slices.Equal(got, want) || len(want) == 0 {
				t.Errorf("%d items in the box, want %d", len(got), len(want))
			}
			if !slices.Equal(six.ids(), four.ids()) {
				t.Errorf("six numbers give %d items, four %d", len(six.ids()), len(four.ids()))
			}
			for _, bad := range []string{"", "1", "1,2,3", "1,2,3,4,5", "1,2,3,4,5,6,7", "a,2,3,4", "1,,3,4", "1,2,3,4,", "1,2,NaN,4", "-541,0,0,1", "0,0,541,1", "0,-91,1,1", "0,0,1,91", "0,1,1,0", "1 2 3 4"} {
				h.do("GET", c+"/items?bbox="+url.QueryEscape(bad), "", "").want(t, 400)
			}
		}},
		{"core/fc-limit-definition, fc-limit-response-1", func(t *testing.T) {
			for limit, want := range map[string]int{"": 100, "limit=1": 1, "limit=229": 229, "limit=10000": 230, "limit=10001": 230, "limit=1000000000000000000000": 230} {
				a := decode[features](t, h.do("GET", c+"/items?"+limit, "", "").want(t, 200))
				if len(a.Features) != want || a.NumberReturned != want {
					t.Errorf("%s: %d items, numberReturned %d, want %d", limit, len(a.Features), a.NumberReturned, want)
				}
			}
			small := h.beside(api.Limits{MaxLimit: 30})
			if a := decode[features](t, small.do("GET", c+"/items?limit=31", "", "").want(t, 200)); len(a.Features) != 30 {
				t.Errorf("a limit above the maximum gave %d items, want 30", len(a.Features))
			}
			for _, bad := range []string{"0", "-1", "1.0", "+1", "x", "", "0x10", "1e2"} {
				h.do("GET", c+"/items?limit="+url.QueryEscape(bad), "", "").want(t, 400)
			}
		}},
		{"core/fc-time-definition, fc-time-response", func(t *testing.T) {
			for _, ok := range []string{"2018-02-12T23:20:50Z", "2018-02-12T23:20:50.123456789+13:45", "2018-02-12t23:20:50z", "2018-02-12T00:00:00Z/2018-03-18T12:31:12Z",
				"2018-02-12T00:00:00Z/..", "../2018-03-18T12:31:12Z", "2018-02-12T00:00:00Z/", "/2018-03-18T12:31:12Z", "2018-02-12T00:00:00Z/2018-02-12T00:00:00Z"} {
				if a := decode[features](t, h.do("GET", c+"/items?limit=7&datetime="+url.QueryEscape(ok), "", "").want(t, 200)); len(a.Features) != 7 {
					t.Errorf("%s matches %d of 7 items without a time", ok, len(a.Features))
				}
			}
			for _, bad := range []string{"", "/", "..", "../..", "yesterday", "2018-02-30T00:00:00Z", "2018-02-12T23:20:50", "2018-02-12T25:00:00Z", "2018-02-12 23:20:50Z", "1518477650",
				"2018-02-12T00:00:00Z/2018-01-01T00:00:00Z", "2018-02-12T00:00:00Z/x", "x/2018-02-12T00:00:00Z", "2018-02-12T00:00:00Z/2018-03-12T00:00:00Z/2018-04-12T00:00:00Z"} {
				h.do("GET", c+"/items?datetime="+url.QueryEscape(bad), "", "").want(t, 400)
			}
		}},
		{"core/query-param-unknown, query-param-invalid", func(t *testing.T) {
			for _, path := range []string{"/v1/", "/v1/conformance", "/v1/api", "/v1/collections", c, c + "/items", c + "/items/" + spots[0].id, c + "/nearby"} {
				h.do("GET", path+"?unknown=1", "", "").want(t, 400)
				h.do("GET", path+"?f=xml", "", "").want(t, 400)
			}
		}},
		{"core/fc-links, fc-rel-type, fc-timeStamp, fc-numberReturned, fc-numberMatched", func(t *testing.T) {
			seen := map[string]int{}
			pages := 0
			for path := h.url + c + "/items?limit=50"; path != ""; pages++ {
				asked := time.Now()
				a := h.do("GET", path, "", "").want(t, 200)
				isJSON(t, a, geoJSON)
				if self := decode[links](t, a).one(t, "self", geoJSON); self != path {
					t.Errorf("self is %s, want %s", self, path)
				}
				page := decode[features](t, a)
				stamp := decode[struct{ TimeStamp time.Time }](t, a).TimeStamp
				if stamp.Before(asked.Truncate(time.Millisecond)) || stamp.After(time.Now()) {
					t.Errorf("timeStamp is %v", stamp)
				}
				if page.NumberReturned != len(page.Features) || page.NumberMatched == nil || *page.NumberMatched != len(spots) {
					t.Errorf("numberReturned %d, numberMatched %v of %d", page.NumberReturned, page.NumberMatched, len(page.Features))
				}
				for _, id := range page.ids() {
					seen[id]++
				}
				path = h.next(&page)
			}
			if pages != 5 || len(seen) != len(spots) {
				t.Errorf("%d items in %d pages, want %d in 5", len(seen), pages, len(spots))
			}
			for id, n := range seen {
				if n != 1 {
					t.Errorf("%s is in %d pages", id, n)
				}
			}
			if filtered := decode[features](t, h.do("GET", c+"/items?kind=rare", "", "").want(t, 200)); filtered.NumberMatched != nil && *filtered.NumberMatched != len(filtered.Features) {
				t.Errorf("numberMatched is %d of a filter that matches %d", *filtered.NumberMatched, len(filtered.Features))
			}
		}},
		{"core/f-success, f-links, geojson/content", func(t *testing.T) {
			for _, s := range spots[:20] {
				a := h.do("GET", c+"/items/"+s.id, "", "").want(t, 200)
				isJSON(t, a, geoJSON)
				got := decode[struct {
					Type, ID   string
					Geometry   struct{ Type string }
					Properties map[string]any
					links
				}](t, a)
				if got.Type != "Feature" || got.ID != s.id || got.Geometry.Type != "Point" || got.Properties["kind"] != s.kind {
					t.Errorf("%+v is shown as %s", s, a.body)
				}
				if self := got.one(t, "self", geoJSON); self != h.url+c+"/items/"+s.id {
					t.Errorf("self is %s", self)
				}
				if up := got.one(t, "collection", "application/json"); up != h.url+c {
					t.Errorf("collection is %s", up)
				}
			}
		}},
		{"core/http: what is not there is 404", func(t *testing.T) {
			for _, path := range []string{"/v1/collections/none", "/v1/collections/none/items", "/v1/collections/none/items/x", "/v1/collections/none/nearby?lat=0&lon=0", c + "/items/none", c + "/none", "/v1/none", "/none", "/v2/collections"} {
				h.do("GET", path, "", "").want(t, 404)
			}
		}},
		{"oas30/oas-definition, oas-impl, exceptions-codes", func(t *testing.T) {
			for _, accept := range []string{openAPI, "application/yaml", ""} {
				for _, house := range []*house{h, start(t, api.Options{PublicURL: "https://example.org/places"})} {
					a := house.do("GET", "/v1/api", "", "", "Accept", accept).want(t, 200)
					doc, err := openapi3.NewLoader().LoadFromData(a.body)
					if err != nil {
						t.Fatal(err)
					}
					if err := doc.Validate(context.Background()); err != nil {
						t.Error(err)
					}
					want := "/v1"
					if house != h {
						want = "https://example.org/places/v1"
					}
					if got := doc.Servers[0].URL; got != want {
						t.Errorf("%s: the server is %s, want %s", accept, got, want)
					}
					if got := doc.Paths.Value("/healthz").Servers[0].URL; got != strings.TrimSuffix(want, "v1") && got != strings.TrimSuffix(want, "/v1") {
						t.Errorf("%s: the server of /healthz is %s", accept, got)
					}
					// What clients look up by name.
					limit := doc.Components.Parameters["limit"]
					if limit == nil || limit.Value.Schema.Value.Max == nil || limit.Value.Schema.Value.Default == nil {
						t.Error("the component limit does not tell its maximum and default")
					}
				}
			}
		}},

		{"create-replace-delete/options-op, options-response, methods, update/methods", func(t *testing.T) {
			for path, allow := range map[string]string{c + "/items": "GET, HEAD, POST, OPTIONS", c + "/items/" + spots[0].id: "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"} {
				if a := h.do("OPTIONS", path, "", "").want(t, 200); a.header.Get("Allow") != allow {
					t.Errorf("%s allows %q, want %q", path, a.header.Get("Allow"), allow)
				}
			}
		}},
		{"create-replace-delete/post-op, post-response, post-response-rid", func(t *testing.T) {
			known := map[string]bool{}
			for range 5 {
				body := `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"kind":"x"}}`
				a := h.do("POST", c+"/items", geoJSON, body).want(t, 201)
				id := decode[struct{ ID string }](t, a).ID
				if known[id] || a.header.Get("Location") != h.url+c+"/items/"+id {
					t.Errorf("%s is not new, or Location is %q", id, a.header.Get("Location"))
				}
				known[id] = true
				h.do("GET", a.header.Get("Location"), "", "").want(t, 200)
				h.do("DELETE", a.header.Get("Location"), "", "").want(t, 204)
			}
			h.do("POST", c+"/items", geoJSON, point("chosen")).want(t, 201) // permission rid: the id may be used
			h.do("POST", c+"/items", geoJSON, point("chosen")).want(t, 409)
			h.do("POST", c+"/items", "", point("untyped")).want(t, 415)
		}},
		{"create-replace-delete/put-op, put-response, put-rid-exception", func(t *testing.T) {
			a := h.do("PUT", c+"/items/put", geoJSON, point("put")).want(t, 201) // permission put-create
			if a.header.Get("Location") != h.url+c+"/items/put" {
				t.Errorf("Location is %q", a.header.Get("Location"))
			}
			h.do("PUT", c+"/items/put", geoJSON, feature("put", 3, 4, "")).want(t, 200)
			if got := decode[struct {
				Geometry struct{ Coordinates []float64 }
			}](t, h.do("GET", c+"/items/put", "", "")); !slices.Equal(got.Geometry.Coordinates, []float64{3, 4}) {
				t.Errorf("replaced by %v", got)
			}
			h.do("PUT", c+"/items/put", geoJSON, point("other")).want(t, 400) // features/geojson-create-replace: reject
			h.do("PUT", c+"/items/absent", geoJSON, point("absent"), "If-Match", "*").want(t, 412)
			h.do("PUT", c+"/items/absent", geoJSON, point("absent"), "If-Match", `"1"`).want(t, 412)
			h.do("GET", c+"/items/absent", "", "").want(t, 404)
		}},
		{"create-replace-delete/delete-op, delete-response", func(t *testing.T) {
			h.do("PUT", c+"/items/gone", geoJSON, point("gone")).want(t, 201)
			h.do("DELETE", c+"/items/gone", "", "").want(t, 204)
			h.do("GET", c+"/items/gone", "", "").want(t, 404)
			h.do("DELETE", c+"/items/gone", "", "").want(t, 404)
			h.do("DELETE", c+"/items/gone", "", "", "If-Match", "*").want(t, 412)
		}},
		{"update/update-patch-response, rid", func(t *testing.T) {
			first := h.do("PUT", c+"/items/patched", geoJSON, feature("patched", 1, 2, `{"kind":"x","a":{"b":1,"c":2}}`)).want(t, 201)
			a := h.do("PATCH", c+"/items/patched", "application/merge-patch+json", `{"properties":{"kind":null,"a":{"b":3}},"geometry":{"coordinates":[5,6]}}`).want(t, 200)
			if !strings.Contains(string(a.body), `"coordinates":[5,6]},"properties":{"a":{"b":3,"c":2}}`) {
				t.Errorf("patched to %s", a.body)
			}
			if tag := a.header.Get("ETag"); tag == "" || tag == first.header.Get("ETag") {
				t.Errorf("the ETag is %q, was %q", tag, first.header.Get("ETag"))
			}
			h.do("PATCH", c+"/items/patched", "application/merge-patch+json", `{"id":"other"}`).want(t, 400)
			h.do("PATCH", c+"/items/none", "application/merge-patch+json", `{}`).want(t, 404)
		}},
		{"optimistic locking: If-Match", func(t *testing.T) {
			old := h.do("PUT", c+"/items/locked", geoJSON, point("locked")).want(t, 201).header.Get("ETag")
			tag := h.do("PUT", c+"/items/locked", geoJSON, point("locked"), "If-Match", old).want(t, 200).header.Get("ETag")
			if got := h.do("GET", c+"/items/locked", "", "").header.Get("ETag"); got != tag {
				t.Errorf("ETag %s on reading, %s on writing", got, tag)
			}
			for _, stale := range []string{old, "W/" + tag, `"no such"`} {
				h.do("PUT", c+"/items/locked", geoJSON, point("locked"), "If-Match", stale).want(t, 412)
				h.do("PATCH", c+"/items/locked", "application/merge-patch+json", `{}`, "If-Match", stale).want(t, 412)
				h.do("DELETE", c+"/items/locked", "", "", "If-Match", stale).want(t, 412)
			}
			h.do("DELETE", c+"/items/locked", "", "", "If-Match", tag).want(t, 204)
		}},
		{"features/crs84: bodies in another system are refused", func(t *testing.T) {
			for _, r := range [][3]string{{"POST", c + "/items", geoJSON}, {"PUT", c + "/items/crs", geoJSON}, {"PATCH", c + "/items/crs", "application/merge-patch+json"}} {
				h.do(r[0], r[1], r[2], point("crs"), "Content-Crs", "<http://www.opengis.net/def/crs/EPSG/0/3857>").want(t, 400)
			}
			h.do("PUT", c+"/items/crs", geoJSON, point("crs"), "Content-Crs", "<http://www.opengis.net/def/crs/OGC/1.3/CRS84>").want(t, 201)
		}},
	} {
		t.Run(r.requirement, r.test)
	}
}

// sameJSON compares two JSON values.
func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		t.Fatalf("not JSON: %s, %s", a, b)
	}
	return reflect.DeepEqual(x, y)
}
