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
	// The next search knows where the matches are that were far away.
	again := decode[struct {
		Plan struct {
			Way   string
			Cells int
		}
	}](t, h.do("GET", "/v1/collections/c/nearby?lat=-39.5&lon=0.5&explain=true&far=1", "", "").want(t, 200))
	if again.Plan.Way != "outward" || again.Plan.Cells == 0 {
		t.Errorf("far away: %+v", again.Plan)
	}
	for query, want := range map[string]string{
		"/items?limit=0":                                            "limit  -1 0",
		"/items?limit=0&of2=1":                                      "limit known 4000 0",
		"/items?limit=1&facets=of2&of1000=7":                        "facets list 8 8",
		"/items?limit=1&facets=of2&of2=1":                           "facets set -1 4000",
		"/items?limit=0&of1000=7&bbox=-1,-90,200,90":                "limit list 8 ",
		"/items?limit=0&of1000=1000":                                "limit known 0 0",
		"/items?limit=5":                                            "",
		"/nearby?lat=0&lon=0&k=0&radius=500000&of2=1":               "k tested -1 ",
		"/nearby?lat=0&lon=0&k=0&rings=1000,500000&of2=1":           "k known 4000 0, rings tested -1 ",
		"/nearby?lat=0&lon=0&k=1&rings=1000&facets=of2&of1000=1000": "facets none 0 0, rings none 0 0",
		"/nearby?lat=0&lon=0&k=1":                                   "",
	} {
		a := h.do("GET", "/v1/collections/c"+query+"&explain=true", "", "").want(t, 200)
		var got []string
		for _, step := range decode[struct {
			Counts []struct {
				Of       string
				Compared int
				Plan     plan
			}
		}](t, a).Counts {
			matches := -1
			if step.Plan.Matches != nil {
				matches = *step.Plan.Matches
			}
			got = append(got, fmt.Sprint(step.Of, " ", step.Plan.Way, " ", matches, " ", step.Compared))
		}
		if text := strings.Join(got, ", "); !strings.HasPrefix(text, want) || want == "" && text != "" || a.header.Get("ETag") != "" {
			t.Errorf("%s: %s, want %s", query, text, want)
		}
		if plain := h.do("GET", "/v1/collections/c"+query, "", "").want(t, 200); strings.Contains(string(plain.body), `"counts"`) {
			t.Errorf("%s: %s", query, plain.body)
		}
	}
}
