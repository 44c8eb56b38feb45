package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"nearby/client"
)

// upload is a file as people have it, and what must become of it: by HTTP and by
// "nearby load" the same.
type upload struct {
	name      string
	mediaType string // of the request; empty: text/csv
	query     string // of the request
	args      string // of the load
	text      string

	want     string // the items, as "id lon,lat" in the order of their ids, joined by "; "
	rejected int    // rows
	refused  int    // status of the request if the file is refused; the load then ends with 1
	posted   string // a piece of the request's answer
	printed  string // a piece of what the load prints
}

// deliver holds files to what must become of them.
func deliver(t *testing.T, files []upload) {
	t.Helper()
	s := startServer(t, t.TempDir())
	c := newClient(t)
	show := func(collection string) string {
		status, answer := call(c, http.MethodGet, s.base+"/v1/collections/"+collection, "", "")
		if status == http.StatusNotFound {
			return "no collection"
		}
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", collection, status, answer)
		}
		all := s.content(c, collection)
		var items []string
		for _, id := range slices.Sorted(maps.Keys(all)) {
			at := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
			items = append(items, fmt.Sprintf("%s %s,%s", id, at(all[id].lon), at(all[id].lat)))
		}
		return strings.Join(items, "; ")
	}
	for i, f := range files {
		t.Run(f.name, func(t *testing.T) {
			posted, loaded := fmt.Sprintf("p%d", i), fmt.Sprintf("l%d", i)
			if status, answer := call(c, http.MethodPut, s.base+"/v1/collections/"+posted, "application/json", "{}"); status != http.StatusCreated {
				t.Fatalf("%d %s", status, answer)
			}
			mediaType := f.mediaType
			if mediaType == "" {
				mediaType = "text/csv"
			}
			status, answer := call(c, http.MethodPost, s.base+"/v1/collections/"+posted+"/items"+f.query, mediaType, f.text)
			if got := show(posted); got != f.want {
				t.Errorf("by HTTP came [%s], want [%s]; %d %s", got, f.want, status, answer)
			}
			var report client.LoadReport
			switch {
			case f.refused != 0:
				if status != f.refused {
					t.Errorf("by HTTP status %d, want %d: %s", status, f.refused, answer)
				}
			case status == http.StatusCreated: // one Feature
			case status != http.StatusOK || json.Unmarshal(answer, &report) != nil || report.Rejected != f.rejected:
				t.Errorf("by HTTP %d %s; want %d rejected", status, answer, f.rejected)
			}
			if !strings.Contains(string(answer), f.posted) {
				t.Errorf("the answer lacks %q: %s", f.posted, answer)
			}

			r := runCLI(t, f.text, append([]string{"load", "-", "-c", loaded, "--server", s.base}, strings.Fields(f.args)...)...)
			code, want := exitOK, f.want
			switch {
			case f.refused != 0:
				code, want = exitFailed, "no collection"
			case f.rejected > 0:
				code = exitRejected
			}
			if got := show(loaded); got != want {
				t.Errorf("by load came [%s], want [%s]", got, want)
			}
			if r.code != code {
				t.Errorf("exit code %d, want %d: %+v", r.code, code, r)
			}
			if f.refused == 0 && !strings.Contains(r.stdout, fmt.Sprintf(" %d rejected", f.rejected)) {
				t.Errorf("%d rejected are not told: %+v", f.rejected, r)
			}
			if !strings.Contains(r.stdout+r.stderr, f.printed) {
				t.Errorf("the load does not say %q: %+v", f.printed, r)
			}
		})
	}
}

// The positions of GeoJSON are degrees of WGS 84 (RFC 7946, section 4). A file that says
// that its own are something else is refused by the name that it gives: 100 m east and
// 50 m north of 0, 0 are no place at 100° E, 50° N. The names of WGS 84 are taken.
func TestForeignCRS(t *testing.T) {
	const point = `"geometry":{"type":"Point","coordinates":[100,50]}`
	const buoy = `{"type":"Feature","id":"buoy",` + point + `,"properties":{}}`
	named := func(name string) string { return `{"type":"name","properties":{"name":"` + name + `"}}` }
	foreign := func(name, crs, says string) upload {
		return upload{name: name, mediaType: "application/geo+json", text: `{"type":"FeatureCollection","crs":` + crs + `,"features":[` + buoy + `]}`,
			refused: 400, posted: says, printed: says}
	}
	known := func(name, crs string) upload {
		return upload{name: name, mediaType: "application/geo+json", text: `{"type":"FeatureCollection","crs":` + crs + `,"features":[` + buoy + `]}`, want: "buoy 100,50"}
	}
	after := upload{name: "after the Features", mediaType: "application/geo+json",
		text: `{"type":"FeatureCollection","features":[` + buoy + `],"crs":` + named("EPSG:25832") + `}`, refused: 400, posted: "EPSG:25832", printed: "EPSG:25832"}
	deliver(t, []upload{
		foreign("metres", named("urn:ogc:def:crs:EPSG::3857"), "urn:ogc:def:crs:EPSG::3857"),
		foreign("a code", `{"type":"EPSG","properties":{"code":27700}}`, "EPSG:27700"),
		foreign("a link", `{"type":"link","properties":{"href":"http://spatialreference.org/ref/epsg/2154/","type":"proj4"}}`, "epsg/2154"),
		foreign("a URL", named("http://www.opengis.net/def/crs/EPSG/0/31370"), "EPSG/0/31370"),
		foreign("other degrees", named("urn:ogc:def:crs:EPSG::4269"), "EPSG::4269"),
		foreign("a longer code", named("urn:ogc:def:crs:EPSG::43260"), "EPSG::43260"),
		foreign("text", `"EPSG:2056"`, "EPSG:2056"),
		foreign("nothing that is known", `{"type":"name"}`, "crs"),
		after,
		{name: "the name escaped", mediaType: "application/geo+json", text: `{"\u0063rs":` + named("EPSG:3857") + `,"type":"FeatureCollection","features":[` + buoy + `]}`,
			refused: 400, posted: "EPSG:3857", printed: "EPSG:3857"},
		known("CRS84", named("urn:ogc:def:crs:OGC:1.3:CRS84")),
		known("CRS84 without a version", named("urn:ogc:def:crs:OGC::CRS84")),
		known("CRS84 as a URL", named("http://www.opengis.net/def/crs/OGC/1.3/CRS84")),
		known("EPSG 4326", named("urn:ogc:def:crs:EPSG::4326")),
		known("EPSG 4326 in short", named("EPSG:4326")),
		known("EPSG 4326 as a code", `{"type":"EPSG","properties":{"code":4326}}`),
		known("none", `null`),
		{name: "in a Feature of a line", mediaType: "application/x-ndjson", text: `{"type":"Feature","id":"far","crs":` + named("EPSG:3857") + `,` + point + `}` + "\n" + buoy + "\n",
			want: "buoy 100,50", rejected: 1, posted: "EPSG:3857", printed: "EPSG:3857"},
		{name: "in a geometry", mediaType: "application/geo+json", text: `{"type":"FeatureCollection","features":[{"type":"Feature","id":"far","geometry":{"type":"Point","coordinates":[100,50],"crs":` + named("EPSG:3857") + `}},` + buoy + `]}`,
			want: "buoy 100,50", rejected: 1, posted: "EPSG:3857", printed: "EPSG:3857"},
		{name: "WGS 84 in a Feature", mediaType: "application/x-ndjson", text: `{"type":"Feature","id":"buoy","crs":` + named("EPSG:4326") + `,` + point + `}` + "\n", want: "buoy 100,50"},
	})
}

// A quote that is never closed, or not where a cell ends, is a fault of its own row: the
// rows after it are read, and each row is loaded or rejected. What follows it, up to the
// next quote, is read as rows again.
func TestStrayQuotes(t *testing.T) {
	const head = "id,name,lat,lon\n"
	deliver(t, []upload{
		{name: "closed by a mark of inches", text: head + "1,\"Lower Weir,1,1\n2,Mill,2,2\n3,Quay,3,3\n4,12\" main,4,4\n5,Lock,5,5\n",
			want: "2 2,2; 3 3,3; 4 4,4; 5 5,5", rejected: 1, posted: `"line":2`, printed: "input:2:"},
		{name: "never closed", text: head + "1,Weir,1,1\n2,\"Mill,2,2\n3,Quay,3,3\n4,Lock,4,4\n", want: "1 1,1; 3 3,3; 4 4,4", rejected: 1, posted: `"line":3`, printed: "input:3:"},
		{name: "closed by chance", text: head + "1,\"Weir,1,1\n2,Mill,2,2\n3,12\",3,3\n4,Lock,4,4\n", want: "2 2,2; 3 3,3; 4 4,4", rejected: 1, posted: `"line":2`, printed: "input:2:"},
		{name: "closed by chance in the next row", text: head + "1,\"Weir,1,1\n2,12\",2,2\n3,Lock,3,3\n", want: "2 2,2; 3 3,3", rejected: 1},
		{name: "several", text: "id;name;lat;lon\n1;\"a;1;1\n2;b;2;2\n3;\"c;3;3\n4;\"d\";4;4\n5;\"e\"f;5;5\n6;\"\"g;6;6\n7;h;7;7\n",
			want: "2 2,2; 4 4,4; 7 7,7", rejected: 4},
		{name: "at the end of the last row", text: "id,lat,lon,name\n1,1,1,\"Weir\n2,2,2,\"Mill\n3,3,3,Quay\n4,4,4,\"Lock", want: "3 3,3", rejected: 3},
		{name: "in a row with another fault", text: head + "1,\"Weir,95,1\n2,Mill,2,2\n3,\"Quay\",3,3\n", want: "2 2,2; 3 3,3", rejected: 1},
		{name: "good quotes over lines", text: "name,lat,lon,id,note\n\"Old\nMill, by the Weir\",1,2,a,\"1,2,3\n4,5,6\n\"\"x\"\"\"\nQuay,3,4,b,\"\"\n",
			want: "a 2,1; b 4,3"},
		{name: "a name of two lines before the position", text: "name,lat,lon,id\n\"Mill, Old, big, wide\nhouse\",1,2,a\n\"a, b, c, d\ne\",95,2,b\n", want: "a 2,1", rejected: 1},
	})
}

// Between tabs a quote mark is a character like any other (text/tab-separated-values):
// tables from registers have them at the beginning of a cell, too.
func TestUnquotedTabs(t *testing.T) {
	const table = "id\tname\tplace\tlat\tlon\n1\tmoss\t\"Old\" quarry\t10\t20\n2\tfern\t\"by the gate\t11\t21\n3\tsedge\tmeadow\t12\t22\n4\trush\t6\" pipe\t13\t23\n5\treed\t\"pond\"\t14\t24\n"
	const all = "1 20,10; 2 21,11; 3 22,12; 4 23,13; 5 24,14"
	const pond = "\"Old\nquarry\""
	deliver(t, []upload{
		{name: "as a register gives it", text: table, want: all},
		{name: "its registered type", mediaType: "text/tab-separated-values", text: table, want: all},
		{name: "no quotes between commas", query: "?quotes=off", args: "--quotes off", text: strings.ReplaceAll(table, "\t", ","), want: all},
		{name: "quotes asked for", query: "?quotes=on", args: "--quotes on", text: "id\tplace\tlat\tlon\n1\t" + pond + "\t10\t20\n2\t\"by the gate\t11\t21\n3\tx\t12\t22\n", want: "1 20,10; 3 22,12", rejected: 1},
	})
}
