package api_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"nearby/api"
)

// TestReadiness: nothing half-loaded is served, and a server that stops says so.
func TestReadiness(t *testing.T) {
	complete, draining := make(chan struct{}), make(chan struct{})
	h := startUnready(t, api.Options{Complete: complete, Draining: draining})
	h.do("GET", "/healthz", "", "").want(t, 200)
	state := func(status int, want string) {
		t.Helper()
		a := h.do("GET", "/readyz", "", "").want(t, status)
		got := decode[struct {
			Status, Reason string
			StalenessMs    *int
		}](t, a)
		ready := want == "ready"
		if got.Status != want || (got.Reason == "") != ready || (got.StalenessMs != nil) != ready || (a.header.Get("Retry-After") == "") != ready {
			t.Errorf("ready? %s, want %s", a.body, want)
		}
	}
	state(503, "starting")
	h.do("POST", "/v1/verify", "", "").want(t, 503)
	for _, path := range []string{"/readyz", "/v1/collections", "/v1/collections/c", "/v1/collections/c/nearby?lat=0&lon=0"} {
		if a := h.do("GET", path, "", "").want(t, 503); a.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
	if err := h.catalog.Load(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	state(503, "starting")
	h.do("GET", "/v1/collections", "", "").want(t, 200) // what there is, is served
	close(complete)
	state(200, "ready")
	close(draining)
	state(503, "draining")
	h.do("GET", "/v1/collections", "", "").want(t, 200) // what comes meanwhile is served
}

// TestRequestsAreLogged: one line of JSON a request, whatever is in its URL.
func TestRequestsAreLogged(t *testing.T) {
	h := start(t, api.Options{})
	a := h.do("GET", "/v1/collections/a%0A%1B%5B31mb?x=%0Ay", "", "").want(t, 400)
	lines := strings.Split(strings.TrimSpace(h.log.String()), "\n")
	if len(lines) != 1 {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	var line struct {
		Msg, ID, Method, Route string
		Status                 int
		Microseconds           *int64
	}
	if err := json.Unmarshal([]byte(lines[0]), &line); err != nil {
		t.Fatal(err)
	}
	if line.Route != "/v1/collections/{collectionId}" || line.Status != 400 || line.Method != "GET" || line.Microseconds == nil {
		t.Errorf("logged %s", lines[0])
	}
	if p := decode[struct{ Instance string }](t, a); p.Instance != line.ID || a.header.Get("X-Request-Id") != line.ID {
		t.Errorf("the log says %q, the answer %q", line.ID, p.Instance)
	}
}

// breaking is a body that panics when it is read.
type breaking struct{}

func (breaking) Read([]byte) (int, error) { panic("secret of the house") }
func (breaking) Close() error             { return nil }

// TestPanic: it is logged, and its cause is not told.
func TestPanic(t *testing.T) {
	h := start(t, api.Options{})
	req := httptest.NewRequest("PUT", "/v1/collections/c", nil)
	req.Body = breaking{}
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, req)
	if w.Code != 500 || strings.Contains(w.Body.String(), "secret") || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("answered %d: %s", w.Code, w.Body)
	}
	if !strings.Contains(h.log.String(), "secret of the house") {
		t.Errorf("not logged: %s", h.log)
	}
}

// TestGzipBombs: the limit is on what comes out, not on what is sent.
func TestGzipBombs(t *testing.T) {
	h := start(t, api.Options{Limits: api.Limits{MaxBodyBytes: 10_000, MaxLoadBytes: 100_000}})
	h.load("c", places)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := io.WriteString(z, "id,lat,lon,name\n"+strings.Repeat("x,1,1,"+strings.Repeat(" ", 90)+"\n", 20_000)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][3]string{
		{"POST", "/v1/collections/c/items", "text/csv"},
		{"POST", "/v1/collections/c/items", "application/x-ndjson"},
		{"PUT", "/v1/collections/c/items/a", geoJSON},
		{"PUT", "/v1/collections/d", "application/json"},
	} {
		if a := h.do(r[0], r[1], r[2], bomb.String(), "Content-Encoding", "gzip"); a.status != 413 {
			t.Errorf("%s %s as %s: answered %d: %.200s", r[0], r[1], r[2], a.status, a.body)
		}
	}
}

// TestRawRequests sends what no client library would.
func TestRawRequests(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	for _, raw := range []string{
		"FOO /v1/collections HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/collections HTTP/1.1\r\nHost: a b\r\n\r\n",
		"GET /v1/collections HTTP/1.1\r\n\r\n",
		"GET /v1/collections/c/items/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/collections/c/items/" + strings.Repeat("i", 9000) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/collections/c/items/%00%ff HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
		"PUT /v1/collections/c/items/a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"GET /v1/collections HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 300_000) + "\r\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		go func() { _, _ = io.WriteString(conn, raw) }() // the server may stop reading
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%.60q: %v", raw, err)
		}
		if resp.StatusCode < 400 || resp.StatusCode >= 500 {
			t.Errorf("%.60q: answered %d", raw, resp.StatusCode)
		}
		_ = conn.Close() // or closing the body would read on
		_ = resp.Body.Close()
	}
	h.do("GET", "/v1/collections/c", "", "").want(t, 200)
}

// TestSnapshotsBesideWrites: a walk through the pages has every item that was
// there all the time exactly once, while others come and go.
func TestSnapshotsBesideWrites(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	var rows strings.Builder
	rows.WriteString("id,lat,lon\n")
	for i := range 200 {
		fmt.Fprintf(&rows, "stays-%d,%d,%d\n", i, i%90, i%180)
	}
	h.do("POST", "/v1/collections/c/items", "text/csv", rows.String()).want(t, 200)
	for _, q := range []string{"/items?limit=7", "/items?limit=7&bbox=-180,-90,180,90", "/nearby?lat=3&lon=3&k=7"} {
		seen := map[string]int{}
		n := 0
		for path := "/v1/collections/c" + q; path != ""; n++ {
			page := decode[features](t, h.do("GET", path, "", "").want(t, 200))
			for _, id := range page.ids() {
				seen[id]++
			}
			path = h.next(&page)
			h.do("PUT", fmt.Sprintf("/v1/collections/c/items/comes-%d", n), geoJSON,
				fmt.Sprintf(`{"type":"Feature","geometry":{"type":"Point","coordinates":[%d,3]},"properties":{}}`, n)).want(t, 201)
			h.do("DELETE", fmt.Sprintf("/v1/collections/c/items/comes-%d", n), "", "").want(t, 204)
			if n > 100 {
				t.Fatal("the pages do not end")
			}
		}
		for i := range 200 {
			if id := fmt.Sprintf("stays-%d", i); seen[id] != 1 {
				t.Errorf("%s: %s was seen %d times", q, id, seen[id])
			}
		}
	}
}

// TestGolden fixes the bytes of the answers that clients parse.
func TestGolden(t *testing.T) {
	h := start(t, api.Options{PublicURL: "https://example.org"})
	h.load("places", places)
	batch := h.do("POST", "/v1/collections/places/nearby", "application/json", `{"queries":[{"lat":0,"lon":0.25,"k":2,"filter":{"category":["sea","land"]}},{"lat":0,"lon":0,"radius":9},`+
		`{"lat":0,"lon":0,"k":1,"filter":"category <> 'ice' AND category <> 'land'"}],"properties":["name"]}`)
	golden(t, "batch.json", append(batch.body, '\n'))
	for name, path := range map[string]string{
		"landing.json":     "/v1/",
		"conformance.json": "/v1/conformance",
		"nearby.json":      "/v1/collections/places/nearby?lat=0&lon=0.25&k=2&properties=name&distance_property=metres",
		"seam.json":        "/v1/collections/places/nearby?lat=10&lon=180&radius=100000",
		"swapped.json":     "/v1/collections/places/nearby?lat=-110.5&lon=44.6",
		"unknown.json":     "/v1/collections/places/nearby?lat=0&lon=0&categry=sea",
	} {
		a := h.do("GET", path, "", "")
		id := []byte(a.header.Get("X-Request-Id"))
		golden(t, name, append(bytes.ReplaceAll(a.body, id, []byte("0123456789abcdef")), '\n'))
	}
}
