package main

import (
	"fmt"
	"regexp"
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
