package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"nearby/api"
	"nearby/metrics"
)

// examples are those of a body: the one, or those that have names.
func examples(content *openapi3.MediaType) (all []any) {
	if content.Example != nil {
		all = append(all, content.Example)
	}
	for _, name := range slices.Sorted(maps.Keys(content.Examples)) {
		all = append(all, content.Examples[name].Value.Value)
	}
	return all
}

// TestExamplesAreValid: the body of every request and answer, and every parameter that has
// no default, has an example, which is as its schema says.
func TestExamplesAreValid(t *testing.T) {
	check := func(what string, schema *openapi3.SchemaRef, all []any, opt ...openapi3.SchemaValidationOption) {
		t.Helper()
		if len(all) == 0 && schema.Value.Format != "binary" {
			t.Errorf("%s has no example", what)
		}
		for _, example := range all {
			if err := schema.Value.VisitJSON(example, append(opt, openapi3.EnableFormatValidation(), openapi3.MultiErrors())...); err != nil {
				t.Errorf("the example of %s: %v", what, err)
			}
		}
	}
	for path, item := range document(t).Paths.Map() {
		for method, op := range item.Operations() {
			for _, ref := range slices.Concat(item.Parameters, op.Parameters) {
				p := ref.Value
				if p.Example != nil {
					check(path+" "+p.Name, p.Schema, []any{p.Example})
				} else if p.Required {
					t.Errorf("%s %s: %s has no example", method, path, p.Name)
				}
			}
			if op.RequestBody != nil {
				for mediaType, content := range op.RequestBody.Value.Content {
					check(fmt.Sprint(method, path, mediaType), content.Schema, examples(content), openapi3.VisitAsRequest())
				}
			}
			for status, response := range op.Responses.Map() {
				for mediaType, content := range response.Value.Content {
					check(fmt.Sprint(method, " ", path, " ", status, " ", mediaType), content.Schema, examples(content), openapi3.VisitAsResponse())
				}
			}
		}
	}
}

// TestExamplesAreTrue walks through the document with its own examples: each request is
// answered by what stands there as the answer, but for times, sizes and numbers of requests.
func TestExamplesAreTrue(t *testing.T) {
	numbers := metrics.New("v1")
	h := start(t, api.Options{PublicURL: "https://example.org", Metrics: numbers.Handler(), Observer: func(method, route string) api.Observer { return numbers.Route(method, route) }})
	unready := startUnready(t, api.Options{})
	operations := map[string]*openapi3.Operation{}
	where := map[string][2]string{} // method and path of an operation
	for path, item := range document(t).Paths.Map() {
		for method, op := range item.Operations() {
			at := "/v1" + path
			if len(item.Servers) > 0 {
				at = path
			}
			operations[op.OperationID], where[op.OperationID] = op, [2]string{method, at}
		}
	}
	for _, step := range []struct {
		operation, mediaType string
		status               int
		as                   string // how the answer compares with the example: equals, has all of it, is a part of it
		query                string
	}{
		{"getHealth", "", 200, "equal", ""},
		{"getReady", "", 200, "equal", ""},
		{"getReady", "", 503, "equal", ""},
		{"getLandingPage", "", 200, "equal", ""},
		{"getConformance", "", 200, "equal", ""},
		{"getAPI", "", 200, "more", ""},
		{"getAPI", "application/yaml", 200, "more", ""},
		{"getPage", "", 200, "more", ""},
		{"listErrors", "", 200, "more", ""},
		{"getError", "", 200, "equal", ""},
		{"putCollection", "application/json", 201, "less", ""},
		{"postItems", "application/geo+json", 200, "equal", ""},
		{"postItems", "application/json", 200, "less", ""},
		{"postItems", "text/csv", 200, "less", ""},
		{"postItems", "text/tab-separated-values", 200, "less", ""},
		{"postItems", "application/x-ndjson", 200, "less", ""},
		{"postItems", "application/geo+json-seq", 200, "less", ""},
		{"postItems", "application/geo+json", 200, "less", ""},
		{"listCollections", "", 200, "equal", ""},
		{"getCollection", "", 200, "equal", ""},
		{"getSchema", "", 200, "equal", ""},
		{"listItems", "", 200, "equal", ""},
		{"getItem", "", 200, "equal", ""},
		{"getNearby", "", 200, "equal", ""},
		{"postNearby", "application/json", 200, "equal", ""},
		{"getNearby", "", 400, "equal", "k=1001"},
		{"putItem", "application/geo+json", 200, "equal", ""},
		{"deleteItem", "", 204, "", ""},
		{"putItem", "application/json", 201, "equal", ""},
		{"patchItem", "application/merge-patch+json", 200, "more", ""},
		{"deleteItem", "", 204, "", ""},
		{"postItems", "a Feature", 201, "equal", ""},
		{"putCollection", "application/json", 200, "equal", ""},
		{"patchCollection", "application/merge-patch+json", 200, "less", ""},
		{"patchCollection", "application/json", 200, "less", ""},
		{"getMetrics", "", 200, "more", ""},
		{"deleteCollection", "", 204, "", ""},
	} {
		op, method, at := operations[step.operation], where[step.operation][0], where[step.operation][1]
		at = strings.NewReplacer("{collectionId}", "city", "{itemId}", "cafe-1", "{name}", "item-not-found").Replace(at)
		given, _ := url.ParseQuery(step.query)
		for _, ref := range op.Parameters {
			if p := ref.Value; p.In == "query" && needs(op, p) {
				given.Set(p.Name, fmt.Sprint(p.Example))
			}
		}
		if len(given) > 0 {
			at += "?" + given.Encode()
		}
		body, mediaType, headers := "", step.mediaType, []string{}
		switch {
		case step.mediaType == "a Feature":
			body, mediaType = asBody(operations["putItem"].RequestBody.Value.Content[geoJSON].Example), geoJSON
			body = strings.Replace(body, "{", `{"id":"cafe-1",`, 1)
		case op.RequestBody != nil:
			body = asBody(examples(op.RequestBody.Value.Content[step.mediaType])[0])
		case step.mediaType != "":
			headers, mediaType = []string{"Accept", step.mediaType}, ""
		}
		asked := h
		if step.status == 503 {
			asked = unready
		}
		a := asked.do(method, at, mediaType, body, headers...).want(t, step.status)
		response := op.Responses.Value(fmt.Sprint(step.status))
		if response == nil {
			response = op.Responses.Default()
		}
		if len(a.body) == 0 && len(response.Value.Content) == 0 {
			continue
		}
		content := response.Value.Content.Get(a.header.Get("Content-Type"))
		if content == nil {
			content = response.Value.Content[a.header.Get("Content-Type")]
		}
		all := examples(content)
		if len(all) == 0 {
			t.Errorf("%s %s %d has no example; it is answered %.3000s", method, at, step.status, a.body)
			continue
		}
		example := all[0]
		if words, ok := example.(string); ok {
			if step.as == "equal" && string(a.body) != words || !strings.Contains(string(a.body), words) {
				t.Errorf("%s %s answers %.3000s, the example is %s", method, at, a.body, words)
			}
			continue
		}
		var shown any
		if err := json.Unmarshal(a.body, &shown); err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(example) // integers as the decoder has them
		_ = json.Unmarshal(text, &example)
		right := step.as == "equal" && reflect.DeepEqual(masked(shown), masked(example)) || step.as == "more" && within(example, shown) || step.as == "less" && within(shown, example)
		if !right {
			t.Errorf("%s %s answers %.3000s,\nbut the example is %s", method, at, a.body, text)
		}
	}
}

// asBody is an example as it is sent.
func asBody(example any) string {
	if words, ok := example.(string); ok {
		return words
	}
	b, _ := json.Marshal(example)
	return string(b)
}

// masked is a JSON value without what differs from one time to another.
func masked(value any) any {
	switch v := value.(type) {
	case []any:
		for i := range v {
			v[i] = masked(v[i])
		}
	case object:
		for name := range v {
			switch name {
			case "created", "updated", "timeStamp", "instance", "indexBytes", "recordBytes", "tableBytes":
				v[name] = fmt.Sprintf("%T", v[name])
			default:
				v[name] = masked(v[name])
			}
		}
	}
	return value
}

// within reports whether b has all members of a, with values of the same types; of an array,
// some element for each.
func within(a, b any) bool {
	switch a := a.(type) {
	case []any:
		list, ok := b.([]any)
		for _, one := range a {
			ok = ok && slices.ContainsFunc(list, func(other any) bool { return within(one, other) })
		}
		return ok
	case object:
		other, ok := b.(object)
		for name := range a {
			ok = ok && other[name] != nil && within(a[name], other[name])
		}
		return ok
	}
	return reflect.TypeOf(a) == reflect.TypeOf(b)
}
