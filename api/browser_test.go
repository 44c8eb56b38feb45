package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nearby/api"
)

// TestBrowser: to a page in a browser, whose cache keeps what it may, each answer is what
// there is now, whoever wrote it; and what has not changed is not sent again.
func TestBrowser(t *testing.T) {
	t.Parallel()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil && program == "" {
			program = path
		}
	}
	switch {
	case program != "":
	case os.Getenv("NEARBY_TEST_BROWSER") == "required":
		t.Fatal("chromium was provisioned and is not found")
	default:
		t.Skip("no browser is installed; Debian: apt-get install chromium")
	}

	// Of what was written so long ago a cache would guess that it stays (RFC 9111 §4.2.2).
	h := aged(t, time.Now().AddDate(-1, 0, 0), time.Now().AddDate(-1, 0, 0))
	reports := make(chan []byte, 1)
	pages := http.NewServeMux()
	pages.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "testdata/browser.html") })
	pages.HandleFunc("POST /report", func(_ http.ResponseWriter, r *http.Request) {
		report, _ := io.ReadAll(r.Body)
		reports <- report
	})
	pages.HandleFunc("POST /change", func(w http.ResponseWriter, r *http.Request) {
		body := feature("a", 1, 2, fmt.Sprintf(`{"name":%q,"text":%q}`, r.FormValue("name"), strings.Repeat("long enough to be packed ", 200)))
		put, _ := http.NewRequest("PUT", h.url+"/v1/collections/c/items/a", strings.NewReader(body))
		put.Header.Set("Content-Type", geoJSON)
		resp, err := http.DefaultTransport.RoundTrip(put)
		if err != nil || resp.StatusCode != 200 {
			http.Error(w, fmt.Sprint(err), http.StatusBadGateway)
			return
		}
		_ = resp.Body.Close()
		_, _ = io.WriteString(w, resp.Header.Get("Nearby-Token"))
	})
	page := httptest.NewServer(pages)
	defer page.Close()
	server, err := api.New(api.Options{Catalog: h.catalog, CORSOrigins: []string{page.URL}})
	if err != nil {
		t.Fatal(err)
	}
	answered := statuses{Handler: server, of: map[string]string{}}
	ts := httptest.NewServer(&answered)
	defer ts.Close()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	home, err := os.MkdirTemp("", "nearby-browser-")
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	browser := exec.CommandContext(ctx, program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run", "--disable-breakpad",
		"--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server", "--user-data-dir="+home,
		page.URL+"/?api="+url.QueryEscape(ts.URL))
	browser.Env = append(os.Environ(), "HOME="+home)
	browser.Stderr, browser.WaitDelay = &said, time.Second
	browser.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it is many processes, which end together
	browser.Cancel = func() error { return syscall.Kill(-browser.Process.Pid, syscall.SIGKILL) }
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- browser.Wait() }()
	var report []byte
	select {
	case report = <-reports:
		cancel()
		t.Log("stopped:", <-ended)
	case err := <-ended:
		t.Errorf("%s ended without a report: %v\n%s", program, err, &said)
	}
	_ = os.RemoveAll(home) // its last processes may still write there

	var seen []any
	if err := json.Unmarshal(report, &seen); err != nil {
		t.Fatalf("%v: %s", err, report)
	}
	paths := []string{"/items/a", "/items/a?consistency=strong", "/items", "/items?bbox=0,0,3,3", "/nearby?lat=2&lon=1"}
	for _, path := range paths {
		var names []string
		for _, at := range seen {
			shown, ok := at.(map[string]any)
			if !ok {
				t.Fatalf("the page says: %v", at)
			}
			names = append(names, fmt.Sprint(shown[path]))
		}
		if got, want := strings.Join(names, ", "), "unnamed, unnamed, new, new, newest"; got != want {
			t.Errorf("of %s the page sees: %s; want %s", path, got, want)
		}
		if got, want := answered.of["/v1/collections/c"+path], " 200 304 200 304 200"; got != want {
			t.Errorf("%s was answered%s, want%s", path, got, want)
		}
	}
	if len(answered.of) != len(paths) {
		t.Errorf("the page asked for %v", answered.of)
	}
}

// statuses notes how GETs are answered.
type statuses struct {
	http.Handler
	mu sync.Mutex
	of map[string]string // by path and query
}

func (s *statuses) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		w = &noted{ResponseWriter: w, note: func(status int) {
			s.mu.Lock()
			s.of[r.URL.RequestURI()] += fmt.Sprint(" ", status)
			s.mu.Unlock()
		}}
	}
	s.Handler.ServeHTTP(w, r)
}

// noted tells the status before it is sent.
type noted struct {
	http.ResponseWriter
	note func(status int)
}

func (n *noted) WriteHeader(status int) {
	if n.note != nil {
		n.note(status)
	}
	n.note = nil
	n.ResponseWriter.WriteHeader(status)
}

func (n *noted) Write(b []byte) (int, error) {
	if n.note != nil {
		n.WriteHeader(http.StatusOK)
	}
	return n.ResponseWriter.Write(b)
}

func (n *noted) Unwrap() http.ResponseWriter { return n.ResponseWriter }
