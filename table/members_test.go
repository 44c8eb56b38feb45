package table

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"nearby/item"
	"nearby/value"
)

var queryables = []string{"a", "b\"", "é", ""}

// oracle is what members must find, by way of a whole decoding.
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
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		switch v := v.(type) {
		case string:
			want[name] = "s" + v
		case bool:
			want[name] = fmt.Sprint(v)
		case json.Number:
			if want[name] = decimal(v.String()); want[name] == "" {
				delete(want, name)
			}
		}
	}
	return want
}

// decimal is the key of a number, by arithmetic; "" if that would take long.
func decimal(text string) string {
	if _, e, _ := strings.Cut(strings.ToLower(text), "e"); len(e) > 4 {
		return ""
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return ""
	}
	if r.Sign() == 0 {
		return "n0"
	}
	power, ten := 0, big.NewInt(10)
	for ; !r.IsInt(); power-- {
		r.Mul(r, new(big.Rat).SetInt(ten))
	}
	n := new(big.Int).Set(r.Num())
	for ; new(big.Int).Rem(n, ten).Sign() == 0; power++ {
		n.Quo(n, ten)
	}
	if power == 0 {
		return "n" + n.String()
	}
	return fmt.Sprintf("n%se%d", n, power)
}

func checkMembers(t *testing.T, properties []byte) {
	got := map[string]string{}
	err := members(properties, func(name, json []byte) error {
		if key, ok := appendKey(nil, value.Any, json); ok && slices.Contains(queryables, string(name)) {
			got[string(name)] = string(key)
		}
		return nil
	})
	compact, invalid := item.CompactProperties(properties)
	if invalid != nil || compact == nil {
		return // it was enough not to panic
	}
	want := oracle(t, properties)
	for name := range got {
		if want[name] == "" && got[name] != "s" { // too long to be worked out
			delete(got, name)
		}
	}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%q: %q, %v; want %q", properties, got, err, want)
	}
}

func FuzzMembers(f *testing.F) {
	for _, s := range []string{
		`{"a":"x","b\"":-1.5e3,"é":true,"":false,"c":{"a":1}}`,
		` { "c" : [ 1 , { "a" : "}" } ] , "a" : 1e400 , "\u00e9" : "\\\"" } `,
		`{"c":"\\","a":null}`, `{"a":{}}`, `{"a":[]}`, `{"x":1,"\u0061":0,"y":-0.0}`,
		`{"a":50000000014435122}`, `{"a":-0.0e5}`, `{"a":1200.0340e-3}`, `{"a":0.000}`, `{"a":1E+2}`,
		`{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":}`, `{"a":]}`, `{"a":"\`, `[]`, ` `, `{"a":1,}`, `{,}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, properties []byte) { checkMembers(t, properties) })
}
