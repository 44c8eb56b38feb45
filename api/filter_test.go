package api_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nearby/api"
)

// found is an answer of which only the ids are read.
type found struct{ Features []struct{ ID string } }

func (f found) ids() (ids []string) {
	for _, one := range f.Features {
		ids = append(ids, one.ID)
	}
	slices.Sort(ids)
	return ids
}

// TestFilterFindsWhatIsShown: for each value that an answer shows, a filter for its text
// finds the items whose string has these bytes, or whose number has this value, and no
// others; by GET, in a batch, and whatever the values came in.
func TestFilterFindsWhatIsShown(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/c", "application/json", `{"queryables":["v"]}`).want(t, 201)
	values := []string{
		`50000000014435121`, `50000000014435122`, `50000000014435123`, `"50000000014435122"`, `50000000014435122.0`,
		`5`, `"5"`, `5.0`, `5e0`, `0.5e1`, `"5.0"`, `"05"`, `-5`, `0`, `-0`, `0.0`, `"0"`,
		`1e400`, `10e399`, `1e-400`, `0.1`, `0.10000000000000000555`, `9007199254740993`, `9007199254740992`,
		`true`, `"true"`, `"TRUE"`, `false`, `""`, `" 5"`, `"é"`, `"e\u0301"`, `"a,b"`, `null`, `[5]`, `{"v":5}`,
	}
	var body strings.Builder
	for i, v := range values {
		body.WriteString(feature(fmt.Sprint("i", i), 1, 1, `{"v":`+v+`}`) + "\n")
	}
	h.do("POST", "/v1/collections/c/items", "application/x-ndjson", body.String()).want(t, 200)
	csv := "id,v,lat,lon\n"
	for i, cell := range []string{"01234", "1234", "+1234", "1234.0", "1.234e3", "1234567890123456789", "1234567890123456788", "5", "-0", "true"} {
		csv += fmt.Sprintf("c%d,%s,2,2\n", i, cell)
	}
	h.do("POST", "/v1/collections/c/items", "text/csv", csv).want(t, 200)

	type shown struct {
		id, text string
		number   *big.Rat
	}
	var all []shown
	page := decode[struct {
		Features []struct {
			ID         string
			Properties struct{ V json.RawMessage }
		}
	}](t, h.do("GET", "/v1/collections/c/items?limit=1000", "", "").want(t, 200))
	for _, f := range page.Features {
		s := shown{id: f.ID, text: string(f.Properties.V)}
		switch s.text[0] {
		case '"':
			if err := json.Unmarshal(f.Properties.V, &s.text); err != nil {
				t.Fatal(err)
			}
		case '[', '{', 'n':
			continue // match nothing
		case 't', 'f':
		default:
			s.number, _ = new(big.Rat).SetString(s.text)
		}
		all = append(all, s)
	}
	if len(all) != len(values)-3+10 {
		t.Fatalf("%d values are shown", len(all))
	}
	for _, asked := range all {
		var want []string
		for _, s := range all {
			// A text is also a number where JSON would take it for one.
			n, _ := new(big.Rat).SetString(asked.text)
			if s.text == asked.text || s.number != nil && json.Valid([]byte(asked.text)) && n != nil && n.Cmp(s.number) == 0 {
				want = append(want, s.id)
			}
		}
		slices.Sort(want)
		url := "?limit=1000&v=" + url.QueryEscape(asked.text)
		got := decode[found](t, h.do("GET", "/v1/collections/c/items"+url, "", "").want(t, 200)).ids()
		if !slices.Equal(got, want) {
			t.Errorf("%s shows %q, for which a filter finds %v, want %v", asked.id, asked.text, got, want)
		}
		text, _ := json.Marshal(asked.text)
		filters := []string{string(text)}
		if _, err := strconv.ParseFloat(asked.text, 64); asked.number != nil && err == nil { // the document's reader takes no others
			filters = append(filters, asked.text) // as a number of JSON, digit by digit
		}
		for _, filter := range filters {
			batch := decode[struct{ Results []found }](t, h.do("POST", "/v1/collections/c/nearby", "application/json",
				`{"queries":[{"lat":0,"lon":0,"k":100,"filter":{"v":`+filter+`}}]}`).want(t, 200))
			got := batch.Results[0].ids()
			if !slices.Equal(got, want) {
				t.Errorf("%s shows %q, for which the filter %s of a batch finds %v, want %v", asked.id, asked.text, filter, got, want)
			}
		}
	}
}
