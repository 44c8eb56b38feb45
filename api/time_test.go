package api_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"nearby/api"
)

// items of the tests about time, and whether they have one.
var timed = []struct{ id, when string }{
	{"a", `"0000-01-01T00:00:00Z"`},
	{"b", `"0001-01-01T00:00:00Z"`},
	{"c", `"2016-12-31T23:59:59Z"`},
	{"d", `"2016-12-31T23:59:60Z"`},
	{"e", `"2017-01-01T00:00:00Z"`},
	{"f", `"2016-12-31T15:59:60-08:00"`},        // d
	{"g", `"2017-01-01"`},                       // the day
	{"h", `"2016-12-31"`},                       // the day, with its leap second
	{"i", `"2017-01-01T00:00:00.0000000001Z"`},  // after e, before the next nanosecond
	{"j", `"9999-12-31T23:59:59.999999999Z"`},   //
	{"k", `"2017-01-01t01:00:00\u002b01:00"`},   // e
	{"none1", `"yesterday"`}, {"none2", `2017`}, //
	{"none3", `null`}, {"none4", `"2017-02-29"`}, //
	{"none5", `"2016-06-15T23:59:60Z"`},             // no month ends there
	{"none6", `["2017-01-01"]`}, {"none7", `"201"`}, //
	{"none8", `"2017-01-01T00:00:00"`}, // in no zone
}

var untimed = []string{"none1", "none2", "none3", "none4", "none5", "none6", "none7", "none8"}

// asked is what of them lies within.
var asked = []struct{ datetime, want string }{
	{"2016-12-31T23:59:60Z", "d f h"},
	{"2016-12-31t23:59:60z", "d f h"},
	{"2017-01-01T01:59:60+02:00", "d f h"},
	{"2016-12-31T23:59:59Z/2016-12-31T23:59:60Z", "c d f h"},
	{"2017-01-01T00:00:00Z", "e g k"},
	{"2017-01-01", "e g i k"},
	{"2016-12-31", "c d f h"},
	{"2016-12-31/2017-01-01", "c d e f g h i k"},
	{"../2016-12-31", "a b c d f h"},
	{"/2016-12-31T23:59:60Z", "a b c d f h"},
	{"2017-01-01/..", "e g i j k"},
	{"2017-01-01/", "e g i j k"},
	{"2016-12-31T23:59:60.5Z/2017-01-01T00:00:00Z", "e g h k"},
	{"2017-01-01T00:00:00.000000001Z/..", "g j"},
	{"2017-01-01T00:00:00Z/2017-01-01T00:00:00.000000001Z", "e g i k"},
	{"0000-01-01T00:00:00Z/0001-01-01", "a b"},
	{"0001-01-01T00:00:00Z", "b"},
	{"0000-01-01T00:00:00Z/2016-12-30", "a b"}, // how QGIS writes an open begin
	{"2017-01-02/9999-12-31T00:00:00Z", ""},
	{"9999-12-31T23:59:59.999999999Z/..", "j"},
	{"2017-01-01T/..", "e g i j k"}, // how GDAL writes a midnight
	{"../2017-01-01T", "a b c d e f g h k"},
	{"2017-01-01T00Z/2017-01-01T00:00Z", "e g k"},
	{"2016-12-31T23:59Z/..", "c d e f g h i j k"},
}

// TestDatetime: datetime keeps the items whose time lies within, both ends included, and
// those without a time; in every operation that filters, after every change of the items
// and of the definition.
func TestDatetime(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", `{"time":"opened","queryables":["even"]}`).want(t, 201)
	interval := func() [][2]*string {
		t.Helper()
		return decode[struct {
			Extent struct {
				Temporal struct{ Interval [][2]*string }
			}
		}](t, h.do("GET", c, "", "").want(t, 200)).Extent.Temporal.Interval
	}
	if got := interval(); len(got) != 1 || got[0] != [2]*string{} {
		t.Errorf("an empty collection has the times %v", got)
	}
	var body strings.Builder
	for i, one := range timed {
		fmt.Fprintln(&body, feature(one.id, 1, 1, fmt.Sprintf(`{"even":%t,"opened":%s}`, i%2 == 0, one.when)))
	}
	h.do("POST", c+"/items", "application/x-ndjson", body.String()).want(t, 200)
	ids := func(method, path, body string) []string {
		t.Helper()
		a := h.do(method, path, "application/json", body).want(t, 200)
		if method == "POST" {
			return decode[struct{ Results []found }](t, a).Results[0].ids()
		}
		return decode[found](t, a).ids()
	}
	check := func(datetime string, want []string) {
		t.Helper()
		slices.Sort(want)
		given := "datetime=" + url.QueryEscape(datetime)
		for _, path := range []string{"/items?limit=100&", "/items?limit=100&bbox=0,0,2,2&", "/nearby?lat=0&lon=0&k=100&"} {
			if got := ids("GET", c+path+given, ""); !slices.Equal(got, want) {
				t.Errorf("%s%s: %v, want %v", path, datetime, got, want)
			}
		}
		if got := ids("POST", c+"/nearby", fmt.Sprintf(`{"queries":[{"lat":0,"lon":0,"k":100,"datetime":%q}]}`, datetime)); !slices.Equal(got, want) {
			t.Errorf("in a batch %s: %v, want %v", datetime, got, want)
		}
		page := decode[struct{ NumberMatched *int }](t, h.do("GET", c+"/items?"+given, "", "").want(t, 200))
		if page.NumberMatched != nil && *page.NumberMatched != len(want) {
			t.Errorf("%s: numberMatched is %d, want %d or none", datetime, *page.NumberMatched, len(want))
		}
	}
	for _, q := range asked {
		check(q.datetime, slices.Concat(untimed, strings.Fields(q.want)))
	}
	if got := ids("GET", c+"/items?even=true&datetime=2017-01-01T00:00:00Z", ""); !slices.Equal(got, []string{"e", "g", "k", "none2", "none4", "none6", "none8"}) {
		t.Errorf("with another filter: %v", got)
	}
	if got := interval(); len(got) != 1 || *got[0][0] != "0000-01-01T00:00:00Z" || *got[0][1] != "9999-12-31T23:59:59.999999999Z" {
		t.Errorf("the collection has the times %v", got)
	}
	for _, bad := range []string{
		"", "/", "../..", "/..", "2017-02-29", "2017-13-01", "2017-01-00", "2017-01-01T24:00:00Z", "2016-06-15T23:59:60Z",
		"2016-12-31T22:59:60Z", "2017-01-01T00:00:00", "2017-01-01 00:00:00Z", "2017-01-01T00:00:00.Z", "2017-01-01T00:00:00+24:00",
		"2017-01-02/2017-01-01", "2017-01-01T00:00:01Z/2017-01-01T00:00:00Z", "1/2", "2017-01-01/2017-01-02/2017-01-03", "2017-1-1", "now",
		"2017-01-01T00:00:00.0000000001Z", "../", "2017-01-01T00:00:60Z",
	} {
		for _, path := range []string{"/items?", "/nearby?lat=0&lon=0&"} {
			p := decode[struct{ Errors []struct{ Parameter string } }](t, h.do("GET", c+path+"datetime="+url.QueryEscape(bad), "", "").want(t, 400))
			if len(p.Errors) != 1 || p.Errors[0].Parameter != "datetime" {
				t.Errorf("%q: %+v", bad, p)
			}
		}
		h.do("POST", c+"/nearby", "application/json", fmt.Sprintf(`{"queries":[{"lat":0,"lon":0,"datetime":%q}]}`, bad)).want(t, 400)
	}

	// What becomes of the items becomes of the answers.
	none := func(more ...string) []string { return slices.Concat(untimed, more) }
	h.do("PATCH", c+"/items/b", "application/merge-patch+json", `{"properties":{"opened":"2017-01-01T12:00:00Z"}}`).want(t, 200)
	check("0001-01-01", none())
	check("2017-01-01T12:00:00Z", none("b", "g"))
	h.do("PATCH", c+"/items/b", "application/merge-patch+json", `{"geometry":{"type":"Point","coordinates":[1.5,1.5]}}`).want(t, 200)
	check("2017-01-01T12:00:00Z", none("b", "g"))
	h.do("PATCH", c+"/items/b", "application/merge-patch+json", `{"properties":{"opened":null}}`).want(t, 200)
	check("2017-01-01T12:00:00Z", none("b", "g")) // it has none, and is in every period
	check("1999-01-01", none("b"))
	h.do("DELETE", c+"/items/b", "", "").want(t, 204)
	h.do("DELETE", c+"/items/d", "", "").want(t, 204)
	h.do("PUT", c+"/items/x", "application/geo+json", feature("x", 1, 1, `{"closed":"1999-01-01"}`)).want(t, 201)
	check("2016-12-31T23:59:60Z", none("f", "h", "x"))

	h.do("PATCH", c, "application/merge-patch+json", `{"time":"closed"}`).want(t, 200)
	check("1999-01-01", none("a", "c", "e", "f", "g", "h", "i", "j", "k", "x"))
	if got := ids("GET", c+"/items?even=true&datetime=1998-01-01", ""); slices.Contains(got, "x") {
		t.Errorf("of another property: %v", got)
	}
	check("1998-01-01", none("a", "c", "e", "f", "g", "h", "i", "j", "k"))
	if got := interval(); len(got) != 1 || *got[0][0] != "1999-01-01T00:00:00Z" || *got[0][1] != "1999-01-01T23:59:59Z" {
		t.Errorf("the collection has the times %v", got)
	}
	h.do("PATCH", c, "application/merge-patch+json", `{"time":null}`).want(t, 200)
	check("1998-01-01", none("a", "c", "e", "f", "g", "h", "i", "j", "k", "x"))
	if got := interval(); got != nil {
		t.Errorf("without a time property there are the times %v", got)
	}
	if page := decode[struct{ NumberMatched *int }](t, h.do("GET", c+"/items?datetime=1998-01-01", "", "").want(t, 200)); page.NumberMatched == nil {
		t.Error("a filter that keeps everything hides the number")
	}
	h.do("GET", c+"/items?datetime=never", "", "").want(t, 400)
}
