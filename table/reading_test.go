package table

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"nearby/item"
	"nearby/value"
)

// jsons are values of all kinds, some of them hard to read.
var jsons = []string{`null`, `true`, `1`, `-1.50`, `12345678901`, `1234567890123456`, `12345678901234567890`, `1e3`, `3.0`, `-0`, `""`, `"x"`, `"\u0061"`, `"a\\"`, `"\""`,
	`"2020-01-01"`, `"2020-01-01T00:00:00Z"`, `"2020-01-01 00:00:00.5+01:00"`, `"2020-02-30"`, `"\u0032020-01-01"`, `"2020-01-0\u0031"`, `[1]`, `{"a":1}`, `"a longer string with a \\ in it, and a \" behind it"`}

// What readValue says of a value is what Of and Code say; and the type that is counted does not
// depend on the type of the queryable, since items are counted out again when that may be another.
func TestReadValueSaysWhatOfSays(t *testing.T) {
	for _, json := range jsons {
		for as := value.Any; as <= value.DateTime; as++ {
			v, fits := value.Of(as, []byte(json))
			code := v.Code()
			if !fits || as == value.Any || as == value.String {
				code = 0
			}
			kind, got, misfit := readValue(as, []byte(json))
			if kind != typeOf([]byte(json)) || got != code || misfit == fits {
				t.Errorf("%s as %v: type %d, code %d, misfit %v; want %d, %d, %v", json, as, kind, got, misfit, typeOf([]byte(json)), code, !fits)
			}
		}
	}
}

// Read finds the value that does not fit, unless the item has it already. What it keeps is used for
// the properties and the queryables that it was read for, and for no others.
func TestRead(t *testing.T) {
	queryables := value.Queryables{{Name: "n", Type: value.Number}, {Name: "é", Type: value.DateTime}, {Name: "any"}, {Name: "s", Type: value.String}}
	table := &Table{schema: Schema{Queryables: queryables}}
	var r Reader
	for _, c := range []struct{ properties, before, field string }{
		{`{"n":1,"\u00e9":"2020-01-01","s":"x","any":[1]}`, ``, ""},
		{`{"x":"1","n":"1","s":2}`, ``, "properties.n"},
		{`{"x":"1","n":"1","s":2}`, `{"n":"1"}`, "properties.s"},
		{`{"x":"1","n":"1","s":2}`, `{"s":2,"n":"1"}`, ""},
		{`{"\u00e9":"2020-01-32"}`, `{"é":"2020-01-33"}`, "properties.é"},
		{`{"n":null,"é":null,"s":null}`, ``, ""},
		{``, ``, ""},
	} {
		_, err := table.Read(&r, []byte(c.properties), []byte(c.before))
		var field *item.FieldError
		if (err != nil) != (c.field != "") || err != nil && (!errors.As(err, &field) || field.Field != c.field || field.Reason == "") {
			t.Errorf("%s after %s: %v, want one of %q", c.properties, c.before, err, c.field)
		}
	}

	rnd := rand.New(rand.NewPCG(1, 9))
	r = Reader{}
	var all []Reading
	var texts [][]byte
	for range 60_000 {
		b := []byte("{")
		names := []string{`"n"`, `"x"`, `"s"`, `"\u00e9"`, `"any"`, `"a\"b"`}
		rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for _, name := range names[:rnd.IntN(7)] {
			b = fmt.Appendf(b, `%s:%s,`, name, jsons[rnd.IntN(len(jsons))])
		}
		if b[len(b)-1] = '}'; len(b) == 1 { // no properties are nil
			b = nil
		}
		read, err := table.Read(&r, b, b)
		if err != nil {
			t.Fatal(err)
		}
		all, texts = append(all, read), append(texts, b)
	}
	kept := 0
	for i, text := range texts {
		var alone reading
		if err := alone.read(queryables, text); err != nil {
			t.Fatal(err)
		}
		read := all[i].of
		if read == nil {
			continue // there were too many
		}
		kept += len(read.members)
		if !read.is(queryables, text) || !slices.Equal(read.members, alone.members) {
			t.Fatalf("%s: kept %v, want %v", text, read.members, alone.members)
		}
		if read.is(queryables[:3], text) || len(text) > 0 && (read.is(queryables, slices.Clone(text)) || read.is(queryables, text[:len(text)-1])) {
			t.Fatalf("%s is taken for others", text)
		}
	}
	if kept < maxRead || kept > maxRead+100 {
		t.Errorf("%d members are kept, want %d", kept, maxRead)
	}
}

// BenchmarkRead reads the properties of an item that has three queryables.
func BenchmarkRead(b *testing.B) {
	queryables := value.Queryables{{Name: "category", Type: value.String}, {Name: "rating", Type: value.Number}, {Name: "opened", Type: value.DateTime}}
	properties := []byte(`{"name":"Place number 0000042","category":"category 17","rating":4.25,"address":"42 Example Street, Some Town","opened":"2020-07-12T01:02:03Z"}`)
	for _, of := range []value.Queryables{nil, queryables} {
		b.Run(fmt.Sprint("queryables=", len(of)), func(b *testing.B) {
			var read reading
			for b.Loop() {
				if err := read.read(of, properties); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
