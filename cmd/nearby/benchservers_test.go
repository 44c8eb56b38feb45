package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBenchMeasuresAService: a server that runs is measured, told in the report,
// and left as it was; what it has and is not the bench's ends the run.
func TestBenchMeasuresAService(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	folder := t.TempDir()
	args := []string{"bench", "--servers-only", "--http", s.base, "-n", "2000", "--row-time", "40ms", "--out", folder}
	r := runCLI(t, "", args...)
	if r.code != exitOK || !strings.Contains(r.stdout, "no-op handler") || !strings.Contains(r.stdout, "write, 64 connections") {
		t.Fatalf("%d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
	page, err := os.ReadFile(filepath.Join(folder, "bench.html"))
	if err != nil || !strings.Contains(string(page), "Beside other servers") {
		t.Errorf("the page lacks the servers: %v", err)
	}
	c := newClient(t)
	const mine = "/v1/collections/nearby-bench"
	if status, _ := call(c, "GET", s.base+mine, "", ""); status != 404 {
		t.Errorf("the bench's collection answers %d when it is over", status)
	}
	if status, answer := call(c, "PUT", s.base+mine, "application/json", `{"title":"mine"}`); status != 201 {
		t.Fatalf("%d %s", status, answer)
	}
	if r := runCLI(t, "", args...); r.code != exitFailed || !strings.Contains(r.stderr, "not made by nearby bench") {
		t.Errorf("%d %s", r.code, r.stderr)
	}
	if status, _ := call(c, "GET", s.base+mine, "", ""); status != 200 {
		t.Errorf("a collection that was not the bench's answers %d", status)
	}
	for _, wrong := range [][]string{
		{"--servers-only", "--set", "city"},
		{"--peer", "mongodb://127.0.0.1"},
		{"--peer", "redis://127.0.0.1", "--row-time", "1h"},
		{"--peer", "redis://127.0.0.1", "--growth"},
	} {
		if r := runCLI(t, "", append([]string{"bench"}, wrong...)...); r.code != exitUsage {
			t.Errorf("%q gives %d %s", wrong, r.code, r.stderr)
		}
	}
}
