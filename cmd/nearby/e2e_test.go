package main

import (
	"cmp"
	"compress/gzip"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"nearby/bench/dataset"
	"nearby/sphere"
)

// write makes a file of the test's own.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A loaded file is there whole, also after a restart and a second load, and
// queries answer as a scan over it does, with both indexes.
func TestLoadAndQuery(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	const rows = 6000 // more than one batch
	type spot struct {
		id       string
		lon, lat float64
	}
	var spots []spot
	var csv strings.Builder
	csv.WriteString("id;Latitude;Longitude;kind\n")
	for i := range rows {
		s := spot{fmt.Sprintf("p%d", i), round4(rng.Float64()*360 - 180), round4(rng.Float64()*180 - 90)}
		if i%3 == 0 { // a third of them in one city
			s.lon, s.lat = round4(13.4+rng.NormFloat64()*0.05), round4(52.5+rng.NormFloat64()*0.03)
		}
		spots = append(spots, s)
		fmt.Fprintf(&csv, "%s;%v;%v;k%d\n", s.id, s.lat, s.lon, i%4)
	}
	file := filepath.Join(t.TempDir(), "spots.csv.gz")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	zw := gzip.NewWriter(f)
	if _, err := zw.Write([]byte(csv.String())); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	data := t.TempDir()
	s := startServer(t, data)
	for _, kind := range []string{"geohash", "quadtree"} {
		r := runCLI(t, "", "load", file, "-c", kind, "--index", kind, "--queryable", "kind", "--server", s.base)
		if r.code != exitOK || !strings.Contains(r.stdout, "6,000 created, 0 updated, 0 rejected") {
			t.Fatalf("load: %+v", r)
		}
		r = runCLI(t, "", "load", file, "-c", kind, "--server", s.base)
		if r.code != exitOK || !strings.Contains(r.stdout, "0 created, 6,000 updated, 0 rejected") {
			t.Fatalf("second load: %+v", r)
		}
	}
	if code := s.stop(); code != 0 {
		t.Fatalf("exit code %d after SIGTERM", code)
	}
	s = startServer(t, data)
	c := newClient(t)
	if n := len(s.content(c, "quadtree")); n != rows {
		t.Fatalf("%d items after a restart, want %d", n, rows)
	}

	for range 40 {
		lon, lat := rng.Float64()*360-180, rng.Float64()*180-90
		if rng.IntN(2) == 0 {
			lon, lat = 13.4+rng.NormFloat64()*0.05, 52.5+rng.NormFloat64()*0.03
		}
		kind, k := rng.IntN(4), 1+rng.IntN(20)
		var want []spot
		for i, p := range spots {
			if i%4 == kind {
				want = append(want, p)
			}
		}
		centre := sphere.FromDegrees(lon, lat)
		distance := func(p spot) float64 { return sphere.Distance(centre, sphere.FromDegrees(p.lon, p.lat)) }
		slices.SortFunc(want, func(a, b spot) int {
			return cmp.Or(cmp.Compare(distance(a), distance(b)), cmp.Compare(a.id, b.id))
		})
		for _, index := range []string{"geohash", "quadtree"} {
			r := runCLI(t, "", "query", fmt.Sprint(lat), fmt.Sprint(lon), "-k", strconv.Itoa(k), "-c", index,
				"--where", fmt.Sprintf("kind=k%d", kind), "--server", s.base, "--json")
			var got page
			if err := json.Unmarshal([]byte(r.stdout), &got); r.code != exitOK || err != nil {
				t.Fatalf("query: %v %+v", err, r)
			}
			if len(got.Features) != k {
				t.Fatalf("%d features, want %d", len(got.Features), k)
			}
			for i, f := range got.Features {
				if f.ID != want[i].id || math.Abs(*f.Distance-distance(want[i])) > 0.00051 {
					t.Errorf("%s at lat %v lon %v: place %d is %s at %v m, want %s at %v m", index, lat, lon, i, f.ID, *f.Distance, want[i].id, distance(want[i]))
				}
			}
		}
	}

	r := runCLI(t, "", "query", "-45.5", "-0.25", "-c", "quadtree", "-k", "2", "--server", s.base)
	if lines := strings.Split(strings.TrimSpace(r.stdout), "\n"); r.code != exitOK || len(lines) != 4 ||
		!strings.HasPrefix(lines[0], "#  distance") || !strings.HasPrefix(lines[3], "exact: complete within ") {
		t.Errorf("the table of a query:\n%s%s", r.stdout, r.stderr)
	}
	r = runCLI(t, "", "query", "1", "2", "-c", "quadtree", "--where", "colour=red", "--server", s.base)
	if r.code != exitFailed || !strings.Contains(r.stderr, "colour") || !strings.Contains(r.stderr, "kind") {
		t.Errorf("a filter that does not exist: %+v", r)
	}
	r = runCLI(t, "", "query", "1", "2", "-c", "nothing", "--server", s.base)
	if r.code != exitFailed || !strings.Contains(r.stderr, "nothing") {
		t.Errorf("a collection that does not exist: %+v", r)
	}
	if r := runCLI(t, "", "health", "--server", s.base); r.code != exitOK {
		t.Errorf("health: %+v", r)
	}
}

func round4(degrees float64) float64 { return math.Round(degrees*1e4) / 1e4 }

// What each kind of file gives: counts, exit code, and what the user is told.
func TestLoadFiles(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	for _, c := range []struct {
		name, content string
		args          []string
		code          int
		says          []string // on stdout or stderr
		items         int      // -1: the collection must not exist
	}{
		{name: "bad.csv", content: "id,lat,lon\n1,1,2\n2,NaN,2\n3,2,2\n4,120,30\n", code: exitRejected, items: 2,
			says: []string{"2 created", "2 rejected", "bad.csv:3: id 2: lat \"NaN\"", "bad.csv:5", "swapped"}},
		{name: "abort.csv", content: "id,lat,lon\n1,1,2\n2,x,2\n3,2,2\n", args: []string{"--on-error", "abort"}, code: exitFailed, items: 1,
			says: []string{"1 created", "1 rejected", "abort.csv:3", "--on-error"}},
		{name: "many.csv", content: "id,lat,lon\n1,x,2\n2,x,2\n3,x,2\n", args: []string{"--max-errors", "1"}, code: exitRejected, items: -1,
			says: []string{"3 rejected", "many.csv:2", "and 2 more"}},
		{name: "twice.csv", content: "id,lat,lon,v\na,1,2,old\na,1,2,new\n", code: exitOK, items: 1,
			says: []string{"1 created, 1 updated"}},
		{name: "noids.csv", content: "lat,lon\n1,2\n1,2\n3,4\n", code: exitOK, items: 3,
			says: []string{"3 created", "without an id"}},
		{name: "comma.csv", content: "id;lat;lon\n1;50,5;8,25\n", args: []string{"--decimal-comma"}, code: exitOK, items: 1,
			says: []string{"1 created"}},
		{name: "named.csv", content: "key,breite,hoehe\n1,2,3\n", args: []string{"--id", "key", "--lon", "breite", "--lat", "hoehe"}, code: exitOK, items: 1,
			says: []string{"1 created"}},
		{name: "points.geojson", content: `{"type":"FeatureCollection","features":[{"type":"Feature","id":7,"geometry":{"type":"Point","coordinates":[1,2]},"properties":{}}]}`, code: exitOK, items: 1,
			says: []string{"1 created"}},
		{name: "lines.ndjson", content: "{\"id\":\"a\",\"lat\":1,\"lon\":2}\n{\"id\":\"b\",\"lat\":1}\n", code: exitRejected, items: 1,
			says: []string{"1 created", "lines.ndjson:2"}},
		{name: "nocolumns.csv", content: "id,name\n1,x\n", code: exitFailed, items: -1,
			says: []string{"--lat"}},
		{name: "empty.csv", content: "", code: exitFailed, items: -1, says: []string{"empty"}},
		{name: "header.csv", content: "id,lat,lon\n", code: exitFailed, items: -1, says: []string{"no rows"}},
		{name: "nocreate.csv", content: "id,lat,lon\n1,1,2\n", args: []string{"--no-create"}, code: exitFailed, items: -1,
			says: []string{"--no-create"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			name, _, _ := strings.Cut(c.name, ".")
			args := append([]string{"load", write(t, c.name, c.content), "-c", name, "--server", s.base}, c.args...)
			for try := range 2 { // the second load changes nothing
				if c.items < 0 && try > 0 {
					break
				}
				r := runCLI(t, "", args...)
				if r.code != c.code {
					t.Fatalf("exit code %d, want %d: %s%s", r.code, c.code, r.stdout, r.stderr)
				}
				for _, say := range c.says {
					if try == 0 && !strings.Contains(r.stdout+r.stderr, say) {
						t.Errorf("does not say %q: %s%s", say, r.stdout, r.stderr)
					}
				}
				client := newClient(t)
				if c.items < 0 {
					if status, _ := call(client, http.MethodGet, s.base+"/v1/collections/"+name, "", ""); status != http.StatusNotFound {
						t.Errorf("the collection was created: %d", status)
					}
				} else if n := len(s.content(client, name)); n != c.items {
					t.Errorf("%d items after load %d, want %d", n, try+1, c.items)
				}
			}
			if name == "twice" {
				if p := s.content(newClient(t), name)["a"]; !strings.Contains(p.properties, "new") {
					t.Errorf("the last row did not win: %+v", p)
				}
			}
		})
	}
	r := runCLI(t, "id\tlat\tlon\n1\t2\t3\n", "load", "-", "-c", "stdin", "--server", s.base)
	if r.code != exitOK || !strings.Contains(r.stdout, "1 created") {
		t.Errorf("standard input: %+v", r)
	}
}

// A row with the id of an earlier one wins, however many batches lie between
// and are on their way at once.
func TestLastRowWins(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	var csv strings.Builder
	csv.WriteString("id,lat,lon,version\n")
	const rounds, ids = 12, 1000
	for round := range rounds {
		for id := range ids {
			fmt.Fprintf(&csv, "%d,1,%d,%d\n", id, id%180, round)
		}
	}
	r := runCLI(t, csv.String(), "load", "-", "-c", "versions", "--server", s.base)
	if r.code != exitOK || !strings.Contains(r.stdout, "1,000 created, 11,000 updated") {
		t.Fatalf("%+v", r)
	}
	for id, p := range s.content(newClient(t), "versions") {
		if p.properties != fmt.Sprintf(`{"version":%d}`, rounds-1) {
			t.Fatalf("item %s is %s", id, p.properties)
		}
	}
}

// The demo is created once; a busy port and a folder in use are errors at once.
func TestServe(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := startServer(t, data, "--demo")
	c := newClient(t)
	for _, name := range []string{"city", "wilderness"} {
		var p page
		s.get(c, s.base+"/v1/collections/"+name+"/items?limit=1", &p)
		if p.NumberMatched == nil || *p.NumberMatched < 1000 {
			t.Errorf("%s: %+v", name, p.NumberMatched)
		}
	}
	var first page
	s.get(c, s.base+"/v1/collections/city/items?limit=1", &first)
	if status, answer := call(c, http.MethodDelete, s.base+"/v1/collections/city/items/"+first.Features[0].ID, "", ""); status != http.StatusNoContent {
		t.Fatalf("delete: %d %s", status, answer)
	}
	address := strings.TrimPrefix(s.base, "http://")
	if r := runCLI(t, "", "serve", "--addr", address, "--data", t.TempDir()); r.code != exitFailed || !strings.Contains(r.stderr, "in use") {
		t.Errorf("a busy port: %+v", r)
	}
	if r := runCLI(t, "", "serve", "--addr", "127.0.0.1:0", "--data", data); r.code != exitFailed {
		t.Errorf("a folder in use: %+v", r)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s = startServer(t, data, "--demo")
	if status, _ := call(c, http.MethodGet, s.base+"/v1/collections/city/items/"+first.Features[0].ID, "", ""); status != http.StatusNotFound {
		t.Error("the demo was created again over what its user changed")
	}
}

// /readyz says yes once the demo is there, and not before.
func TestReadyWithDemo(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, base: "http://" + address, log: new(lockedBuffer)}
	s.cmd = exec.Command(program, "serve", "--addr", address, "--data", t.TempDir(), "--demo", "--log-level", "error",
		"--cors-origin", "https://a.example", "--cors-origin", "https://b.example")
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})
	c := newClient(t)
	for deadline := time.Now().Add(patience); ; {
		if status, _ := call(c, http.MethodGet, s.base+"/readyz", "", ""); status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready in time: %s", s.log)
		}
	}
	for _, d := range dataset.Demo() {
		var p page
		if s.get(c, s.base+"/v1/collections/"+d.Name+"/items?limit=1", &p); p.NumberMatched == nil || *p.NumberMatched != d.Points {
			t.Errorf("%s has not all of its %d items when /readyz says yes", d.Name, d.Points)
		}
	}
	// The flag reaches the server, each of it.
	for _, origin := range []string{"https://a.example", "https://b.example"} {
		req, err := http.NewRequest(http.MethodGet, s.base+"/v1/collections", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", origin)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _ = resp.Body.Close(); resp.Header.Get("Access-Control-Allow-Origin") != origin {
			t.Errorf("%s is not allowed: %v", origin, resp.Header)
		}
	}
}

// Real data give the counts that their publishers state.
func TestRealData(t *testing.T) {
	t.Parallel()
	folder := cmp.Or(os.Getenv("NEARBY_TEST_DATA"), filepath.Join("..", "..", "..", "shared", "data"))
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("no real data: %v; NEARBY_TEST_DATA names their folder", err)
	}
	s := startServer(t, t.TempDir())
	for name, want := range map[string]string{
		"geonames-cities.csv.gz":      "135,233",
		"geonames-sample.txt":         "440",
		"ourairports-navaids.csv":     "11,008",
		"northern-rockies.csv":        "314",
		"earthquakes.csv.gz":          "23,412",
		"geonames-cities15000.txt.gz": "23,676",
	} {
		collection, _, _ := strings.Cut(name, ".")
		r := runCLI(t, "", "load", filepath.Join(folder, name), "-c", collection, "--server", s.base)
		if r.code != exitOK || !strings.Contains(r.stdout, want+" rows read, "+want+" created, 0 updated, 0 rejected") {
			t.Errorf("%s: want %s rows: %+v", name, want, r)
		}
	}
	r := runCLI(t, "", "query", "-18.1416", "178.4419", "-c", "geonames-cities", "-k", "1", "--server", s.base)
	if r.code != exitOK || !strings.Contains(r.stdout, "Suva") {
		t.Errorf("the place nearest to Suva: %+v", r)
	}
}
