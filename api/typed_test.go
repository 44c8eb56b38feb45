package api_test

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"nearby/api"
)

const hotels = `{"queryables":{"postcode":"string","rating":"number","beds":"integer","open":"boolean","opened":"date-time","other":"any"}}`

// TestTypesOfWrites: a value that does not fit the type of its property is refused, in
// every way to write one, and the refusal names the property and the type. Null, and no value,
// fit.
func TestTypesOfWrites(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", hotels).want(t, 201)
	for _, tt := range []struct{ name, fits, misfits, must string }{
		{"postcode", `"01234" "" "true"`, `1234 true [] {}`, "a string"},
		{"rating", `4.5 0 -1e400 9007199254740993 0.1000000000000000055`, `"4.5" false [4] {}`, "a number"},
		{"beds", `3 3.0 3e0 -0 1e30 123456789012345678901234567890`, `3.5 1e-1 "3" true []`, "an integer"},
		{"open", `true false`, `"true" 0 1 []`, "true or false"},
		{"opened", `"2018-02-12" "2018-02-12T23:20:50Z" "2018-02-12T23:20:50.123456789+14:00"`, `"2018-02-12T23:20:50" "yesterday" "2018-02-30" 2018 true`, "a date"},
		{"other", `1 "1" true [1] {"a":1}`, ``, ""},
		{"unnamed", `1 "1" true [1] {"a":1}`, ``, ""},
	} {
		for _, v := range strings.Fields(tt.fits + " null") {
			h.do("PUT", c+"/items/a", geoJSON, feature("a", 1, 2, fmt.Sprintf(`{%q:%s}`, tt.name, v)))
			if a := h.do("PUT", c+"/items/b", geoJSON, feature("b", 1, 2, fmt.Sprintf(`{"x":1,%q:%s}`, tt.name, v))); a.status > 201 {
				t.Errorf("%s: %s: %d %s", tt.name, v, a.status, a.body)
			}
		}
		for _, v := range strings.Fields(tt.misfits) {
			one := feature("n", 1, 2, fmt.Sprintf(`{%q:%s}`, tt.name, v))
			row := strings.ReplaceAll(one, "\n", "")
			for what, a := range map[string]*answer{
				"PUT":   h.do("PUT", c+"/items/n", geoJSON, one),
				"POST":  h.do("POST", c+"/items", geoJSON, one),
				"PATCH": h.do("PATCH", c+"/items/b", "application/merge-patch+json", fmt.Sprintf(`{"properties":{%q:%s}}`, tt.name, v)),
				"load":  h.do("POST", c+"/items?onError=abort", "application/x-ndjson", feature("ok", 1, 2, "")+"\n"+row+"\n"),
			} {
				p := decode[struct {
					Errors []struct {
						Line          int
						Field, Reason string
					}
				}](t, a.want(t, 400))
				if len(p.Errors) != 1 || p.Errors[0].Field != "properties."+tt.name || !strings.Contains(p.Errors[0].Reason, "must be "+tt.must) || (p.Errors[0].Line == 2) != (what == "load") {
					t.Errorf("%s of %s %s: %s", what, tt.name, v, a.body)
				}
			}
			if a := h.do("GET", c+"/items/n", "", ""); a.status != 404 {
				t.Errorf("%s %s is there: %s", tt.name, v, a.body)
			}
		}
	}
}

// TestTypesOfCells: the type of a column decides what a cell of a table becomes.
func TestTypesOfCells(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", hotels).want(t, 201)
	csv := "id,lat,lon,postcode,rating,beds,open,opened,other\n" +
		"a,1,2,01234,4.50,3,true,2018-02-12,007\n" +
		"b,1,2,1234,1e2,123456789012345678901,false,,7\n" +
		"c,1,2,true,,,,,true\n" +
		"d,1,2,x,good,3,true,,\n" + // line 5
		"e,1,2,x,1,3.5,true,,\n" +
		"f,1,2,x,1,3,yes,,\n" +
		"g,1,2,x,1,3,true,12.02.2018,\n" +
		"h,1,2,TRUE,,,TRUE,,TRUE\n" +
		"i,1,2,False,,,False,,False\n"
	report := decode[struct {
		Created, Rejected int
		Errors            []struct {
			Line  int
			ID    string
			Field string
		}
	}](t, h.do("POST", c+"/items", "text/csv", csv).want(t, 200))
	if report.Created != 5 || report.Rejected != 4 || len(report.Errors) != 4 {
		t.Fatalf("%+v", report)
	}
	for i, field := range []string{"rating", "beds", "open", "opened"} {
		if e := report.Errors[i]; e.Line != 5+i || e.Field != "properties."+field || e.ID != string("defg"[i]) {
			t.Errorf("%+v, want line %d, %s", e, 5+i, field)
		}
	}
	for id, want := range map[string]string{
		"a": `{"postcode":"01234","rating":4.50,"beds":3,"open":true,"opened":"2018-02-12","other":"007"}`,
		"b": `{"postcode":"1234","rating":1e2,"beds":123456789012345678901,"open":false,"other":7}`,
		"c": `{"postcode":"true","other":true}`,
		"h": `{"postcode":"TRUE","open":true,"other":"TRUE"}`,
		"i": `{"postcode":"False","open":false,"other":"False"}`,
	} {
		if got := string(h.do("GET", c+"/items/"+id, "", "").want(t, 200).body); !strings.Contains(got, `"properties":`+want) {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
}

// TestTypesOfFilters: a text of a filter stands for a value of the property's type, and for
// all ways to write it. One that stands for none is refused.
func TestTypesOfFilters(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", hotels).want(t, 201)
	for id, properties := range map[string]string{
		"a": `{"postcode":"01234","rating":1.0,"beds":9007199254740993,"open":true,"opened":"2018-02-12T00:00:00+01:00"}`,
		"b": `{"postcode":"1234","rating":1e0,"beds":9007199254740992,"open":false,"opened":"2018-02-11T23:00:00Z"}`,
		"c": `{"postcode":"1234.0","rating":10,"beds":90071992547409930e-1,"opened":"2018-02-12"}`,
		"d": `{}`,
	} {
		h.do("PUT", c+"/items/"+id, geoJSON, feature(id, 1, 2, properties)).want(t, 201)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"postcode", "01234", "a"}, {"postcode", "1234", "b"}, {"postcode", "1234.0", "c"}, {"postcode", "0", ""},
		{"rating", "1", "a b"}, {"rating", "1.00", "a b"}, {"rating", "10e-1", "a b"}, {"rating", "10", "c"},
		{"beds", "9007199254740993", "a c"}, {"beds", "9007199254740993.0", "a c"}, {"beds", "9007199254740992", "b"},
		{"open", "true", "a"}, {"open", "false", "b"},
		{"opened", "2018-02-11T23:00:00Z", "a b"}, {"opened", "2018-02-12T04:00:00+05:00", "a b"}, {"opened", "2018-02-12T00:00:00Z", "c"}, {"opened", "2018-02-12", "c"},
		{"rating", "good", "400"}, {"rating", "", "400"}, {"beds", "1.5", ""}, {"open", "yes", "400"}, {"opened", "2018", "400"}, {"opened", "2018-02-12T00:00:00", "400"},
	} {
		path := c + "/nearby?lat=2&lon=1&" + tt.name + "=" + url.QueryEscape(tt.text)
		filter, _ := json.Marshal(map[string]string{tt.name: tt.text})
		batch := h.do("POST", c+"/nearby", "application/json", `{"queries":[{"lat":2,"lon":1,"filter":`+string(filter)+`}]}`)
		if tt.want == "400" {
			for _, a := range []*answer{h.do("GET", path, "", ""), batch} {
				if body := string(a.want(t, 400).body); !strings.Contains(body, tt.name) || !strings.Contains(body, "must be ") {
					t.Errorf("%s=%s: %s", tt.name, tt.text, body)
				}
			}
			continue
		}
		one := decode[features](t, h.do("GET", path, "", "").want(t, 200)).ids()
		two := decode[struct{ Results []features }](t, batch.want(t, 200)).Results[0].ids()
		if want := strings.Fields(tt.want); !slices.Equal(one, want) || !slices.Equal(two, want) {
			t.Errorf("%s=%s finds %v and %v, want %v", tt.name, tt.text, one, two, want)
		}
	}
}

// TestRetype: the types of a collection in use can be changed, and what stays as it was is
// found as it was. What does not fit is kept and found by nothing.
func TestRetype(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", `{"queryables":["n","s"]}`).want(t, 201)
	for id, properties := range map[string]string{"a": `{"n":1,"s":"x"}`, "b": `{"n":"1","s":"x"}`, "c": `{"n":1.5,"s":2}`} {
		h.do("PUT", c+"/items/"+id, geoJSON, feature(id, 1, 2, properties)).want(t, 201)
	}
	find := func(filter string) string {
		t.Helper()
		return strings.Join(decode[features](t, h.do("GET", c+"/nearby?lat=2&lon=1&"+filter, "", "").want(t, 200)).ids(), " ")
	}
	for _, step := range []struct{ patch, shows, n1, sx string }{
		{`{}`, `["n","s"]`, "a b", "a b"},
		{`{"queryables":{"n":"number"}}`, `{"n":"number","s":"any"}`, "a", "a b"},
		{`{"queryables":{"n":"integer","s":"string"}}`, `{"n":"integer","s":"string"}`, "a", "a b"},
		{`{"queryables":{"n":"string"}}`, `{"n":"string","s":"string"}`, "b", "a b"},
		{`{"queryables":{"s":null,"new":"date-time"}}`, `{"n":"string","new":"date-time"}`, "b", "400"},
		{`{"queryables":["s","n"]}`, `["s","n"]`, "a b", "a b"},
	} {
		h.do("PATCH", c, "application/merge-patch+json", step.patch).want(t, 200)
		shown := string(h.do("GET", c, "", "").want(t, 200).body)
		if !strings.Contains(shown, `"queryables":`+step.shows+`,`) {
			t.Errorf("after %s: %s, want %s", step.patch, shown, step.shows)
		}
		if got := find("n=1"); got != step.n1 {
			t.Errorf("after %s, n=1 finds %q, want %q", step.patch, got, step.n1)
		}
		if step.sx == "400" {
			h.do("GET", c+"/nearby?lat=2&lon=1&s=x", "", "").want(t, 400)
		} else if got := find("s=x"); got != step.sx {
			t.Errorf("after %s, s=x finds %q, want %q", step.patch, got, step.sx)
		}
	}
	for _, bad := range []string{`{"queryables":{"n":"int"}}`, `{"queryables":{"n":1}}`, `{"queryables":{"limit":"number"}}`, `{"queryables":{"":"number"}}`} {
		a := h.do("PATCH", c, "application/merge-patch+json", bad).want(t, 400)
		if !strings.Contains(string(a.body), `"field":"queryables.`) {
			t.Errorf("%s: %s", bad, a.body)
		}
	}
}

// TestQueryablesResource: the schema of the queryables has the declared types, or those that
// were seen; so has the schema of the items, also of properties that no item has yet.
func TestQueryablesResource(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", hotels).want(t, 201)
	read := func(path string) map[string]any {
		t.Helper()
		return decode[struct{ Properties map[string]any }](t, h.do("GET", c+path, "", "").want(t, 200)).Properties
	}
	want := map[string]string{
		"postcode": "map[type:string]", "rating": "map[type:number]", "beds": "map[type:integer]", "open": "map[type:boolean]",
		"opened": "map[format:date-time type:string]", "other": "map[type:[boolean number string]]",
	}
	check := func() {
		t.Helper()
		got := read("/queryables")
		if got["geometry"] == nil {
			t.Error("the position is not queryable")
		}
		delete(got, "geometry")
		if sortable := read("/sortables"); !reflect.DeepEqual(sortable, got) {
			t.Errorf("sortable is %v, want %v", sortable, got)
		}
		for name, text := range want {
			if fmt.Sprint(got[name]) != text {
				t.Errorf("%s is %v, want %s", name, got[name], text)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%v", got)
		}
		schema := read("/schema")
		for name, kind := range map[string]string{"postcode": "string", "rating": "number", "beds": "integer", "open": "boolean"} {
			if p, _ := schema[name].(map[string]any); p["type"] != kind {
				t.Errorf("in the schema %s is %v, want %s", name, p, kind)
			}
		}
	}
	check()
	h.do("PUT", c+"/items/a", geoJSON, feature("a", 1, 2, `{"postcode":"01234","rating":1,"beds":3.0,"open":true,"opened":"2018-02-12","other":7}`)).want(t, 201)
	want["other"] = "map[type:integer]"
	check()
}

// TestRetypedItems: an item whose value no longer fits its property can still be moved, changed
// elsewhere and put back as it is. Another value that does not fit is refused as before.
func TestRetypedItems(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", `{"queryables":{"code":"number"}}`).want(t, 201)
	h.do("PUT", c+"/items/a", geoJSON, feature("a", 1, 2, `{"code":7}`)).want(t, 201)
	h.do("PATCH", c, "application/merge-patch+json", `{"queryables":{"code":"string"}}`).want(t, 200)
	for _, tt := range []struct {
		method, path, contentType, body string
		refused                         bool
	}{
		{"PATCH", "/items/a", "application/merge-patch+json", `{"geometry":{"type":"Point","coordinates":[3,4]}}`, false},
		{"PATCH", "/items/a", "application/merge-patch+json", `{"properties":{"open":true}}`, false},
		{"PATCH", "/items/a", "application/merge-patch+json", `{"properties":{"code":7}}`, false},
		{"PATCH", "/items/a", "application/merge-patch+json", `{"properties":{"code":8}}`, true},
		{"PUT", "/items/a", geoJSON, feature("a", 5, 6, `{"open":false,"code":7}`), false},
		{"PUT", "/items/a", geoJSON, feature("a", 5, 6, `{"code":70}`), true},
		{"PUT", "/items/b", geoJSON, feature("b", 5, 6, `{"code":7}`), true},
		{"POST", "/items?onExisting=merge&onError=abort", "text/csv", "id,lat,lon,open\na,,,true\na,7,8,\n", false},
		{"POST", "/items?onError=abort", "application/x-ndjson", `{"id":"a","lat":1,"lon":2,"code":"x"}` + "\n" + `{"id":"a","lat":1,"lon":2,"code":7}` + "\n", true},
	} {
		if a := h.do(tt.method, c+tt.path, tt.contentType, tt.body); (a.status == 400) != tt.refused || a.status > 400 {
			t.Errorf("%s %s %s: %d %s", tt.method, tt.path, tt.body, a.status, a.body)
		}
	}
}

// TestTypesAreNamed: what is no type is refused with the types, and what is no queryables with their
// two forms.
func TestTypesAreNamed(t *testing.T) {
	h := start(t, api.Options{})
	for definition, want := range map[string]string{
		`{"queryables":{"a":"text"}}`:            "queryables.a must be one of any, string, number, integer, boolean, date-time",
		`{"queryables":{"a":5}}`:                 "queryables.a must be one of any, string, number, integer, boolean, date-time",
		`{"queryables":{"a":{"type":"string"}}}`: "queryables.a must be one of any, string, number, integer, boolean, date-time",
		`{"queryables":"a"}`:                     "queryables must be an object that has the type of each queryable by its name, or an array of names",
	} {
		if body := string(h.do("PUT", "/v1/collections/c", "application/json", definition).want(t, 400).body); !strings.Contains(body, `"detail":"`+want+`"`) {
			t.Errorf("%s: %s, want %s", definition, body, want)
		}
	}
	h.do("PUT", "/v1/collections/c", "application/json", `{}`).want(t, 201)
	for _, a := range []*answer{
		h.do("PUT", "/v1/collections/c", "application/json", `{"queryable":{}}`),
		h.do("PATCH", "/v1/collections/c", "application/merge-patch+json", `{"queryable":{}}`),
		h.do("PATCH", "/v1/collections/c", "application/json", `{"queryable":{}}`),
	} {
		if body := string(a.want(t, 400).body); !strings.Contains(body, "the members are title, description, ") || !strings.Contains(body, "queryables") {
			t.Errorf("queryable: %s", body)
		}
	}
}
