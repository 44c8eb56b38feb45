package table

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"nearby/index"
	"nearby/value"
)

// Every version of a column finds each value's items, and no others, whatever became
// of the values later; the newest version has no value that no item has.
func TestColumnVersionsAreIndependent(t *testing.T) {
	for _, values := range []int{1, 3, 50, 5000} {
		rng := rand.New(rand.NewPCG(7, uint64(values)))
		const items = 600
		type version struct {
			c    dictionaryColumn
			twin [items]string
		}
		now := version{c: *newDictionaryColumn(value.Any)}
		var versions []version
		for range 40 {
			e := newEdit()
			for range rng.IntN(2 * items) {
				ref, text := rng.IntN(items), ""
				if rng.IntN(10) > 0 {
					text = fmt.Sprintf("svalue %d", rng.IntN(values))
				}
				number := uint32(0)
				if text != "" {
					number = now.c.number(e, []byte(text))
				}
				if rng.IntN(10) == 0 {
					continue // numbered and not used
				}
				now.c.set(e, index.Ref(ref), number)
				now.twin[ref] = text
			}
			now.c.sweep(e)
			versions = append(versions, now)
		}
		// All items lose their values, and get them again.
		for _, all := range []bool{false, true} {
			e := newEdit()
			last := versions[len(versions)-1].twin
			for ref, text := range last {
				number := uint32(0)
				if all && text != "" {
					number = now.c.number(e, []byte(text))
				}
				now.c.set(e, index.Ref(ref), number)
				now.twin[ref] = ""
				if all {
					now.twin[ref] = text
				}
			}
			now.c.sweep(e)
			versions = append(versions, now)
		}
		for n := range versions {
			v := &versions[n]
			distinct, textBytes := map[string]bool{}, int64(0)
			for _, text := range v.twin {
				if text != "" && !distinct[text] {
					distinct[text] = true
					textBytes += int64(len(text))
				}
			}
			if v.c.dict.n != len(distinct) || v.c.dict.textBytes != textBytes {
				t.Fatalf("%d values, version %d: the dictionary has %d values of %d bytes, the items have %d of %d",
					values, n, v.c.dict.n, v.c.dict.textBytes, len(distinct), textBytes)
			}
			for i := range min(values, 1000) {
				text := fmt.Sprintf("svalue %d", i)
				number, ok := v.c.dict.lookup([]byte(text))
				if ok != distinct[text] {
					t.Fatalf("%d values, version %d: %q is known: %v, want %v", values, n, text, ok, distinct[text])
				}
				for ref := range v.twin {
					if ok && (v.c.values.at(uint32(ref)) == number) != (v.twin[ref] == text) {
						t.Fatalf("%d values, version %d: item %d has %q, which is not what the column says of %q", values, n, ref, v.twin[ref], text)
					}
				}
			}
		}
	}
}

// BenchmarkColumn is what an update of a queryable costs the writer beside all else, in
// edits of 1 and of 500 items, where each item has a value of its own of 1,000 bytes
// that is always new, and where all share a few; and what it costs to look a value up.
func BenchmarkColumn(b *testing.B) {
	const items = 1000
	for _, distinct := range []bool{true, false} {
		for _, size := range []int{1, 500} {
			b.Run(fmt.Sprintf("distinct=%v/edit=%d", distinct, size), func(b *testing.B) {
				c := newDictionaryColumn(value.Any)
				key := make([]byte, 1000)
				if !distinct {
					key = make([]byte, 10)
				}
				value := func(i int) []byte {
					if !distinct {
						i = (i + i/items) % 4
					}
					copy(key, fmt.Sprintf("s%09d", i))
					return key
				}
				n := 0
				b.ReportAllocs()
				for b.Loop() {
					e := newEdit()
					for range size {
						c.set(e, index.Ref(n%items), c.number(e, value(n)))
						n++
					}
					c.sweep(e)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/update")
			})
		}
	}
	b.Run("lookup", func(b *testing.B) {
		c := newDictionaryColumn(value.Any)
		e := newEdit()
		for i := range 100_000 {
			c.set(e, index.Ref(i), c.number(e, fmt.Appendf(nil, "s%09d", i)))
		}
		c.sweep(e)
		key, n := []byte("s000077777"), 0
		for b.Loop() {
			if _, ok := c.dict.lookup(key); ok {
				n++
			}
		}
	})
}
