package api_test

import (
	"fmt"
	"strings"
	"testing"

	"nearby/api"
)

// TestExplainSaysTheWay: with a filter, explain says in which way the search was answered, and
// how many items match if that is known.
func TestExplainSaysTheWay(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/c", "application/json", `{"queryables":["of2","of1000","far"],"time":"at"}`).want(t, 201)
	var rows strings.Builder
	rows.WriteString("lat,lon,of2,of1000,far,at\n")
	for i := range 8000 {
		fmt.Fprintf(&rows, "%d,%d,%d,%d,%d,2020-01-01\n", i/100-40, i%100, i%2, i%1000, i/7200)
	}
	h.do("POST", "/v1/collections/c/items", "text/csv", rows.String()).want(t, 200)
	type plan struct {
		Way     string
		Matches *int
	}
	for query, want := range map[string]string{
		"&of1000=1000":         "none 0",
		"&of1000=7&of2=2":      "none 0",
		"&of1000=7":            "list 8",
		"&of1000=7&of2=1":      "list 8",
		"&of1000=7&of2=0":      "none 0",
		"&of2=1":               "outward 4000",
		"&datetime=2020-01-01": "outward -1",
		"&far=1":               "outward-then-list 800",
		"":                     " -1",
		"&of1000=7&radius=1":   "list 8",
		"&of2=1&radius=1":      "outward 4000",
	} {
		f := decode[struct{ Plan plan }](t, h.do("GET", "/v1/collections/c/nearby?lat=-39.5&lon=0.5&explain=true"+query, "", "").want(t, 200))
		matches := -1
		if f.Plan.Matches != nil {
			matches = *f.Plan.Matches
		}
		if got := fmt.Sprintf("%s %d", f.Plan.Way, matches); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}
