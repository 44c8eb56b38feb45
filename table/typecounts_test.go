package table

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// TestTypesFollowTheItems: whatever came and went, the properties and their types are
// those of the items that are there, counted in one typeCounts or joined from several.
func TestTypesFollowTheItems(t *testing.T) {
	values := []string{`null`, `true`, `1`, `12345678901`, `1234567890123456`, `12345678901234567890`, `1.5`, `1e3`, `"x"`, `"2020-01-01"`, `"2020-01-01T00:00:00Z"`, `"2020-02-30"`, `[1]`, `{"a":1}`}
	want := []Types{TypeNull, TypeBoolean, TypeInteger32, TypeInteger15, TypeInteger64, TypeInteger, TypeNumber, TypeNumber, TypeString, TypeDate, TypeDateTime, TypeString, TypeArray, TypeObject}
	rng := rand.New(rand.NewPCG(11, 5))
	type one map[string]int // the number of the value, by property
	text := func(o one) []byte {
		b := []byte("{")
		for name, v := range o {
			b = fmt.Appendf(b, `%q:%s,`, name, values[v])
		}
		if len(o) == 0 {
			return nil
		}
		return append(b[:len(b)-1], '}')
	}
	var items [40]one
	s, now := newTypeCounts(), []Property(nil)
	for round := range 2000 {
		i, next := rng.IntN(len(items)), one{}
		for range rng.IntN(4) {
			next[fmt.Sprint("p", rng.IntN(6)+round/400)] = rng.IntN(len(values))
		}
		s.replace(parsed(text(items[i])), parsed(text(next)))
		items[i], now = next, s.publish(now)
		types, joined := map[string]Types{}, [2]*typeCounts{newTypeCounts(), newTypeCounts()}
		for i, o := range items {
			for name, v := range o {
				types[name] |= want[v]
			}
			joined[i%2].add(parsed(text(o)), 1)
		}
		joined[0].join(joined[1])
		for _, properties := range [][]Property{now, joined[0].publish(nil)} {
			got := map[string]Types{}
			for _, p := range properties {
				got[p.Name] = p.Types
			}
			if !maps.Equal(got, types) {
				t.Fatalf("round %d: %v, want %v", round, got, types)
			}
		}
	}
}

func parsed(properties []byte) *reading {
	read := new(reading)
	if err := read.read(nil, properties); err != nil {
		panic(err)
	}
	return read
}

// BenchmarkTypeCounts is what the properties of an item cost the writer: 15 of them.
func BenchmarkTypeCounts(b *testing.B) {
	s := newTypeCounts()
	properties := []byte(`{"name":"Parkside Grocers","category":"shop","rating":4.5,"opened":"2020-01-01","n":7,"a":"x","b":"y","c":"z","d":1,"e":2,"f":3,"g":true,"h":"some more text","i":"1","j":null}`)
	b.ReportAllocs()
	for b.Loop() {
		s.add(parsed(properties), 1)
	}
}
