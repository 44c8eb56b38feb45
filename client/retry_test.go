package client_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nearby/client"
)

// script is a server that gives the answers that it is told to, one after the other, and the
// last one for ever.
type script struct {
	mu       sync.Mutex
	answers  []reply
	requests []received
}

type reply struct {
	status     int // 0: the connection breaks
	body       string
	retryAfter string
}

type received struct {
	at     time.Time
	method string
	header http.Header
	body   string
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.requests = append(s.requests, received{time.Now(), r.Method, r.Header, string(body)})
	a := s.answers[min(len(s.requests), len(s.answers))-1]
	s.mu.Unlock()
	if a.status == 0 {
		panic(http.ErrAbortHandler)
	}
	if a.retryAfter != "" {
		w.Header().Set("Retry-After", a.retryAfter)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// got returns the requests that came.
func (s *script) got() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.requests...)
}

// play starts a script and a client of it that tries three times.
func play(t *testing.T, answers ...reply) (*script, *client.Client) {
	t.Helper()
	s := &script{answers: answers}
	ts := httptest.NewServer(s)
	t.Cleanup(ts.Close)
	c, err := client.New(ts.URL, client.WithRetry(client.Retry{Tries: 3, Wait: time.Millisecond, MaxWait: 2 * time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func problem(cause, outcome string) string {
	if outcome != "" {
		outcome = `,"outcome":"` + outcome + `"`
	}
	return `{"type":"/v1/errors/` + cause + `","title":"Words","status":503` + outcome + `}`
}

// operations are requests of each sort.
var operations = []struct {
	name string
	// A read changes nothing; a keyed write is made once; a repeatable load may be made twice.
	read, keyed, repeatable bool
	do                      func(context.Context, *client.Client) error
}{
	{"GET an item", true, false, false, func(ctx context.Context, c *client.Client) error {
		_, err := c.Collection("c").GetItem(ctx, "a")
		return err
	}},
	{"nearby", true, false, false, func(ctx context.Context, c *client.Client) error {
		_, err := c.Collection("c").Nearby(ctx, 1, 2)
		return err
	}},
	{"a page", true, false, false, func(ctx context.Context, c *client.Client) error {
		_, err := c.Collection("c").Page(ctx)
		return err
	}},
	{"describe", true, false, false, func(ctx context.Context, c *client.Client) error {
		_, err := c.Collection("c").Describe(ctx)
		return err
	}},
	{"collections", true, false, false, func(ctx context.Context, c *client.Client) error { _, err := c.Collections(ctx); return err }},
	{"PUT an item", false, true, false, func(ctx context.Context, c *client.Client) error {
		_, err := c.Collection("c").PutItem(ctx, client.Item{ID: "a"})
		return err
	}},
	{"PUT an item on a condition", false, true, false, func(ctx context.Context, c *client.Client) error {
		_, err := c.Collection("c").PutItem(ctx, client.Item{ID: "a"}, client.IfMatch(`"1"`))
		return err
	}},
	{"insert an item", false, true, false, func(ctx context.Context, c *client.Client) error {
		_, err := c.Collection("c").InsertItem(ctx, client.Item{}, client.Key("order 1"))
		return err
	}},
	{"PATCH an item", false, true, false, func(ctx context.Context, c *client.Client) error {
		_, err := c.Collection("c").PatchItem(ctx, "a", map[string]any{})
		return err
	}},
	{"DELETE an item", false, true, false, func(ctx context.Context, c *client.Client) error { return c.Collection("c").DeleteItem(ctx, "a") }},
	{"PUT an item without a key", false, false, false, func(ctx context.Context, c *client.Client) error {
		_, err := c.Collection("c").PutItem(ctx, client.Item{ID: "a"}, client.NoKey())
		return err
	}},
	{"DELETE an item without a key", false, false, false, func(ctx context.Context, c *client.Client) error {
		return c.Collection("c").DeleteItem(ctx, "a", client.NoKey())
	}},
	{"create a collection", false, false, false, func(ctx context.Context, c *client.Client) error {
		_, err := c.Collection("c").Create(ctx, client.Definition{})
		return err
	}},
	{"PATCH a collection", false, false, false, func(ctx context.Context, c *client.Client) error {
		_, err := c.Collection("c").Patch(ctx, map[string]any{"title": "t"})
		return err
	}},
	{"DELETE a collection", false, false, false, func(ctx context.Context, c *client.Client) error { return c.Collection("c").Delete(ctx) }},
	{"load", false, false, false, func(ctx context.Context, c *client.Client) error {
		_, err := c.Collection("c").Load(ctx, client.CSV, strings.NewReader(shops))
		return err
	}},
	{"load what may come twice", false, false, true, func(ctx context.Context, c *client.Client) error {
		_, err := c.Collection("c").Load(ctx, client.CSV, bytes.NewReader([]byte(shops)), client.Repeatable())
		return err
	}},
}

// TestSentAgain: each request is sent again exactly where that does no harm, and it is then
// the same request, with the same key.
func TestSentAgain(t *testing.T) {
	t.Parallel()
	faults := []struct {
		name   string
		answer reply
		// What is sent again: reads and keyed writes alone; repeatable loads too; everything.
		keyed, repeatable, all bool
	}{
		{"no answer", reply{}, true, false, false},
		{"a refusal that passes, nothing made", reply{503, problem("overloaded", "not-made"), "0"}, true, true, true},
		{"a refusal that passes, perhaps made", reply{503, problem("outcome-unknown", "may-have-been-made"), "0"}, true, true, false},
		{"a refusal that passes, made in part", reply{503, problem("stopping", "partly-made"), "0"}, true, true, false},
		{"the key is in use", reply{409, problem("key-in-use", "may-have-been-made"), "0"}, true, true, false},
		{"a proxy that reached nobody", reply{502, "<html>", ""}, true, true, false},
		{"a refusal that stays", reply{507, problem("capacity-reached", "not-made"), ""}, false, false, false},
		{"a defect", reply{500, problem("internal-error", "may-have-been-made"), ""}, false, false, false},
		{"a conflict", reply{412, problem("precondition-failed", "not-made"), ""}, false, false, false},
		{"not for a long time", reply{503, problem("overloaded", "not-made"), "3600"}, false, false, false},
	}
	for _, op := range operations {
		for _, f := range faults {
			s, c := play(t, f.answer)
			err := op.do(t.Context(), c)
			if err == nil {
				t.Errorf("%s, %s: no error", op.name, f.name)
			}
			var p *client.Problem
			if refused := errors.As(err, &p); refused != (f.answer.status != 0) || refused && p.Status != f.answer.status {
				t.Errorf("%s, %s: %v", op.name, f.name, err)
			}
			want := 1
			if f.all || f.keyed && (op.read || op.keyed) || f.repeatable && op.repeatable {
				want = 3
			}
			all := s.got()
			if len(all) != want {
				t.Errorf("%s, %s: sent %d times, want %d", op.name, f.name, len(all), want)
			}
			key := all[0].header.Get("Idempotency-Key")
			if (key != "") != op.keyed {
				t.Errorf("%s: the key is %q", op.name, key)
			}
			for _, r := range all[1:] {
				if r.body != all[0].body || r.header.Get("Idempotency-Key") != key || r.header.Get("If-Match") != all[0].header.Get("If-Match") {
					t.Errorf("%s, %s: sent again as another request: %+v, before %+v", op.name, f.name, r, all[0])
				}
			}
		}
	}
}

// TestKeysDiffer: two writes are two writes.
func TestKeysDiffer(t *testing.T) {
	s, c := play(t, reply{201, `{"type":"Feature","id":"a","geometry":{"type":"Point","coordinates":[1,2]},"properties":{}}`, ""})
	for range 2 {
		if _, err := c.Collection("c").InsertItem(t.Context(), client.Item{}); err != nil {
			t.Fatal(err)
		}
	}
	if all := s.got(); len(all) != 2 || all[0].header.Get("Idempotency-Key") == all[1].header.Get("Idempotency-Key") {
		t.Errorf("%+v", all)
	}
}

// TestRefusedConnection: no connection means that nothing was made, so everything is sent again,
// and arrives when the server is there.
func TestRefusedConnection(t *testing.T) {
	t.Parallel()
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := l.Addr().String()
			_ = l.Close()
			dials := 0
			s := &script{answers: []reply{{204, "", ""}}}
			ts := httptest.NewServer(s)
			defer ts.Close()
			transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				to := address // where nobody listens
				if dials++; dials > 2 {
					to = ts.Listener.Addr().String()
				}
				return new(net.Dialer).DialContext(ctx, network, to)
			}}
			c, err := client.New("http://server.example", client.WithHTTPClient(&http.Client{Transport: transport}), client.WithRetry(client.Retry{Tries: 3, Wait: time.Millisecond}))
			if err != nil {
				t.Fatal(err)
			}
			_ = op.do(t.Context(), c) // the answer has no body
			if n := len(s.got()); n != 1 || dials != 3 {
				t.Errorf("%d requests arrived after %d dials", n, dials)
			}
		})
	}
}

// TestRowsAreReadAgain: what is sent again has all the rows if they can be read again, and is
// not sent again if they cannot.
func TestRowsAreReadAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rows")
	if err := os.WriteFile(file, []byte("skipped\n"+shops), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(int64(len("skipped\n")), io.SeekStart); err != nil { // the rows begin here
		t.Fatal(err)
	}
	busy := reply{429, problem("too-many-writes", "not-made"), "0"}
	for name, x := range map[string]struct {
		rows io.Reader
		sent int
	}{
		"text":   {strings.NewReader(shops), 3},
		"bytes":  {bytes.NewReader([]byte(shops)), 3},
		"buffer": {bytes.NewBufferString(shops), 3},
		"a file": {f, 3},
		"a pipe": {io.MultiReader(strings.NewReader(shops)), 1},
	} {
		s, c := play(t, busy, busy, reply{200, `{"created":5}`, ""})
		report, err := c.Collection("c").Load(t.Context(), client.CSV, x.rows)
		if (err == nil) != (x.sent == 3) || err == nil && report.Created != 5 {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
		all := s.got()
		if len(all) != x.sent {
			t.Errorf("%s: sent %d times, want %d", name, len(all), x.sent)
		}
		for i, r := range all {
			if r.body != shops {
				t.Errorf("%s: try %d had the rows %q", name, i+1, r.body)
			}
		}
	}
	if _, err := f.Seek(0, io.SeekCurrent); err != nil {
		t.Errorf("the caller's file was closed: %v", err)
	}
	// Rows that cannot be read are the caller's to see, and are no reason to try again.
	wrong := errors.New("the disk is broken")
	s, c := play(t, reply{200, `{}`, ""})
	if _, err := c.Collection("c").Load(t.Context(), client.CSV, io.MultiReader(strings.NewReader("id,"), failing{wrong})); !errors.Is(err, wrong) {
		t.Errorf("%v", err)
	}
	if n := len(s.got()); n > 1 {
		t.Errorf("sent %d times", n)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestWaits: the client waits at least as long as the server asks, in seconds or by a date, and
// ever longer if it does not; it gives up in the end.
func TestWaits(t *testing.T) {
	t.Parallel()
	get := func(c *client.Client) error { _, err := c.Collection("c").GetItem(t.Context(), "a"); return err }
	gaps := func(s *script) (all []time.Duration) {
		got := s.got()
		for i := 1; i < len(got); i++ {
			all = append(all, got[i].at.Sub(got[i-1].at))
		}
		return all
	}
	t.Run("seconds", func(t *testing.T) {
		t.Parallel()
		s, c := play(t, reply{503, problem("starting", ""), "1"})
		if err := get(c); err == nil {
			t.Error("no error")
		}
		for _, gap := range gaps(s) {
			if gap < time.Second {
				t.Errorf("came after %v, and was asked to wait a second", gap)
			}
		}
	})
	t.Run("a date", func(t *testing.T) {
		t.Parallel()
		s, c := play(t, reply{503, "", time.Now().Add(2 * time.Second).UTC().Format(http.TimeFormat)}) // whole seconds
		begun := time.Now()
		if err := get(c); err == nil {
			t.Error("no error")
		}
		if all := gaps(s); len(all) == 0 || all[0] < 500*time.Millisecond && time.Since(begun) < time.Second {
			t.Errorf("came after %v", all)
		}
	})
	t.Run("longer each time", func(t *testing.T) {
		t.Parallel()
		s := &script{answers: []reply{{503, "", ""}}}
		ts := httptest.NewServer(s)
		defer ts.Close()
		c, err := client.New(ts.URL, client.WithRetry(client.Retry{Tries: 6, Wait: 10 * time.Millisecond, MaxWait: 60 * time.Millisecond}))
		if err != nil {
			t.Fatal(err)
		}
		if err := get(c); err == nil {
			t.Error("no error")
		}
		least := 8 * time.Millisecond // a fifth less
		all := gaps(s)
		if len(all) != 5 {
			t.Errorf("%d tries", len(all)+1)
		}
		for i, gap := range all {
			if gap < least {
				t.Errorf("try %d came after %v, want %v at least", i+2, gap, least)
			}
			least = min(2*least, 60*time.Millisecond*8/10)
		}
	})
}

// TestContextEnds: what the caller no longer waits for ends at once: while the server is silent,
// while the client waits to come again, in the middle of an answer, of rows, or of pages.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the client leaves
		<-r.Context().Done()
	})
	half := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"type":`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	busy := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "20")
		w.WriteHeader(503)
		_, _ = io.WriteString(w, problem("overloaded", "not-made"))
	})
	for server, handler := range map[string]http.Handler{"a silent server": silent, "half an answer": half, "a busy server": busy} {
		ts := httptest.NewServer(handler)
		t.Cleanup(ts.Close)
		c, err := client.New(ts.URL)
		if err != nil {
			t.Fatal(err)
		}
		ops := operations
		ops = append(ops[:len(ops):len(ops)], operations[0])
		ops[len(ops)-1].name, ops[len(ops)-1].do = "pages", func(ctx context.Context, c *client.Client) (last error) {
			n := 0
			for _, err := range c.Collection("c").Items(ctx) {
				last = err
				n++
			}
			if n != 1 {
				t.Errorf("%s: the pages end with %d errors", server, n)
			}
			return last
		}
		for _, op := range ops {
			t.Run(server+", "+op.name, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				begun := time.Now()
				err := op.do(ctx, c)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
				if took := time.Since(begun); took > 10*time.Second {
					t.Errorf("it took %v", took)
				}
				var p *client.Problem
				if server == "a busy server" && (!errors.As(err, &p) || p.Cause() != "overloaded") {
					t.Errorf("why it waited is not told: %v", err)
				}
			})
		}
	}
	// Rows that do not come.
	t.Run("rows that do not come", func(t *testing.T) {
		t.Parallel()
		ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
		defer ts.Close()
		c, err := client.New(ts.URL)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		rows, w := io.Pipe()
		defer w.Close()
		if _, err := c.Collection("c").Load(ctx, client.CSV, rows); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

// TestRefusedBeforeRows: a load that is refused before its rows have come ends then.
func TestRefusedBeforeRows(t *testing.T) {
	t.Parallel()
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusForbidden)
	}))
	defer ts.Close()
	c, err := client.New(ts.URL)
	if err != nil {
		t.Fatal(err)
	}
	rows, w := io.Pipe()
	defer w.Close()
	var p *client.Problem
	if _, err := c.Collection("c").Load(t.Context(), client.CSV, rows); !errors.As(err, &p) || p.Status != http.StatusForbidden {
		t.Errorf("%v", err)
	}
}

// TestAnswerIsBounded: of an answer that does not end, or is unpacked to very much, no more is
// read than is allowed; nor of a problem.
func TestAnswerIsBounded(t *testing.T) {
	t.Parallel()
	const most = 1 << 16
	var sent, status atomic.Int64
	status.Store(200)
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(status.Load()))
		for line := bytes.Repeat([]byte(" "), 4096); ; {
			n, err := w.Write(line)
			if sent.Add(int64(n)) > 1<<28 || err != nil {
				return
			}
		}
	}))
	defer ts.Close()
	c, err := client.New(ts.URL, client.WithMaxAnswer(most))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Collection("c").GetItem(t.Context(), "a"); !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("%v", err)
	}
	status.Store(404)
	_, err = c.Collection("c").GetItem(t.Context(), "a")
	if !errors.Is(err, client.ErrNotFound) {
		t.Errorf("a long problem: %v", err)
	}
	ts.Close()
	if n := sent.Load(); n > 1<<28 {
		t.Errorf("%d bytes were taken", n)
	}
	// 16 MiB of blanks are 16 KiB when they are packed.
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	for range 1 << 8 {
		if _, err := z.Write(bytes.Repeat([]byte(" "), most)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	zipped := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}))
	defer zipped.Close()
	if c, err = client.New(zipped.URL, client.WithMaxAnswer(most)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Collection("c").GetItem(t.Context(), "a"); !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("packed: %v", err)
	}
	// An answer of exactly so many bytes is taken.
	text := `{"type":"Feature","id":"a","geometry":{"type":"Point","coordinates":[1,2]},"properties":{}}`
	for _, x := range []struct {
		most int
		ok   bool
	}{{len(text), true}, {len(text) - 1, false}} {
		s := httptest.NewServer(&script{answers: []reply{{200, text, ""}}})
		c, err := client.New(s.URL, client.WithMaxAnswer(int64(x.most)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Collection("c").GetItem(t.Context(), "a"); (err == nil) != x.ok {
			t.Errorf("an answer of %d bytes, %d are allowed: %v", len(text), x.most, err)
		}
		s.Close()
	}
}

// TestProblems: what an answer says is what the error says, whoever gave it.
func TestProblems(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		answer reply
		text   string
		is     error
	}{
		{reply{404, `{"type":"/v1/errors/item-not-found","title":"There is no such item","status":404,"detail":"there is no item \"a\""}`, ""},
			`the server answers 404 (item-not-found): there is no item "a"`, client.ErrNotFound},
		{reply{409, `{"type":"/v1/errors/item-exists","title":"The id exists already","status":409,"outcome":"not-made"}`, ""},
			"the server answers 409 (item-exists): The id exists already", client.ErrExists},
		{reply{412, `{"type":"/v1/errors/precondition-failed","title":"No","status":412,"outcome":"not-made"}`, ""},
			"the server answers 412 (precondition-failed): No", client.ErrConflict},
		{reply{400, `{"type":"/v1/errors/invalid-request","title":"No","status":400,"detail":"d","errors":[{"parameter":"k","got":"0","reason":"must be 1","hint":"try 1"},{"reason":"r"}]}`, ""},
			`the server answers 400 (invalid-request): k "0": must be 1 (hint: try 1); r`, nil},
		{reply{500, `{"type":"/v1/errors/internal-error","title":"A fault","status":500,"outcome":"may-have-been-made"}`, ""},
			"the server answers 500 (internal-error): A fault; the write may have been made", nil},
		{reply{404, "<html>nginx", ""}, "the server answers 404: Not Found", client.ErrNotFound},
		{reply{413, "", ""}, "the server answers 413: Request Entity Too Large", nil},
	} {
		_, c := play(t, x.answer)
		_, err := c.Collection("c").GetItem(t.Context(), "a")
		if err == nil || err.Error() != x.text {
			t.Errorf("%v, want %s", err, x.text)
		}
		for _, sentinel := range []error{client.ErrNotFound, client.ErrExists, client.ErrConflict, client.ErrNotModified} {
			if want := x.is != nil && sentinel.Error() == x.is.Error(); errors.Is(err, sentinel) != want {
				t.Errorf("%v is %v: %v", err, sentinel, errors.Is(err, sentinel))
			}
		}
	}
	_, c := play(t, reply{503, `{"status":"starting","reason":"the collections are still being loaded"}`, "1"})
	state, err := c.Ready(t.Context())
	if state.Status != "starting" || err == nil || err.Error() != "the server answers 503: the collections are still being loaded" {
		t.Errorf("%+v, %v", state, err)
	}
}

// TestAddress: a server is named as people name it.
func TestAddress(t *testing.T) {
	for given, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080", "http://h/": "http://h", "https://h/v1": "https://h", "http://h/v1/": "http://h",
		"https://h/near%20by/v1": "https://h/near%20by", "ftp://h": "", "http://": "", "http://h:x": "", "": "",
	} {
		c, err := client.New(given)
		if (err == nil) != (want != "") || err == nil && c.Server() != want {
			t.Errorf("%q: %v, %v", given, c, err)
		}
	}
}

// TestOptionsThatCannotBe: an option that would ask for something else than it says is an
// error, and nothing is sent.
func TestOptionsThatCannotBe(t *testing.T) {
	s, c := play(t, reply{200, "{}", ""})
	places := c.Collection("c")
	for name, do := range map[string]func() error{
		"a parameter as a property": func() error { _, err := places.Nearby(t.Context(), 1, 2, client.Where("radius", "5")); return err },
		"no value":                  func() error { _, err := places.Page(t.Context(), client.Where("category")); return err },
		"an empty key":              func() error { return places.DeleteItem(t.Context(), "a", client.Key("")) },
		"a key of two lines":        func() error { return places.DeleteItem(t.Context(), "a", client.Key("a\nb")) },
		"an empty id":               func() error { return places.DeleteItem(t.Context(), "") },
	} {
		if err := do(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := client.NewItem("a", 1, 2, []int{1}); err == nil {
		t.Error("properties that are a list: no error")
	}
	if n := len(s.got()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	var u *url.Error
	c2, err := client.New("http://127.0.0.1:1", client.WithRetry(client.Retry{Tries: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c2.Collection("c").Delete(t.Context()); !errors.As(err, &u) {
		t.Errorf("nobody listens: %v", err)
	}
}
