package main

import (
	"fmt"
	"io"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestQueryGoesOn: where there are more within the radius than are shown, a query says
// how many, and the next ones are got as it says; where there are none, it does not.
// The columns are those that were asked for.
func TestQueryGoesOn(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	var csv strings.Builder
	csv.WriteString("id,lat,lon,name,kind,note\n")
	for i := range 20 { // 0.01 degrees of the equator are 1 111.95 m
		fmt.Fprintf(&csv, "p%02d,0,%.2f,Name %d,k%d,\"a\ttab\"\n", i, float64(i)/100, i, i%3)
	}
	if r := runCLI(t, csv.String(), "load", "-", "-c", "line", "--queryable", "kind", "--server", s.base); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	query := func(args ...string) string {
		r := runCLI(t, "", append([]string{"query", "0", "0", "-c", "line", "--server", s.base}, args...)...)
		if r.code != exitOK {
			t.Fatalf("%q: %+v", args, r)
		}
		return r.stdout
	}
	words := regexp.MustCompile(`(?m)^([\w ,]+ within [\w. ]+); the next ones: --cursor (\S+)$`)
	ids := regexp.MustCompile(`(?m)^\d+ .* (p\d\d) `)
	cursor, seen := "", 0
	for page, says := range []string{"6 of 14 within 15.50 km", "6 more of 14 within 15.50 km", ""} {
		args := []string{"-k", "6", "--radius", "15.5km"}
		if page > 0 {
			args = append(args, "--cursor", cursor)
		}
		out := query(args...)
		got := ""
		if m := words.FindStringSubmatch(out); m != nil {
			got, cursor = m[1], m[2]
		}
		for _, id := range ids.FindAllStringSubmatch(out, -1) {
			if want := fmt.Sprintf("p%02d", seen); id[1] != want {
				t.Errorf("place %d is %s", seen, id[1])
			}
			seen++
		}
		if got != says {
			t.Errorf("page %d says %q, want %q:\n%s", page+1, got, says, out)
		}
	}
	if seen != 14 {
		t.Errorf("%d places in all, want 14", seen)
	}
	for _, args := range [][]string{{"-k", "6"}, {"-k", "14", "--radius", "15.5km"}, {"--radius", "1km"}, {"--radius", "0", "--where", "kind=k2"}} {
		if out := query(args...); strings.Contains(out, "cursor") {
			t.Errorf("%q: %s", args, out)
		}
	}
	out := query("-k", "1", "--properties", "kind,none,note", "--properties", "name")
	if lines := strings.Split(out, "\n"); !regexp.MustCompile(`^#  distance  id +kind  none  note +name +lat +lon$`).MatchString(lines[0]) ||
		!regexp.MustCompile(`^1  0.000 m   p00  k0 {10}a\\u0009tab  Name 0  0.000000  0.000000$`).MatchString(lines[1]) {
		t.Errorf("with properties:\n%s", out)
	}
}

// TestQueryCounts: a query shows the counts that it is asked for, beside items or alone.
func TestQueryCounts(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	var csv strings.Builder
	csv.WriteString("id,lat,lon,kind,size\n")
	for i := range 20 {
		fmt.Fprintf(&csv, "p%02d,0,%.2f,k%d,%d\n", i, float64(i)/100, min(i%5, 2), i*1000)
	}
	if r := runCLI(t, csv.String(), "load", "-", "-c", "line", "--queryable", "kind,size:number", "--server", s.base); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	for _, c := range []struct {
		args []string
		want string // the last lines
	}{
		{[]string{"-k", "0"}, "items that match: 20\n"},
		{[]string{"-k", "0", "--radius", "2km", "--where", "kind=k0"}, "items that match: 1\n"},
		{[]string{"-k", "0", "--facets", "kind,size:10000", "--where", "size=3000", "--where", "size=12000", "--where", "size=15000"},
			"items that match: 3\nkind                  items\nk2                    2\nk0                    1\nsize                  items\n0 to below 10000      1\n10000 to below 20000  2\n"},
		{[]string{"-k", "0", "--rings", "500,2km"}, "items that match: 20\nwithin   items\n500 m    1\n2.00 km  2\n"},
		{[]string{"-k", "1", "--rings", "2km"}, "points compared: 20\nwithin   items\n2.00 km  2\n"},
	} {
		r := runCLI(t, "", append([]string{"query", "0", "0", "-c", "line", "--server", s.base}, c.args...)...)
		if r.code != exitOK || !strings.HasSuffix(r.stdout, c.want) || strings.Contains(strings.Join(c.args, " "), "-k 0") && r.stdout != c.want {
			t.Errorf("%q: %+v, want\n%s", c.args, r, c.want)
		}
	}
	// 0.01 degrees are 1112 m: p19 has the score 21,128 m less 38,000 m.
	if r := runCLI(t, "", "query", "0", "0", "-c", "line", "--server", s.base, "-k", "1", "--weight", "size:2"); !strings.Contains(r.stdout, " p19 ") || !strings.Contains(r.stdout, "exact: complete below the score -16873 m;") {
		t.Errorf("%+v", r)
	}
	if r := runCLI(t, "", "query", "-c", "line", "--server", s.base, "--intersects", "POLYGON((-1 -1,0.035 -1,0.035 1,-1 1,-1 -1))", "--sort-by=-size", "--facets", "kind"); !strings.HasSuffix(r.stdout, "4 in all\nkind  items\nk2    2\nk0    1\nk1    1\n") || !strings.Contains(r.stdout, "1  p03") {
		t.Errorf("%+v", r)
	}
	if r := runCLI(t, "", "query", "0", "0", "-c", "line", "--server", s.base, "--datetime", "yesterday"); r.code != exitFailed || !strings.Contains(r.stderr, "datetime") {
		t.Errorf("%+v", r)
	}
}

// TestNegativeNumbers: a number may be negative in every place, and is what was typed: a
// coordinate, the value of a flag, and a text that begins like a number.
func TestNegativeNumbers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typed, parsed string }{
		{"query -33.9 151.2 -c x", "query -c x -- -33.9 151.2"},
		{"query -c x -33.9 -.5", "query -c x -- -33.9 -.5"},
		{"query -33.9 --json -151 --collection x", "query --json --collection x -- -33.9 -151"},
		{"query 0 0 -c -1 --radius -5 --properties -1 --where -2=-3", "query -c-1 --radius=-5 --properties=-1 --where=-2=-3 -- 0 0"},
		{"query 0 --radius=-5 -k5 0 -c x", "query --radius=-5 -k5 -c x -- 0 0"},
		{"query -c x -- -1 -2", "query -c x -- -1 -2"},
		{"query -c x -1 -- -2", "query -c x -- -1 -2"},
		{"load a.csv -c x --expect-bbox -74,40,-73,41 --max-errors -5", "load a.csv -c x --expect-bbox=-74,40,-73,41 --max-errors=-5"},
		{"load query -c x --id -1", "load query -c x --id=-1"},
		{"query --help", "query --help"},
		{"query 1 2 -c", "query -c -- 1 2"},
	} {
		if got := strings.Join(markNegatives(strings.Fields(c.typed)), " "); got != c.parsed {
			t.Errorf("%s\nis parsed as %s\nwant         %s", c.typed, got, c.parsed)
		}
	}
	flags := reflect.TypeFor[queryCmd]()
	for i := range flags.NumField() {
		if f := flags.Field(i); f.Type.Kind() == reflect.Bool && !slices.Contains(switches, "--"+strings.ToLower(f.Name)) {
			t.Errorf("--%s takes no value, and switches has it not", strings.ToLower(f.Name))
		}
	}
	s := startServer(t, t.TempDir())
	if r := runCLI(t, "id,lat,lon,-1,n=1,m,m=1\na,-1.5,-2.5,minus,2,1=2,2\nb,-1.5,-2.6,plus,3,3,3\n", "load", "-", "-c", "n", "--queryable=-1,n=1,m,m=1", "--server", s.base); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"-1.5 -2.5 -c n --properties -1", exitOK, "id  -1     lat"},
		{"-1.5 -2.5 -c n --where -1=minus", exitOK, "1  0.000 m   a"},
		{"-1.5 -2.5 -c n --radius -5", exitUsage, `--radius "-5": must be metres`},
		{"-1.5 -2.5 -c n -k -5", exitUsage, "-k -5: must be at least 0"},
		{"-1.5 -2.5 -7 -c n", exitUsage, "unexpected argument -7"},
		{"-1.5 -200x -c n", exitUsage, `"-200x" is not a decimal number`},
		// A name may have an equals sign; where the part before the first is a queryable, it is meant.
		{"-1.5 -2.5 -c n --where n=1=2", exitOK, "1  0.000 m  a"},
		{"-1.5 -2.5 -c n --where m=1=2", exitOK, "1  0.000 m  a"},
		{"-1.5 -2.5 -c n --where m=1=3", exitOK, "nothing found"},
		{"-1.5 -2.5 -c n --where k=1=3", exitUsage, "k is a parameter of its own"},
		{"-1.5 -2.5 -c n --where =1=3", exitUsage, "must be NAME=VALUE"},
		{"-1.5 -2.5 -c n --where m", exitUsage, "must be NAME=VALUE"},
	} {
		r := runCLI(t, "", append([]string{"query", "--server", s.base}, strings.Fields(c.args)...)...)
		said := regexp.MustCompile(` {2,}`).ReplaceAllString(r.stdout+r.stderr, "  ")
		if r.code != c.code || !strings.Contains(said, regexp.MustCompile(` {2,}`).ReplaceAllString(c.says, "  ")) || strings.Contains(said, "−") {
			t.Errorf("query %s: exit code %d, want %d, and %q in\n%s", c.args, r.code, c.code, c.says, said)
		}
	}
}

// TestLongRequests: docs/errors.md says how long the request line and the headers may be.
func TestLongRequests(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	ask := func(line string, bytes int) string {
		t.Helper()
		request := line + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nA: "
		request += strings.Repeat("x", bytes-len(request)-4) + "\r\n\r\n"
		c, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(c)
		status, _, _ := strings.Cut(strings.TrimPrefix(string(answer), "HTTP/1.1 "), " ")
		return status
	}
	for _, line := range []string{"GET /healthz", "GET /healthz?f=" + strings.Repeat("x", 10_000)} {
		if status := ask(line, 20<<10); status != "200" {
			t.Errorf("%.15s with 20 KiB: %s", line, status)
		}
		if status := ask(line, 20<<10+1); status != "431" {
			t.Errorf("%.15s with a byte more: %s", line, status)
		}
	}
}
