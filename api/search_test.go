package api_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"nearby/api"
)

// searchPage is what tests look at in the answer to a search.
type searchPage struct {
	features
	Links []struct {
		Rel, Href, Method string
		Body              map[string]any
		Merge             bool
	}
}

// search returns the ids of all pages of a search, in the order of the ids. It does what the next
// links say.
func (h *fixture) search(collection, body string) (ids []string) {
	h.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(body), &members); err != nil {
		h.Fatal(err)
	}
	for path := collection + "/items/search"; path != ""; {
		sent, _ := json.Marshal(members)
		page := decode[searchPage](h, h.do("POST", path, "application/json", string(sent)).want(h, 200))
		ids, path = append(ids, page.ids()...), ""
		for _, l := range page.Links {
			if l.Rel == "next" && l.Method == "POST" && l.Merge {
				path = strings.TrimPrefix(l.Href, h.url)
				maps.Copy(members, l.Body)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// TestSearch: a search has what the same parameters of GET have.
func TestSearch(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const c = "/v1/collections/c"
	for body, want := range map[string]string{
		`{}`:                             "abcdef",
		`{"limit":2}`:                    "abcdef",
		`{"bbox":[178,-1,-178,11]}`:      "de",
		`{"bbox":[178,-1,0,-178,11,0]}`:  "de",
		`{"bbox":[-1,-1,1,1],"limit":1}`: "abc",
		`{"filter":{"category":"sea"}}`:  "abe",
		`{"filter":"category = 'sea'"}`:  "abe",
		`{"filter":{"op":"=","args":[{"property":"category"},"sea"]},"limit":1}`:                                                                   "abe",
		`{"filter":{"category":["sea","ice"]},"bbox":[0,-90,180,90],"limit":1}`:                                                                    "abf",
		`{"intersects":{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}}`:                                                              "ab",
		`{"intersects":{"type":"Polygon","coordinates":[[[-1,-1],[1,-1],[1,1],[-1,1],[-1,-1]]]},"filter":{"category":"sea"},"bbox":[-9,-9,0.5,9]}`: "a",
	} {
		if got := strings.Join(h.search(c, body), ""); got != want {
			t.Errorf("%s finds %s, want %s", body, got, want)
		}
	}
	post := func(body string) *answer { return h.do("POST", c+"/items/search", "application/json", body) }
	if a := post(`{"properties":["name"],"bbox":[-0.5,-1,0.5,1]}`).want(t, 200); !strings.Contains(string(a.body), `"properties":{"name":"Origin"}`) {
		t.Errorf("the properties: %s", a.body)
	}
	first := decode[searchPage](t, post(`{"limit":1,"filter":{"category":"sea"}}`).want(t, 200))
	cursor, _ := first.Links[1].Body["cursor"].(string)
	many := `"` + strings.Repeat(`a","`, 256) + `a"`
	for body, want := range map[string]string{
		`{"bbox":[1,2,3]}`:                      "bbox must be four numbers",
		`{"limit":-1}`:                          "limit must be a whole number from 0 to 10000",
		`{"limit":"5"}`:                         "limit must be",
		`{"datetime":"yesterday"}`:              "datetime ",
		`{"filter":{"name":"x"}}`:               "filter",
		`{"filter":5}`:                          "filter",
		`{"intersects":5}`:                      "intersects must be a GeoJSON geometry",
		`{"near":5}`:                            "near is not a known member",
		`{"cursor":"x"}`:                        "cursor does not come from an answer to this request",
		`{"limit":1,"cursor":"` + cursor + `"}`: "cursor does not come from an answer to this request",
		`{"properties":[` + many + `]}`:         "properties must name at most 256 properties",
	} {
		p := decode[struct {
			Errors []struct{ Field, Reason string }
		}](t, post(body).want(t, 400))
		if len(p.Errors) != 1 || !strings.HasPrefix(p.Errors[0].Field+" "+p.Errors[0].Reason, want) {
			t.Errorf("%.100s: %+v, want %s", body, p.Errors, want)
		}
	}
	h.do("POST", "/v1/collections/none/items/search", "application/json", `{}`).want(t, 404)
	h.do("POST", c+"/items/search", "text/csv", `{}`).want(t, 415)
}
