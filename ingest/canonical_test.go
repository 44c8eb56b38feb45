package ingest

import (
	"fmt"
	"strings"
	"testing"

	"nearby/item"
)

// agree decodes data both ways: what the quick one accepts must be what the
// strict one makes of it.
func agree(t *testing.T, data []byte) (quick bool) {
	t.Helper()
	got := item.Item{ID: "left from before", Properties: []byte("{")}
	if !canonical(data, &got) {
		return false
	}
	want, err := DecodeFeature(data)
	if err != nil {
		t.Fatalf("%q is accepted as %+v, but: %v", data, got, err)
	}
	if got.ID != want.ID || got.Lon != want.Lon || got.Lat != want.Lat || string(got.Properties) != string(want.Properties) ||
		(got.Properties == nil) != (want.Properties == nil) {
		t.Fatalf("%q: %+v, want %+v", data, got, want)
	}
	return true
}

func canonicalLine(id, coordinates, properties string) string {
	return fmt.Sprintf(`{"type":"Feature","id":"%s","geometry":{"type":"Point","coordinates":[%s]},"properties":%s}`, id, coordinates, properties)
}

func TestCanonicalFeatures(t *testing.T) {
	for _, line := range []string{
		canonicalLine("a", "1,2", "{}"),
		canonicalLine("Café 1", "-180,90", `{"name":"Ü","n":-1.5e-7,"t":true,"f":false,"z":null,"":"","m":0}`),
		canonicalLine("x", "1e-07,-0.0", `{"a":"`+strings.Repeat("x", item.MaxPropertiesBytes-8)+`"}`),
	} {
		if !agree(t, []byte(line)) {
			t.Errorf("%.200q is not read the quick way", line)
		}
	}
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf(`"p%d":%d`, i, i))
	}
	for name, line := range map[string]string{
		"no id":           canonicalLine("", "1,2", "{}"),
		"dots":            canonicalLine("..", "1,2", "{}"),
		"escape in id":    canonicalLine(`\u0061`, "1,2", "{}"),
		"long id":         canonicalLine(strings.Repeat("x", item.MaxIDBytes+1), "1,2", "{}"),
		"DEL in id":       canonicalLine("\x7f", "1,2", "{}"),
		"invalid id":      canonicalLine("\xff", "1,2", "{}"),
		"plus":            canonicalLine("a", "+1,2", "{}"),
		"leading zero":    canonicalLine("a", "01,2", "{}"),
		"no fraction":     canonicalLine("a", "1.,2", "{}"),
		"no exponent":     canonicalLine("a", "1e,2", "{}"),
		"height":          canonicalLine("a", "1,2,3", "{}"),
		"one":             canonicalLine("a", "1", "{}"),
		"blank":           canonicalLine("a", "1, 2", "{}"),
		"out of range":    canonicalLine("a", "1,91", "{}"),
		"far too large":   canonicalLine("a", "1e999,1", "{}"),
		"twice":           canonicalLine("a", "1,2", `{"a":1,"b":2,"a":3}`),
		"comma":           canonicalLine("a", "1,2", `{"a":1,}`),
		"only a comma":    canonicalLine("a", "1,2", `{,}`),
		"no value":        canonicalLine("a", "1,2", `{"a":}`),
		"no colon":        canonicalLine("a", "1,2", `{"a"1}`),
		"nested":          canonicalLine("a", "1,2", `{"a":[1]}`),
		"invalid text":    canonicalLine("a", "1,2", "{\"a\":\"\xff\"}"),
		"control":         canonicalLine("a", "1,2", "{\"a\":\"\t\"}"),
		"NUL":             canonicalLine("a", "1,2", `{"a":"\u0000"}`),
		"too large":       canonicalLine("a", "1,2", `{"a":"`+strings.Repeat("x", item.MaxPropertiesBytes-7)+`"}`),
		"properties null": canonicalLine("a", "1,2", "null"),
		"something after": canonicalLine("a", "1,2", "{}") + "}",
		"unclosed":        strings.TrimSuffix(canonicalLine("a", "1,2", "{}"), "}"),
		"cut short":       canonicalLine("a", "1,2", `{"a":"b`),
		"many members":    canonicalLine("a", "1,2", "{"+strings.Join(many, ",")+"}"),
		"two objects":     canonicalLine("a", "1,2", `{"a":1}{}`),
	} {
		if agree(t, []byte(line)) {
			t.Errorf("%s: %.200q is read the quick way", name, line)
		}
	}
}

// FuzzCanonical changes lines that are canonical but for the change.
func FuzzCanonical(f *testing.F) {
	f.Add([]byte(canonicalLine("a", "1.5,-2e-3", `{"name":"é","n":0.5,"t":true,"f":false,"z":null}`)))
	f.Add([]byte(canonicalLine("b", "0,0", `{}`)))
	f.Add([]byte(canonicalLine("b", "0,0", `{"a":1,"a":2}`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		agree(t, data)
		agree(t, []byte(canonicalLine("a", "1,2", "{"+string(data)+"}")))
		agree(t, []byte(canonicalLine("a", string(data), "{}")))
		agree(t, []byte(canonicalLine(string(data), "1,2", "{}")))
	})
}
