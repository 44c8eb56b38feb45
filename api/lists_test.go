package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-json-experiment/json"

	"nearby/api"
)

// TestTurnedMaps: a map that was turned around asks with longitudes beyond 180; positions
// that are stored are not wrapped.
func TestTurnedMaps(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const c = "/v1/collections/c"
	for box, want := range map[string]string{
		"167.9,-1,192.08,11": "de", "-192.08,-1,-167.9,11": "de", "527.9,-1,540,11": "d", "-540,-1,-539,11": "e", "179,9,181,11": "de",
		"181,9,182,11": "", "180.4,9,181,11": "e", "-200,-90,200,90": "abcdef", "-540,-1,540,1": "abc", "-180,9,180,11": "de", "-190,9,170,11": "de", "359,-1,361,1": "abc", "359.5,-1,360.5,1": "a",
		"190,9,170,11": "", "178,9,-178,11": "de",
	} {
		got := decode[features](t, h.do("GET", c+"/items?bbox="+box, "", "").want(t, 200)).ids()
		slices.Sort(got)
		if strings.Join(got, "") != want {
			t.Errorf("bbox %s has %v, want %s", box, got, want)
		}
	}
	for lon, same := range map[string]string{"190": "-170", "-190": "170", "360": "0", "-360": "0", "540": "180", "-540": "180", "180.5": "-179.5", "-359": "1"} {
		for _, q := range []string{"/nearby?lat=3&k=6&lon=", "/nearby?lat=3&radius=2000000&lon="} {
			got, want := decode[features](t, h.do("GET", c+q+lon, "", "").want(t, 200)), decode[features](t, h.do("GET", c+q+same, "", "").want(t, 200))
			if fmt.Sprint(got.Features) != fmt.Sprint(want.Features) {
				t.Errorf("%s%s gives %v, want %v", q, lon, got.Features, want.Features)
			}
		}
		var answers []string
		for _, v := range []string{lon, same} {
			answers = append(answers, string(h.do("POST", c+"/nearby", "application/json", `{"queries":[{"lat":3,"lon":`+v+`}]}`).want(t, 200).body))
		}
		if answers[0] != answers[1] {
			t.Errorf("a batch at %s: %s, want %s", lon, answers[0], answers[1])
		}
	}
	for _, bad := range []string{"/items?bbox=-541,0,0,1", "/items?bbox=0,0,540.001,1", "/nearby?lat=0&lon=540.0001", "/nearby?lat=0&lon=-1000"} {
		if a := h.do("GET", c+bad, "", "").want(t, 400); !strings.Contains(string(a.body), "360") {
			t.Errorf("%s: no hint in %s", bad, a.body)
		}
	}
	h.do("PUT", c+"/items/x", geoJSON, feature("x", 190, 1, "")).want(t, 400)
}

// TestListsInPieces: a list may come as one value or as many, as clients write it.
func TestListsInPieces(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/c", "application/json", `{"queryables":["a"]}`).want(t, 201)
	h.do("PUT", "/v1/collections/c/items/x", geoJSON, feature("x", 1, 1, `{"a":1,"b":2,"c":3,"d,e":4,"é":5}`)).want(t, 201)
	const c = "/v1/collections/c"
	for query, want := range map[string]string{
		"properties=a,b": `{"a":1,"b":2}`, "properties=a&properties=b": `{"a":1,"b":2}`, "properties=a%2Cb": `{"a":1,"b":2}`, "properties=a&properties=b,c": `{"a":1,"b":2,"c":3}`,
		"properties=d%2Ce": `{"d,e":4}`, "properties=a,d%2Ce": `{"a":1,"d,e":4}`, "properties=d%2ce&properties=%C3%A9": `{"d,e":4,"é":5}`, "properties=": `{}`, "properties=d,e": `{}`, "properties=none": `{}`,
	} {
		for _, path := range []string{"/items?limit=1&", "/nearby?lat=0&lon=0&k=1&"} {
			a := h.do("GET", c+path+query, "", "").want(t, 200)
			if !strings.Contains(string(a.body), `"properties":`+want) {
				t.Errorf("%s: %s, want %s", query, a.body, want)
			}
		}
	}
	for query, n := range map[string]int{"bbox=0,0,2,2": 1, "bbox=0&bbox=0&bbox=2&bbox=2": 1, "bbox=0%2C0%2C2%2C2": 1, "bbox=2&bbox=2&bbox=3&bbox=3": 0, "bbox=0,0&bbox=2,2": 1} {
		if got := decode[features](t, h.do("GET", c+"/items?"+query, "", "").want(t, 200)); len(got.Features) != n {
			t.Errorf("%s: %d items, want %d", query, len(got.Features), n)
		}
	}
	for _, bad := range []string{"bbox=0&bbox=0&bbox=2", "bbox=0,0,2,2&bbox=0,0,2,2", "limit=1&limit=2", "f=json&f=json"} {
		h.do("GET", c+"/items?"+bad, "", "").want(t, 400)
	}
}

// TestIDAsProperty: the id is where clients look for it that know properties alone.
func TestIDAsProperty(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/c", "application/json", `{}`).want(t, 201)
	const c = "/v1/collections/c"
	h.do("PUT", c+"/items/a%22%C3%A9", geoJSON, feature(`a"é`, 1, 1, `{"id":7,"n":"x"}`)).want(t, 201)
	for query, want := range map[string]string{
		"/items?id_property=id":                                               `"properties":{"n":"x","id":"a\"é"}`,
		"/items?id_property=key":                                              `"properties":{"id":7,"n":"x","key":"a\"é"}`,
		"/items?id_property=key&properties=":                                  `"properties":{"key":"a\"é"}`,
		"/items?id_property=%22&properties=n":                                 `"properties":{"n":"x","\"":"a\"é"}`,
		"/nearby?lat=1&lon=1&id_property=id&properties=n":                     `"properties":{"n":"x","id":"a\"é"}`,
		"/nearby?lat=1&lon=1&id_property=id&distance_property=n&properties=n": `"properties":{"id":"a\"é","n":0}`,
	} {
		if a := h.do("GET", c+query, "", "").want(t, 200); !strings.Contains(string(a.body), want) {
			t.Errorf("%s: %s, want %s", query, a.body, want)
		}
	}
	h.do("GET", c+"/items?id_property=", "", "").want(t, 400)
	h.do("GET", c+"/nearby?lat=1&lon=1&id_property=x&distance_property=x", "", "").want(t, 400)
}

// TestPaths: what is wrong with a path is said, and links can be followed however their
// parameters were spelled.
func TestPaths(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	for path, there := range map[string]string{
		"/v1/collections/": "/v1/collections", "/v1/collections/c/": "/v1/collections/c", "/v1/collections/c/items/": "/v1/collections/c/items", "/": "/v1/", "//": "/v1/", "/v1/api/": "/v1/api", "/v1/collections/c/items/a/": "/v1/collections/c/items/a",
	} {
		if a := h.do("GET", path, "", "").want(t, 404); !strings.Contains(string(a.body), there+", without the slash") && !strings.Contains(string(a.body), "begins at "+there) {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	if a := h.do("GET", "/none/", "", "").want(t, 404); strings.Contains(string(a.body), "without") {
		t.Errorf("%s", a.body)
	}
	for _, query := range []string{"/items?limit=2&%63ursor=", "/items?bbox=-90,-90,90,90&limit=2&c%75rsor=", "/nearby?lat=0&lon=0&k=2&%63%75rsor="} {
		plain := "/v1/collections/c" + query[:strings.LastIndex(query, "&")]
		first := decode[features](t, h.do("GET", plain, "", "").want(t, 200))
		next, err := url.Parse(h.next(&first))
		if err != nil {
			t.Fatal(err)
		}
		second := decode[features](t, h.do("GET", "/v1/collections/c"+query+next.Query().Get("cursor"), "", "").want(t, 200))
		if path := h.next(&second); path != "" {
			third := decode[features](t, h.do("GET", path, "", "").want(t, 200))
			if len(third.Features) == 0 || slices.Contains(second.ids(), third.ids()[0]) {
				t.Errorf("%s: after %v come %v", path, second.ids(), third.ids())
			}
		}
	}
	// Not every client knows another name of JSON.
	h.do("POST", "/v1/collections/c/items", "application/json", feature("json", 1, 1, "")).want(t, 201)
	h.do("POST", "/v1/collections/c/items", "application/json; charset=utf-8", `{"type":"FeatureCollection","features":[`+feature("a", 1, 1, "")+`]}`).want(t, 200)
}

// TestFirstTries: every operation succeeds when it is sent as the document's examples, and
// its defaults, have it: so tools that read the document fill in a form.
func TestFirstTries(t *testing.T) {
	doc := document(t)
	h := start(t, api.Options{})
	ran := map[string]bool{}
	for _, id := range []string{"putCollection", "postItems", "putItem", "patchItem", "patchCollection", "getLandingPage", "getConformance", "getAPI", "listErrors", "getError", "listCollections",
		"getCollection", "listItems", "getItem", "getNearby", "postNearby", "getHealth", "getReady", "deleteItem", "deleteCollection"} {
		for path, node := range doc.Paths.Map() {
			for method, op := range node.Operations() {
				if op.OperationID != id {
					continue
				}
				ran[id] = true
				where := "/v1" + path
				if len(node.Servers) > 0 {
					where = path
				}
				query := url.Values{}
				for _, ref := range slices.Concat(node.Parameters, op.Parameters) {
					p := ref.Value
					value := p.Example
					if value == nil && p.Schema.Value.Default != nil {
						value = p.Schema.Value.Default
					}
					switch v := value.(type) {
					case nil:
						if p.Required {
							t.Errorf("%s: %s has no example", id, p.Name)
						}
					case []any:
						parts := make([]string, len(v))
						for i := range v {
							parts[i] = fmt.Sprint(v[i])
						}
						query.Set(p.Name, strings.Join(parts, ","))
					case map[string]any: // each member is a parameter
						for name, member := range v {
							query.Set(name, fmt.Sprint(member))
						}
					default:
						switch p.In {
						case "path":
							where = strings.ReplaceAll(where, "{"+p.Name+"}", fmt.Sprint(v))
						case "query":
							query.Set(p.Name, fmt.Sprint(v))
						}
					}
				}
				if len(query) > 0 {
					where += "?" + query.Encode()
				}
				bodies := openapi3.Content{"": nil}
				if op.RequestBody != nil {
					bodies = op.RequestBody.Value.Content
				}
				for kind, media := range bodies {
					body := ""
					if media != nil {
						if text, ok := media.Example.(string); ok {
							body = text
						} else if b, err := json.Marshal(media.Example); err == nil && media.Example != nil {
							body = string(b)
						} else {
							t.Errorf("%s: %s has no example", id, kind)
						}
					}
					if a := h.do(method, where, kind, body); a.status >= 300 || strings.Contains(string(a.body), `"rejected":1`) {
						t.Errorf("%s: %s %s %s %s is answered %d: %s", id, method, where, kind, body, a.status, a.body)
					}
				}
			}
		}
		if !ran[id] {
			t.Errorf("there is no operation %s", id)
		}
	}
	// What only one generator understands is no part of the document, and what generators
	// take for closed is not.
	if a := h.do(http.MethodGet, "/v1/api", "", ""); strings.Contains(string(a.body), "x-go") {
		t.Error("the document has members for Go")
	}
	for _, name := range []string{"limit", "datetime", "bbox", "properties"} {
		if p := doc.Components.Parameters[name].Value; p.Style != "form" || p.Explode == nil || *p.Explode {
			t.Errorf("%s does not say style: form, explode: false", name)
		}
	}
	for _, name := range []string{"Feature", "FeatureIn", "NearbyFeature"} {
		if more := doc.Components.Schemas[name].Value.Properties["properties"].Value.AdditionalProperties.Has; more == nil || !*more {
			t.Errorf("the properties of %s are closed to generators", name)
		}
	}
	if !slices.Contains(doc.Components.Schemas["NearbyFeature"].Value.Required, "distance") {
		t.Error("the distance of a nearest item is optional")
	}
}
