package item_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"nearby/item"
)

// The examples of RFC 7396, appendix A.
func TestMerge(t *testing.T) {
	for _, x := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		// Nothing stands for {}.
		{``, `{"a":null,"b":1}`, `{"b":1}`},
		{`{"a":1}`, ``, `{"a":1}`},
		// Names are the same however they are written; new members come last.
		{`{"\u0061":1,"b":2}`, `{"z":1,"a":3,"y":{"x":null}}`, `{"\u0061":3,"b":2,"z":1,"y":{}}`},
		{`{"a":1}`, ` { "a" : { "b" : 1 } } `, `{"a":{"b":1}}`},
		// What is not touched keeps its bytes and its place.
		{`{"z":1.50,"y":{"x":1E+2,"w":0},"v":"\u0041"}`, `{"y":{"w":null,"u":[null]}}`, `{"z":1.50,"y":{"x":1E+2,"u":[null]},"v":"\u0041"}`},
	} {
		got, err := item.Merge([]byte(x[0]), []byte(x[1]))
		if err != nil || string(got) != x[2] {
			t.Errorf("%s patched by %s is %s, %v; want %s", x[0], x[1], got, err, x[2])
		}
	}
	for _, bad := range []string{`{`, `nul`, `{"a":1,"a":2}`, `{"a":{"b":1,"b":2}}`, `{"a":1} {}`, `{"a":"\ud800"}`, strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)} {
		if got, err := item.Merge([]byte(`{}`), []byte(bad)); err == nil {
			t.Errorf("the patch %.60s gave %.60s", bad, got)
		}
	}
}

// FuzzMerge compares with the algorithm as the RFC writes it.
func FuzzMerge(f *testing.F) {
	for _, x := range [][2]string{{`{"a":{"b":1},"c":[2]}`, `{"a":{"b":null,"d":{"e":null}},"c":null}`}, {`{"a":1}`, `{"a":{"b":{"c":1}}}`}, {`{"é\n":1}`, `{"\u00e9\n":null,"":[{}]}`}} {
		f.Add(x[0], x[1])
	}
	f.Fuzz(func(t *testing.T, target, patch string) {
		var in, by, out any
		if json.Unmarshal([]byte(target), &in) != nil || json.Unmarshal([]byte(patch), &by) != nil {
			return
		}
		got, err := item.Merge([]byte(target), []byte(patch))
		if err != nil {
			return // stricter than encoding/json
		}
		if err := json.Unmarshal(got, &out); err != nil {
			t.Fatalf("%s patched by %s is %s: %v", target, patch, got, err)
		}
		if want := patched(in, by); !reflect.DeepEqual(out, want) {
			t.Fatalf("%s patched by %s is %s, want %v", target, patch, got, want)
		}
	})
}

// patched is RFC 7396, section 2.
func patched(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range p {
		if value == nil {
			delete(object, name)
		} else {
			object[name] = patched(object[name], value)
		}
	}
	return object
}
