package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestQueryInPolygons: --intersects takes polygons in every form. With a place it shows the nearest
// inside, and without one all inside, each once.
func TestQueryInPolygons(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	var csv strings.Builder
	csv.WriteString("id,lat,lon,name,kind\n")
	for i := range 2500 { // a grid of 50 by 50 degrees
		fmt.Fprintf(&csv, "p%04d,%d,%d,Name %d,k%d\n", i, i/50, i%50, i, i%2)
	}
	if r := runCLI(t, csv.String(), "load", "-", "-c", "grid", "--queryable", "kind", "--server", s.base); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	query := func(args ...string) string {
		t.Helper()
		r := runCLI(t, "", append([]string{"query", "-c", "grid", "--server", s.base}, args...)...)
		if r.code != exitOK {
			t.Fatalf("%q: %+v", args, r)
		}
		return r.stdout
	}
	ids := regexp.MustCompile(`\bp\d{4}\b`)
	var side []string // of a box, with more positions than a URL has room for
	for i := range 2000 {
		side = append(side, fmt.Sprintf("[%v,10.5]", 10.5+float64(i)/200))
	}
	box := `{"type":"Polygon","coordinates":[[[10.5,10.5],[20.5,10.5,99],[20.5,12.5],[10.5,12.5],[10.5,10.5]]]}`
	small := `{"type":"Polygon","coordinates":[[[30.5,30.5],[32.5,30.5],[32.5,31.5],[30.5,31.5],[30.5,30.5]]]}`
	inBox, inBoth := []string{}, []string{}
	for i := range 2500 {
		in := i/50 > 10 && i/50 <= 12 && i%50 > 10 && i%50 <= 20
		if in {
			inBox = append(inBox, fmt.Sprintf("p%04d", i))
		}
		if in || i/50 == 31 && (i%50 == 31 || i%50 == 32) {
			inBoth = append(inBoth, fmt.Sprintf("p%04d", i))
		}
	}
	for _, test := range []struct {
		given string
		want  []string
	}{
		{"POLYGON((10.5 10.5,20.5 10.5,20.5 12.5,10.5 12.5,10.5 10.5))", inBox},
		{" multipolygon (((10.5 10.5,20.5 10.5,20.5 12.5,10.5 12.5,10.5 10.5)))", inBox},
		{file("polygon.wkt", "POLYGON((10.5 10.5,20.5 10.5,20.5 12.5,10.5 12.5,10.5 10.5))\n"), inBox},
		{file("polygon.json", "\ufeff"+box), inBox},
		{file("feature.json", `{"type":"Feature","id":1,"properties":{"a":[]},"geometry":`+box+`}`), inBox},
		{file("two.json", `{"type":"FeatureCollection","name":"x","features":[{"type":"Feature","properties":null,"geometry":`+box+`},{"type":"Feature","geometry":`+small+`}]}`), inBoth},
		{file("multi.json", `{"type":"MultiPolygon","coordinates":[`+strings.TrimSuffix(strings.TrimPrefix(box, `{"type":"Polygon","coordinates":`), "}")+`,`+strings.TrimSuffix(strings.TrimPrefix(small, `{"type":"Polygon","coordinates":`), "}")+`]}`), inBoth},
		{file("large.json", `{"type":"Polygon","coordinates":[[`+strings.Join(side, ",")+`,[20.5,10.5],[20.5,12.5],[10.5,12.5],[10.5,10.5]]]}`), inBox},
	} {
		got := ids.FindAllString(query("--intersects", test.given), -1)
		if slices.Sort(got); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.given, got, test.want)
		}
		// Around (12, 11) its column and row are the nearest.
		if got := ids.FindAllString(query("12", "11", "--intersects", test.given, "-k", "3"), -1); !slices.Equal(got, []string{"p0611", "p0612", "p0561"}) {
			t.Errorf("%s: the nearest are %q", test.given, got)
		}
	}
	everything := query("--intersects", "POLYGON((-1 -1,60 -1,60 60,-1 60,-1 -1))", "--properties", "kind")
	all := ids.FindAllString(everything, -1)
	if slices.Sort(all); len(slices.Compact(all)) != 2500 || !strings.HasSuffix(everything, "2 500 in all\n") && !strings.HasSuffix(everything, "2,500 in all\n") || strings.Count(everything, "kind") != 1 || !strings.Contains(everything, "\n2500  p") {
		t.Errorf("%d items, %.300s … %s", len(all), everything, everything[len(everything)-200:])
	}
	where := query("--intersects", "POLYGON((-1 -1,60 -1,60 0,-1 0,-1 -1))", "--where", "kind=k1", "--sort-by=-kind")
	if n := len(ids.FindAllString(where, -1)); n != 25 {
		t.Errorf("%d items of a kind: %s", n, where)
	}
	if out := query("--intersects", "POLYGON((-1 -1,-60 -1,-60 -9,-1 -1))"); out != "nothing found\n" {
		t.Error(out)
	}
	if out := query("--intersects", "POLYGON((-1 -1,60 -1,60 60,-1 60,-1 -1))", "--json"); strings.Count(out, `{"type":"FeatureCollection"`) != 3 || strings.Count(out, "\n") != 3 {
		t.Errorf("%.300s", out)
	}

	crossed := "0 0,2 2,2 0,0 2,0 0"
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--intersects", "POLYGON((-1 -1,9 -1,9 9,-1 9,-1 -1),(" + crossed + "))"}, exitFailed, "is not valid: ring 1 of polygon 0 crosses or touches itself"},
		{[]string{"1", "1", "--intersects", file("bad.json", strings.Replace(box, "20.5,12.5", "0,10.6", 1))}, exitFailed, "is not valid: ring 0 of polygon 0 crosses"},
		{[]string{"--intersects", "POLYGON((0 0,9 0"}, exitFailed, "cannot be read: column 17"},
		{[]string{"--intersects", filepath.Join(dir, "none.json")}, exitUsage, "--intersects: must be POLYGON((…)), MULTIPOLYGON(((…))) or the name of a file"},
		{[]string{"--intersects", file("point.json", `{"type":"Point","coordinates":[1,2]}`)}, exitFailed, `its type is "Point", and must be Polygon`},
		{[]string{"--intersects", file("points.json", `{"type":"FeatureCollection","features":[{"type":"Feature","geometry":null}]}`)}, exitFailed, `feature 0: its type is ""`},
		{[]string{"--intersects", file("empty.json", `{"type":"FeatureCollection","features":[]}`)}, exitFailed, "it has no polygon"},
		{[]string{"--intersects", file("text.json", `{"type":"Polygon","coordinates":[[["1","2"]]]}`)}, exitFailed, "polygon 0: position 0 of ring 0 must be [longitude, latitude]"},
		{[]string{"--intersects", file("flat.json", `{"type":"Polygon","coordinates":[[1,2]]}`)}, exitFailed, "its coordinates must be polygons of rings"},
		{[]string{"--intersects", file("ringless.json", `{"type":"Polygon","coordinates":[]}`)}, exitFailed, "polygon 0: it has no ring"},
		{[]string{"--intersects", file("not.json", `{"type":`)}, exitFailed, "cannot be read"},
		{[]string{"--intersects", file("not.txt", `here`)}, exitFailed, "cannot be read: column 1"},
		{[]string{"--intersects", "POLYGON((0 0,9 0,9 9,0 0))", "-k", "3"}, exitUsage, "-k needs LAT and LON, or --near"},
		{[]string{"--intersects", "POLYGON((0 0,9 0,9 9,0 0))", "--radius", "3"}, exitUsage, "--radius needs LAT and LON, or --near"},
		{nil, exitUsage, "give LAT and LON, or --near, or --intersects"},
	} {
		r := runCLI(t, "", append([]string{"query", "-c", "grid", "--server", s.base}, test.args...)...)
		if r.code != test.code || !strings.Contains(r.stderr, test.says) || r.stdout != "" {
			t.Errorf("%q: %+v, want %d and %s", test.args, r, test.code, test.says)
		}
	}
}
