package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The report shows where the loaded rows lie, so that swapped columns are seen.
func TestLoadReportsExtent(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	load := func(csv string, args ...string) string {
		t.Helper()
		r := runCLI(t, csv, append([]string{"load", "-", "-c", "places", "--server", s.base}, args...)...)
		return r.stdout
	}
	const file = "id,lat,lon\n1,40.7,-73.9812345678\n2,-40,-74\n3,41.25,0.5\nbad,91,100\n"
	if got, want := load(file), "extent: lat -40 to 41.25, lon -74 to 0.5\n"; !strings.Contains(got, want) {
		t.Errorf("the report is\n%swithout %q", got, want)
	}
	if got, want := load(file, "--lat", "lon", "--lon", "lat"), "extent: lat -74 to 0.5, lon -40 to 41.25\n"; !strings.Contains(got, want) {
		t.Errorf("with the columns swapped the report is\n%swithout %q", got, want)
	}
	if got, want := load("id,lat,lon\n1,-18.14,178.44\n2,-16.85,-179.97\n"), "extent: lat -18.14 to -16.85, lon 178.44 to -179.97, across the antimeridian\n"; !strings.Contains(got, want) {
		t.Errorf("in Fiji the report is\n%swithout %q", got, want)
	}
	if got, want := load("id,lat,lon\n1,50,50\nnew,3,4\n", "--on-existing", "skip"), "extent: lat 3 to 3, lon 4 to 4\n"; !strings.Contains(got, want) {
		t.Errorf("with a row skipped the report is\n%swithout %q", got, want)
	}
	if got := load("id,lat,lon\nbad,91,0\n"); strings.Contains(got, "extent") {
		t.Errorf("nothing was loaded, but the report is\n%s", got)
	}
}

// The report says how many rows have a time that is not understood, and which is the first,
// in the order of the files, whichever part of them the server answers first.
func TestLoadReportsTimes(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	load := func(want, csv string, args ...string) {
		t.Helper()
		r := runCLI(t, csv, append([]string{"load", "-", "-c", "dated", "--server", s.base, "--time", "opened"}, args...)...)
		if says := strings.Contains(r.stdout, "not understood"); r.code != exitOK || says != (want != "") || !strings.Contains(r.stdout, want) {
			t.Errorf("%d %s\nthe report is\n%swithout %q", r.code, r.stderr, r.stdout, want)
		}
	}
	load("", "id,lat,lon,opened\n1,1,1,2020-01-01\n2,1,1,2020-01-01 10:00:00Z\n3,1,1,\n")
	load("times that are not understood: 2; the first:\n  standard input:3: id 2: opened \"01/02/2020\": is no time", "id,lat,lon,opened\n1,1,1,2020-01-01\n2,1,1,01/02/2020\n3,1,1,2020-01-01 10:00:00\n")
	load("standard input:2: opened \"2020-01-01T10:00\": is no time", "lat,lon,opened\n1,1,2020-01-01T10:00\n")
	var many strings.Builder
	many.WriteString("id,lat,lon,opened\n0,1,1,2020-01-01\n")
	for i := range 3 * batchRows {
		fmt.Fprintf(&many, "%d,1,1,yesterday\n", i)
	}
	load("not understood: 24,000; the first:\n  standard input:3: id 0", many.String())
}

// Columns that are swapped and in range, a sign that was lost, and numbers that are no
// degrees are rejected where the load says what box it expects; the reason says what may
// have been meant.
func TestLoadExpectsBox(t *testing.T) {
	t.Parallel()
	box := func(name, box, text, want string, rejected int, says string) upload {
		return upload{name: name, query: "?expectBbox=" + box, args: "--expect-bbox " + box, text: text, want: want, rejected: rejected, posted: says, printed: says}
	}
	const belgium, york = "2.5,49.4,6.5,51.6", "-74.3,40.4,-73.6,41"
	deliver(t, []upload{
		box("inside", belgium, "id,lat,lon\n1,50.85,4.35\n", "1 4.35,50.85", 0, ""),
		box("swapped", belgium, "id,lat,lon\n1,4.35,50.85\n2,51,4\n3,3.7,51\n", "2 4,51", 2, "4.35,50.85 lies in it"),
		box("swapped near the equator", "36,-2,38,0", "id,lat,lon\n1,36.82,-1.28\n", "", 1, "36.82,-1.28 lies in it"),
		box("a sign lost", york, "id,lat,lon\n1,40.7,73.98\n2,40.7,-73.98\n", "2 -73.98,40.7", 1, "-73.98,40.7 lies in it"),
		box("metres, scaled", york, "id,lat,lon\n1,49.7,-82.38\n", "", 1, york),
		box("across the antimeridian", "176,-20,-178,-15", "id,lat,lon\n1,-18.14,178.44\n2,-16.85,-179.97\n3,-17,0\n", "1 178.44,-18.14; 2 -179.97,-16.85", 1, "-178,-15"),
	})
	s := startServer(t, t.TempDir())
	r := runCLI(t, "id,lat,lon\nbefore,50.85,4.35\nout,4.35,50.85\nafter,51,4\n", "load", "-", "-c", "b", "--server", s.base, "--expect-bbox", belgium, "--on-error", "abort")
	if r.code != exitFailed || !strings.Contains(r.stdout, `standard input:3: id out: position "50.85,4.35": must lie in the expected box 2.5,49.4,6.5,51.6`) {
		t.Errorf("%+v", r)
	}
	if all := s.content(newClient(t), "b"); len(all) != 1 || all["before"].lat != 50.85 {
		t.Errorf("there is %v, want what came before the row outside", all)
	}
}

// The rejected rows that are shown are the first ones, by file and line, whoever found
// them first, and have no id that the file has not.
func TestLoadReportsInOrder(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	if r := runCLI(t, `{"id":"a","lat":1,"lon":1}`, "load", "-", "-c", "o", "--server", s.base); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	dir := t.TempDir()
	file := func(name, rows string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(rows), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	one := file("z.csv", "id,lat,lon\na,1,1\nb,91,1\na,1,1\nb,91,1\n")
	two := file("a.csv", "id,lat,lon\nb,91,1\na,1,1\n")
	r := runCLI(t, "", "load", one, two, "-c", "o", "--server", s.base, "--on-existing", "fail", "--max-errors", "5")
	at := 0
	for _, place := range []string{one + ":2:", one + ":3:", one + ":4:", one + ":5:", two + ":2:", "and 1 more"} {
		i := strings.Index(r.stdout[at:], place)
		if i < 0 {
			t.Fatalf("%q is not where it should be in\n%s", place, r.stdout)
		}
		at += i
	}
	r = runCLI(t, "lat,lon\n1,2\n", "load", "-", "-c", "o", "--server", s.base)
	again := runCLI(t, "lat,lon\n\n1,2\n", "load", "-", "-c", "o", "--server", s.base, "--on-existing", "fail")
	if r.code != exitOK || again.code != exitRejected || !strings.Contains(again.stdout, "standard input:3: row") {
		t.Errorf("%+v, again %+v", r, again)
	}
}

// What a server has given is a file to load: pages, neighbours and single items. What
// the server says beside the properties becomes none of them.
func TestLoadWhatWasRead(t *testing.T) {
	t.Parallel()
	s, c := startServer(t, t.TempDir()), newClient(t)
	if r := runCLI(t, "id,lat,lon,n,s\na,1,2,1,x\nb,1,3,2.50,\n7,-90,180,,\"y\"\"\n\"\n", "load", "-", "-c", "w", "--server", s.base); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	read := func(collection, path string) string {
		_, body := call(c, http.MethodGet, s.base+"/v1/collections/"+collection+path, "", "")
		return string(body)
	}
	items := regexp.MustCompile(`"features":\[.*?\],"numberReturned"`)
	want := items.FindString(read("w", "/items"))
	for _, path := range []string{"/items", "/nearby?lat=0&lon=0&k=3&explain=true", "/items/a"} {
		for _, into := range []string{"w", "new"} {
			r := runCLI(t, read("w", path), "load", "-", "-c", into, "--server", s.base, "--on-existing", "replace")
			if r.code != exitOK || r.stderr != "" {
				t.Errorf("%s: %+v", path, r)
			}
			if got := items.FindString(read(into, "/items")); got != want || want == "" {
				t.Errorf("%s loaded into %s: there is %s, want %s", path, into, got, want)
			}
		}
	}
}
