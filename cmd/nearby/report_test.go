package main

import (
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
	if got := load("id,lat,lon\nbad,91,0\n"); strings.Contains(got, "extent") {
		t.Errorf("nothing was loaded, but the report is\n%s", got)
	}
}
