package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nearby/bench/httpbench"
	"nearby/internal/command"
	"nearby/internal/doctest"
	"nearby/store/postgres/pgtest"
)

var update = flag.Bool("update", false, "write the golden files again")

// programs is a folder with both programs, built.
var programs string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if slices.Equal(os.Args[1:], []string{"floor"}) { // started as the program it stands for
		return run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	}
	// The tests' flags are their own.
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "NEARBY_") && !strings.HasPrefix(name, "NEARBY_TEST_") {
			_ = os.Unsetenv(name)
		}
	}
	var err error
	if programs, err = os.MkdirTemp("", "nearby-compare-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(programs) }()
	// The flags are those of "make build", so that what it has compiled serves here too.
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=v0.0.0-test", "-o", programs+"/", "nearby/cmd/nearby", "nearby/cmd/nearby-compare")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
		return 1
	}
	return pgtest.Main(m)
}

// result is what a run of the program gave.
type result struct {
	code           int
	stdout, stderr string
}

// runCLI runs the program in this process.
func runCLI(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(""), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// startNearby starts a server with the demo's collections, which ends with the test, and
// returns its URL.
func startNearby(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(programs, "nearby"), "serve", "--addr", "127.0.0.1:0", "--log-level", "warn", "--demo", "--data", t.TempDir())
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r := bufio.NewReader(out)
		line, _ := r.ReadString('\n')
		first <- line
		_, _ = io.Copy(io.Discard, r)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		<-ended
	})
	select {
	case line := <-first:
		address, ok := strings.CutPrefix(line, "nearby ready on ")
		if !ok {
			<-ended
			t.Fatalf("the server said %q instead of its address; its log:\n%s", line, &log)
		}
		return strings.TrimSuffix(strings.TrimSpace(address), "/v1/")
	case <-time.After(2 * time.Minute):
		t.Fatal("the server was not ready in time")
		return ""
	}
}

// request returns the status and the body of an answer.
func request(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

// hasFiles checks the files of a report.
func hasFiles(t *testing.T, base string) {
	t.Helper()
	for _, extension := range []string{".html", ".json", ".md"} {
		if info, err := os.Stat(base + extension); err != nil || info.Size() == 0 {
			t.Errorf("%s%s: %v", base, extension, err)
		}
	}
}

// flagsOf are the flags of each command.
func flagsOf(t *testing.T) map[string]map[string]bool {
	t.Helper()
	return doctest.Flags(doctest.Parser(t, application(), new(cli)))
}

// Every command explains itself, with examples.
func TestHelp(t *testing.T) {
	for name := range flagsOf(t) {
		args := []string{"--help"}
		if name != "" {
			args = []string{name, "--help"}
		}
		r := runCLI(t, args...)
		if r.code != command.OK || r.stderr != "" {
			t.Errorf("%v: exit code %d, stderr %q", args, r.code, r.stderr)
		}
		if name != "" && name != "version" && !strings.Contains(r.stdout, "Examples:") {
			t.Errorf("%v: no examples", args)
		}
		path := filepath.Join("testdata", "help"+strings.TrimSuffix("-"+name, "-")+".txt")
		if *update {
			if err := os.WriteFile(path, []byte(r.stdout), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || r.stdout != string(want) {
			t.Errorf("%s differs (run the test with -update to accept): %v\n%s", path, err, r.stdout)
		}
	}
}

// Each command of this program that a document or a help names exists, with the flags
// that it is given there.
func TestDocumentedFlags(t *testing.T) {
	c := doctest.Checker{Program: "nearby-compare", Known: flagsOf(t)}
	c.Pages(t)
	for name := range c.Known {
		if name != "" && name != "version" && !slices.Contains(c.Named, name) {
			t.Errorf("no document names the command %s", name)
		}
	}
	c.Help(t, func(args ...string) string { return runCLI(t, args...).stdout })
	for _, name := range c.Named {
		if c.Known[name] == nil {
			t.Errorf("nearby-compare has no command %q", name)
		}
	}
	if c.Checked < 15 {
		t.Errorf("only %d flags were found", c.Checked)
	}
}

// A flag that both programs have is called alike, and has the same environment variable.
func TestVariables(t *testing.T) {
	known := flagsOf(t)[""]
	for _, name := range []string{"NEARBY_SERVER", "NEARBY_COLLECTION"} {
		if !known[name] {
			t.Errorf("%s is the variable of no flag", name)
		}
	}
	for name := range known {
		if strings.HasPrefix(name, "NEARBY_") && name != "NEARBY_SERVER" && name != "NEARBY_COLLECTION" {
			t.Errorf("%s: the flags that say how a figure is made have no variables", name)
		}
	}
}

// Wrong usage is exit code 2 and one sentence on stderr that says what is wrong.
func TestUsage(t *testing.T) {
	program := "--program=" + filepath.Join(programs, "nearby")
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"fly"}, "fly"},
		{[]string{"libraries", "--set", "nowhere"}, "city"},
		{[]string{"libraries", "-n=-1"}, "-n"},
		{[]string{"libraries", "--peers"}, "--peers"},
		{[]string{"growth", "--max-n", "9999"}, "--max-n"},
		{[]string{"growth", "--set", "city"}, "--set"},
		{[]string{"http", "--server", "127.0.0.1:8080"}, "http://127.0.0.1:8080"},
		{[]string{"http", "--server", "http://192.0.2.1:8080"}, "192.0.2.1"},
		{[]string{"http", "--duration", "1h"}, "duration"},
		{[]string{"servers", "mongodb://127.0.0.1", program}, "redis://"},
		{[]string{"servers", "redis://127.0.0.1", "--row-time", "1h", program}, "row time"},
		{[]string{"servers", "redis://127.0.0.1", "--max-n", "100000"}, "--max-n"},
		{[]string{"servers", "-n", "0", program}, "0 points"},
		{[]string{"overload", "--question", "why", program}, "near10"},
		{[]string{"overload", "--times", "0", program}, "0 times"},
		{[]string{"overload", "--clients", "9999", program}, "9999 clients"},
		{[]string{"replicas", program}, "<database>"},
		{[]string{"replicas", "redis://127.0.0.1", program}, "postgres://"},
		{[]string{"replicas", "postgres://127.0.0.1/postgres", "-n", "3", program}, "3 points"},
	} {
		r := runCLI(t, c.args...)
		if r.code != command.Usage || !strings.Contains(r.stderr, c.says) || !strings.HasPrefix(r.stderr, "nearby-compare: ") {
			t.Errorf("%q: exit code %d, want %d; stderr, which should name %q: %s", c.args, r.code, command.Usage, c.says, r.stderr)
		}
	}
}

// A small run gives tables and the three files.
func TestLibraries(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := runCLI(t, "libraries", "--quick", "-n", "300", "--set", "line", "--out", folder)
	if r.code != command.OK || !strings.Contains(r.stdout, "tidwall/rtree (library)") || !strings.Contains(r.stdout, "report: ") || !strings.Contains(r.stderr, "libraries: ") {
		t.Fatalf("%+v", r)
	}
	hasFiles(t, filepath.Join(folder, "libraries"))
	own := filepath.Join(folder, "own.csv")
	if err := os.WriteFile(own, []byte("id,lat,lon\n1,1,2\n2,2,3\n3,x,3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r = runCLI(t, "libraries", "--quick", "--data", own, "--out", filepath.Join(folder, "own.html"))
	if r.code != command.OK || !strings.Contains(r.stderr, "2 points, 1 rows rejected") {
		t.Fatalf("%+v", r)
	}
	hasFiles(t, filepath.Join(folder, "own"))
}

func TestGrowth(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := runCLI(t, "growth", "--quick", "--max-n", "10000", "--out", folder)
	if r.code != command.OK || !strings.Contains(r.stdout, "log2 n") || !strings.Contains(r.stderr, "growth: ") {
		t.Fatalf("%+v", r)
	}
	hasFiles(t, filepath.Join(folder, "growth"))
}

// TestHTTP asks a running server, and says how far it is from the floor.
func TestHTTP(t *testing.T) {
	t.Parallel()
	server := startNearby(t)
	r := runCLI(t, "http", "--server", server, "--collection", "wilderness", "--duration", "500ms")
	if r.code != command.OK || !strings.Contains(r.stdout, "answers/s") || !strings.Contains(r.stdout, "ratio") || !strings.Contains(r.stderr, fmt.Sprintf("http: %d/%d done", httpbench.Steps, httpbench.Steps)) {
		t.Errorf("%+v", r)
	}
	if r := runCLI(t, "http", "--server", server, "--collection", "none"); r.code != command.Failed || !strings.Contains(r.stderr, "none") {
		t.Errorf("a collection that is not there: %+v", r)
	}
	if r := runCLI(t, "http", "--server", "http://127.0.0.1:1"); r.code != command.Failed || !strings.Contains(r.stderr, "127.0.0.1:1") {
		t.Errorf("a server that is not there: %+v", r)
	}
}

// TestServersOfARunningNearby: a server that runs is measured, told in the report, and
// left as it was; what it has and is not the comparison's ends the run.
func TestServersOfARunningNearby(t *testing.T) {
	t.Parallel()
	server := startNearby(t)
	folder := t.TempDir()
	args := []string{"servers", "--server", server, "-n", "2000", "--row-time", "40ms", "--out", folder}
	r := runCLI(t, args...)
	if r.code != command.OK || !strings.Contains(r.stdout, "no-op handler") || !strings.Contains(r.stdout, "write, 64 connections") {
		t.Fatalf("%d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
	hasFiles(t, filepath.Join(folder, "servers"))
	page, err := os.ReadFile(filepath.Join(folder, "servers.html"))
	if err != nil || !strings.Contains(string(page), "Beside other servers") {
		t.Errorf("the page lacks the servers: %v", err)
	}
	mine := server + "/v1/collections/nearby-bench"
	if status, _ := request(t, "GET", mine, ""); status != 404 {
		t.Errorf("the comparison's collection answers %d when it is over", status)
	}
	if status, answer := request(t, "PUT", mine, `{"title":"mine"}`); status != 201 {
		t.Fatalf("%d %s", status, answer)
	}
	if r := runCLI(t, args...); r.code != command.Failed || !strings.Contains(r.stderr, "not made by nearby-compare") {
		t.Errorf("%d %s", r.code, r.stderr)
	}
	if status, _ := request(t, "GET", mine, ""); status != 200 {
		t.Errorf("a collection that was not the comparison's answers %d", status)
	}
}

// TestServersStartsNearby: the program starts the nearby that lies beside it, and ends
// with the floor that it starts of itself.
func TestServersStartsNearby(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(filepath.Join(programs, "nearby-compare"), "servers", "-n", "500", "--row-time", "40ms", "--out", filepath.Join(t.TempDir(), "s.html"))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "no-op handler") || !strings.Contains(string(out), "servers: ") {
		t.Errorf("%v: %s", err, out)
	}
	t.Run("none is found", func(t *testing.T) {
		lone := filepath.Join(t.TempDir(), "nearby-compare")
		if err := os.Link(filepath.Join(programs, "nearby-compare"), lone); err != nil {
			t.Skip(err) // another file system
		}
		cmd := exec.Command(lone, "servers")
		cmd.Env = []string{"PATH="}
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "--program") {
			t.Errorf("%v: %s", err, out)
		}
	})
}

func TestReplicas(t *testing.T) {
	t.Parallel()
	r := runCLI(t, "replicas", pgtest.Database(t), "-n", "300", "--row-time", "100ms", "--program", filepath.Join(programs, "nearby"))
	if r.code != command.OK || !strings.Contains(r.stdout, "3 replicas of nearby on PostgreSQL") || !strings.Contains(r.stderr, "replicas: ") {
		t.Errorf("%+v", r)
	}
}

func TestOverload(t *testing.T) {
	t.Parallel()
	r := runCLI(t, "overload", "-n", "300", "--row-time", "50ms", "--question", "near10", "--times", "1", "--clients", "8", "--program", filepath.Join(programs, "nearby"))
	if r.code != command.OK || !strings.Contains(r.stdout, "answered/s") || !strings.Contains(r.stderr, "overload: ") {
		t.Errorf("%+v", r)
	}
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}} {
		if r := runCLI(t, args...); r.code != command.OK || r.stdout != "nearby-compare "+command.VersionOf(version)+"\n" {
			t.Errorf("%q: %+v", args, r)
		}
	}
}

// A run that is interrupted says so.
func TestInterrupted(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, args := range [][]string{{"libraries", "--quick", "-n", "100"}, {"growth", "--max-n", "10000"}} {
		var stdout, stderr bytes.Buffer
		args = append(args, "--out", t.TempDir())
		if code := run(ended, args, strings.NewReader(""), &stdout, &stderr); code != command.Failed || !strings.Contains(stderr.String(), "interrupted") {
			t.Errorf("%q: %d, %s", args, code, &stderr)
		}
	}
}
