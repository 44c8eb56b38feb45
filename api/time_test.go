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
	{"none8", `"2017-01-01T00:00:00"`},                  // in no zone
	{"l", `"2017-01-01 01:00:00+01:00"`},                // e, for people
	{"m", `"2017-01-01 00:00:00.00000000009999z"`},      // like i
	{"none9", `"01/02/2017"`}, {"none10", `"20170101"`}, //
	{"none11", `"2017-01-01 00:00:00"`}, {"none12", `"2017-01-01  00:00:00Z"`}, //
	{"none13", `""`}, {"none14", `true`}, {"none15", `{"at":"2017-01-01"}`}, //
}

var untimed = []string{"none1", "none2", "none3", "none4", "none5", "none6", "none7", "none8", "none9", "none10", "none11", "none12", "none13", "none14", "none15"}

// asked is what of them lies within.
var asked = []struct{ datetime, want string }{
	{"2016-12-31T23:59:60Z", "d f h"},
	{"2016-12-31t23:59:60z", "d f h"},
	{"2017-01-01T01:59:60+02:00", "d f h"},
	{"2016-12-31T23:59:59Z/2016-12-31T23:59:60Z", "c d f h"},
	{"2017-01-01T00:00:00Z", "e g k l"},
	{"2017-01-01", "e g i k l m"},
	{"2016-12-31", "c d f h"},
	{"2016-12-31/2017-01-01", "c d e f g h i k l m"},
	{"../2016-12-31", "a b c d f h"},
	{"/2016-12-31T23:59:60Z", "a b c d f h"},
	{"2017-01-01/..", "e g i j k l m"},
	{"2017-01-01/", "e g i j k l m"},
	{"2016-12-31T23:59:60.5Z/2017-01-01T00:00:00Z", "e g h k l"},
	{"2017-01-01T00:00:00.000000001Z/..", "g j"},
	{"2017-01-01T00:00:00Z/2017-01-01T00:00:00.000000001Z", "e g i k l m"},
	{"0000-01-01T00:00:00Z/0001-01-01", "a b"},
	{"0001-01-01T00:00:00Z", "b"},
	{"0000-01-01T00:00:00Z/2016-12-30", "a b"}, // how QGIS writes an open begin
	{"2017-01-02/9999-12-31T00:00:00Z", ""},
	{"9999-12-31T23:59:59.999999999Z/..", "j"},
	{"2017-01-01T/..", "e g i j k l m"}, // how GDAL writes a midnight
	{"../2017-01-01T", "a b c d e f g h k l"},
	{"2017-01-01T00Z/2017-01-01T00:00Z", "e g k l"},
	{"2016-12-31T23:59Z/..", "c d e f g h i j k l m"},
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
	if got := ids("GET", c+"/items?even=true&datetime=2017-01-01T00:00:00Z", ""); !slices.Equal(got, []string{"e", "g", "k", "none10", "none12", "none14", "none2", "none4", "none6", "none8"}) {
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
		// RFC 3339, section 5.6: a time has an offset. GDAL leaves out all of it, or writes Z.
		"2017-01-01T10", "2017-01-01T10:00", "2017-01-01T10/..", "../2017-01-01T10:00", "2017-01-01TZ", "2017-01-01T1Z", "2017-01-01T10:0Z", "2017-01-01T10+01:00",
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
	check("1999-01-01", none("a", "c", "e", "f", "g", "h", "i", "j", "k", "l", "m", "x"))
	if got := ids("GET", c+"/items?even=true&datetime=1998-01-01", ""); slices.Contains(got, "x") {
		t.Errorf("of another property: %v", got)
	}
	check("1998-01-01", none("a", "c", "e", "f", "g", "h", "i", "j", "k", "l", "m"))
	if got := interval(); len(got) != 1 || *got[0][0] != "1999-01-01T00:00:00Z" || *got[0][1] != "1999-01-01T23:59:59Z" {
		t.Errorf("the collection has the times %v", got)
	}
	h.do("PATCH", c, "application/merge-patch+json", `{"time":null}`).want(t, 200)
	check("1998-01-01", none("a", "c", "e", "f", "g", "h", "i", "j", "k", "l", "m", "x"))
	if got := interval(); got != nil {
		t.Errorf("without a time property there are the times %v", got)
	}
	if page := decode[struct{ NumberMatched *int }](t, h.do("GET", c+"/items?datetime=1998-01-01", "", "").want(t, 200)); page.NumberMatched == nil {
		t.Error("a filter that keeps everything hides the number")
	}
	h.do("GET", c+"/items?datetime=never", "", "").want(t, 400)
}

// A value of the time property that is no time is told of: how many rows of a load have one,
// and which is the first, a write of one item, and the collection, whatever becomes of the
// items and of the definition.
func TestTimesThatAreNotUnderstood(t *testing.T) {
	h := start(t, api.Options{})
	const c = "/v1/collections/c"
	h.do("PUT", c, "application/json", `{"time":"opened"}`).want(t, 201)
	var tag string
	unread := func(want int) {
		t.Helper()
		a := h.do("GET", c, "", "").want(t, 200)
		got := decode[struct{ Statistics struct{ UnreadTimes *int } }](t, a).Statistics.UnreadTimes
		if (got == nil) != (want == 0) || got != nil && *got != want {
			t.Errorf("unreadTimes is %v, want %d", got, want)
		}
		tag = a.header.Get("Etag")
	}
	load := func(query, kind, body string, count, line int, id, got, hint string) {
		t.Helper()
		r := decode[struct {
			UnreadTimes *struct {
				Count int
				First struct {
					Line                         int
					ID, Field, Got, Reason, Hint string
				}
			}
		}](t, h.do("POST", c+"/items"+query, kind, body).want(t, 200)).UnreadTimes
		switch {
		case r == nil:
			if count > 0 {
				t.Errorf("%s: nothing is said", body)
			}
		case r.Count != count || r.First.Line != line || r.First.ID != id || r.First.Field != "opened" || r.First.Got != got ||
			!strings.Contains(r.First.Reason, "every datetime") || !strings.Contains(r.First.Hint, hint) || (r.First.Hint == "") != (hint == ""):
			t.Errorf("%s: %+v", body, *r)
		}
	}
	unread(0)
	load("", "text/csv", "id,lat,lon,opened\na,1,1,2020-01-01\nb,1,1,\nc,1,1,01/02/2020\nbad,91,1,02/02/2020\nd,1,1,2020-01-02 10:00:00\n", 2, 4, "c", "01/02/2020", "")
	unread(2)
	load("", "application/x-ndjson", `{"id":"d","lat":1,"lon":1,"opened":"2020-01-02 10:00:00"}`+"\n"+`{"id":"a","lat":1,"lon":1,"opened":2020}`, 2, 1, "d", "2020-01-02 10:00:00", "offset")
	unread(3)
	load("?onExisting=skip", "text/csv", "id,lat,lon,opened\na,1,1,x\nb,1,1,y\ne,1,1,z\n", 1, 4, "e", "z", "")
	unread(4)
	load("?onExisting=merge", geoJSON, `{"type":"FeatureCollection","features":[`+feature("e", 1, 1, `{"other":1}`)+","+feature("a", 1, 1, `{"opened":null}`)+","+feature("c", 1, 1, `{"opened":[]}`)+`]}`, 1, 1, "c", "[]", "")
	unread(3) // c, d, e
	before := tag
	load("", "application/geo+json-seq", feature("d", 1, 1, `{"opened":"2020-01-02 10:00:00Z"}`), 0, 0, "", "", "")
	if unread(2); tag == before {
		t.Error("the tag of the collection does not change with the number")
	}
	var many strings.Builder // more than one part of a load
	many.WriteString("id,lat,lon,opened\n")
	for i := range 20_000 {
		fmt.Fprintf(&many, "m%d,1,1,%d/1/2020\n", i, i%12+1)
	}
	load("", "text/csv", many.String(), 20_000, 2, "m0", "1/1/2020", "")
	unread(20_002)
	p := decode[struct {
		Loaded struct{ UnreadTimes *struct{ Count int } }
	}](t, h.do("POST", c+"/items?onError=abort", "text/csv", "id,lat,lon,opened\na,1,2,never\nbad,91,1,never\n").want(t, 400))
	if p.Loaded.UnreadTimes == nil || p.Loaded.UnreadTimes.Count != 1 {
		t.Errorf("of what was loaded by then: %+v", p)
	}

	for _, w := range []struct{ method, path, kind, body, note string }{
		{"PUT", "/items/one", geoJSON, feature("one", 1, 1, `{"opened":"01/02/2020"}`), "unread-time"},
		{"PUT", "/items/one", geoJSON, feature("one", 1, 1, `{"opened":"2020-02-01"}`), ""},
		{"PATCH", "/items/one", "application/merge-patch+json", `{"properties":{"opened":20200201}}`, "unread-time"},
		{"PATCH", "/items/one", "application/merge-patch+json", `{"properties":{"other":1}}`, "unread-time"},
		{"PATCH", "/items/one", "application/merge-patch+json", `{"properties":{"opened":null}}`, ""},
		{"POST", "/items", geoJSON, feature("two", 1, 1, `{"opened":"soon"}`), "unread-time"},
		{"POST", "/items", geoJSON, feature("three", 1, 1, `{"closed":"soon"}`), ""},
		{"DELETE", "/items/two", "", "", ""},
	} {
		a := h.do(w.method, c+w.path, w.kind, w.body)
		if got := a.header.Get("Nearby-Note"); a.status >= 300 || got != w.note {
			t.Errorf("%s %s %s: %d, Nearby-Note is %q, want %q", w.method, w.path, w.body, a.status, got, w.note)
		}
	}
	unread(20_003)
	h.do("PATCH", c, "application/merge-patch+json", `{"time":"closed"}`).want(t, 200)
	unread(1)
	h.do("PATCH", c, "application/merge-patch+json", `{"time":null}`).want(t, 200)
	unread(0)
	load("", "text/csv", "id,lat,lon,opened\na,1,1,never\n", 0, 0, "", "", "")
	h.do("PATCH", c, "application/merge-patch+json", `{"time":"opened"}`).want(t, 200)
	unread(20_003)
}
