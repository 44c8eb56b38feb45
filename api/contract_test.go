package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"

	"nearby/api"
)

func TestDocumentIsValid(t *testing.T) {
	doc := document(t)
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.0.3" {
		t.Errorf("openapi is %s: map clients read 3.0.3", doc.OpenAPI)
	}
	seen := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == "" || seen[op.OperationID] {
				t.Errorf("%s %s: operationId %q is empty or repeated", method, path, op.OperationID)
			}
			seen[op.OperationID] = true
			if op.Responses.Default() == nil {
				t.Errorf("%s %s says nothing of errors", method, path)
			}
		}
	}
}

// TestServersOfTheDocument: the document that is served says where the server is.
func TestServersOfTheDocument(t *testing.T) {
	for public, want := range map[string]string{"": "", "https://example.org/places": "https://example.org/places"} {
		h := start(t, api.Options{PublicURL: public})
		for _, accept := range []string{"application/json", "application/yaml"} {
			doc, err := openapi3.NewLoader().LoadFromData(h.do("GET", "/v1/api", "", "", "Accept", accept).want(t, 200).body)
			if err != nil {
				t.Fatal(err)
			}
			if got := doc.Servers[0].URL; got != want+"/v1" {
				t.Errorf("%s: the server is %s, want %s/v1", accept, got, want)
			}
			if got := doc.Paths.Value("/healthz").Servers[0].URL; strings.TrimSuffix(got, "/") != want {
				t.Errorf("%s: the server of /healthz is %s", accept, got)
			}
		}
	}
}

// TestPathsOfCollectionsRefer: what the document has for each collection is its queryables;
// all else there is a reference to what stands in it once.
func TestPathsOfCollectionsRefer(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/c", "application/json", `{"queryables":["kind","name"]}`).want(t, 201)
	doc, err := openapi3.NewLoader().LoadFromData(h.do("GET", "/v1/api", "", "").want(t, 200).body)
	if err != nil {
		t.Fatal(err)
	}
	for method, op := range doc.Paths.Value("/collections/c/items").Operations() {
		var own []string
		for _, p := range op.Parameters {
			if p.Ref == "" {
				own = append(own, p.Value.Name)
			}
		}
		if want := map[string][]string{"GET": {"kind", "name"}}[method]; !slices.Equal(own, want) {
			t.Errorf("%s has the parameters %q of its own, want %q", method, own, want)
		}
		for status, answer := range op.Responses.Map() {
			if answer.Ref == "" {
				t.Errorf("%s has an answer %s of its own", method, status)
			}
		}
		if op.RequestBody != nil && op.RequestBody.Ref == "" {
			t.Errorf("%s has a body of its own", method)
		}
	}
}

// TestRoutesAreTheDocuments compares the routes with the operations both ways.
func TestRoutesAreTheDocuments(t *testing.T) {
	doc := document(t)
	var documented, routed []string
	for path, item := range doc.Paths.Map() {
		prefix := "/v1"
		if len(item.Servers) > 0 {
			prefix = strings.TrimSuffix(item.Servers[0].URL, "/")
		}
		for method := range item.Operations() {
			documented = append(documented, method+" "+strings.TrimSuffix(prefix+path, "/"))
		}
	}
	h := startUnready(t, api.Options{})
	err := chi.Walk(h.server.Routes(), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		routed = append(routed, method+" "+strings.TrimSuffix(route, "/"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(documented)
	slices.Sort(routed)
	if !slices.Equal(documented, routed) {
		t.Errorf("documented: %s\nrouted:     %s", strings.Join(documented, ", "), strings.Join(routed, ", "))
	}
}

// TestParametersAreTheDocuments compares the table that requests are read by
// with the document's query parameters.
func TestParametersAreTheDocuments(t *testing.T) {
	doc := document(t)
	documented := map[string]*openapi3.Parameter{}
	for name, ref := range doc.Components.Parameters {
		// Those of a load named lat and lon are names of columns.
		if p := ref.Value; p.In == "query" && p.Name != "queryables" && name != "latName" && name != "lonName" {
			documented[p.Name] = p
		}
	}
	for _, row := range api.Parameters() {
		p := documented[row.Name]
		delete(documented, row.Name)
		if p == nil {
			t.Errorf("%s is not in the document", row.Name)
			continue
		}
		s := p.Schema.Value
		if got := bound(s.Min); got != row.Min {
			t.Errorf("%s: minimum %q, the document says %q", row.Name, row.Min, got)
		}
		if got := bound(s.Max); got != row.Max {
			t.Errorf("%s: maximum %q, the document says %q", row.Name, row.Max, got)
		}
		if got := text(s.Default); got != row.Default {
			t.Errorf("%s: default %q, the document says %q", row.Name, row.Default, got)
		}
		if !s.Type.Is(row.Type) || p.Required != row.Required {
			t.Errorf("%s: %s required=%v, the document says %v required=%v", row.Name, row.Type, row.Required, s.Type.Slice(), p.Required)
		}
		var values []string
		for _, v := range s.Enum {
			values = append(values, text(v))
		}
		slices.Sort(values)
		if want := slices.Sorted(slices.Values(row.Values)); !slices.Equal(values, want) {
			t.Errorf("%s: one of %q, the document says %q", row.Name, want, values)
		}
	}
	for name := range documented {
		t.Errorf("%s is documented and not read", name)
	}
}

// TestOperationsTakeTheirParameters compares, operation by operation, what the
// document names with what is allowed.
func TestOperationsTakeTheirParameters(t *testing.T) {
	doc := document(t)
	h := start(t, api.Options{})
	h.load("c", places)
	const allowed = "allowed are "
	for path, item := range doc.Paths.Map() {
		if len(item.Servers) > 0 {
			continue
		}
		for method, op := range item.Operations() {
			var documented []string
			for _, ref := range op.Parameters {
				if ref.Value.In == "query" && ref.Value.Name != "queryables" {
					documented = append(documented, ref.Value.Name)
				}
			}
			at := "/v1" + strings.NewReplacer("{collectionId}", "c", "{itemId}", "a", "{name}", "not-made").Replace(path)
			p := decode[struct {
				Errors []struct{ Parameter, Reason string }
			}](t, h.do(method, at+"?no_such_name=1", "", "").want(t, 400))
			if len(p.Errors) != 1 || p.Errors[0].Parameter != "no_such_name" {
				t.Errorf("%s %s: the error does not name the parameter: %+v", method, path, p)
				continue
			}
			var named []string
			if _, list, ok := strings.Cut(p.Errors[0].Reason, allowed); ok {
				list, _, _ = strings.Cut(list, ", and the queryable")
				named = strings.Split(list, ", ")
			}
			slices.Sort(named)
			slices.Sort(documented)
			if !slices.Equal(named, documented) {
				t.Errorf("%s %s: allowed are %q, the document says %q", method, path, named, documented)
			}
		}
	}
}

// TestDefaultsMayBeSent: what the document names as default may be sent, and changes
// nothing. Clients that are made of the document send it whether they are told to or not.
func TestDefaultsMayBeSent(t *testing.T) {
	h := start(t, api.Options{})
	rows := "id,lat,lon\ncafe-1,0,0\n"
	for i := range 30 {
		rows += fmt.Sprintf("p%d,1,%d\n", i, i)
	}
	h.load("city", rows)
	const one = `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{}}`
	for path, item := range document(t).Paths.Map() {
		for method, op := range item.Operations() {
			needed, defaults := url.Values{}, url.Values{}
			for _, ref := range op.Parameters {
				switch p := ref.Value; {
				case p.In != "query":
				case needs(op, p):
					needed.Set(p.Name, fmt.Sprint(p.Example))
				case p.Schema.Value.Default != nil:
					defaults.Set(p.Name, fmt.Sprint(p.Schema.Value.Default))
				}
			}
			if len(defaults) == 0 {
				continue
			}
			if op.OperationID == "getNearby" {
				needed.Set("radius", "30000000") // with which more are found than without
			}
			bodies := map[string][]string{"": {""}}
			if op.RequestBody != nil {
				bodies = map[string][]string{geoJSON: {one}}
				for mediaType, content := range op.RequestBody.Value.Content {
					text, ok := content.Example.(string)
					if !ok {
						b, _ := json.Marshal(content.Example)
						text = string(b)
					}
					bodies[mediaType] = append(bodies[mediaType], text)
				}
				if op.OperationID != "postItems" {
					delete(bodies, geoJSON)
				}
			}
			at := "/v1" + strings.NewReplacer("{collectionId}", "city", "{itemId}", "cafe-1").Replace(path) + "?" + needed.Encode()
			for mediaType, of := range bodies {
				for _, body := range of {
					a := h.do(method, at, mediaType, body)
					b := h.do(method, at+"&"+defaults.Encode(), mediaType, body)
					if a.status >= 300 || a.status != b.status || bytes.Count(a.body, []byte(`"Feature"`)) != bytes.Count(b.body, []byte(`"Feature"`)) {
						t.Errorf("%s %s of %s answers %d, with %s %d: %.300s", method, at, mediaType, a.status, defaults.Encode(), b.status, b.body)
					}
				}
			}
		}
	}
}

// needs reports whether an operation is refused without a parameter. A search needs lat and lon
// where it has no near.
func needs(op *openapi3.Operation, p *openapi3.Parameter) bool {
	return p.Required || op.OperationID == "getNearby" && (p.Name == "lat" || p.Name == "lon")
}

func bound(v *float64) string {
	if v == nil {
		return ""
	}
	return text(*v)
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}
