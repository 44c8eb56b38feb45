package api_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"nearby/api"
)

// TestCursorsBelongToTheirQuestion: where a cursor comes with another question, an answer
// from there on would leave out items that it asks for, and say that it is complete.
func TestCursorsBelongToTheirQuestion(t *testing.T) {
	h := start(t, api.Options{})
	for _, name := range []string{"c", "other"} {
		h.do("PUT", "/v1/collections/"+name, "application/json", `{"queryables":["kind","size"],"time":"at"}`).want(t, 201)
		var rows strings.Builder
		rows.WriteString("id,lat,lon,kind,size,at\n")
		for i := range 30 {
			fmt.Fprintf(&rows, "i%02d,%d,%d,a,%d,2020-01-01\n", i, i-15, i*2-30, i%2)
		}
		h.do("POST", "/v1/collections/"+name+"/items", "text/csv", rows.String()).want(t, 200)
	}
	cursorOf := func(path string) string {
		t.Helper()
		first := decode[features](t, h.do("GET", path, "", "").want(t, 200))
		next, err := url.Parse(h.next(&first))
		if err != nil || next.Query().Get("cursor") == "" {
			t.Fatalf("%s: no next link, %v", path, err)
		}
		return "&cursor=" + next.Query().Get("cursor")
	}
	const c, other = "/v1/collections/c", "/v1/collections/other"
	for _, test := range []struct {
		asked   string
		same    []string // the same question in other words, or another part of its answer
		another []string
	}{
		{c + "/nearby?lat=1&lon=2&k=5",
			[]string{c + "/nearby?lat=1&lon=2&k=9", c + "/nearby?lon=2.0&k=5&lat=1e0", c + "/nearby?lat=1&lon=2&k=5&properties=kind&id_property=i&distance_property=d&f=json&explain=true"},
			[]string{c + "/nearby?lat=1&lon=3&k=5", c + "/nearby?lat=2&lon=1&k=5", c + "/nearby?lat=1&lon=-2&k=5", c + "/nearby?lat=1&lon=2&k=5&radius=1e7", c + "/nearby?lat=1&lon=2&k=5&kind=a", c + "/nearby?lat=1&lon=2&k=5&datetime=2020-01-01", other + "/nearby?lat=1&lon=2&k=5", c + "/items?limit=5"}},
		{c + "/nearby?lat=1&lon=2&k=5&radius=8000000&kind=a&kind=b&size=0",
			[]string{c + "/nearby?kind=b&size=0&kind=a&radius=8e6&lat=1&lon=2"},
			[]string{c + "/nearby?lat=1&lon=2&k=5&radius=8000000&kind=a&size=0", c + "/nearby?lat=1&lon=2&k=5&radius=8000000&kind=0&kind=b&size=a", c + "/nearby?lat=1&lon=2&k=5&radius=8000001&kind=a&kind=b&size=0"}},
		{c + "/items?limit=5",
			[]string{c + "/items?limit=3", c + "/items?limit=5&properties=kind&f=geojson"},
			[]string{c + "/items?limit=5&kind=a", c + "/items?limit=5&bbox=-180,-90,180,90", other + "/items?limit=5", c + "/nearby?lat=1&lon=2&k=5", c + "/items?limit=5&datetime=2020-01-01"}},
		{c + "/items?limit=5&bbox=-40,-40,40,40&size=1",
			[]string{c + "/items?size=1&bbox=-40,-40,40,40&limit=2"},
			[]string{c + "/items?limit=5&bbox=-40,-40,40,30&size=1", c + "/items?limit=5&bbox=-40,-40,40,40", c + "/items?limit=5&bbox=-40,-40,40,40&size=0"}},
	} {
		cursor := cursorOf(test.asked)
		for _, path := range append(test.same, test.asked) {
			h.do("GET", path+cursor, "", "").want(t, 200)
		}
		for _, path := range test.another {
			if a := h.do("GET", path+cursor, "", "").want(t, 400); !strings.Contains(string(a.body), "cursor") || !strings.Contains(string(a.body), "next link") {
				t.Errorf("%s: %s", path, a.body)
			}
		}
	}
}
