package api_test

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"nearby/api"
)

// FuzzArguments: a query string is taken and refused as the map that
// url.ParseQuery makes of it would be, with the same values and the same words.
func FuzzArguments(f *testing.F) {
	for _, q := range []string{
		"", "&", "&&=", "=", "lat=1&lon=2&k=3", "lat=1&lat=2", "lat=1&&lon=&", "lat", "%6cat=%31+2", "k=%zz", "k=1;lat=2&%", "%=;&x=%", "f=xml", "f=xml&f=json",
		"f=json&color=red&color=blue&%63olor=", "size=1&colour=2", "nothing=1&lat=1&lat=2&nothing=2", "name%00=%ff", "lat=1&x=1&x=2&lat=%zz", "a=1%3Bb=2",
		"bbox=1,2,3,4&limit=10&cursor=abc&properties=a,b&datetime=..&f=geojson",
	} {
		f.Add(q)
	}
	f.Fuzz(sameArguments)
}

// TestManyArguments is FuzzArguments at the limit, which a fuzzer would stay at.
func TestManyArguments(t *testing.T) {
	for _, n := range []int{9_999, 10_000, 10_001} {
		sameArguments(t, strings.Repeat("&", n)+"lat=1")
		sameArguments(t, strings.Repeat("&size=1", n))
	}
}

func sameArguments(t *testing.T, raw string) {
	for _, of := range []api.Operation{0, api.Nearby, api.Items} {
		for _, queryables := range [][]string{nil, {"color", "size", "é", ""}} {
			values, filter, problem := api.ParseQuery(raw, of, queryables)
			refusals := api.Refusals(raw, of, queryables)
			if (problem != "" || len(refusals) > 0) && !slices.Contains(refusals, problem) {
				t.Fatalf("%q is answered %q, want one of %q", raw, problem, refusals)
			}
			if problem != "" {
				continue
			}
			want, _ := url.ParseQuery(raw)
			for name := range want {
				if v, ok := values[name]; ok && strings.Join(want[name], ",") != v || !ok && !slices.Equal(want[name], filter[name]) {
					t.Fatalf("%q: %s is %q, or in the filter %q, want %q", raw, name, v, filter[name], want[name])
				}
			}
			if len(values)+len(filter) != len(want) {
				t.Fatalf("%q gives %q and %q, want %q", raw, slices.Sorted(maps.Keys(values)), filter, want)
			}
		}
	}
}
