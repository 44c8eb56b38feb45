package value_test

import (
	stdjson "encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"nearby/value"
)

// Both forms are read, and each comes back as it was written, by either package for JSON.
func TestQueryablesJSON(t *testing.T) {
	for _, tt := range []struct {
		text string
		want value.Queryables
	}{
		{`[]`, value.Queryables{}},
		{`["b","a"]`, value.Queryables{{Name: "b"}, {Name: "a"}}},
		{`{"b":"number","a":"any","é\"":"date-time"}`, value.Queryables{{"b", value.Number}, {"a", value.Any}, {"é\"", value.DateTime}}},
		{`{"s":"string","i":"integer","t":"boolean"}`, value.Queryables{{"s", value.String}, {"i", value.Integer}, {"t", value.Boolean}}},
	} {
		for name, unmarshal := range map[string]func([]byte, any) error{
			"encoding/json": stdjson.Unmarshal,
			"json":          func(data []byte, v any) error { return json.Unmarshal(data, v) },
		} {
			var got value.Queryables
			if err := unmarshal([]byte(tt.text), &got); err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%s of %s: %v, %v", tt.text, name, got, err)
			}
		}
		one, err := stdjson.Marshal(tt.want)
		two, err2 := json.Marshal(tt.want)
		if err != nil || err2 != nil || string(one) != tt.text || string(two) != tt.text {
			t.Errorf("%v is written as %s and %s (%v, %v), want %s", tt.want, one, two, err, err2, tt.text)
		}
	}
	for _, bad := range []string{`{"a":"int"}`, `{"a":1}`, `{"a":["number"]}`, `[1]`, `"a"`, `{"a":"Number"}`, `{"a":"number","a":"string"}`} {
		var got value.Queryables
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%s is taken as %v", bad, got)
		}
	}
	var got value.Queryables
	if err := json.Unmarshal([]byte(`{"a":"any","b":"any"}`), &got); err != nil || got.Typed() || strings.Join(got.Names(), ",") != "a,b" {
		t.Errorf("without types: %v, %v", got, err)
	}
}

// A type follows the last colon. What follows it and is no type belongs to the name.
func TestQueryableText(t *testing.T) {
	for text, want := range map[string]value.Queryable{
		"a":                {"a", value.Any},
		"a:number":         {"a", value.Number},
		"addr:city":        {"addr:city", value.Any},
		"addr:city:string": {"addr:city", value.String},
		"a:any":            {"a", value.Any},
		":number":          {":number", value.Any},
		"a:date:any":       {"a:date", value.Any},
	} {
		var got value.Queryable
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
		}
		if again := got.String(); want.Type != value.Any && again != text {
			t.Errorf("%q is written as %q", text, again)
		}
	}
	for _, bad := range []string{"a:", "a:Number", "a:float", "addr:a:text"} {
		var got value.Queryable
		if err := got.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is taken as %v", bad, got)
		}
	}
	// What is said without a type takes none away.
	got := value.Queryables{{"a", value.String}, {"b", value.Any}}.With(value.Queryables{{"a", value.Any}, {"b", value.Number}, {"c", value.Any}})
	if want := (value.Queryables{{"a", value.String}, {"b", value.Number}, {"c", value.Any}}); !slices.Equal(got, want) {
		t.Errorf("joined: %v, want %v", got, want)
	}
}
