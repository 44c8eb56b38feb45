package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nearby/api"
)

// TestWeight: items are in the order of their scores, on pages of every length, and the proof says
// below which score none is missing.
func TestWeight(t *testing.T) {
	h := start(t, api.Options{})
	c := orderedPlaces(t, h) // about 111 m apart, with the ratings 3, 5, none, 5, -1
	for _, tt := range []struct{ query, want string }{
		{"weight=rating:1", "a b c d e"},
		{"weight=rating:100", "b a d c e"},
		{"weight=rating:1000", "b d a c e"},
		{"weight=rating:-1000", "e c a b d"},
		{"weight=rating:1000&name=x", "d a"},
		{"weight=rating:1000&radius=300", "b a c"},
	} {
		want := strings.Fields(tt.want)
		for size := 1; size <= 6; size++ {
			var got []string
			for next := fmt.Sprintf("%s/nearby?lat=0&lon=0&%s&k=%d", c, tt.query, size); next != ""; {
				f := decode[features](t, h.do("GET", next, "", "").want(t, 200))
				got = append(got, f.ids()...)
				next = h.next(&f)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s in pages of %d finds %v, want %v", tt.query, size, got, want)
			}
		}
	}
	type answer struct {
		Complete bool
		Features []struct{ Distance, Score float64 }
		Proof    struct {
			Exact bool
			Score float64
		}
	}
	a := decode[answer](t, h.do("GET", c+"/nearby?lat=0&lon=0&k=2&weight=rating:1000&radius=400", "", "").want(t, 200))
	if b := a.Features[0]; a.Complete || !a.Proof.Exact || len(a.Features) != 2 || b.Score > b.Distance-5000+1e-3 || b.Score < b.Distance-5000-1e-3 || a.Proof.Score != a.Features[1].Score {
		t.Errorf("%+v", a)
	}
	h.do("PUT", "/v1/collections/text", "application/json", `{"queryables":{"a":"string"}}`).want(t, 201)
	for _, tt := range []struct{ path, says string }{
		{c + "/nearby?lat=0&lon=0&weight=rating", "PROPERTY:METRES"},
		{c + "/nearby?lat=0&lon=0&weight=rating:x", "decimal number"},
		{c + "/nearby?lat=0&lon=0&weight=rating:0", "not 0"},
		{c + "/nearby?lat=0&lon=0&weight=name:5", `the property \"name\" cannot have a weight, only rating`},
		{c + "/nearby?lat=0&lon=0&weight=rating:5,rating:6", "twice"},
		{c + "/nearby?lat=0&lon=0&weight=rating:many", "must be PROPERTY:METRES; the metres of rating must be a decimal number from -1000000000 to 1000000000, and not 0"},
		{c + "/nearby?lat=0&lon=0&weight=:5", `the property \"\" cannot have a weight, only `},
		{c + "/nearby?lat=0&lon=0&weight=rating:5&sortby=name", "cannot be combined"},
		{c + "/nearby?lat=0&lon=0&weight=rating:5&radius=9&at_least=1", "cannot be combined"},
		{c + "/nearby?lat=0&lon=0&weight=rating:5&cursor=x", "cursor"},
		{"/v1/collections/text/nearby?lat=0&lon=0&weight=a:5", "no queryables that can be numbers"},
	} {
		if body := string(h.do("GET", tt.path, "", "").want(t, 400).body); !strings.Contains(body, tt.says) {
			t.Errorf("%s: %s, want %s", tt.path, body, tt.says)
		}
	}
}
