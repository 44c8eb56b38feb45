package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A load that is interrupted says so, keeps what has arrived, and is completed
// by the same command.
func TestLoadInterrupted(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	var csv strings.Builder
	csv.WriteString("lat,lon\n")
	for i := range 3 * batchRows {
		csv.WriteString("1," + strconv.Itoa(i%180) + "\n")
	}
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	// The interruption comes when two thirds are read.
	half := csv.Len() * 2 / 3
	stdin := io.MultiReader(strings.NewReader(csv.String()[:half]), readerFunc(func([]byte) (int, error) {
		interrupt()
		return 0, io.ErrUnexpectedEOF
	}))
	var stdout, stderr bytes.Buffer
	args := []string{"load", "-", "-c", "half", "--server", s.base}
	if code := run(ctx, args, stdin, &stdout, &stderr); code != exitFailed || !strings.Contains(stderr.String(), "interrupted: what was loaded stays; the same command sends all rows again") {
		t.Fatalf("exit code %d: %s%s", code, &stdout, &stderr)
	}
	if r := runCLI(t, csv.String(), args...); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	if n := len(s.content(newClient(t), "half")); n != 3*batchRows {
		t.Errorf("%d items, want %d", n, 3*batchRows)
	}
}

// What an interrupted load says adds up: rows that were answered, rows that may be stored or not,
// as no answer came, and rows that were not sent.
func TestInterruptedLoadAddsUp(t *testing.T) {
	t.Parallel()
	const rest = 10
	for name, tt := range map[string]struct {
		refuse bool // the second batch is answered, and none of it was stored
		says   string
	}{
		"no answer":  {false, "sent, but not answered: 10 rows, each of which may be loaded or not"},
		"not stored": {true, "read, but not loaded: 10 rows"},
	} {
		ctx, interrupt := context.WithCancel(context.Background())
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost {
				_, _ = io.WriteString(w, `{}`)
				return
			}
			if body, _ := io.ReadAll(r.Body); bytes.Count(body, []byte("\n")) > rest {
				_, _ = fmt.Fprintf(w, `{"created":%d,"updated":0,"skipped":0,"rejected":0,"errors":[]}`, batchRows)
				return
			}
			if tt.refuse {
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusInsufficientStorage)
				_, _ = io.WriteString(w, `{"type":"/v1/errors/capacity-reached","title":"full","status":507,"outcome":"not-made"}`)
				return
			}
			interrupt()
			<-r.Context().Done()
		}))
		var csv strings.Builder
		csv.WriteString("id,lat,lon\n")
		for i := range batchRows + rest {
			fmt.Fprintf(&csv, "%d,1,2\n", i%batchRows) // an id of the first batch: the second is sent after it
		}
		var stdout, stderr bytes.Buffer
		code := run(ctx, []string{"load", "-", "-c", "c", "--server", s.URL}, strings.NewReader(csv.String()), &stdout, &stderr)
		if code != exitFailed || !strings.Contains(stdout.String(), "8,010 rows read, 8,000 created, 0 updated, 0 rejected") || !strings.Contains(stdout.String(), tt.says) {
			t.Errorf("%s: exit code %d, %s%s; want %q", name, code, &stdout, &stderr, tt.says)
		}
		interrupt()
		s.Close()
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// A batch that the server is too busy for is sent again.
func TestLoadRetries(t *testing.T) {
	t.Parallel()
	posts := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			_, _ = w.Write([]byte(`{}`))
			return
		}
		if posts++; posts < 3 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		_, _ = w.Write([]byte(`{"created":1,"updated":0,"skipped":0,"rejected":0,"errors":[]}`))
	}))
	defer s.Close()
	r := runCLI(t, "id,lat,lon\na,1,2\n", "load", "-", "-c", "busy", "--server", s.URL)
	if r.code != exitOK || posts != 3 || !strings.Contains(r.stdout, "1 created") {
		t.Errorf("%d posts: %+v", posts, r)
	}
}

// A load that the server ends says what became of it: whether it may be repeated is
// said by the exit code and in words, and what was loaded by then is counted.
func TestLoadIsEnded(t *testing.T) {
	t.Parallel()
	const later, mended = "what was loaded stays; later, the same command sends all rows again", "what was loaded stays; when this is mended, the same command sends all rows again"
	problem := func(status int, cause, outcome, more string) string {
		return fmt.Sprintf(`{"type":"/v1/errors/%s","title":"The words of it","status":%d,"outcome":"%s"%s}`, cause, status, outcome, more)
	}
	for _, c := range []struct {
		name       string
		status     int
		retryAfter string
		body       string
		code       int
		says       []string
	}{
		{"full", 507, "", problem(507, "capacity-reached", "not-made", ""), exitFailed, []string{"507 (capacity-reached)", "The words of it", mended}},
		{"a defect", 500, "", problem(500, "internal-error", "may-have-been-made", ""), exitFailed, []string{"may have been made", mended}},
		{"away", 503, "1", problem(503, "store-unavailable", "partly-made", `,"loaded":{"created":1,"updated":0,"rejected":1,"errors":[{"type":"/v1/errors/item-exists","line":2,"id":"b","field":"row","reason":"is there"}]}`),
			exitLater, []string{"1 created", "1 rejected", "standard input:3: id b: row: is there", later}},
		{"deleted", 404, "", problem(404, "collection-not-found", "not-made", ""), exitFailed, []string{"404 (collection-not-found)", "somebody deleted the collection during the load, with all that was loaded; the same command creates it again and sends all rows"}},
		{"deleted later", 404, "", problem(404, "collection-not-found", "partly-made", `,"loaded":{"created":1,"updated":0,"rejected":1,"errors":[{"line":2,"id":"b","field":"row","reason":"is bad"}]}`),
			exitFailed, []string{"1 created", "somebody deleted the collection during the load, with all that was loaded"}},
		{"a path that a proxy lacks", 404, "", "<html>Not Found", exitFailed, []string{"404", mended}},
		{"a proxy", 502, "", "<html>Bad Gateway", exitLater, []string{"502", later}},
		{"broken", 0, "", "", exitLater, []string{later}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var posts atomic.Int32
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost {
					_, _ = w.Write([]byte(`{}`))
					return
				}
				if posts.Add(1); c.status == 0 {
					panic(http.ErrAbortHandler)
				}
				if c.retryAfter != "" {
					w.Header().Set("Retry-After", c.retryAfter)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer s.Close()
			r := runCLI(t, "id,lat,lon\na,1,2\nb,1,2\n", "load", "-", "-c", "ended", "--server", s.URL)
			if r.code != c.code || (posts.Load() > 1) != (c.code == exitLater && c.status != 0) {
				t.Errorf("exit code %d after %d posts: %+v", r.code, posts.Load(), r)
			}
			if strings.Contains(r.stderr, "somebody deleted") && strings.Contains(r.stderr, "stays") {
				t.Errorf("what is gone stays: %+v", r)
			}
			for _, says := range c.says {
				if !strings.Contains(r.stdout+r.stderr, says) {
					t.Errorf("it does not say %q: %+v", says, r)
				}
			}
		})
	}
}

// What the server rejects is told with the line of the file.
func TestServerRejectsRows(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			_, _ = w.Write([]byte(`{}`))
			return
		}
		_, _ = w.Write([]byte(`{"created":1,"updated":0,"skipped":0,"rejected":2,"errors":[{"line":2,"id":"c","field":"id","reason":"is not liked"}]}`))
	}))
	defer s.Close()
	r := runCLI(t, "id,lat,lon\na,1,2\nb,x,2\nc,1,2\n", "load", "-", "-c", "strict", "--server", s.URL)
	if r.code != exitRejected || !strings.Contains(r.stdout, "standard input:4: id c: id: is not liked") || !strings.Contains(r.stdout, "3 rejected") {
		t.Errorf("%+v", r)
	}
}

// A small run gives a table and the three files.
func TestBench(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := runCLI(t, "", "bench", "--quick", "-n", "300", "--set", "line", "--out", folder)
	if r.code != exitOK || !strings.Contains(r.stdout, "report: ") || !strings.Contains(r.stderr, "bench: ") {
		t.Fatalf("%+v", r)
	}
	for _, name := range []string{"bench.html", "bench.json", "bench.md"} {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	own := write(t, "own.csv", "id,lat,lon\n1,1,2\n2,2,3\n3,x,3\n")
	r = runCLI(t, "", "bench", "--quick", "--data", own, "--out", filepath.Join(folder, "own.html"))
	if r.code != exitOK || !strings.Contains(r.stderr, "2 points, 1 rows rejected") {
		t.Fatalf("%+v", r)
	}
	if _, err := os.Stat(filepath.Join(folder, "own.html")); err != nil {
		t.Error(err)
	}
}

// After a signal the server says that it is not ready, and goes on answering
// for as long as it was told to.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir(), "--drain-delay", "1s")
	createCollection(t, s, "drain", `{}`)
	c := newClient(t)
	if status, answer := call(c, http.MethodGet, s.base+"/readyz", "", ""); status != http.StatusOK {
		t.Fatalf("/readyz: %d %s", status, answer)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for {
		status, _ := call(c, http.MethodGet, s.base+"/readyz", "", "")
		if status == http.StatusServiceUnavailable {
			break
		}
		if status != http.StatusOK {
			t.Fatalf("/readyz: %d before it said 503", status)
		}
	}
	if status, _ := call(c, http.MethodGet, s.base+"/healthz", "", ""); status != http.StatusOK {
		t.Errorf("/healthz: %d while draining", status)
	}
	if status, answer := call(c, http.MethodPut, s.base+"/v1/collections/drain/items/a", "application/geo+json", featureOf("a", 1)); status != http.StatusCreated {
		t.Errorf("a write while draining: %d %s", status, answer)
	}
	<-s.rest
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, s.log)
	}
}

// A body that is still being sent does not keep the server from ending: the load is
// answered, with what of it was written, and that is there after a restart.
func TestStopWhileLoading(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := startServer(t, data, "--shutdown-timeout", "10m", "--load-timeout", "10m")
	createCollection(t, s, "slow", `{}`)
	body, rows := io.Pipe()
	type answer struct {
		status int
		text   string
	}
	answered := make(chan answer, 1)
	go func() {
		resp, err := newClient(t).Post(s.base+"/v1/collections/slow/items", "text/csv", body)
		if err != nil {
			answered <- answer{text: err.Error()}
			return
		}
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(resp.Body)
		answered <- answer{resp.StatusCode, string(text)}
	}()
	if _, err := io.WriteString(rows, "id,lat,lon\na,1,2\nb,1,2\n"+strings.Repeat("a,1,2\n", 20_000)); err != nil {
		t.Fatal(err)
	}
	// The rest does not come, and the body does not end.
	for c, began := newClient(t), time.Now(); len(s.content(c, "slow")) < 2; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("the first rows were not written in time")
		}
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d after SIGTERM\n%s", code, s.log)
	}
	a := <-answered
	if a.status != http.StatusServiceUnavailable || !strings.Contains(a.text, `"created":2`) {
		t.Errorf("answered %d: %s", a.status, a.text)
	}
	s = startServer(t, data)
	if n := len(s.content(newClient(t), "slow")); n != 2 {
		t.Errorf("%d items after a restart, want 2", n)
	}
}

// What a load does to items that are there is counted, and what it does not name stays
// if it merges: with positions alone, with properties alone, from CSV and from JSON.
func TestLoadOnExisting(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir())
	load := func(rows, counts string, flags ...string) string {
		t.Helper()
		r := runCLI(t, rows, append([]string{"load", "-", "-c", "c", "--server", s.base}, flags...)...)
		if !strings.Contains(r.stdout, counts) {
			t.Fatalf("%v: %+v, want %s", flags, r, counts)
		}
		if slices.Contains(flags, "--on-error=abort") && !strings.Contains(r.stderr, "as --on-error abort asks") {
			t.Errorf("%v: %s", flags, r.stderr)
		}
		return r.stdout
	}
	load("id,lat,lon,status,n\na,1,2,busy,1\nb,1,2,free,1\n", "2 created, 0 updated, 0 rejected")
	load("id,lat,lon,n\na,3,4,\nc,5,6,1\n", "1 created, 1 updated, 0 rejected", "--on-existing", "merge")
	load("id,status\na,resting\n", "0 created, 1 updated, 0 rejected", "--on-existing=merge")
	load(`{"id":"b","status":null,"note":"new"}`+"\n", "0 created, 1 updated, 0 rejected", "--on-existing=merge")
	load("id,lat,lon,status\na,7,7,lost\nd,7,7,new\n", "1 created, 0 updated, 1 skipped, 0 rejected", "--on-existing=skip")
	out := load("id,lat,lon,status\ne,8,8,new\na,7,7,lost\n", "1 created, 0 updated, 1 rejected", "--on-existing=fail")
	if !strings.Contains(out, "standard input:3: id a: ") {
		t.Errorf("the row that exists is not named: %s", out)
	}
	out = load(`{"status":"free"}`+"\n"+`{"id":"nobody","status":"free"}`+"\n"+`{"id":"e","status":"free"}`+"\n", "0 created, 1 updated, 2 rejected", "--on-existing=merge")
	if !strings.Contains(out, "standard input:1: id: is missing") || !strings.Contains(out, "standard input:2: id nobody: geometry: is missing") {
		t.Errorf("rows that name nothing: %s", out)
	}
	// No row after the first bad one is written, also where only the server can know it.
	many := strings.Builder{}
	for i := range 3000 {
		fmt.Fprintf(&many, "r%d,1,1\n", i)
	}
	out = load("id,lat,lon\na,5,5\n"+many.String(), "0 created, 0 updated, 1 rejected", "--on-existing=fail", "--on-error=abort")
	if !strings.Contains(out, "standard input:2: id a: ") {
		t.Errorf("the row that ended the load is not named: %s", out)
	}
	load("id,lat,lon\nmissing,,\nafter,2,2\n", "0 created, 0 updated, 1 rejected", "--on-existing=merge", "--on-error=abort")
	got := s.content(newClient(t), "c")
	if len(got) != 5 {
		t.Errorf("there are %d items, want 5", len(got))
	}
	for id, want := range map[string]string{
		"a": `{4 3 {"status":"resting","n":1}}`, "b": `{2 1 {"n":1,"note":"new"}}`, "c": `{6 5 {"n":1}}`, "d": `{7 7 {"status":"new"}}`, "e": `{8 8 {"status":"free"}}`,
	} {
		if text := fmt.Sprint(got[id]); text != want {
			t.Errorf("%s is %s, want %s", id, text, want)
		}
	}
}

// TestServerGoesAway: a server that goes away in the middle of a load may come back, so that the
// exit code is 4; one that was never there is a failure.
func TestServerGoesAway(t *testing.T) {
	t.Parallel()
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = w.Write([]byte(`{}`))
		_ = s.Listener.Close() // no connection is made any more
	}))
	defer s.Close()
	args := []string{"load", "-", "-c", "left", "--server", s.URL}
	r := runCLI(t, "id,lat,lon\na,1,2\n", args...)
	if r.code != exitLater || !strings.Contains(r.stderr, "connection refused") || !strings.Contains(r.stderr, "what was loaded stays; later, the same command sends all rows again") {
		t.Errorf("a server that goes away: %+v", r)
	}
	r = runCLI(t, "id,lat,lon\na,1,2\n", args...)
	if r.code != exitFailed || !strings.Contains(r.stderr, "no server answers at") {
		t.Errorf("a server that is not there: %+v", r)
	}
}
