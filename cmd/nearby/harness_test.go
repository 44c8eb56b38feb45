package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"nearby/store/postgres/pgtest"
)

// program is the built binary.
var program string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	// The tests' flags are their own.
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "NEARBY_") && !strings.HasPrefix(name, "NEARBY_TEST_") && name != "NEARBY_KILL_ROUNDS" {
			_ = os.Unsetenv(name)
		}
	}
	dir, err := os.MkdirTemp("", "nearby-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "nearby")
	// The flags are those of "make build", so that what it has compiled serves here too.
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=v0.0.0-test", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
		return 1
	}
	return pgtest.Main(m)
}

// server is a running "nearby serve".
type server struct {
	t     *testing.T
	cmd   *exec.Cmd
	base  string // http://127.0.0.1:port, once it is ready
	log   *lockedBuffer
	first chan string // the first line on stdout
	rest  chan string // what came after it
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startServer starts the program on a free port and waits until it is ready.
func startServer(t *testing.T, data string, args ...string) *server {
	t.Helper()
	s := launch(t, append([]string{"--data", data}, args...)...)
	s.awaitReady()
	return s
}

// launch starts the program on a free port.
func launch(t *testing.T, args ...string) *server {
	t.Helper()
	return launchAs(t, program, nil, args...)
}

// launchAs starts a copy of the program with attributes of the process.
func launchAs(t *testing.T, program string, as *syscall.SysProcAttr, args ...string) *server {
	t.Helper()
	s := &server{t: t, log: new(lockedBuffer), first: make(chan string, 1), rest: make(chan string, 1)}
	s.cmd = exec.Command(program, append([]string{"serve", "--addr", "127.0.0.1:0", "--log-level", "warn"}, args...)...)
	s.cmd.SysProcAttr = as
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			s.kill()
		}
	})
	go func() {
		r := bufio.NewReader(out)
		line, _ := r.ReadString('\n')
		s.first <- line
		rest, _ := io.ReadAll(r)
		s.rest <- string(rest)
	}()
	return s
}

// awaitReady waits until the server has said that it is ready.
func (s *server) awaitReady() {
	s.t.Helper()
	select {
	case line := <-s.first:
		address, ok := strings.CutPrefix(line, "nearby ready on ")
		if !ok {
			_ = s.cmd.Wait()
			s.t.Fatalf("the server said %q instead of its address; its log:\n%s", line, s.log)
		}
		s.base = strings.TrimSuffix(strings.TrimSpace(address), "/v1/")
	case <-time.After(patience):
		s.t.Fatalf("the server was not ready in time; its log:\n%s", s.log)
	}
}

// kill ends the server as a loss of power does, for all that it can do about it.
func (s *server) kill() {
	_ = s.cmd.Process.Signal(syscall.SIGKILL)
	<-s.rest
	_ = s.cmd.Wait()
}

// stop sends SIGTERM and returns the exit code.
func (s *server) stop() int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if more := <-s.rest; more != "" {
		s.t.Errorf("more than the address on stdout: %q", more)
	}
	_ = s.cmd.Wait()
	return s.cmd.ProcessState.ExitCode()
}

// newClient makes an HTTP client with connections of its own.
func newClient(t testing.TB) *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// call sends a request; status 0 means that it is not known what became of it.
func call(c *http.Client, method, url, contentType, body string) (status int, answer []byte) {
	r := exchange(c, method, url, contentType, body)
	return r.status, r.body
}

// reply is what came back of a request.
type reply struct {
	status int // 0: it is not known what became of it
	header http.Header
	body   []byte
	err    error // why it is not known
}

// exchange sends a request with headers, given as names and values in turn.
func exchange(c *http.Client, method, url, contentType, body string, headers ...string) reply {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if req.Header.Set(headers[i], headers[i+1]); headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	resp, err := c.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{err: err}
	}
	return reply{status: resp.StatusCode, header: resp.Header, body: answer}
}

// place is an item as the tests compare it.
type place struct {
	lon, lat   float64
	properties string
}

type feature struct {
	ID       string `json:"id"`
	Geometry struct {
		Coordinates [2]float64 `json:"coordinates"`
	} `json:"geometry"`
	Properties rawJSON  `json:"properties"`
	Distance   *float64 `json:"distance"`
}

type rawJSON string

func (r *rawJSON) UnmarshalJSON(b []byte) error { *r = rawJSON(b); return nil }

type page struct {
	Features      []feature `json:"features"`
	NumberMatched *int      `json:"numberMatched"`
	Links         []struct {
		Href string `json:"href"`
		Rel  string `json:"rel"`
	} `json:"links"`
}

func (s *server) get(c *http.Client, url string, into any) {
	s.t.Helper()
	status, answer := call(c, http.MethodGet, url, "", "")
	if status != http.StatusOK {
		s.t.Fatalf("GET %s: %d %s\n%s", url, status, answer, s.log)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		s.t.Fatalf("GET %s: %v in %s", url, err, answer)
	}
}

// content pages through a whole collection, which nobody changes meanwhile.
func (s *server) content(c *http.Client, collection string) map[string]place {
	s.t.Helper()
	all, matched := s.pages(c, collection)
	if matched != len(all) {
		s.t.Fatalf("numberMatched is %d, the pages hold %d items", matched, len(all))
	}
	return all
}

// pages pages through a whole collection, and returns what the last page says of its
// size, too.
func (s *server) pages(c *http.Client, collection string) (all map[string]place, matched int) {
	s.t.Helper()
	all = map[string]place{}
	for next := s.base + "/v1/collections/" + collection + "/items?limit=1000"; next != ""; {
		var p page
		s.get(c, next, &p)
		next = ""
		for _, l := range p.Links {
			if l.Rel == "next" {
				next = l.Href
			}
		}
		for _, f := range p.Features {
			if _, twice := all[f.ID]; twice {
				s.t.Fatalf("the item %q is on two pages", f.ID)
			}
			all[f.ID] = place{f.Geometry.Coordinates[0], f.Geometry.Coordinates[1], string(f.Properties)}
		}
		if matched = len(all); p.NumberMatched != nil {
			matched = *p.NumberMatched
		}
	}
	return all, matched
}

// result is what a run of the program gave.
type result struct {
	code           int
	stdout, stderr string
}

// runCLI runs the program in this process.
func runCLI(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(context.Background(), args, strings.NewReader(stdin), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// seeded gives a random source whose seed can be set again.
func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("NEARBY_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("NEARBY_TEST_SEED: %v", err)
		}
	}
	t.Logf("NEARBY_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
