package collection

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"nearby/item"
)

var queryables = []string{"a", "b\"", "é", ""}

// oracle is what extract must find, by way of a whole decoding.
func oracle(t *testing.T, properties []byte) map[string]string {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(properties, &all); err != nil {
		t.Fatalf("%q: %v", properties, err)
	}
	want := map[string]string{}
	for name, raw := range all {
		if !slices.Contains(queryables, name) {
			continue
		}
		var v any
		err := json.Unmarshal(raw, &v)
		switch v := v.(type) {
		case string:
			want[name] = "s" + v
		case bool:
			want[name] = fmt.Sprint(v)
		case float64:
			if err == nil {
				want[name] = string(appendNumber(nil, v+0))
			}
		}
	}
	return want
}

func checkExtract(t *testing.T, properties []byte) {
	got := map[string]string{}
	err := extract(properties, queryables, func(i int, key []byte) { got[queryables[i]] = string(key) })
	compact, invalid := item.CompactProperties(properties)
	if invalid != nil || compact == nil {
		return // it was enough not to panic
	}
	if want := oracle(t, properties); err != nil || !maps.Equal(got, want) {
		t.Errorf("%q: %q, %v; want %q", properties, got, err, want)
	}
}

func FuzzExtract(f *testing.F) {
	for _, s := range []string{
		`{"a":"x","b\"":-1.5e3,"é":true,"":false,"c":{"a":1}}`,
		` { "c" : [ 1 , { "a" : "}" } ] , "a" : 1e400 , "\u00e9" : "\\\"" } `,
		`{"c":"\\","a":null}`, `{"a":{}}`, `{"a":[]}`, `{"x":1,"\u0061":0,"y":-0.0}`,
		`{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":}`, `{"a":]}`, `{"a":"\`, `[]`, ` `, `{"a":1,}`, `{,}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, properties []byte) { checkExtract(t, properties) })
}
