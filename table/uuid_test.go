package table

import (
	"regexp"
	"strings"
	"testing"

	"nearby/item"
)

// An id is kept as a UUID only if its text comes back byte for byte.
func TestUUIDsComeBackAsTheyCame(t *testing.T) {
	const usual = "018f4e0a-7d0e-7b3c-9a58-2f1f4be0c9d7"
	spelling := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	texts := []string{
		usual, strings.Repeat("0", 8) + "-0000-0000-0000-" + strings.Repeat("0", 12), "ffffffff-ffff-ffff-ffff-ffffffffffff",
		strings.ToUpper(usual), "018F" + usual[4:], usual[:35] + "A", "urn:uuid:" + usual, "{" + usual + "}", strings.ReplaceAll(usual, "-", ""),
		" " + usual, usual + " ", usual[:35], usual + "0", strings.Repeat("0", 36), strings.Repeat("-", 36), strings.Repeat("é", 18), "",
	}
	for i := range usual { // one character is another
		for _, c := range "-0gG/:`@ \x00" {
			texts = append(texts, usual[:i]+string(c)+usual[i+1:])
		}
	}
	a := arena{}
	for _, text := range texts {
		id, ok := parseUUID(text)
		if want := spelling.MatchString(text); ok != want {
			t.Errorf("%q is a UUID: %v, want %v", text, ok, want)
		}
		if back := string(appendUUID(nil, id[:])); ok && back != text {
			t.Errorf("%q comes back as %q", text, back)
		}
		if len(text) == 0 || len(text) > item.MaxIDBytes {
			continue
		}
		loc := a.append(&item.Item{ID: text, Lon: 1, Lat: 2})
		r := records{chunks: a.chunks}
		if it := r.at(loc); ok != (it[0]&flagUUID != 0) {
			t.Errorf("%q is kept as a UUID: %v", text, !ok)
		}
	}
}

func BenchmarkParseUUID(b *testing.B) {
	for _, id := range []string{"018f4e0a-7d0e-7b3c-9a58-2f1f4be0c9d7", "city-042885", "not-a-uuid-but-as-long-as-one-would-be"[:36]} {
		b.Run(id, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				parseUUID(id)
			}
		})
	}
}
