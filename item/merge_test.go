package item_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
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

// Patches that are applied to one target one after the other make what each makes of the
// outcome of the one before.
func TestTarget(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var value func(depth int) string
	value = func(depth int) string {
		if depth == 0 || rng.IntN(3) == 0 {
			return []string{"1", "null", `"x"`, "[1, null]", "true", "{}"}[rng.IntN(6)]
		}
		var b strings.Builder
		for _, name := range []string{`"a"`, `"\u0062"`, `"b"`, `"c"`, `""`} {
			if rng.IntN(2) == 0 && (name != `"b"` || !strings.Contains(b.String(), `"\u0062"`)) {
				fmt.Fprintf(&b, ",%s : %s", name, value(depth-1))
			}
		}
		return "{" + strings.TrimPrefix(b.String(), ",") + "}"
	}
	for range 2000 {
		start := value(3)
		if start == "null" {
			start = ""
		}
		target, want := item.NewTarget([]byte(start)), []byte(start)
		for range 6 {
			patch := value(3)
			before := string(want)
			var err error
			if want, err = item.Merge(want, []byte(patch)); err != nil {
				t.Fatal(err)
			}
			got, err := target.Merge([]byte(patch))
			if err != nil || string(got) != string(want) {
				t.Fatalf("%s patched by %s is %s, want %s: %v", before, patch, got, want, err)
			}
			var in, by, out any
			if before != "" && json.Unmarshal([]byte(before), &in) != nil || json.Unmarshal([]byte(patch), &by) != nil || json.Unmarshal(got, &out) != nil {
				t.Fatalf("%s patched by %s is %s", before, patch, got)
			}
			if oracle := patched(in, by); !reflect.DeepEqual(out, oracle) {
				t.Fatalf("%s patched by %s is %s, want %v", before, patch, got, oracle)
			}
		}
	}
}

// What is patched again and again is read once, and that as far as patches reach.
func TestTargetIsReadOnce(t *testing.T) {
	var b strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&b, `,"member %d":%d`, i, i)
	}
	flat := "{" + b.String()[1:] + "}"
	for _, x := range [][2]string{{flat, `{"n":1,"member 7":2}`}, {`{"deep":{"deeper":` + flat + `}}`, `{"deep":{"deeper":{"n":1}}}`}, {`{"not":` + flat + `}`, `{"n":1}`}} {
		target := item.NewTarget([]byte(x[0]))
		merge := func() {
			if _, err := target.Merge([]byte(x[1])); err != nil {
				t.Fatal(err)
			}
		}
		merge()
		if n := testing.AllocsPerRun(3, merge); n > 100 {
			t.Errorf("%.20s patched by %s for the second time takes %v allocations", x[0], x[1], n)
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
