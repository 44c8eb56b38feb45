package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"nearby/internal/wire"
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
			var report wire.LoadReport
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
				if code = exitRejected; f.want == "" {
					want = "no collection"
				}
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

// Where quotes are on, a line inside of them is a part of the cell, also if it looks like a row
// (RFC 4180, section 2, rule 6). Where they are not asked for it is a row, and who reads the error
// learns the reason, and what to do if it was none.
func TestRowsInsideQuotes(t *testing.T) {
	var files []upload
	for _, f := range []struct {
		name, text, torn string
		rejected         int
	}{
		{"a name of three lines", "id,name,lat,lon\n1,\"A\n2,B,2,2\n\",1,1\n", "2 2,2", 2},
		{"the last line ends the cell", "id,lat,lon,name\n1,1,1,\"A\n2,2,2,B\"\n", "2 2,2", 1},
		{"an example in a note", "id;lat;lon;note\r\n1;1;1;\"as in\r\n2;2;2;\"\"B\"\"\r\nor so\"\r\n", "", 3},
		{"CR, and one column with both numbers", "id|lat lng|name\r1|1 1|\"A\r2|2 2|B\r\"\r", "2 2,2", 2},
	} {
		files = append(files,
			upload{name: f.name, query: "?quotes=on", args: "--quotes on", text: f.text, want: "1 1,1"},
			upload{name: f.name + ", not asked for", text: f.text, want: f.torn, rejected: f.rejected,
				posted: "opened on line 2 is not closed before line 3, which is a row by itself", printed: "say --quotes on"})
	}
	files = append(files,
		upload{name: "the way out over HTTP", text: "id,name,lat,lon\n1,\"A\n2,B,2,2\n\",1,1\n", want: "2 2,2", rejected: 2, posted: "say the parameter quotes=on"},
		upload{name: "never closed", query: "?quotes=on", args: "--quotes on", text: "id,name,lat,lon\n1,\"A,1,1\n2,B,2,2\n", want: "2 2,2", rejected: 1, posted: "opened on line 2 is never closed", printed: "is never closed"},
		upload{name: "not closed at the end of a cell", query: "?quotes=on", args: "--quotes on", text: "id,name,lat,lon\n1,\"A,1,1\n2,\"B\",2,2\n", want: "2 2,2", rejected: 1, posted: "is not closed at the end of a cell", printed: "is not closed at the end of a cell"})
	deliver(t, files)
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

// Lines may end in CR alone. A table in which no row was found is no success: who has sent
// rows has to hear that none came.
func TestLoadOfNothing(t *testing.T) {
	const three = "id,name,lat,lon\r1,\"Upper\rLanding\",10,20\r2,Mill,11,21\r3,Quay,12,22\r"
	const none = "has a header line and no rows"
	deliver(t, []upload{
		{name: "CR", text: three, want: "1 20,10; 2 21,11; 3 22,12"},
		{name: "CR, and a bad row", text: "id;lat;lon\r\r1;1;2\r2;95;2\r3;3;4", want: "1 2,1; 3 4,3", rejected: 1, posted: `"line":4`, printed: "input:4:"},
		{name: "CR between tabs", text: "id\tlat\tlon\r1\t1\t2\r", want: "1 2,1"},
		{name: "CR CR LF", text: "id,lat,lon\r\r\n1,1,2\r\r\n2,3,\"4\"\r\r\n", want: "1 2,1; 2 4,3"},
		{name: "CR between objects", mediaType: "application/x-ndjson", text: "{\"id\":1,\"lat\":1,\"lon\":2}\r{\"id\":2,\"lat\":3,\"lon\":4}\r", want: "1 2,1; 2 4,3"},
		{name: "CR, CR LF and LF", text: "id,name,lat,lon\r1,a,1,1\r2,b,2,2\r\n3,c,3,3\n4,\"d\re\",4,4\n5,f,95,5\r6,g,6,6", want: "1 1,1; 2 2,2; 3 3,3; 4 4,4; 6 6,6", rejected: 1, posted: `"line":7`, printed: "input:7:"},
		{name: "CR, and LF at the end of the file", text: "id\tlat\tlon\r1\t1\t2\r2\t3\t4\r\n", mediaType: "text/tab-separated-values", want: "1 2,1; 2 4,3"},
		{name: "CR after a comment that ends in LF", text: "# made by hand\nid,lat,lon\r1,1,2\r2,3,4\r", want: "1 2,1; 2 4,3"},
		{name: "CR after sep=", text: "sep=;\r\nid;lat;lon\r1;1;2\r2;3;4\r", want: "1 2,1; 2 4,3"},
		{name: "objects before CR and LF", mediaType: "application/x-ndjson", text: "{\"id\":1,\"lat\":1,\"lon\":2}\r{\"id\":2,\"lat\":3,\"lon\":4}\n", want: "1 2,1; 2 4,3"},
		{name: "line ends removed", text: "id,name,lat,lon1,Kiosk,10,202,Depot,11,21", refused: 400},
		{name: "header only", text: "id,lat,lon\n", refused: 400, posted: none, printed: none},
		{name: "header and empty rows", text: "id,lat,lon\n,,\n\n,,\n", refused: 400, posted: none, printed: none},
		{name: "a collection of none", mediaType: "application/geo+json", text: `{"type":"FeatureCollection","features":[]}`, posted: "no rows", printed: "no rows"},
	})
}

// The end of a row that says nothing changes nothing, and a row that says nothing is none.
func TestCellsThatSayNothing(t *testing.T) {
	const three = "1 20,10; 2 21,11; 3 22,12"
	deliver(t, []upload{
		{name: "delimiters at the end", text: "id,name,lat,lon\n1,Kiosk,10,20,\n2,Depot,11,21,\n3,Gate,12,22,\n", want: three},
		{name: "several, and blanks", text: "id;name;lat;lon\n1;Kiosk;10,5;20,5;; ;\"\"\n2;Depot;11;21;\t;\n", want: "1 20.5,10.5; 2 21,11"},
		{name: "at the end of the header", text: "id,name,lat,lon,,\n1,Kiosk,10,20\n2,Depot,11,21,\n3,Gate,12,22,,,\n", want: three},
		{name: "left out at the end", text: "id,lat,lon,name,note\n1,10,20\n2,11,21,Depot\n3,12,22,Gate,open\n", want: three},
		{name: "empty rows", text: "id,name,lat,lon\n1,Kiosk,10,20\n,,,\n2,Depot,11,21\n,,,\n\"\", ,\"\",\t,,\n3,Gate,12,22\n", want: three},
		{name: "what says something", text: "id,name,lat,lon\n1,Kiosk,10,20,x\n2,,,\n3,Gate,12\n,name,,\n,,5,\n6,a,1,2\n", want: "6 2,1", rejected: 5},
	})
}

// What stands before the header is passed over: the line in which spreadsheets name the
// delimiter, and comments.
func TestBeforeTheHeader(t *testing.T) {
	const gauges = "00417 -2.3428,51.5348; 00418 -2.4442,51.6084"
	const table = "gauge_no\tname\tdec_lat\tdec_lon\n12s\t30s\t16s\t16s\n00417\tNorth Brook, lower\t51.5348\t-2.3428\n00418\tNorth Brook\t51.6084\t-2.4442\n"
	deliver(t, []upload{
		{name: "sep=", text: "sep=;\r\nid;name;lat;lon\r\n1;Brunnen;50,9375;6,9603\r\n2;Tor;50,7374;7,0982\r\n", want: "1 6.9603,50.9375; 2 7.0982,50.7374"},
		{name: "SEP= in quotes", text: "\ufeff\"SEP=|\"\nid|lat|lon\n1|1|2\n", want: "1 2,1"},
		{name: "sep= of a tab", text: "sep=\t\nid\tlat\tlon\n1\t1\t2\n", want: "1 2,1"},
		{name: "comments", query: "?lat=dec_lat&lon=dec_lon&id=gauge_no", args: "--lat dec_lat --lon dec_lon --id gauge_no",
			text: "#\n# Gauges of a river board\n# gauge_no  number of the gauge\n#\n" + table, want: gauges, rejected: 1, posted: `"line":6`, printed: "input:6:"},
		{name: "comments that name columns", query: "?id=gauge_no", args: "--id gauge_no", text: "# gauge_no, lat, lon: as surveyed\n" + table, want: gauges, rejected: 1},
		{name: "sep= before rows", query: "?columns=id,lat,lon", args: "--columns id,lat,lon", text: "sep=;\n1;10;20\n", want: "1 20,10"},
		{name: "SEP= in quotes before rows", query: "?columns=id,lat,lon", args: "--columns id,lat,lon", text: "\ufeff\"SEP=|\"\r\n1|10|20\r\nx|95|20\r\n", want: "1 20,10", rejected: 1, posted: `"line":3`, printed: "input:3:"},
		{name: "sep= of a tab before rows", query: "?columns=id,lat,lon", args: "--columns id,lat,lon", text: "sep=\t\n1\t10\t20\n", want: "1 20,10"},
		{name: "sep= after lines that are counted", query: "?columns=id,lat,lon&skipLines=1", args: "--columns id,lat,lon --skip-lines 1", text: "of today\nsep=;\n1;10,5;20,5\n", want: "1 20.5,10.5"},
		{name: "a title", text: "Stations of the network\nas of today, without the closed ones\n\nid,name,lat,lon\n1,a,1,2\n", want: "1 2,1", posted: "before the header", printed: "before the header"},
		{name: "a title that names the axes", text: "Stations with latitude, longitude\nid,lat,lon\n1,1,2\n", want: "1 2,1", posted: "before the header on line 2", printed: "before the header on line 2"},
		{name: "the axes in brackets", text: "Positions (lat, lon) of stations\nid,lat,lon\n1,1,2\n", want: "1 2,1"},
		{name: "a title as long as the rows", text: "Positions (lat, lon) of stations\nlat,lon\n1,2\n", query: "?id=lat", args: "--id lat", want: "1 2,1"},
		{name: "a title in quotes", text: "\"Positions: latitude, longitude\"\n\nid;lat;lon\n1;1;2\n", want: "1 2,1"},
		{name: "a title, and a header of words", text: "Stations with latitude, longitude\nstop_id,stop_lat,stop_lon\n1,1,2\n", want: "1 2,1"},
		{name: "a title of whole names", text: "Latitude, Longitude\nid,lat,lon\n1,1,2\n", want: "1 2,1"},
		{name: "a title that may be several columns", text: "From lat, lon, to lat, lon\nid;lat;lon\n1;1;2\n", want: "1 2,1"},
		{name: "a row of whole names", text: "id,stop_lat,stop_lon\n1,1,2\nid,lat,lon\n3,3,4\n", want: "1 2,1; 3 4,3", rejected: 1, posted: `"line":3`, printed: "input:3:"},
		{name: "a bad row first, and a row of whole names", text: "id,stop_lat,stop_lon\n1,95,2\n2,1,2\nid,lat,lon\n3,3,4\n", want: "2 2,1; 3 4,3", rejected: 2},
		{name: "no row is as long as the header", text: "a title\nname of lat,name of lon\n1,1,2\n2,3,4\n", rejected: 2, posted: "3 cells, the header on line 2 has 2\",\"hint\":\"if line 2 is not the header, pass it over with the parameter skipLines=2",
			printed: "the header on line 2 has 2 (hint: if line 2 is not the header, pass it over with --skip-lines 2)"},
		{name: "no names are as many as the rows", query: "?columns=lat,lon", args: "--columns lat,lon", text: "1,1,2\n", rejected: 1, posted: "3 cells, there are 2 columns", printed: "3 cells, there are 2 columns"},
		{name: "a header that is far", text: strings.Repeat("a line of a preface\n", 120) + "id,lat,lon\n1,1,2\n", refused: 400, posted: "looked for up to line 100; if it comes later, say the parameter skipLines=N", printed: "looked for up to line 100; if it comes later, say --skip-lines N"},
		{name: "the advice on it followed", query: "?skipLines=120", args: "--skip-lines 120", text: strings.Repeat("a line of a preface\n", 120) + "id,lat,lon\n1,1,2\n", want: "1 2,1"},
		{name: "a header in a comment", text: "# made by a program\n#id,lat,lon\n1,1,2\n", want: "1 2,1"},
		{name: "a name of two lines", text: "id,\"name\n(en)\",lat,lon\n1,a,1,2\n", want: "1 2,1"},
		{name: "a title, and a name of two lines", text: "Stations\nid;\"name\r\n(en)\";lat;lon\n1;a;1;2\n", want: "1 2,1", printed: "on line 2 "},
		{name: "a column of numbers", text: "#,lat,lon,id\n1,1,2,a\n", want: "a 2,1"},
		{name: "lines that are counted", query: "?skipLines=2", args: "--skip-lines 2", text: "lat,lon,note\n1,2,an example\nid,lat,lon\n1,3,4\n", want: "1 4,3"},
		{name: "comments alone", text: "# one\n# two\n", refused: 400, posted: "no columns", printed: "no columns"},
	})
}

// A dump of GeoNames is known by its first line, however it comes.
func TestGeoNamesDumps(t *testing.T) {
	const dump = "2178982\tWoodend\t\"Woodend\t\t-43.31667\t172.66667\tP\tPPL\tNZ\t\tE9\t\t\t\t3059\t\t\t\t2019-01-01\n" +
		"2179103\tWhitianga\tWhitianga\t\t-36.83333\t175.7\tP\tPPL\tNZ\t\tG1\t\t\t\t3367\t\t\t\t2019-01-01\n"
	const both = "2178982 172.66667,-43.31667; 2179103 175.7,-36.83333"
	quoted := strings.ReplaceAll(dump, "\"Woodend", "\"Woodend\"")
	deliver(t, []upload{
		{name: "between tabs", mediaType: "text/tab-separated-values", text: dump, want: both},
		{name: "as CSV", text: dump, want: both},
		{name: "the delimiter named", query: "?delimiter=tab", args: "--delimiter tab", text: dump, want: both},
		{name: "after a line", mediaType: "text/tab-separated-values", query: "?skipLines=1", args: "--skip-lines 1", text: "of today\n" + dump, want: both},
		{name: "the format named", args: "--format geonames --skip-lines 1", query: "?skipLines=1", text: "of today\n" + dump, want: both},
		{name: "quotes", query: "?quotes=on", args: "--quotes on", mediaType: "text/tab-separated-values", text: quoted, want: both},
		{name: "another id", query: "?id=name", args: "--id name", mediaType: "text/tab-separated-values", text: dump, want: "Whitianga 175.7,-36.83333; Woodend 172.66667,-43.31667"},
		{name: "a table of 19 columns", mediaType: "text/tab-separated-values", text: "id\tlat\tlon" + strings.Repeat("\tx", 16) + "\n1\t2\t3" + strings.Repeat("\t4", 16) + "\n", want: "1 3,2"},
	})
}

// What is wrong with a file of JSON is said by the same words, however it comes.
func TestArraysOfJSON(t *testing.T) {
	const hint = "write one object a line, or a FeatureCollection"
	const rows = `[{"id":1,"lat":1,"lon":2},{"id":2,"lat":1,"lon":2}]`
	deliver(t, []upload{
		{name: "as GeoJSON", mediaType: "application/geo+json", text: rows, refused: 400, posted: hint, printed: hint},
		{name: "as JSON", mediaType: "application/json", text: " \n" + rows, refused: 400, posted: hint, printed: hint},
		{name: "as lines", mediaType: "application/x-ndjson", text: rows + "\n", refused: 400, posted: hint, printed: hint},
		{name: "as a text sequence", mediaType: "application/geo+json-seq", text: rows, refused: 400, posted: hint, printed: hint},
		{name: "a line of several", mediaType: "application/x-ndjson", text: "[1,2]\n" + `{"id":1,"lat":1,"lon":2}` + "\n", want: "1 2,1", rejected: 1, posted: `"line":1`, printed: "input:1:"},
		{name: "the first line cut off", mediaType: "application/x-ndjson", text: `{"id":2,"lat":` + "1\n" + `{"id":1,"lat":1,"lon":2}` + "\n", want: "1 2,1", rejected: 1, posted: `"line":1`, printed: "input:1:"},
		{name: "a number", mediaType: "application/geo+json", text: "42", refused: 400},
	})
}

// Numbers may leave out the digits before or after the point, as C, Fortran and databases
// write them. Points may come as the hexadecimal EWKB of PostGIS.
func TestNumbersAndPoints(t *testing.T) {
	deliver(t, []upload{
		{name: "digits left out", text: "id,name,lat,lon\n1,Meridian,51.4779,-.0014\n2,Half,.5,.25\n3,Whole,51.,7.\n4,Plain,1,1\n5,Sum,+.5e1,1.e1\n", want: "1 -0.0014,51.4779; 2 0.25,0.5; 3 7,51; 4 1,1; 5 10,5"},
		{name: "with commas", text: "id;lat;lon\n1;51,4779;-,0014\n2;51,;7,5\n", query: "?decimalComma=true", args: "--decimal-comma", want: "1 -0.0014,51.4779; 2 7.5,51"},
		{name: "no numbers", text: "id,lat,lon\n1,.,1\n2,-.,1\n3,NaN,1\n4,1_0,1\n5,.e1,1\n6,1.e,1\n7,1..,1\n8,+,1\n9,0x1.8p1,1\n10,1,1\n", want: "10 1,1", rejected: 9},
		{name: "hexadecimal", text: "id,name,geom\n1,PostGIS,0101000020E6100000CDCCCCCCCCCC02406666666666664840\n2,text,POINT(2.35 48.8)\n" +
			"3,WKB,0101000000cdcccccccccc02406666666666664840\n7,bytes,\\x0101000000cdcccccccccc02406666666666664840\n4,big-endian,00000000014002cccccccccccd4048666666666666\n5,with a height,01010000A0E6100000CDCCCCCCCCCC024066666666666648400000000000000840\n6,ISO with a height,01E9030000CDCCCCCCCCCC024066666666666648400000000000000840\n",
			want: "1 2.35,48.8; 2 2.35,48.8; 3 2.35,48.8; 4 2.35,48.8; 5 2.35,48.8; 6 2.35,48.8; 7 2.35,48.8"},
		{name: "hexadecimal that is none", text: "id,name,geom\n1,metres,0101000020110F0000CDCCCCCCCCCC02406666666666664840\n2,a line,010200000000000000\n3,cut,0101000020E6100000CDCC\n4,NaN,0101000000000000000000F87F000000000000F87F\n5,text,POINT(2.35 48.8)\n", want: "5 2.35,48.8", rejected: 4, posted: "SRID", printed: "SRID"},
	})
}

// A load that reads no good row creates no collection. One that it created stays, also if the
// server rejects every row: by then others may have written to it, and what they were told is
// stored is not removed.
func TestLoadOfRejectedRows(t *testing.T) {
	s := startServer(t, t.TempDir())
	c := newClient(t)
	exists := func(collection string) bool {
		status, _ := call(c, http.MethodGet, s.base+"/v1/collections/"+collection, "", "")
		return status == http.StatusOK
	}
	for i, f := range []struct {
		name, args, text string
		code             int
		stays            bool
	}{
		{"bad rows", "", "id,lat,lon\n1,95,1\n2,x,1\n", exitRejected, false},
		{"a bad row that ends it", "--on-error abort", "id,lat,lon\n1,95,1\n2,1,1\n", exitFailed, false},
		{"rows for items that are not there", "--on-existing merge", "id,name\n1,a\n2,b\n", exitRejected, true},
		{"a row that ends it", "--on-existing merge --on-error abort", "id,name\n1,a\n2,b\n", exitFailed, true},
		{"bad Features", "", `{"type":"FeatureCollection","features":[{"type":"Feature","geometry":null}]}`, exitRejected, false},
		{"a broken collection", "", `{"type":"FeatureCollection","features":[{"type":"Feature","id":"a","geometry":{"type":"Point","coordinates":[1,2]}},]}`, exitFailed, false},
		{"a good row", "", "id,lat,lon\n1,95,1\n2,1,1\n", exitRejected, true},
		{"a good row that is merged", "--on-existing merge", "id,name,lat,lon\n1,a,,\n2,b,1,1\n", exitRejected, true},
		{"no rows", "", `{"type":"FeatureCollection","features":[]}`, exitOK, true},
	} {
		made, there := fmt.Sprintf("m%d", i), fmt.Sprintf("t%d", i)
		call(c, http.MethodPut, s.base+"/v1/collections/"+there, "application/json", "{}")
		for _, collection := range []string{made, there} {
			if r := runCLI(t, f.text, append([]string{"load", "-", "-c", collection, "--server", s.base}, strings.Fields(f.args)...)...); r.code != f.code {
				t.Errorf("%s: %+v", f.name, r)
			}
		}
		if exists(made) != f.stays {
			t.Errorf("%s: that the load left the collection that it created is %v", f.name, !f.stays)
		}
		if !exists(there) {
			t.Errorf("%s: the load removed a collection that was there", f.name)
		}
	}
}

// What a GeoJSON body is, is said by its members in any order and however they are
// written; what is none is refused as such, and nothing is left of it.
func TestWhatAGeoJSONBodyIs(t *testing.T) {
	const geoJSON = "application/geo+json"
	const point = `"geometry":{"type":"Point","coordinates":[20,10]},"properties":{}`
	const bad = `{"type":"Feature","id":"g2","geometry":{"type":"Point","coordinates":[21,11]},"properties":{"depth":NaN}},{"type":"Feature","id":"g3","geometry":{"type":"Point","coordinates":[22,12]},"properties":{"a":1,"a":2}}`
	const one = `{"type":"Feature","id":"g1",` + point + `}`
	deliver(t, []upload{
		{name: "features first", mediaType: geoJSON, text: `{"features":[` + one + `,` + bad + `],"type":"FeatureCollection"}`, want: "g1 20,10", rejected: 2},
		{name: "type first", mediaType: geoJSON, text: `{"type":"FeatureCollection","features":[` + one + `,` + bad + `]}`, want: "g1 20,10", rejected: 2},
		{name: "the first Feature bad", mediaType: geoJSON, text: `{"name":"x","features":[` + bad + `,` + one + `],"type":"FeatureCollection"}`, want: "g1 20,10", rejected: 2},
		{name: "byte order mark", mediaType: geoJSON, text: "\ufeff" + `{"type":"FeatureCollection","features":[` + one + `]}`, want: "g1 20,10"},
		{name: "byte order mark before a Feature", mediaType: geoJSON, text: "\ufeff" + one, want: "g1 20,10"},
		{name: "a tab before it", mediaType: geoJSON, text: "\t" + `{"type":"FeatureCollection","features":[` + one + `]}`, want: "g1 20,10"},
		{name: "a byte order mark and blanks before it", mediaType: geoJSON, text: "\ufeff\t\n\t" + one, want: "g1 20,10"},
		{name: "gzipped", mediaType: geoJSON, text: gzipped(`{"type":"FeatureCollection","features":[` + one + `]}`), want: "g1 20,10"},
		{name: "a gzipped Feature", mediaType: geoJSON, text: gzipped(one), want: "g1 20,10"},
		{name: "escaped names", mediaType: geoJSON, text: `{"\u0074ype":"FeatureCollection","features":[` + one + `]}`, want: "g1 20,10"},
		{name: "escaped features and values", mediaType: geoJSON, text: `{"f\u0065atures":[{"typ\u0065":"F\u0065ature","id":"g1",` + point + `}],"type":"Feature\u0043ollection"}`, want: "g1 20,10"},
		{name: "stations", mediaType: geoJSON, text: "{\n \"updated\": 1700000000,\n \"data\": {\"stations\": [{\"station_id\": \"s1\", \"lat\": 12.3, \"lon\": 45.6}]}\n}\n", refused: 400, posted: "not GeoJSON", printed: "not GeoJSON"},
		{name: "nodes", mediaType: geoJSON, text: "{\n \"version\": 0.6,\n \"elements\": [\n  {\"type\": \"node\", \"id\": 1, \"lat\": 1.5, \"lon\": 2.5}\n ]\n}\n", refused: 400, posted: "not GeoJSON", printed: "not GeoJSON"},
		{name: "a topology", mediaType: geoJSON, text: "{\"type\":\"Topology\",\n\"objects\":{},\"arcs\":[]}\n", refused: 400, posted: "Topology", printed: "Topology"},
		{name: "stations on one line", mediaType: geoJSON, text: `{"last_updated":1700000000,"ttl":60,"data":{"stations":[{"station_id":"s1","lat":12.3,"lon":45.6}]}}`, refused: 400, posted: "not GeoJSON", printed: "not GeoJSON"},
		{name: "a topology on one line", mediaType: geoJSON, text: `{"type":"Topology","objects":{},"arcs":[]}` + "\n", refused: 400, posted: "Topology", printed: "Topology"},
		{name: "features of another kind", mediaType: geoJSON, text: "{\"geometryType\":\"esriGeometryPoint\",\n\"features\":[{\"attributes\":{\"id\":1},\"geometry\":{\"x\":1,\"y\":2}}]}\n", refused: 400, posted: "Esri JSON", printed: "Esri JSON"},
		{name: "the same on one line", mediaType: geoJSON, text: `{"features":[{"geometry":{"x":1,"y":2},"attributes":{"id":1}}]}`, refused: 400, posted: "Esri JSON", printed: "Esri JSON"},
		{name: "Features, and a type that is another", mediaType: geoJSON, text: `{"features":[` + one + `],"type":"FeatureSet"}`, refused: 400, posted: "FeatureSet", printed: "FeatureSet"},
		{name: "Features, and no type", mediaType: geoJSON, text: `{"features":[` + one + `]}`, refused: 400, posted: "not GeoJSON", printed: "not GeoJSON"},
		{name: "a comma too many", mediaType: geoJSON, text: `{"type":"FeatureCollection","features":[` + one + `,]}`, refused: 400, posted: "a Feature is missing", printed: "a Feature is missing"},
		{name: "cut off", mediaType: geoJSON, text: `{"type":"FeatureCollection","features":[` + one + `,` + one[:40], refused: 400, posted: "ends inside", printed: "ends inside"},
		{name: "type twice", mediaType: geoJSON, text: `{"type":"FeatureCollection","features":[` + one + `],"type":"FeatureCollection"}`, refused: 400, posted: "once", printed: "once"},
	})
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err) // a buffer does not fail
	}
	return b.String()
}

// The column of the id can be named, for every format; a file that is sent again is then
// the same items again. That rows have no ids is told.
func TestIDsByName(t *testing.T) {
	const geoJSON = "application/geo+json"
	const stop = `{"type":"Feature","geometry":{"type":"Point","coordinates":[8.5,47.5]},"properties":{"ref":"S1","name":"Mill"}}`
	const other = `{"type":"Feature","id":7,"geometry":{"type":"Point","coordinates":[9,48]},"properties":{"ref":7.0}}`
	s := startServer(t, t.TempDir())
	c := newClient(t)
	for i, f := range []struct {
		name, mediaType, id, text, want string
	}{
		{"a FeatureCollection", geoJSON, "ref", `{"type":"FeatureCollection","features":[` + stop + `,` + other + `]}`, `7{} S1{"name":"Mill"}`},
		{"lines", "application/x-ndjson", "ref", stop + "\n" + other + "\n" + `{"ref":"x","id":"a","lat":1,"lon":2}` + "\n", `7{} S1{"name":"Mill"} x{"id":"a"}`},
		{"a text sequence", "application/geo+json-seq", "ref", "\x1e" + stop + "\n\x1e" + other + "\n", `7{} S1{"name":"Mill"}`},
		{"a table", "text/csv", "stop", "stop,id,lat,lon\nS1,4,1,2\nS2,5,1,2\n", `S1{"id":4} S2{"id":5}`},
		{"GTFS", "text/csv", "", "stop_id,stop_name,stop_lat,stop_lon\nS1,Mill Lane,47.101,8.202\nS2,Quay,47.105,8.211\n", `S1{"stop_name":"Mill Lane"} S2{"stop_name":"Quay"}`},
		{"GBIF", "text/tab-separated-values", "", "gbifID\tdecimalLatitude\tdecimalLongitude\n7.0\t1\t2\n", `7.0{}`},
		{"as clients of features write it", geoJSON, "id", `{"type":"FeatureCollection","name":"c","crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:OGC:1.3:CRS84"}},"features":[` +
			`{"type":"Feature","properties":{"id":"é1","n":1.50,"a":[1,{"id":2}]},"geometry":{"type":"Point","coordinates":[1,2]}}]}`, `é1{"n":1.50,"a":[1,{"id":2}]}`},
		{"null is none", geoJSON, "ref", `{"type":"FeatureCollection","features":[{"type":"Feature","id":"own","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"ref":null}}]}`, `own{"ref":null}`},
	} {
		t.Run(f.name, func(t *testing.T) {
			posted, loaded := fmt.Sprintf("p%d", i), fmt.Sprintf("l%d", i)
			call(c, http.MethodPut, s.base+"/v1/collections/"+posted, "application/json", "{}")
			query, args := "", []string{"load", "-", "-c", loaded, "--server", s.base}
			if f.id != "" {
				query, args = "?id="+f.id, append(args, "--id", f.id)
			}
			for range 2 {
				if status, answer := call(c, http.MethodPost, s.base+"/v1/collections/"+posted+"/items"+query, f.mediaType, f.text); status != http.StatusOK || strings.Contains(string(answer), "notes") {
					t.Fatalf("%d %s", status, answer)
				}
				if r := runCLI(t, f.text, args...); r.code != exitOK {
					t.Fatalf("%+v", r)
				}
			}
			for _, collection := range []string{posted, loaded} {
				all := s.content(c, collection)
				var items []string
				for _, id := range slices.Sorted(maps.Keys(all)) {
					items = append(items, id+all[id].properties)
				}
				if got := strings.Join(items, " "); got != f.want {
					t.Errorf("%s has [%s], want [%s]", collection, got, f.want)
				}
			}
		})
	}
	const told, name = "without an id", "id=NAME"
	call(c, http.MethodPut, s.base+"/v1/collections/unnamed", "application/json", "{}")
	for mediaType, text := range map[string]string{
		"text/csv":             "when,what,lat,lon\n2026-01-01,collision,40.5,-74.5\n2026-01-01,collision,40.5,-74.5\n",
		"application/x-ndjson": stop + "\n",
		geoJSON:                `{"type":"FeatureCollection","features":[` + stop + `]}`,
	} {
		status, answer := call(c, http.MethodPost, s.base+"/v1/collections/unnamed/items", mediaType, text)
		if status != http.StatusOK || !strings.Contains(string(answer), told) || !strings.Contains(string(answer), name) {
			t.Errorf("%s: it is not told that rows have no ids: %d %s", mediaType, status, answer)
		}
	}
	if r := runCLI(t, "what,lat,lon\na,1,2\n", "load", "-", "-c", "unnamed", "--server", s.base); !strings.Contains(r.stderr, "the old one stays") {
		t.Errorf("it is not told what becomes of changed rows: %+v", r)
	}
	if status, answer := call(c, http.MethodPost, s.base+"/v1/collections/unnamed/items?id=ref", geoJSON, stop); status != http.StatusCreated || !strings.Contains(string(answer), `"id":"S1"`) {
		t.Errorf("one Feature: %d %s", status, answer)
	}
}

// Advice can be followed by who gets it: over HTTP with a parameter, at the command line
// with a flag. Two candidates for an axis are a question, also where they have one name.
func TestAdvice(t *testing.T) {
	refused := func(name, text, option string) upload {
		return upload{name: name, text: text, refused: 400, posted: "the parameter " + option + "=", printed: "--" + option + " "}
	}
	deliver(t, []upload{
		refused("two latitudes", "id,site_latitude,site_longitude,gauge_latitude,gauge_longitude\n1,10,20,10.001,20.001\n", "lat"),
		{name: "both axes", text: "id,lat,lon,lat,lon\n1,1,2,50,60\n", refused: 400, posted: "the parameter lat=NAME and the parameter lon=NAME", printed: "--lat NAME and --lon NAME"},
		refused("two ends", "id,north_lat_deg,north_lon_deg,south_lat_deg,south_lon_deg\n1,10,20,9,20\n", "lat"),
		refused("joined", "id,lat,lon,name,lat,lon\n1,1,2,Mill,50,60\n", "lat"),
		refused("two ids", "id,lat,lon,ID\n1,1,2,4\n", "id"),
		refused("no header", "1,10,20,Mill\n2,11,21,Quay\n", "columns"),
		refused("no such column", "id,breite,laenge\n1,1,2\n", "lon"),
		{name: "the advice followed", query: "?lat=lat_2&lon=lon_2", args: "--lat lat_2 --lon lon_2", text: "id,lat,lon,name,lat,lon\n1,1,2,Mill,50,60\n", want: "1 60,50"},
		{name: "one end", query: "?lat=north_lat_deg&lon=north_lon_deg", args: "--lat north_lat_deg --lon north_lon_deg", text: "id,north_lat_deg,north_lon_deg,south_lat_deg,south_lon_deg\n1,10,20,9,20\n", want: "1 20,10"},
		{name: "columns named", query: "?columns=id,lat,lon,name", args: "--columns id,lat,lon,name", text: "1,10,20,Mill\n2,11,21,Quay\n", want: "1 20,10; 2 21,11"},
		{name: "Latin-1", text: "id,name,lat,lon\n1,Z\xfcrich,47,8\n2,a,1,2\n", want: "2 2,1", rejected: 1, posted: "the parameter encoding=latin1", printed: "--encoding latin1"},
		{name: "Latin-1 named", query: "?encoding=latin1", args: "--encoding latin1", text: "id,name,lat,lon\n1,Z\xfcrich,47,8\n", want: "1 8,47"},
		{name: "decimal commas", text: "id;lat;lon\n1;50.5;7.5\n2;50,7;7.1\n", want: "1 7.5,50.5", rejected: 1, posted: "the parameter decimalComma=true", printed: "--decimal-comma"},
		{name: "no table", mediaType: "application/x-ndjson", query: "?quotes=on", args: "--quotes on", text: `{"id":1,"lat":1,"lon":2}`, refused: 400, posted: "quotes", printed: "--quotes"},
	})
}

// Where two conventions name columns of one thing, the stated order decides, and the report says
// what was used and what was left as a property. Columns that were named by who loads the file
// are no question.
func TestColumnsThatMayBeMeantToo(t *testing.T) {
	deliver(t, []upload{
		{name: "axes of a map", text: "id,y,x,lat,lon\n1,50,60,1,2\n", want: "1 2,1", printed: "the position is read from lat, lon; what may be one too is a property: y, x; decide with --lat NAME and --lon NAME",
			posted: "the position is read from lat, lon; what may be one too is a property: y, x; decide with the parameter lat=NAME and the parameter lon=NAME"},
		{name: "a geometry", text: "id,geom,lat,lon\n1,POINT(60 50),1,2\n", want: "1 2,1", printed: "a property: geom; decide with --wkt NAME", posted: "a property: geom; decide with the parameter wkt=NAME"},
		{name: "a geometry and words", text: "id,the_geom,stop_lat,stop_lon\n1,POINT(2 1),50,60\n", want: "1 2,1", printed: "read from the_geom; what may be one too is a property: stop_lat, stop_lon; decide with --lat NAME"},
		{name: "both", text: "id,x,y,\"lat, lng\",wkt,latitude,longitude\n1,60,50,\"50,60\",POINT(60 50),1,2\n", want: "1 2,1", printed: "a property: x, y, lat, lng, wkt; decide with --lat NAME and --lon NAME, or --wkt NAME"},
		{name: "other words", text: "id,latitude_deg,longitude_deg,dme_latitude_deg,dme_longitude_deg\n1,1,2,50,60\n", want: "1 2,1", printed: "a property: dme_latitude_deg, dme_longitude_deg"},
		{name: "ids", text: "uuid,id,lat,lon\nu,1,1,2\n", want: "1 2,1", printed: "the id is read from id; what may be one too is a property: uuid; decide with --id NAME", posted: "decide with the parameter id=NAME"},
		{name: "three ids", text: "uuid,gbifID,geonameid,lat,lon\nu,g,1,1,2\n", want: "1 2,1", printed: "read from geonameid; what may be one too is a property: uuid, gbifID"},
		{name: "two of one line", text: "id,latitude,longitude,lat,lon,y,x\n1,1,2,3,4,5,6\n", refused: 400, printed: "more than one column may be the latitude: latitude, lat", posted: "lat=NAME"},
	})
	s := startServer(t, t.TempDir())
	c := newClient(t)
	for i, f := range []struct{ query, args, text string }{
		{"?lat=y&lon=x", "--lat y --lon x", "id,y,x,lat,lon,geom\n1,50,60,1,2,\n"},
		{"?wkt=geom", "--wkt geom", "id,y,x,lat,lon,geom\n1,50,60,1,2,POINT(2 1)\n"},
		{"?id=uuid", "--id uuid", "id,uuid,lat,lon\n1,u,1,2\n"},
		{"", "", "id,lat,lon,y,site_lat,geometry_type,id_2\n1,1,2,3,4,Point,5\n"}, // half a position is none
	} {
		collection := fmt.Sprintf("c%d", i)
		call(c, http.MethodPut, s.base+"/v1/collections/"+collection, "application/json", "{}")
		if status, answer := call(c, http.MethodPost, s.base+"/v1/collections/"+collection+"/items"+f.query, "text/csv", f.text); status != http.StatusOK || strings.Contains(string(answer), "notes") {
			t.Errorf("%s: %d %s", f.text, status, answer)
		}
		if r := runCLI(t, f.text, append([]string{"load", "-", "-c", collection, "--server", s.base}, strings.Fields(f.args)...)...); r.code != exitOK || strings.Contains(r.stderr, "may be") {
			t.Errorf("%s: %+v", f.text, r)
		}
	}
}

// Files that are no text are named for what they are.
func TestFilesThatAreNoText(t *testing.T) {
	var wide strings.Builder
	for _, r := range "id,lat,lon\n1,1,2\n" {
		wide.WriteByte(byte(r))
		wide.WriteByte(0)
	}
	var files []upload
	for _, f := range []struct{ says, text string }{
		{".osm.pbf", "\x00\x00\x00\x0d\n\x09OSMHeader\x18\x7c\x10\x71"},
		{"bzip2", "BZh91AY&SY\x12\x34\x00\x01"},
		{".xls", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00\x00\x00\x00"},
		{"xz", "\xfd7zXZ\x00\x00\x04"},
		{"7z", "7z\xbc\xaf\x27\x1c\x00\x04"},
		{"Feather", "ARROW1\x00\x00\xff\xff\xff\xff"},
		{"Feather", "FEA1\x00\x00\x00\x00"},
		{"Parquet", "PAR1\x15\x04\x15"},
		{"RAR", "Rar!\x1a\x07\x01\x00"},
		{"PDF", "%PDF-1.7\n"},
		{"PNG", "\x89PNG\r\n\x1a\n\x00\x00"},
		{"JPEG", "\xff\xd8\xff\xe0\x00\x10JFIF"},
		{"TIFF", "II*\x00\x08\x00\x00\x00"},
		{"HDF5", "\x89HDF\r\n\x1a\n"},
		{"NetCDF", "CDF\x01\x00\x00"},
		{"PMTiles", "PMTiles\x03"},
		{"UTF-32", "\xff\xfe\x00\x00i\x00\x00\x00"},
		{"UTF-32", "\x00\x00\xfe\xff\x00\x00\x00i"},
		{"UTF-16", wide.String()},
		{"UTF-16", "\x00" + wide.String()[:wide.Len()-1]},
		{".Z", "\x1f\x9d\x90\x69\xc8\x00"},
		{"lzip", "LZIP\x01\x0c\x00"},
		{"zlib", "x\x9c\x4b\x4c\x00"},
		{"LZMA", "\x5d\x00\x00\x80\x00"},
		{"Avro", "Obj\x01\x04\x14avro.codec"},
		{"ORC", "ORC\n\x03\x00\x00\x00\x12"},
		{"NumPy", "\x93NUMPY\x01\x00v\x00"},
		{"dBASE", "\x03\x7c\x0b\x1d\x02\x00\x00\x00\x61\x00\x1f\x00" + strings.Repeat("\x00", 20) + "NAME\x00\x00\x00\x00\x00\x00\x00C"},
		{"geobuf", "\n\x04name\n\x03pop\x22\x1c\n\x1a\n\x06\x08\x00\x1a\x02\x02\x04"},
		{"geobuf", "\n\x04name\x10\x02\x18\x06\x22\x1c\n\x1a\n\x06\x08\x00\x1a\x02\x02\x04"},
	} {
		files = append(files, upload{name: f.says, text: f.text, refused: 400, posted: f.says, printed: f.says},
			upload{name: f.says + " as GeoJSON", mediaType: "application/geo+json", text: f.text, refused: 400, posted: f.says, printed: f.says})
	}
	deliver(t, files)
}

// Positions are found where clients of maps write them.
func TestPositionsOfClients(t *testing.T) {
	deliver(t, []upload{
		{name: "a MultiPoint of one", mediaType: "application/x-ndjson", text: `{"type":"Feature","id":"one","geometry":{"type":"MultiPoint","coordinates":[ [1,2] ]},"properties":{}}` + "\n" +
			`{"type":"Feature","id":"two","geometry":{"type":"MultiPoint","coordinates":[[1,2],[3,4]]}}` + "\n" + `{"type":"Feature","id":"none","geometry":{"type":"MultiPoint","coordinates":[]}}` + "\n",
			want: "one 1,2", rejected: 2},
		{name: "in text", text: "id,geom\n1,MULTIPOINT ((1 2))\n2,MULTIPOINT(1 2)\n3,\"MULTIPOINT((1 2),(3 4))\"\n4,\"MULTIPOINT(1 2,3 4)\"\n", want: "1 1,2; 2 1,2", rejected: 2},
		{name: "POINT_X, POINT_Y", text: "id,POINT_X,POINT_Y\n1,2,1\n", want: "1 2,1"},
		{name: "lat, lng", text: "id,\"lat, lng\"\n1,\"1.5, 2.5\"\n2,\"(3,4)\"\n3,5 6\n4,x\n", want: "1 2.5,1.5; 2 4,3; 3 6,5", rejected: 1},
		{name: "both in a column that is named", query: "?lat=LatLng&lon=latlng", args: "--lat LatLng --lon latlng", text: "id,lat,lon,latlng\n1,50,60,\"1,2\"\n", want: "1 2,1"},
		{name: "both, the longitude first by the name", query: "?lat=lonlat&lon=lonlat", args: "--lat lonlat --lon lonlat", text: "id;lonlat\n1;2,1\n", want: "1 2,1"},
		{name: "both, and the name has no order", query: "?lat=coordinates&lon=coordinates", args: "--lat coordinates --lon coordinates", text: "id,coordinates\n1,\"1.5, 100\"\n2,x\n3,\"100, 1.5\"\n", want: "1 100,1.5", rejected: 2, posted: "may be swapped", printed: "may be swapped"},
		{name: "both, the longitude first", query: "?wkt=coordinates", args: "--wkt coordinates", text: "id,coordinates\n1,\"100, 1.5\"\n2,\"[2,1]\"\n3,POINT(4 3)\n4,x\n", want: "1 100,1.5; 2 2,1; 3 4,3", rejected: 1},
		{name: "advice on both", text: "id,coordinates,n\n1,\"1.5,100\",2\n2,,3\n", refused: 400, posted: "\\\"coordinates\\\" may hold both numbers: say the parameter lat=coordinates and the parameter lon=coordinates if the latitude is first, the parameter wkt=coordinates if the longitude is",
			printed: "\"coordinates\" may hold both numbers: say --lat coordinates and --lon coordinates if the latitude is first, --wkt coordinates if the longitude is"},
		{name: "one member for both", mediaType: "application/x-ndjson", query: "?lat=p&lon=p", args: "--lat p --lon p", text: `{"p":1}`, refused: 400, posted: "holds one number", printed: "holds one number"},
		{name: "lon lat", text: "id;LonLat\n1;2,1\n", want: "1 2,1"},
		{name: "lat, lng between semicolons", text: "id;lat, lng;name\n1;1.5, 2.5;a\n2;3,4;b\n", want: "1 2.5,1.5; 2 4,3"},
		{name: "_geojson", text: "id,_geojson\n1,\"{\"\"type\"\":\"\"Point\"\",\"\"coordinates\"\":[2,1]}\"\n2,\"{\"\"type\"\":\"\"LineString\"\",\"\"coordinates\"\":[[2,1],[1,1]]}\"\n3,\"{\"\n", want: "1 2,1", rejected: 2},
		{name: "stop_lat", text: "stop_id,stop_lat,stop_lon\n1,1,2\n", want: "1 2,1"},
		{name: "Darwin Core", text: "gbifID\tdecimalLatitude\tdecimalLongitude\n1\t1\t2\n", want: "1 2,1"},
	})
}
