package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"nearby/api"
	"nearby/catalog"
	"nearby/collection"
	"nearby/store/embedded"
	"nearby/table"
)

// schemaOf is the schema of part 5: the names in their order, and what is said of each.
func schemaOf(t *testing.T, h *fixture, query string) (names []string, properties map[string]map[string]any) {
	t.Helper()
	a := h.do("GET", "/v1/collections/c/schema"+query, "", "").want(t, 200)
	doc := decode[struct {
		ID         string `json:"$id"`
		Schema     string `json:"$schema"`
		Type       string
		Properties map[string]map[string]any
	}](t, a)
	if doc.Type != "object" || doc.Schema != "https://json-schema.org/draft/2020-12/schema" || !strings.HasSuffix(doc.ID, "/v1/collections/c/schema"+query) {
		t.Errorf("the schema is %+v", doc)
	}
	properties = doc.Properties
	if query != "" {
		feature := decode[struct {
			Properties struct {
				Properties struct{ Properties map[string]map[string]any }
			}
		}](t, a)
		return nil, feature.Properties.Properties.Properties
	}
	for name := range properties {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return int(properties[a]["x-ogc-propertySeq"].(float64) - properties[b]["x-ogc-propertySeq"].(float64))
	})
	return names, properties
}

// TestSchema: the schema has the properties that the items have now, with their types,
// after every kind of change and after a restart.
func TestSchema(t *testing.T) {
	folder := t.TempDir()
	reopen := func() (h *fixture, shut func()) {
		st, err := embedded.Open(folder, embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		catalog := catalog.New(collection.Options{Store: st, Kinds: kinds})
		if err := catalog.Load(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		return open(t, catalog, api.Options{}), func() {
			catalog.Close()
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	h, shut := reopen()
	defer func() { shut() }()
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", `{"time":"opened","queryables":["n"]}`).want(t, 201)
	if names, _ := schemaOf(t, h, ""); !slices.Equal(names, []string{"id", "geometry"}) {
		t.Errorf("an empty collection has %q", names)
	}
	rows := []string{
		`{"s":"x","n":1,"b":true,"nothing":null,"a":[1],"o":{"s":1},"opened":"2020-01-01","other":"2020-01-01"}`,
		`{"n":-2147483648,"real":1.5,"wide":-999999999999999,"long":9223372036854775807,"huge":92233720368547758070,"mixed":1,"e":1e3}`,
		`{"mixed":"x","wide":null,"opened":"2020-01-01T00:00:00Z","é \"q\"":"","other":"2020-01-01T00:00:00Z","n":7}`,
	}
	for i, row := range rows {
		h.do("PUT", fmt.Sprint(c, "/items/", i), "application/geo+json", feature(fmt.Sprint(i), 1, 1, row)).want(t, 201)
	}
	types := func(want map[string]string, query string) {
		t.Helper()
		_, properties := schemaOf(t, h, query)
		for name, w := range want {
			p := properties[name]
			got, _ := json.Marshal([]any{p["type"], p["format"]})
			if string(got) != w {
				t.Errorf("%s %s is %s, want %s", query, name, got, w)
			}
		}
	}
	names, properties := schemaOf(t, h, "")
	if want := []string{"id", "geometry", "s", "n", "b", "nothing", "a", "o", "opened", "other", "real", "wide", "long", "huge", "mixed", "e", "é \"q\""}; !slices.Equal(names, want) {
		t.Errorf("there are %q, want %q", names, want)
	}
	if properties["id"]["x-ogc-role"] != "id" || properties["geometry"]["format"] != "geometry-point" || properties["opened"]["x-ogc-role"] != "primary-instant" {
		t.Errorf("roles: %v", properties)
	}
	types(map[string]string{
		"s": `["string",null]`, "n": `["integer",null]`, "b": `["boolean",null]`, "nothing": `["null",null]`, "a": `["array",null]`,
		"o": `["object",null]`, "opened": `["string","date-time"]`, "other": `["string",null]`, "real": `["number",null]`,
		"wide": `["integer",null]`, "long": `["integer",null]`, "huge": `["number",null]`, "mixed": `[["integer","string"],null]`, "e": `["number",null]`,
	}, "")
	types(map[string]string{ // whose integers have 32 bits
		"n": `["integer",null]`, "wide": `["number",null]`, "long": `[null,null]`, "huge": `[null,null]`, "s": `["string",null]`, "opened": `["string","date-time"]`, "other": `["string",null]`,
	}, "?f=geojson")

	h.do("DELETE", c+"/items/1", "", "").want(t, 204)
	h.do("PATCH", c+"/items/2", "application/merge-patch+json", `{"properties":{"opened":"2020-01-02","mixed":"y","n":"seven","é \"q\"":null}}`).want(t, 200)
	for _, reopened := range []bool{false, true} {
		if reopened {
			shut()
			h, shut = reopen()
		}
		names, _ := schemaOf(t, h, "")
		slices.Sort(names)
		if want := []string{"a", "b", "geometry", "id", "mixed", "n", "nothing", "o", "opened", "other", "s", "wide"}; !slices.Equal(names, want) {
			t.Errorf("reopened %v: there are %q, want %q", reopened, names, want)
		}
		types(map[string]string{"opened": `["string","date"]`, "mixed": `["string",null]`, "n": `[["integer","string"],null]`, "wide": `["null",null]`}, "")
	}
	h.do("PATCH", c, "application/merge-patch+json", `{"time":"other"}`).want(t, 200)
	types(map[string]string{"opened": `["string",null]`, "other": `["string","date-time"]`}, "")
	h.do("PUT", c, "application/json", `{}`).want(t, 200)
	types(map[string]string{"opened": `["string",null]`, "other": `["string",null]`}, "")

	// It is bounded, and what is told is right.
	var body strings.Builder
	for i := range 2 * table.MaxProperties {
		fmt.Fprintln(&body, feature(fmt.Sprint("many", i), 1, 1, fmt.Sprintf(`{"p%d":1,"%s":1}`, i, strings.Repeat("x", 200))))
	}
	h.do("POST", c+"/items", "application/x-ndjson", body.String()).want(t, 200)
	if names, _ := schemaOf(t, h, ""); len(names) != 2+table.MaxProperties {
		t.Errorf("there are %d properties", len(names))
	}
	for i := range 2 * table.MaxProperties {
		h.do("DELETE", fmt.Sprint(c, "/items/many", i), "", "").want(t, 204)
	}
	if names, _ := schemaOf(t, h, ""); len(names) != 12 {
		t.Errorf("there are %q", names)
	}
	links := decode[struct {
		Links []struct{ Rel, Href, Type string }
	}](t, h.do("GET", c, "", "").want(t, 200)).Links
	for _, rel := range []string{"describedby", "http://www.opengis.net/def/rel/ogc/1.0/schema"} {
		i := slices.IndexFunc(links, func(l struct{ Rel, Href, Type string }) bool { return l.Rel == rel })
		if i < 0 || links[i].Type != "application/schema+json" || !strings.Contains(links[i].Href, c+"/schema") {
			t.Errorf("%s: %+v", rel, links)
		}
	}
}

// TestDocumentOfCollections: the document that is served has the items of each collection,
// with its queryables as parameters of the types that they have, as JSON and as YAML.
func TestDocumentOfCollections(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/plain", "application/json", `{}`).want(t, 201)
	h.do("PUT", "/v1/collections/c.d", "application/json", `{"queryables":["s","n","r","b","é \"q\"","list","missing","mixed"]}`).want(t, 201)
	for i, properties := range []string{`{"s":"x","n":1,"r":1.5,"b":true,"é \"q\"":"x","list":[1],"mixed":1}`, `{"r":2,"mixed":"x"}`} {
		h.do("PUT", fmt.Sprint("/v1/collections/c.d/items/", i), "application/geo+json", feature(fmt.Sprint(i), 1, 1, properties)).want(t, 201)
	}
	want := map[string]string{"s": "string", "n": "integer", "r": "number", "b": "boolean", "é \"q\"": "string", "list": "string", "missing": "string", "mixed": "string"}
	for _, accept := range []string{"application/json", "application/yaml"} {
		doc, err := openapi3.NewLoader().LoadFromData(h.do("GET", "/v1/api", "", "", "Accept", accept).want(t, 200).body)
		if err != nil {
			t.Fatal(err)
		}
		if err := doc.Validate(context.Background()); err != nil {
			t.Errorf("%s: %v", accept, err)
		}
		common := doc.Paths.Value("/collections/{collectionId}/items")
		for name, queryables := range map[string]map[string]string{"plain": nil, "c.d": want} {
			path := doc.Paths.Value("/collections/" + name + "/items")
			if path == nil || path.Get == nil || path.Post == nil {
				t.Fatalf("%s: %s is not there", accept, name)
			}
			var others int
			found := map[string]string{}
			for _, ref := range path.Get.Parameters {
				p := ref.Value
				if ref.Ref != "" {
					others++
				} else if p.In == "query" && p.Style == "form" && p.Explode != nil && !*p.Explode {
					found[p.Name] = p.Schema.Value.Type.Slice()[0]
				}
			}
			if others != len(common.Get.Parameters)-1 || fmt.Sprint(found) != fmt.Sprint(queryables) && len(found)+len(queryables) > 0 {
				t.Errorf("%s: %s has %v and %d other parameters, want %v and %d", accept, name, found, others, queryables, len(common.Get.Parameters)-1)
			}
		}
	}
	h.do("DELETE", "/v1/collections/c.d", "", "").want(t, 204)
	if body := string(h.do("GET", "/v1/api", "", "").want(t, 200).body); strings.Contains(body, "c.d") {
		t.Error("a collection that was deleted is in the document")
	}
}
