package api_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"nearby/api"
)

// TestOneAnswerToOneMistake: the same mistake has the same status and the same type, by
// whatever route and in whatever format it is made; the problem says where it is.
func TestOneAnswerToOneMistake(t *testing.T) {
	h := start(t, api.Options{Limits: api.Limits{MaxBodyBytes: 5000, MaxBatchBytes: 5000, MaxLoadBytes: 5000}})
	h.load("c", places)
	const (
		c     = "/v1/collections/c"
		items = c + "/items"
		a     = items + "/a"
		near  = c + "/nearby"
		js    = "application/json"
		patch = "application/merge-patch+json"
		abort = items + "?onError=abort"
		nd    = "application/x-ndjson"
		seq   = "application/geo+json-seq"
		csv   = "text/csv"
	)
	type try struct{ method, path, contentType, body string }
	// row is a feature in every format that takes one.
	row := func(feature string) []try {
		return []try{
			{"PUT", a, geoJSON, feature},
			{"PUT", a, js, feature},
			{"POST", items, geoJSON, feature},
			{"POST", abort, nd, feature + "\n"},
			{"POST", abort, seq, "\x1e" + feature + "\n"},
			{"POST", abort, geoJSON, `{"type":"FeatureCollection","features":[` + feature + `]}`},
		}
	}
	at := func(coordinates string) string {
		return `{"type":"Feature","geometry":{"type":"Point","coordinates":` + coordinates + `},"properties":{}}`
	}
	query := func(members string) try { return try{"POST", near, js, `{"queries":[{` + members + `}]}`} }
	definition := func(body string) []try {
		return []try{{"PUT", "/v1/collections/d", js, body}, {"PUT", c, js, body}, {"PATCH", c, js, body}, {"PATCH", c, patch, body}}
	}
	long := strings.Repeat("i", 300)
	big, blank := strings.Repeat("x", 6000), strings.Repeat(" ", 5000)
	// everywhere sends a body to all that take one; a load of CSV is the first.
	everywhere := func(body string) []try {
		return append([]try{{"POST", items, csv, body}, {"POST", near, js, body}, {"PATCH", a, patch, body}}, append(row(body), definition(body)...)...)
	}
	for _, m := range []struct {
		name   string
		status int
		typ    string
		tries  []try
	}{
		{"an unknown name", 400, "invalid-request", append(append([]try{
			{"GET", near + "?lat=1&lon=1&foo=1", "", ""},
			{"GET", items + "?foo=1", "", ""},
			{"GET", a + "?foo=1", "", ""},
			{"GET", c + "?foo=1", "", ""},
			{"PUT", a + "?foo=1", geoJSON, feature("a", 1, 1, "")},
			{"POST", items + "?foo=1", csv, places},
			{"DELETE", a + "?foo=1", "", ""},
			{"DELETE", c + "?foo=1", "", ""},
			{"POST", near + "?foo=1", js, `{"queries":[{"lat":1,"lon":1}]}`},
			{"POST", near, js, `{"queries":[{"lat":1,"lon":1}],"foo":1}`},
			query(`"lat":1,"lon":1,"foo":1`),
			query(`"lat":1,"lon":1,"filter":{"foo":1}`),
			{"PATCH", a, patch, `{"foo":1}`},
		}, row(`{"type":"Feature","geometry":{"type":"Point","coordinates":[1,1]},"properties":{},"foo":1}`)...),
			definition(`{"foo":1}`)...)},
		{"k out of range", 400, "invalid-request", []try{
			{"GET", near + "?lat=1&lon=1&k=5000", "", ""}, query(`"lat":1,"lon":1,"k":5000`),
			{"GET", near + "?lat=1&lon=1&k=-1", "", ""}, query(`"lat":1,"lon":1,"k":-1`),
		}},
		{"k of another type", 400, "invalid-request", []try{
			{"GET", near + "?lat=1&lon=1&k=1.5", "", ""}, query(`"lat":1,"lon":1,"k":1.5`),
			{"GET", near + "?lat=1&lon=1&k=many", "", ""}, query(`"lat":1,"lon":1,"k":"many"`),
		}},
		{"a negative radius", 400, "invalid-request", []try{{"GET", near + "?lat=1&lon=1&radius=-1", "", ""}, query(`"lat":1,"lon":1,"radius":-1`)}},
		{"a latitude beyond the pole", 400, "invalid-request", append([]try{
			{"GET", near + "?lat=91&lon=1", "", ""}, query(`"lat":91,"lon":1`), {"GET", items + "?bbox=1,1,2,91", "", ""},
			{"PATCH", a, patch, `{"geometry":{"coordinates":[1,91]}}`},
			{"POST", abort, csv, "id,lat,lon\na,91,1\n"}, {"POST", abort, nd, `{"id":"a","lat":91,"lon":1}` + "\n"},
		}, row(at("[1,91]"))...)},
		{"a latitude of another type", 400, "invalid-request", append([]try{
			{"GET", near + "?lat=north&lon=1", "", ""}, query(`"lat":"north","lon":1`), {"GET", items + "?bbox=1,1,2,north", "", ""},
			{"PATCH", a, patch, `{"geometry":{"coordinates":[1,"north"]}}`},
			{"POST", abort, csv, "id,lat,lon\na,north,1\n"}, {"POST", abort, nd, `{"id":"a","lat":"north","lon":1}` + "\n"},
		}, row(at(`[1,"north"]`))...)},
		{"no latitude", 400, "invalid-request", append([]try{
			{"GET", near + "?lon=1", "", ""}, query(`"lon":1`), {"GET", items + "?bbox=1,2", "", ""},
			{"PATCH", a, patch, `{"geometry":{"coordinates":[1]}}`}, {"PATCH", a, patch, `{"geometry":null}`},
			{"POST", abort, csv, "id,lat,lon\na,,1\n"}, {"POST", abort, nd, `{"id":"a","lon":1}` + "\n"},
		}, append(row(at(`[1]`)), row(`{"type":"Feature","properties":{}}`)...)...)},
		{"a name given twice", 400, "invalid-request", append(append([]try{
			{"GET", near + "?lat=1&lon=1&lat=1", "", ""}, query(`"lat":1,"lon":1,"lat":1`),
			{"PATCH", a, patch, `{"properties":{},"properties":{}}`},
		}, row(`{"type":"Feature","geometry":{"type":"Point","coordinates":[1,1]},"properties":{},"properties":{}}`)...),
			definition(`{"title":"a","title":"b"}`)...)},
		{"properties of another type", 400, "invalid-request", append([]try{
			{"PATCH", a, patch, `{"properties":[]}`}, {"POST", near, js, `{"queries":[{"lat":1,"lon":1}],"properties":1}`},
		}, row(`{"type":"Feature","geometry":{"type":"Point","coordinates":[1,1]},"properties":[]}`)...)},
		{"an id too long", 400, "invalid-request", append([]try{
			{"PUT", items + "/" + long, geoJSON, at("[1,1]")}, {"POST", abort, csv, "id,lat,lon\n" + long + ",1,1\n"},
		}, row(feature(long, 1, 1, ""))[2:]...)},
		{"an unknown index", 400, "invalid-request", definition(`{"index":{"kind":"rtree"}}`)},
		{"a title of another type", 400, "invalid-request", definition(`{"title":1}`)},
		{"a policy that is none", 400, "invalid-request", definition(`{"writePolicy":"sometimes"}`)},
		{"no JSON", 400, "malformed-body", append(append([]try{
			{"POST", near, js, `{"queries":`}, {"PATCH", a, patch, `{"properties":`},
			{"POST", items, nd, `{"type":"Feature"` + "\n"},
		}, row(`{"type":"Feature","geometry":x}`)...), definition(`{"title":`)...)},
		{"nothing", 400, "malformed-body", append([]try{
			{"POST", near, js, ``}, {"PATCH", a, patch, ``}, {"PUT", a, geoJSON, ``}, {"POST", items, geoJSON, ``},
			{"POST", items, csv, ``}, {"POST", items, nd, ``}, {"POST", items, seq, ``},
			{"POST", items, csv, "\n"}, {"POST", items, nd, " \n"}, {"POST", items, seq, "\n"}, {"POST", items, geoJSON, "\n"},
			{"POST", items, geoJSON, blank},
		}, definition(``)...)},
		{"an array", 400, "malformed-body", everywhere(`[]`)},
		{"an array of what is expected", 400, "malformed-body", everywhere(`[` + feature("b", 1, 1, "") + `]`)},
		{"null", 400, "malformed-body", everywhere(`null`)[1:]}, // as CSV it is a column of that name
		{"a number", 400, "malformed-body", everywhere(`1`)[1:]},
		{"another format", 400, "malformed-body", append([]try{
			{"POST", items, geoJSON, places}, {"POST", abort, nd, places}, {"POST", abort, seq, places}, {"PUT", a, geoJSON, places},
			{"PATCH", a, patch, places}, {"POST", near, js, places},
			{"POST", items, geoJSON, feature("b", 1, 1, "") + "\n" + feature("b", 1, 1, "")},
			{"POST", items, csv, `{"type":"FeatureCollection","features":[]}`}, {"POST", items, csv, "{\n  \"type\": \"FeatureCollection\"\n}"},
			{"POST", items, csv, `{"id":"b","lat":1,"lon":1}` + "\n"}, {"POST", items, csv, "\x1e" + feature("b", 1, 1, "") + "\n"},
		}, append(everywhere("PK\x03\x04 is how a zip archive begins"), everywhere("\x1f\x8b is how gzip begins, once more")...)...)},
		{"GeoJSON of another type", 400, "invalid-request", append(row(`{"type":"Topology"}`), try{"POST", items, geoJSON, `{"type":"Topology"}` + blank[19:]})},
		{"another content type", 415, "unsupported-content-type", []try{
			{"POST", near, "text/html", `{}`}, {"PATCH", a, "text/html", `{}`}, {"PUT", a, "text/html", `{}`}, {"POST", items, "text/html", `{}`},
			{"PUT", c, "text/html", `{}`}, {"PATCH", c, "text/html", `{}`},
			{"PUT", a, csv, `{}`}, {"POST", items, js + "; charset=latin1", `{}`},
		}},
		{"a large body", 413, "body-too-large", append([]try{
			{"POST", near, js, `{"queries":[{"lat":1,"lon":1}],"x":"` + big + `"}`}, {"PATCH", a, patch, `{"properties":{"x":"` + big + `"}}`},
			{"PUT", a, geoJSON, feature("a", 1, 1, `{"x":"`+big+`"}`)},
			{"POST", items, geoJSON, feature("a", 1, 1, `{"x":"`+big+`"}`)},
			{"POST", items, csv, "id,lat,lon,x\nb,1,1," + big + "\n"}, {"POST", items, nd, feature("b", 1, 1, `{"x":"`+big+`"}`)},
		}, definition(`{"description":"`+big+`"}`)...)},
	} {
		t.Run(m.name, func(t *testing.T) {
			for _, r := range m.tries {
				for _, zipped := range []bool{false, true} {
					body, headers := r.body, []string(nil)
					if zipped {
						if body == "" {
							continue
						}
						var b bytes.Buffer
						z := gzip.NewWriter(&b)
						fmt.Fprint(z, body)
						if err := z.Close(); err != nil {
							t.Fatal(err)
						}
						body, headers = b.String(), []string{"Content-Encoding", "gzip"}
					}
					got := h.do(r.method, r.path, r.contentType, body, headers...)
					var p struct {
						Type, Detail string
						Errors       []struct {
							Type, Parameter, Field, Reason string
							Line                           int
							Index                          *int
						}
					}
					if err := json.Unmarshal(got.body, &p); err != nil {
						t.Fatal(err)
					}
					if got.status == 200 && len(p.Errors) == 1 { // a load that goes on
						got.status, p.Type = 400, p.Errors[0].Type
					}
					if got.status != m.status || p.Type != "/v1/errors/"+m.typ {
						t.Errorf("%s %s %s %.100q (gzip %v): answered %d: %.300s", r.method, r.path, r.contentType, r.body, zipped, got.status, got.body)
						continue
					}
					if m.typ == "invalid-request" && (len(p.Errors) != 1 || p.Errors[0].Parameter+p.Errors[0].Field == "" || p.Errors[0].Reason == "") {
						t.Errorf("%s %s %s %.100q does not say what is wrong: %.300s", r.method, r.path, r.contentType, r.body, got.body)
					}
					if p.Errors != nil && strings.HasPrefix(p.Errors[0].Field, "queries[0]") != (p.Errors[0].Index != nil) {
						t.Errorf("%s %s %.100q does not say which query: %.300s", r.method, r.path, r.body, got.body)
					}
				}
			}
		})
	}
	h.do("GET", "/v1/collections/d", "", "").want(t, 404) // nothing of it was made
	if all := decode[features](t, h.do("GET", items, "", "").want(t, 200)); len(all.Features) != 6 {
		t.Errorf("the collection has %q now", all.ids())
	}
}
