package item_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"nearby/item"
)

func nested(depth int) string {
	return strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
}

func TestCompactProperties(t *testing.T) {
	for raw, want := range map[string]string{
		"": "", " ": "", "null": "", "{}": "", " { } ": "",
		` { "a" : [ 1.50 , 1e3 , null ] } `:          `{"a":[1.50,1e3,null]}`,
		`{"b":1,"a":2}`:                              `{"b":1,"a":2}`,
		`{"a":"\u00e9 \/ é"}`:                        `{"a":"\u00e9 \/ é"}`,
		`{"n":12345678901234567890123}`:              `{"n":12345678901234567890123}`,
		nested(item.MaxPropertiesDepth):              nested(item.MaxPropertiesDepth),
		`{"a":{"x":1},"b":{"x":1}}`:                  `{"a":{"x":1},"b":{"x":1}}`,
		`{"a":"` + strings.Repeat("x", 65528) + `"}`: `{"a":"` + strings.Repeat("x", 65528) + `"}`,
	} {
		got, err := item.CompactProperties([]byte(raw))
		if err != nil || string(got) != want {
			t.Errorf("%.60q: %.60q, %v; want %.60q", raw, got, err, want)
		}
	}
	for name, raw := range map[string]string{
		"array":          `[]`,
		"string":         `"{}"`,
		"cut short":      `{"a":1`,
		"two objects":    `{} {}`,
		"two members":    `{"a":1,"a":2}`,
		"two spellings":  `{"a":1,"\u0061":2}`,
		"not a number":   `{"a":NaN}`,
		"invalid UTF-8":  "{\"a\":\"\xff\"}",
		"NUL":            `{"a":"\u0000"}`,
		"NUL in a name":  `{"\u0000":1}`,
		"lone surrogate": `{"a":"\ud800"}`,
		"too deep":       nested(item.MaxPropertiesDepth + 1),
		"far too deep":   nested(10_000),
		"too large":      `{"a":"` + strings.Repeat("x", item.MaxPropertiesBytes) + `"}`,
		"far too large":  `{"a":"` + strings.Repeat("x", 10*item.MaxPropertiesBytes) + `"}`,
	} {
		if got, err := item.CompactProperties([]byte(raw)); field(t, err) != "properties" || got != nil {
			t.Errorf("%s: got %.60q, %.100v", name, got, err)
		}
	}
}

func TestCompactPropertiesKeepsItsInput(t *testing.T) {
	raw := []byte(` { "a" : 1 } `)
	before := string(raw)
	got, err := item.CompactProperties(raw)
	if err != nil {
		t.Fatal(err)
	}
	got[0] = '!'
	if string(raw) != before {
		t.Errorf("the input became %q", raw)
	}
}

func FuzzCompactProperties(f *testing.F) {
	f.Add([]byte(` {"a": [1, "\u00e9", {"b": null}]} `))
	f.Add([]byte(nested(40)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := item.CompactProperties(raw)
		if err != nil || got == nil {
			return
		}
		if !json.Valid(got) || len(got) > item.MaxPropertiesBytes {
			t.Errorf("%q gave %q", raw, got)
		}
		again, err := item.CompactProperties(got)
		if err != nil || string(again) != string(got) {
			t.Errorf("%q gave %q, which gave %q, %v", raw, got, again, err)
		}
	})
}

func ExampleCompactProperties() {
	p, err := item.CompactProperties([]byte(`{"name": "Café", "stars": 4.50}`))
	fmt.Println(string(p), err)
	_, err = item.CompactProperties([]byte(`["Café"]`))
	fmt.Println(err)
	// Output:
	// {"name":"Café","stars":4.50} <nil>
	// properties "[\"Café\"]": must be a JSON object
}
