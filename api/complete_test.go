package api_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nearby/api"
	"nearby/sphere"
)

// TestNearbySaysWhatIsMissing: an answer says whether all that was asked for is in it,
// how many match within a radius, and where it goes on: on every page, whatever ends it.
func TestNearbySaysWhatIsMissing(t *testing.T) {
	spots := crowd(400)
	h := start(t, api.Options{})
	short := h.beside(api.Limits{MaxAnswerBytes: 1000})
	cut := h.beside(api.Limits{MaxCompared: 20})
	for _, index := range []string{`{"kind":"quadtree","maxPointsPerNode":8}`, `{"kind":"geohash","bits":12}`} {
		h.loadSpots("c", index, spots)
		for _, radius := range []float64{0, 1, 100_000, 500_000, 20_100_000} {
			for _, kind := range []string{"", "rare", "none"} {
				from := sphere.FromDegrees(180, 0)
				match := 0
				for _, s := range spots {
					if sphere.Distance(from, sphere.FromDegrees(s.lon, s.lat)) <= radius && (kind == "" || kind == s.kind) {
						match++
					}
				}
				path := fmt.Sprintf("/v1/collections/c/nearby?lat=0&lon=180&radius=%v", strconv.FormatFloat(radius, 'f', -1, 64))
				if kind != "" {
					path += "&kind=" + kind
				}
				for name, b := range map[string]*fixture{"": h, "short": short} {
					for _, k := range []int{1, match - 1, match, match + 1, 1000} {
						if k < 1 || k == 1 && match > 10 {
							continue
						}
						left := match
						for next := fmt.Sprintf("%s&k=%d", path, k); next != ""; {
							f := decode[features](t, b.do("GET", next, "", "").want(t, 200))
							left -= len(f.Features)
							if f.NumberMatched == nil || *f.NumberMatched != match || f.Complete == nil || *f.Complete != (left == 0) || *f.Complete == (b.next(&f) != "") {
								t.Fatalf("%s, %s, %s, k %d: with %d of %d on this page and %d to come: matched %v, complete %v, next %q", index, name, path, k,
									len(f.Features), match, left, show(f.NumberMatched), show(f.Complete), b.next(&f))
							}
							if next = b.next(&f); *f.Complete && f.Proof.Radius != min(radius, sphere.HalfCircumference) {
								t.Errorf("%s, k %d: complete within %v", path, k, f.Proof.Radius)
							}
						}
					}
				}
			}
		}
		// The k nearest are all that was asked for; others lie behind them.
		f := decode[features](t, h.do("GET", "/v1/collections/c/nearby?lat=0&lon=180&k=30", "", "").want(t, 200))
		if f.NumberMatched != nil || f.Complete == nil || !*f.Complete || h.next(&f) == "" {
			t.Errorf("%s: the 30 nearest: %+v", index, f)
		}
		// What the budget does not suffice for is neither complete nor counted.
		for _, query := range []string{"&k=300", "&radius=500000", "&radius=500000&kind=usual"} {
			f := decode[features](t, cut.do("GET", "/v1/collections/c/nearby?lat=2.5&lon=177.5"+query, "", "").want(t, 200))
			if f.NumberMatched != nil || f.Complete == nil || *f.Complete || f.Proof.Exact {
				t.Errorf("%s, cut, %s: %+v", index, query, f)
			}
		}
		h.do("DELETE", "/v1/collections/c", "", "").want(t, 204)
	}
}

// TestCountingIsBounded: more than can be counted at once are not counted, and an
// answer says then that there are more.
func TestCountingIsBounded(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/c", "application/json", `{"queryables":["kind"]}`).want(t, 201)
	const many = 100_001
	h.do("POST", "/v1/collections/c/items", "text/csv", "lat,lon,kind\n"+strings.Repeat("0,0,a\n", many)).want(t, 200)
	for query, matched := range map[string][]int{"&radius=10": {many}, "&radius=10&kind=a": nil, "&radius=0&kind=b": {0}} {
		f := decode[features](t, h.do("GET", "/v1/collections/c/nearby?lat=0&lon=0&k=5"+query, "", "").want(t, 200))
		got := []int(nil)
		if f.NumberMatched != nil {
			got = []int{*f.NumberMatched}
		}
		if !slices.Equal(got, matched) || *f.Complete != (query == "&radius=0&kind=b") {
			t.Errorf("%s: matched %v, want %v; complete %v", query, got, matched, *f.Complete)
		}
	}
}

// TestCountingOfBatchesIsBounded: many queries at once, each of which has much to count,
// are counted as far as one request may; none is counted wrong.
func TestCountingOfBatchesIsBounded(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/c", "application/json", `{"queryables":["kind"]}`).want(t, 201)
	const many = 60_000
	h.do("POST", "/v1/collections/c/items", "text/csv", "lat,lon,kind\n"+strings.Repeat("0,0,a\n", many)).want(t, 200)
	const queries = 40 // each looks at all
	body := `{"queries":[` + strings.Repeat(`{"lat":0,"lon":0,"k":1,"radius":10,"filter":{"kind":"a"}},`, queries) + `{"lat":0,"lon":0,"k":1,"radius":10}]}`
	counted := 0
	for i, f := range decode[struct{ Results []features }](t, h.do("POST", "/v1/collections/c/nearby", "application/json", body).want(t, 200)).Results {
		if f.NumberMatched != nil {
			counted++
			if *f.NumberMatched != many {
				t.Errorf("query %d: matched %d, want %d", i, *f.NumberMatched, many)
			}
		}
		if *f.Complete {
			t.Errorf("query %d is complete with one item", i)
		}
	}
	if most := 1_000_000 / many; counted < most-1 || counted > most+1 {
		t.Errorf("%d of %d were counted, want about %d", counted, queries, most)
	}
}

func show[T any](v *T) string {
	if v == nil {
		return "left out"
	}
	return fmt.Sprint(*v)
}
