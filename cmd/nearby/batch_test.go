package main

import (
	"bytes"
	"math"
	"testing"

	"nearby/ingest"
	"nearby/item"
)

// What a batch carries is read back as what was put in.
func TestBatchRoundTrip(t *testing.T) {
	in := []item.Item{
		{ID: "a", Lon: -73.985700000000001, Lat: 40.7484, Properties: []byte(`{"name":"Café \"x\"","n":1e-7}`)},
		{ID: "quote\" and \\ and <é>", Lon: 180, Lat: -90},
		{ID: "tiny", Lon: math.SmallestNonzeroFloat64, Lat: -1e-300},
	}
	b := newBatch()
	for i := range in {
		if err := b.add(&ingest.Row{Line: i + 1, Item: in[i]}, false); err != nil {
			t.Fatal(err)
		}
	}
	r, err := ingest.Open(bytes.NewReader(b.body), ingest.Options{Format: ingest.NDJSON})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range in {
		var row ingest.Row
		if err := r.Next(&row); err != nil {
			t.Fatal(err)
		}
		got := row.Item
		if row.Line != i+1 || got.ID != want.ID || got.Lon != want.Lon || got.Lat != want.Lat || string(got.Properties) != string(want.Properties) {
			t.Errorf("row %d on line %d: %+v, want %+v", i, row.Line, got, want)
		}
	}
}

func TestBatchShares(t *testing.T) {
	make := func(ids ...string) *batch {
		b := newBatch()
		for i, id := range ids {
			if err := b.add(&ingest.Row{Line: i, Item: item.Item{ID: id}}, false); err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	a := make("1", "2", "3")
	if b := make("4", "5"); a.overlaps(b) || b.overlaps(a) {
		t.Error("batches without a common id share one")
	}
	if b := make("4", "3"); !a.overlaps(b) || !b.overlaps(a) {
		t.Error("batches with a common id share none")
	}
}

// Made ids are all different, the same each time, and do not depend on other
// rows, unless those are identical.
func TestRowIDs(t *testing.T) {
	rows := []item.Item{
		{Lon: 1, Lat: 2, Properties: []byte(`{"a":1}`)},
		{Lon: 1, Lat: 2, Properties: []byte(`{"a":2}`)},
		{Lon: 2, Lat: 1, Properties: []byte(`{"a":1}`)},
		{Lon: 1, Lat: 2, Properties: []byte(`{"a":1}`)}, // as the first
		{Lon: 1, Lat: 2, Properties: []byte(`{"a":1}`)}, // once more
		{Lon: 1, Lat: 2},
	}
	ids := func(max int, rows []item.Item) []string {
		r := newRowIDs()
		r.max = max
		var out []string
		for i := range rows {
			out = append(out, r.next(&rows[i]))
		}
		return out
	}
	for _, max := range []int{maxRemembered, 2, 0} {
		first, second := ids(max, rows), ids(max, rows)
		seen := map[string]bool{}
		for i := range first {
			if first[i] != second[i] {
				t.Errorf("max %d: row %d is %s, then %s", max, i, first[i], second[i])
			}
			if seen[first[i]] {
				t.Errorf("max %d: row %d has the id of another", max, i)
			}
			seen[first[i]] = true
		}
	}
	whole, rest := ids(maxRemembered, rows), ids(maxRemembered, rows[1:3])
	if whole[1] != rest[0] || whole[2] != rest[1] {
		t.Error("an id depends on rows before it")
	}
}
