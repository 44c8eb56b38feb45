package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// wantTool ends the test if a client is not installed: with a failure if "make
// provision" has said that it must be there.
func wantTool(t *testing.T, found bool, install string) {
	t.Helper()
	switch {
	case found:
	case os.Getenv("NEARBY_TEST_CLIENTS") == "required":
		t.Fatalf("%s was provisioned and is not found", install)
	default:
		t.Skipf("%s is not installed; Debian: apt-get install %s", install, install)
	}
}

func wantGDAL(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("ogrinfo")
	_, err2 := exec.LookPath("ogr2ogr")
	wantTool(t, err == nil && err2 == nil, "gdal-bin")
}

// python returns the interpreter that has a module; the system's own comes first,
// since that is what packages are installed for.
func python(t *testing.T, module, install string) string {
	t.Helper()
	for _, p := range []string{"/usr/bin/python3", "python3"} {
		if exec.CommandContext(t.Context(), p, "-c", "import "+module).Run() == nil {
			return p
		}
	}
	wantTool(t, false, install)
	return ""
}

// runClient runs a GIS client and returns its stdout. It must say nothing on stderr.
func runClient(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), "GDAL_HTTP_PROXY=", "no_proxy=127.0.0.1", "XDG_RUNTIME_DIR="+t.TempDir())
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, &stdout, &stderr)
	}
	if stderr.Len() > 0 {
		t.Errorf("%s %q complains: %s", name, args, &stderr)
	}
	return stdout.String()
}

// gisPlaces is how many items are on the map: more than two pages of any size.
const gisPlaces = 2500

// onTheMap starts a server with a collection round the antimeridian, and tells
// which of its items lie in a box and which are cafés.
func onTheMap(t *testing.T, args ...string) (s *server, inside func(west, south, east, north float64) int, cafes int) {
	t.Helper()
	s = startServer(t, t.TempDir(), args...)
	rng := rand.New(rand.NewPCG(3, 3))
	var rows strings.Builder
	rows.WriteString("id,lat,lon,name,category,n\n")
	spots := make([][2]float64, gisPlaces)
	for i := range spots {
		lon, lat := 170+20*rng.Float64(), 20*rng.Float64()-10
		if lon > 180 {
			lon -= 360
		}
		spots[i] = [2]float64{lon, lat}
		category := []string{"bar", "cafe", "shop"}[i%3]
		if category == "cafe" {
			cafes++
		}
		fmt.Fprintf(&rows, "p%d,%v,%v,Place %d,%s,%d\n", i, lat, lon, i, category, i)
	}
	c := newClient(t)
	if status, answer := call(c, "PUT", s.base+"/v1/collections/map", "application/json", `{"title":"A map","queryables":["category","n"]}`); status != 201 {
		t.Fatalf("%d %s", status, answer)
	}
	if status, answer := call(c, "POST", s.base+"/v1/collections/map/items", "text/csv", rows.String()); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	return s, func(west, south, east, north float64) (n int) {
		for _, p := range spots {
			if p[0] >= west && p[0] <= east && p[1] >= south && p[1] <= north {
				n++
			}
		}
		return n
	}, cafes
}

var featureCount = regexp.MustCompile(`Feature Count: (\d+)`)

// TestGDAL: ogrinfo and ogr2ogr find the collection from the landing page, count,
// clip and filter it as we do, and read all of it page by page.
func TestGDAL(t *testing.T) {
	t.Parallel()
	wantGDAL(t)
	s, inside, cafes := onTheMap(t)
	source := "OAPIF:" + s.base + "/v1"
	count := func(want int, args ...string) {
		t.Helper()
		out := runClient(t, "ogrinfo", append([]string{"-ro", "-so"}, args...)...)
		m := featureCount.FindStringSubmatch(out)
		if m == nil || m[1] != strconv.Itoa(want) {
			t.Errorf("ogrinfo %q: %v, want %d features\n%s", args, m, want, out)
		}
	}
	count(gisPlaces, "-al", source)
	count(gisPlaces, "-oo", "PAGE_SIZE=1000", source, "map")
	count(inside(178, -5, 180, 5), "-spat", "178", "-5", "180", "5", source, "map")
	count(inside(-180, -5, -178, 5), "-spat", "-180", "-5", "-178", "5", source, "map")
	count(cafes, "-oo", "PAGE_SIZE=1000", "-where", "category = 'cafe'", source, "map")
	count(1, "-oo", "PAGE_SIZE=1000", "-where", "n = 7", source, "map")
	if out := runClient(t, "ogrinfo", "-ro", "-so", source, "map"); !strings.Contains(out, "Geometry: Point") ||
		!strings.Contains(out, "n: Integer") || !strings.Contains(out, "A map") {
		t.Errorf("the layer is described as\n%s", out)
	}
	for _, size := range []string{"1", "1000"} {
		options := []string{"-f", "CSV", "/vsistdout/", "-oo", "PAGE_SIZE=" + size, source, "map"}
		if size == "1" { // a page for each item, so fewer of them
			options = append(options, "-spat", "179.5", "-2", "180", "2")
		}
		ids := column(t, runClient(t, "ogr2ogr", options...), "id")
		want := gisPlaces
		if size == "1" {
			want = inside(179.5, -2, 180, 2)
		}
		slices.Sort(ids)
		if len(ids) != want || len(slices.Compact(ids)) != want {
			t.Errorf("pages of %s: %d items were read, want %d", size, len(ids), want)
		}
	}
}

// TestGDALReadsNearby: the answer of nearby is a file to GDAL, in the order of the
// distances, which come as a property.
func TestGDALReadsNearby(t *testing.T) {
	t.Parallel()
	wantGDAL(t)
	s, _, _ := onTheMap(t)
	url := s.base + "/v1/collections/map/nearby?lat=0.5&lon=179.9&k=50&distance_property=metres"
	var near page
	s.get(newClient(t), url, &near)
	out := runClient(t, "ogr2ogr", "-f", "CSV", "/vsistdout/", url)
	ids, metres := column(t, out, "id"), column(t, out, "metres")
	if len(ids) != 50 {
		t.Fatalf("%d features, want 50", len(ids))
	}
	for i, f := range near.Features {
		if m, err := strconv.ParseFloat(metres[i], 64); err != nil || ids[i] != f.ID || m != *f.Distance {
			t.Errorf("feature %d is %s at %s, want %s at %v", i, ids[i], metres[i], f.ID, *f.Distance)
		}
	}
}

// TestGDALWithinBounds: pages that the server's limits end early do not end the
// reading.
func TestGDALWithinBounds(t *testing.T) {
	t.Parallel()
	wantGDAL(t)
	s, inside, _ := onTheMap(t, "--max-compared", "40", "--max-answer", "3000")
	for _, box := range [][]string{nil, {"-spat", "178", "-5", "180", "5"}} {
		want := gisPlaces
		if box != nil {
			want = inside(178, -5, 180, 5)
		}
		args := append([]string{"-f", "CSV", "/vsistdout/", "-oo", "PAGE_SIZE=1000", "OAPIF:" + s.base + "/v1", "map"}, box...)
		if ids := column(t, runClient(t, "ogr2ogr", args...), "id"); len(ids) != want {
			t.Errorf("%q: %d items were read, want %d", box, len(ids), want)
		}
	}
}

// column returns a column of a CSV file.
func column(t *testing.T, file, name string) (values []string) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(file)).ReadAll()
	if err != nil || len(rows) == 0 {
		t.Fatalf("%v in %.300s", err, file)
	}
	i := slices.Index(rows[0], name)
	if i < 0 {
		t.Fatalf("there is no column %s in %q", name, rows[0])
	}
	for _, r := range rows[1:] {
		values = append(values, r[i])
	}
	return values
}

// TestOWSLib: the Python client reads every resource that it knows.
func TestOWSLib(t *testing.T) {
	t.Parallel()
	interpreter := python(t, "owslib", "python3-owslib")
	s, inside, cafes := onTheMap(t, "--max-compared", "300")
	var saw struct {
		Conformance, Collections  []string
		API                       string
		BBox                      []float64
		Matched, Pages, IDs, Seam int
		Cafes                     int
		One                       bool
	}
	out := runClient(t, interpreter, filepath.Join("testdata", "owslib_walk.py"), s.base+"/v1", "map")
	if err := json.Unmarshal([]byte(out), &saw, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	seam := inside(178, -5, 180, 5) + inside(-180, -5, -178, 5)
	if len(saw.Conformance) == 0 || !slices.Equal(saw.Collections, []string{"map"}) || saw.API != "3.0.3" || len(saw.BBox) != 4 ||
		saw.Matched != gisPlaces || saw.Pages < 3 || saw.IDs != gisPlaces || saw.Seam != seam || saw.Cafes != cafes || !saw.One {
		t.Errorf("want %d items, %d at the seam, %d cafés; got %+v", gisPlaces, seam, cafes, saw)
	}
}

// TestQGIS runs where it is asked for, by "make test-qgis": QGIS is large.
func TestQGIS(t *testing.T) {
	if os.Getenv("NEARBY_TEST_QGIS") == "" {
		t.Skip("QGIS is tested by make test-qgis")
	}
	interpreter := python(t, "qgis.core", "python3-qgis qgis-providers")
	s, inside, cafes := onTheMap(t)
	var saw struct {
		Valid                          bool
		Count, Items, Box, Cafes, Near int
		Fields                         []string
		Types                          map[string]string
		Values                         [][]any
	}
	c := newClient(t)
	if status, answer := call(c, "PUT", s.base+"/v1/collections/typed", "application/json",
		`{"queryables":{"name":"string","rating":"number","beds":"integer","open":"boolean","opened":"date-time"}}`); status != 201 {
		t.Fatalf("%d %s", status, answer)
	}
	if status, answer := call(c, "POST", s.base+"/v1/collections/typed/items", "text/csv", "id,lat,lon,name,rating,beds,open,opened\n"+
		"a,1,1,01234,4.5,3,true,2026-01-02T03:04:05Z\nb,1,1,Inn,4,4,false,2026-01-02T03:04:05Z\n"); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, interpreter, filepath.Join("testdata", "qgis_layers.py"), s.base+"/v1", "map", "typed").Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := json.Unmarshal(out, &saw, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	box := inside(178, -5, 180, 5)
	if !saw.Valid || saw.Count != gisPlaces || saw.Items != gisPlaces || saw.Box != box || saw.Cafes != cafes || saw.Near != 20 ||
		!slices.Contains(saw.Fields, "category") {
		t.Errorf("want %d items, %d in the box, %d cafés, 20 near; got %+v", gisPlaces, box, cafes, saw)
	}
	types := map[string]string{"id": "String", "name": "String", "rating": "Real", "beds": "Integer", "open": "Boolean", "opened": "DateTime"}
	values := [][]any{{"01234", 4.5, 3.0, true, "2026-01-02T03:04:05Z"}}
	if !maps.Equal(saw.Types, types) || !reflect.DeepEqual(saw.Values, values) {
		t.Errorf("attributes have the types %v, and those with 3 beds are %v; want %v and %v", saw.Types, saw.Values, types, values)
	}
}

// requested runs a GDAL program, and returns what it printed and the requests that it
// sent.
func requested(t *testing.T, name string, args ...string) (out, requests string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), "CPL_DEBUG=ON", "GDAL_HTTP_PROXY=", "no_proxy=127.0.0.1", "XDG_RUNTIME_DIR="+t.TempDir())
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, &stdout, &stderr)
	}
	for line := range strings.Lines(stderr.String()) {
		if strings.Contains(line, "Fetch(") {
			requests += line
		}
	}
	return stdout.String(), requests
}

// TestGDALColumns: every column is there, with its type, also those that the first items
// do not have, and integers of any length come whole.
func TestGDALColumns(t *testing.T) {
	t.Parallel()
	wantGDAL(t)
	s := startServer(t, t.TempDir())
	c := newClient(t)
	if status, answer := call(c, "PUT", s.base+"/v1/collections/c", "application/json", `{"time":"opened"}`); status != 201 {
		t.Fatalf("%d %s", status, answer)
	}
	var rows strings.Builder
	for i := range 100 {
		fmt.Fprintf(&rows, `{"type":"Feature","id":"i%d","geometry":{"type":"Point","coordinates":[1,1]},"properties":{"name":"x","n":1,"opened":"2020-01-01"}}`+"\n", i)
	}
	rows.WriteString(`{"type":"Feature","id":"whole","geometry":{"type":"Point","coordinates":[1,1]},"properties":{"name":"y","n":2,"opened":"2021-01-01","closed":"2021-05-01","real":1.5,` +
		`"wide":999999999999999,"long":9007199254740993,"flag":true,"mixed":1,"nothing":null,"list":["a","b"],"object":{"a":1}}}` + "\n")
	if status, answer := call(c, "POST", s.base+"/v1/collections/c/items", "application/x-ndjson", rows.String()); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	out := runClient(t, "ogrinfo", "-ro", "-so", "-oo", "PAGE_SIZE=5", "OAPIF:"+s.base+"/v1", "c")
	for _, column := range []string{
		"id: String", "name: String", "n: Integer (", "opened: Date (", "closed: String", "real: Real", "wide: Real", "long: String",
		"flag: Integer(Boolean)", "mixed: ", "nothing: String", "list: String", "object: String",
	} {
		if !strings.Contains(out, "\n"+column) {
			t.Errorf("there is no column %q in\n%s", column, out)
		}
	}
	csv := runClient(t, "ogr2ogr", "-f", "CSV", "/vsistdout/", "-oo", "PAGE_SIZE=5", "OAPIF:"+s.base+"/v1", "c")
	ids := column(t, csv, "id")
	for name, want := range map[string]string{"long": "9007199254740993", "wide": "999999999999999", "real": "1.5", "n": "2", "opened": "2021/01/01", "closed": "2021/05/01"} {
		if got := column(t, csv, name)[slices.Index(ids, "whole")]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// TestGDALFilters: GDAL has the server filter by queryables and by the time property, and
// filters by other times itself; what comes is right.
func TestGDALFilters(t *testing.T) {
	t.Parallel()
	wantGDAL(t)
	s, _, cafes := onTheMap(t)
	source := "OAPIF:" + s.base + "/v1"
	c := newClient(t)
	rows := "id,lat,lon,at,day,other\n"
	for i := range 60 {
		at := time.Date(2019, 12, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, i)
		rows += fmt.Sprintf("t%d,1,1,%s,%s,%s\n", i, at.Add(time.Duration(i%2)*time.Hour).Format(time.RFC3339), at.Format(time.DateOnly), at.Format(time.DateOnly))
	}
	for name, definition := range map[string]string{"instants": `{"time":"at"}`, "days": `{"time":"day"}`, "timeless": `{}`} {
		if status, answer := call(c, "PUT", s.base+"/v1/collections/"+name, "application/json", definition); status != 201 {
			t.Fatalf("%d %s", status, answer)
		}
		if status, answer := call(c, "POST", s.base+"/v1/collections/"+name+"/items", "text/csv", rows); status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
	}
	for _, tt := range []struct {
		layer, where string
		want         int
		sent, not    string // parts of requests
	}{
		{"map", "category = 'cafe'", cafes, "category=cafe", ""},
		{"map", "n = 7", 1, "n=7", ""},
		{"map", "category = 'cafe' AND n = 7", 1, "category=cafe&n=7", ""},
		{"instants", "at >= '2020/01/01'", 29, "datetime=2020-01-01", ""}, // December has 31 days
		{"instants", "at <= '2020/01/01'", 31, "datetime=", ""},           // the last one at 01:00 is later
		{"instants", "at >= '2020/01/01 02:00:00' AND at <= '2020/01/03 00:00:00'", 1, "datetime=2020-01-01T02:00:00Z", ""},
		{"days", "day >= '2020/01/01'", 29, "datetime=2020-01-01", ""},
		{"days", "day = '2020/01/01'", 1, "datetime=2020-01-01", ""},
		{"days", "other >= '2020-01-01'", 29, "", "datetime"},
		{"timeless", "at >= '2020-01-01'", 29, "", "datetime"},
		{"timeless", "day >= '2020-01-01'", 29, "", "datetime"},
		{"timeless", "day >= '2020/01/01'", 29, "", "datetime"},
	} {
		out, requests := requested(t, "ogrinfo", "-ro", "-so", "-where", tt.where, source, tt.layer)
		m := featureCount.FindStringSubmatch(out)
		if m == nil || m[1] != strconv.Itoa(tt.want) {
			t.Errorf("%s where %s: %v, want %d features\n%s", tt.layer, tt.where, m, tt.want, out)
		}
		if !strings.Contains(requests, tt.sent) || tt.not != "" && strings.Contains(requests, tt.not) {
			t.Errorf("%s where %s sent\n%s", tt.layer, tt.where, requests)
		}
	}
}

// TestGDALTypes: the columns of queryables have the types that the definition gives them. By
// itself GDAL has the server filter by equality, and filters by the rest itself. With its option
// for it, it sends the whole filter. What comes is the same.
func TestGDALTypes(t *testing.T) {
	t.Parallel()
	wantGDAL(t)
	s := startServer(t, t.TempDir())
	c := newClient(t)
	if status, answer := call(c, "PUT", s.base+"/v1/collections/typed", "application/json",
		`{"queryables":{"category":"string","rating":"number","seats":"integer","open":"boolean","opened":"date-time","code":"string"}}`); status != 201 {
		t.Fatalf("%d %s", status, answer)
	}
	rows := "id,lat,lon,category,rating,seats,open,opened,code\n"
	for i := range 60 { // seats of the first three rows are empty, as is every ninth rating
		rating, seats := strconv.Itoa(i%6), strconv.Itoa(i)
		if i%9 == 0 {
			rating = ""
		}
		if i < 3 {
			seats = ""
		}
		rows += fmt.Sprintf("t%d,1,1,%s,%s,%s,%t,2020-01-01T00:00:00Z,0%d\n", i, []string{"bar", "cafe"}[i%2], rating, seats, i%4 == 1, i)
	}
	if status, answer := call(c, "POST", s.base+"/v1/collections/typed/items", "text/csv", rows); status != 200 || !strings.Contains(string(answer), `"created":60`) {
		t.Fatalf("%d %s", status, answer)
	}
	count := func(keep func(i int, rated bool) bool) (n int) {
		for i := range 60 {
			if keep(i, i%9 != 0) {
				n++
			}
		}
		return n
	}
	source := "OAPIF:" + s.base + "/v1"
	out := runClient(t, "ogrinfo", "-ro", "-so", source, "typed")
	for _, column := range []string{"id: String (", "category: String (", "rating: Real (", "seats: Integer (", "open: Integer(Boolean) (", "opened: String (", "code: String ("} {
		if !strings.Contains(out, "\n"+column) {
			t.Errorf("there is no column %q in\n%s", column, out)
		}
	}
	for _, tt := range []struct {
		where        string
		want         int
		plain, whole string // part of the requests, without and with the option
	}{
		{"rating > 4", count(func(i int, rated bool) bool { return rated && i%6 > 4 }), "", "filter=rating%20%3E%204&filter-lang=cql-text"},
		{"category = 'cafe' AND rating >= 4", count(func(i int, rated bool) bool { return rated && i%2 == 1 && i%6 >= 4 }), "category=cafe", "filter=(category%20%3D%20'cafe')%20AND%20(rating%20%3E%3D%204)"},
		{"rating BETWEEN 2 AND 3 OR seats = 7", count(func(i int, rated bool) bool { return rated && (i%6 == 2 || i%6 == 3) || i == 7 }), "", "OR%20(seats%20%3D%207)"},
		{"seats IS NULL", 3, "", "filter=(seats%20IS%20NULL)"},
		{"code = '07'", 1, "code=07", "filter=code%20%3D%20'07'"},
		{"open = 1", 15, "open=1", ""},
		{"open = 0 AND category = 'bar'", 30, "open=0&category=bar", ""},
	} {
		for _, option := range [][]string{nil, {"--config", "OGR_OAPIF_ALLOW_CQL_TEXT", "YES"}} {
			sent := tt.plain
			if option != nil {
				if sent = tt.whole; sent == "" {
					continue // GDAL writes a boolean as 1, which it is not in CQL2
				}
			}
			out, requests := requested(t, "ogrinfo", append(option, "-ro", "-so", "-where", tt.where, source, "typed")...)
			m := featureCount.FindStringSubmatch(out)
			if m == nil || m[1] != strconv.Itoa(tt.want) {
				t.Errorf("%q where %s: %v, want %d features\n%s", option, tt.where, m, tt.want, out)
			}
			if !strings.Contains(requests, sent) {
				t.Errorf("%q where %s sent\n%s", option, tt.where, requests)
			}
		}
	}
}

// A collection that GDAL has written to a file loads into the same items again: it writes
// ids as properties.
func TestGDALAndBack(t *testing.T) {
	t.Parallel()
	wantGDAL(t)
	s := startServer(t, t.TempDir())
	if r := runCLI(t, "id,name,depth,lat,lon\na1,Weir,1.5,1,2\nb2,Mill,7.25,3,4\n", "load", "-", "-c", "sites", "--server", s.base); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	c := newClient(t)
	before := s.content(c, "sites")
	file := filepath.Join(t.TempDir(), "sites.geojson")
	runClient(t, "ogr2ogr", "-f", "GeoJSON", file, "OAPIF:"+s.base+"/v1/", "sites")
	if r := runCLI(t, "", "load", file, "-c", "sites", "--id", "id", "--server", s.base); r.code != exitOK || !strings.Contains(r.stdout, "0 created, 2 updated") {
		t.Errorf("%+v", r)
	}
	if after := s.content(c, "sites"); !maps.Equal(before, after) {
		t.Errorf("%v became %v", before, after)
	}
}
