package store_test

import (
	"bytes"
	"math"
	"testing"

	"nearby/item"
	"nearby/store"
)

const base32 = "0123456789bcdefghjkmnpqrstuvwxyz"

// cell turns two characters of a geohash into a number.
func cell(t *testing.T, hash string) uint16 {
	t.Helper()
	n := 0
	for _, c := range []byte(hash) {
		at := bytes.IndexByte([]byte(base32), c)
		if at < 0 {
			t.Fatalf("%q is no geohash", hash)
		}
		n = n<<5 | at
	}
	return uint16(n)
}

// Cells are those of published geohashes, and the edges belong to a cell.
func TestCell(t *testing.T) {
	for _, c := range []struct {
		name     string
		lon, lat float64
		want     string
	}{
		{"Jutland", 10.40744, 57.64911, "u4"},
		{"Washington", -77.0365, 38.8977, "dq"},
		{"San Francisco", -122.4194, 37.7749, "9q"},
		{"Sydney", 151.2093, -33.8688, "r3"},
		{"Rio de Janeiro", -43.1729, -22.9068, "75"},
		{"Tokyo", 139.6917, 35.6895, "xn"},
		{"Greenwich, just east", 0.0001, 51.4779, "u1"},
		{"Greenwich, just west", -0.0001, 51.4779, "gc"},
		{"the middle belongs to the upper cell", 0, 0, "s0"},
		{"below the middle", -1e-9, -1e-9, "7z"},
		{"southwest corner", -180, -90, "00"},
		{"northeast corner", 180, 90, "zz"},
		{"southeast corner", 180, -90, "pb"},
		{"northwest corner", -180, 90, "bp"},
		{"date line", 180, 1, "xb"},
		{"just before it", math.Nextafter(180, 0), 1, "xb"},
		{"north pole", 0, 90, "up"},
		{"a cell's western edge", 11.25, 50.625, "u3"},
		{"just west of it", 11.25 - 1e-9, 50.625, "u1"},
		{"just south of it", 11.25, 50.625 - 1e-9, "u2"},
	} {
		if got, want := store.Cell(c.lon, c.lat), cell(t, c.want); got != want {
			t.Errorf("%s: the cell of %v, %v is %d (%c%c), want %s", c.name, c.lon, c.lat, got, base32[got>>5&31], base32[got&31], c.want)
		}
	}
}

// Hashes are those that md5sum gives for the bytes, written by hand.
func TestHash(t *testing.T) {
	var buf []byte
	for _, c := range []struct {
		it   item.Item
		want uint64
	}{
		// 3ff8000000000000 c002000000000000 0000000000000007 "a" 00 {"a":1}
		{item.Item{ID: "a", Lon: 1.5, Lat: -2.25, Properties: []byte(`{"a":1}`), Created: 3, Updated: 4, Seq: 7}, 0xa78e7d799d6e6f90},
		// 24 zero bytes "x" 00
		{item.Item{ID: "x"}, 0xc356f77c0101464b},
		// c066800000000000 4056800000000000 7fffffffffffffff "日本" 00 {}
		{item.Item{ID: "日本", Lon: -180, Lat: 90, Properties: []byte(`{}`), Seq: math.MaxInt64}, 0xc1bb1d19f4921cc3},
	} {
		var hash uint64
		if hash, buf = store.Hash(&c.it, buf); hash != c.want {
			t.Errorf("%+v: %016x, want %016x", c.it, hash, c.want)
		}
	}
}

// A digest does not depend on the order, and notices each difference between items.
func TestDigest(t *testing.T) {
	items := []item.Item{
		{ID: "a"}, {ID: "b"}, {ID: "a", Seq: 1}, {ID: "a", Lon: 1}, {ID: "a", Lat: 1}, {ID: "a", Properties: []byte(`{}`)},
		{ID: "a{}"}, {ID: "a", Lon: math.Copysign(0, -1)},
	}
	var forth, back store.Digest
	seen := map[uint64]bool{}
	for i := range items {
		hash, _ := store.Hash(&items[i], nil)
		seen[hash] = true
		forth.Add(hash)
		hash, _ = store.Hash(&items[len(items)-1-i], nil)
		back.Add(hash)
	}
	if forth != back || forth.Items != len(items) || len(seen) != len(items) {
		t.Errorf("%+v and %+v of %d items with %d hashes", forth, back, len(items), len(seen))
	}
}
