package api_test

import (
	"slices"
	"strings"
	"testing"

	"nearby/api"
)

// The requirements of the classes of OGC API - Features, part 4, that /conformance names,
// create-replace-delete and update, as far as they can be seen from outside. Each test is
// named after its requirement. (Those of part 1 are in the table of TestAbstractTests.)
func TestConformance(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", `{"queryables":["kind"]}`).want(t, 201)
	point := func(id string) string { return feature(id, 1, 2, `{"kind":"x"}`) }
	h.do("POST", c+"/items", geoJSON, point("there")).want(t, 201)

	for _, r := range []struct {
		requirement string
		test        func(t *testing.T)
	}{
		{"create-replace-delete/options-op, options-response, methods, update/methods", func(t *testing.T) {
			for path, allow := range map[string]string{c + "/items": "GET, HEAD, POST, OPTIONS", c + "/items/there": "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"} {
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
