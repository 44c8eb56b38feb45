package main

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files again")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run the test with -update to accept):\n%s", path, got)
	}
}

// Every command explains itself, with examples.
func TestHelp(t *testing.T) {
	for command := range flagsOf(t) {
		args := []string{"--help"}
		if command != "" {
			args = []string{command, "--help"}
		}
		r := runCLI(t, "", args...)
		if r.code != exitOK || r.stderr != "" {
			t.Errorf("%v: exit code %d, stderr %q", args, r.code, r.stderr)
		}
		if command != "" && command != "version" && !strings.Contains(r.stdout, "Examples:") {
			t.Errorf("%v: no examples", args)
		}
		golden(t, "help"+strings.TrimSuffix("-"+command, "-")+".txt", r.stdout)
	}
}

// Wrong usage is exit code 2 and one sentence on stderr that says what is wrong.
func TestUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.csv")
	if err := os.WriteFile(file, []byte("id,lat,lon\na,1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		says string
	}{
		{"fly", "fly"},
		{"serve --max-k 0", "--max-k"},
		{"serve --max-load=-1", "--max-load"},
		{"serve --max-k=lots", "lots"},
		{"serve --log-level loud", "debug"},
		{"serve stray", "stray"},
		{"load -c a", "file"},
		{"load " + file, "--collection"},
		{"load " + file + " -c a --index btree", "geohash"},
		{"load " + file + " -c a --delimiter ab", "one character"},
		{"load " + file + " -c a --on-error ignore", "continue"},
		{"load " + file + " -c a --max-errors=-1", "negative"},
		{"load " + file + " -c a --expect-bbox -74,40,-73", "west,south,east,north"},
		{"load " + file + " -c a --expect-bbox -44,112,-10,154", "longitude comes first"},
		{"load " + file + " -c a --server ftp://x", "--server"},
		{"attach --table shops", "--store"},
		{"attach --store mysql://h/d --list", "postgres://"},
		{"attach --store postgres://h/d --id id", "--table"},
		{"attach --store postgres://h/d --table shops --id id --follow trigger --lon x", "--lat"},
		{"attach --store postgres://h/d --table shops --id id --follow trigger --lon x --lat y --geom g", "in place"},
		{"attach --store postgres://h/d --table shops --id id --lon x --lat y", "--follow"},
		{"attach --store postgres://h/d --table shops --id id --lon x --lat y --follow poll", "--column"},
		{"attach --store postgres://h/d --table shops --id id --lon x --lat y --follow trigger --column c", "poll"},
		{"attach --store postgres://h/d --table shops --id id --lon x --lat y --follow notify", "trigger"},
		{"attach --store postgres://h/d --table shops --id id --lon x --lat y --follow poll --column c --interval 1us", "--interval"},
		{"attach --store postgres://h/d --table shops --id id --lon x --lat y --follow trigger --sweep 1ms", "--sweep"},
		{"attach --store postgres://h/d --table shops --id id --lon x --lat y --follow trigger --collection a/b", "name"},
		{"attach --store postgres://h/d --table shops --id id --lon x --lat y --follow trigger --queryables bbox", "bbox"},
		{"detach --store postgres://h/d", "--collection"},
		{"query 1 -c a", "LON"},
		{"query 1 2", "--collection"},
		{"query 91 0 -c a", "lat"},
		{"query 120 30 -c a", "swapped"},
		{"query 0 541 -c a", "lon"},
		{"query NaN 0 -c a", "decimal"},
		{"query 0x10 0 -c a", "decimal"},
		{"query 1_0 0 -c a", "decimal"},
		{"query 1 2 -c a -k -1", "-k"},
		{"query 1 2 -c a --radius far", "2.5km"},
		{"query 1 2 -c a --radius=-5", "--radius"},
		{"query 1 2 -c a --where red", "NAME=VALUE"},
		{"query 1 2 -c a --where k=5", "parameter of its own"},
		{"bench --set nowhere", "city"},
		{"bench -n=-1", "-n"},
	} {
		r := runCLI(t, "", strings.Fields(c.args)...)
		if r.code != exitUsage {
			t.Errorf("%s: exit code %d, want %d; stderr: %s", c.args, r.code, exitUsage, r.stderr)
		}
		if !strings.Contains(r.stderr, c.says) {
			t.Errorf("%s: stderr does not name %q: %s", c.args, c.says, r.stderr)
		}
	}
}

// What fails for other reasons is exit code 1.
func TestFailures(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.csv")
	if err := os.WriteFile(file, []byte("id,lat,lon\na,1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const nobody = "http://127.0.0.1:1" // a port that nothing listens on
	for _, c := range []struct {
		args string
		says string
	}{
		{"query 1 2 -c a --server " + nobody, "nearby serve"},
		{"load " + file + " -c a --server " + nobody, "nearby serve"},
		{"load " + file + "x -c a", "no such file"},
		{"load . -c a", "folder"},
		{"health --server " + nobody, "nearby serve"},
		{"verify --server " + nobody + " --server " + nobody, "nearby serve"},
		{"serve --addr 256.0.0.1:99999 --data " + t.TempDir(), "cannot listen"},
	} {
		r := runCLI(t, "", strings.Fields(c.args)...)
		if r.code != exitFailed || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%s: exit code %d, want %d; stderr, which should name %q: %s", c.args, r.code, exitFailed, c.says, r.stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Setenv("NEARBY_VERSION", "true") // is no flag's
	for _, args := range []string{"version", "--version", "load --version"} {
		if r := runCLI(t, "", strings.Fields(args)...); r.code != exitOK || r.stderr != "" || r.stdout != "nearby "+programVersion()+"\n" {
			t.Errorf("%s: %+v", args, r)
		}
	}
	if r := runCLI(t, "", "query", "1", "2"); r.code != exitUsage {
		t.Errorf("%+v", r)
	}
}

// Messages have no empty option, no blank too many, and the words of this program.
func TestMessages(t *testing.T) {
	for args, want := range map[string]string{
		"":                                "",
		"--fly":                           "nearby: unknown flag --fly\nTry: nearby --help\n",
		"load a.csv -c a --index foo":     "nearby: --index must be one of \"auto\",\"geohash\",\"quadtree\" but got \"foo\"\nTry: nearby load --help\n",
		"load a.csv -c a --index=":        "nearby: --index must be one of \"auto\",\"geohash\",\"quadtree\" but got \"\"\nTry: nearby load --help\n",
		"attach --store x --follow sight": "nearby: --follow must be one of \"trigger\",\"poll\" but got \"sight\"\nTry: nearby attach --help\n",
	} {
		if r := runCLI(t, "", strings.Fields(args)...); r.stderr != want {
			t.Errorf("%s: %q, want %q", args, r.stderr, want)
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, args := range []string{"query 1 2 -c a", "verify", "health", "load - -c a", "backup --to " + filepath.Join(t.TempDir(), "b")} {
		var stdout, stderr strings.Builder
		if code := run(ended, strings.Fields(args), strings.NewReader(""), &stdout, &stderr); code != exitFailed || !strings.Contains(stderr.String(), "interrupted") || strings.Contains(stderr.String(), "context") {
			t.Errorf("%s, interrupted: %d, %q", args, code, &stderr)
		}
	}
}

func TestFormatDistance(t *testing.T) {
	for _, c := range []struct {
		metres float64
		want   string
	}{
		{0, "0.000 m"}, {0.0014, "0.001 m"}, {9.9994, "9.999 m"}, {9.9996, "10 m"}, {999.4, "999 m"},
		{999.6, "1.00 km"}, {12_345, "12.35 km"}, {99_949, "99.95 km"}, {99_951, "100 km"}, {20_015_114.4, "20,015 km"},
	} {
		if got := formatDistance(c.metres); got != c.want {
			t.Errorf("%v metres: %q, want %q", c.metres, got, c.want)
		}
	}
}

func TestDialable(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:8080": "127.0.0.1:8080", "0.0.0.0:80": "127.0.0.1:80", ":80": "127.0.0.1:80",
		"[::]:80": "[::1]:80", "example.org:80": "example.org:80",
	} {
		if got := dialable(addr); got != want {
			t.Errorf("%q: %q, want %q", addr, got, want)
		}
	}
}

// An error that is about a file or a folder names it once.
func TestPathIsNamedOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		path string
	}{
		{[]string{"serve", "--addr", "127.0.0.1:0", "--data", file}, file},
		{[]string{"serve", "--addr", "127.0.0.1:0", "--data", filepath.Join(file, "below")}, filepath.Join(file, "below")},
		{[]string{"load", "-c", "c", dir}, dir},
		{[]string{"load", "-c", "c", filepath.Join(dir, "none")}, filepath.Join(dir, "none")},
		{[]string{"bench", "--data", dir}, dir},
	} {
		r := runCLI(t, "", tt.args...)
		if r.code != exitFailed || strings.Count(r.stderr, tt.path) != 1 || strings.Contains(r.stderr, "ingest:") {
			t.Errorf("%v: %+v", tt.args, r)
		}
	}
}
