package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nearby/api"
)

// packed gzips a head and then so many times the same, each in a member of its own.
func packed(t testing.TB, head, again string, times int) string {
	t.Helper()
	member := func(text string) string {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		_, _ = io.WriteString(z, text) // a bytes.Buffer does not fail
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if times == 0 {
		return member(head)
	}
	return member(head) + strings.Repeat(member(again), times)
}

// TestUnpackedOnce: a body is unpacked once, by its Content-Encoding or as the gzipped
// file that it is, and what unpacks to far more than came is refused whatever is in it.
func TestUnpackedOnce(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const c = "/v1/collections/c"
	zeros := strings.Repeat("0", 1<<20)
	const mib = 20
	collection := `{"type":"FeatureCollection","features":[` + feature("g", 1, 2, "") + `]}`
	csv := packed(t, "id,lat,lon\nz,1,2\n", "", 0)
	unpacked := `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"a":"`
	send := func(method, path, mediaType string, encodings []string, body string) *answer {
		req, err := http.NewRequest(method, h.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Content-Type": {mediaType}, "Content-Encoding": encodings}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(resp.Body)
		return &answer{resp.StatusCode, resp.Header, text}
	}
	for _, r := range []struct {
		name, method, path, mediaType, encoding, body string
		status                                        int
		says                                          string
	}{
		{"by its encoding", "POST", c + "/items", "text/csv", "gzip", csv, 200, `"created":1`},
		{"by its old name", "POST", c + "/items", "text/csv", "x-gzip", csv, 200, `"updated":1`},
		{"a gzipped file", "POST", c + "/items", "text/csv", "", csv, 200, `"updated":1`},
		{"a gzipped collection", "POST", c + "/items", geoJSON, "", packed(t, collection, "", 0), 200, `"created":1`},
		{"a gzipped feature", "PUT", c + "/items/f", geoJSON, "gzip", packed(t, feature("f", 1, 2, ""), "", 0), 200, ``},
		{"a gzipped file of no other encoding", "POST", c + "/items", "text/csv", "identity", csv, 200, `"updated":1`},
		{"a gzipped feature of no encoding", "PUT", c + "/items/f", geoJSON, "", packed(t, feature("f", 1, 2, ""), "", 0), 400, `"detail":"the body is gzipped, but no header says so; send it with Content-Encoding: gzip, and compress it once"`},
		{"a gzipped patch of no encoding", "PATCH", c + "/items/a", "application/merge-patch+json", "", packed(t, `{"properties":{}}`, "", 0), 400, `no header says so`},
		{"a gzipped definition of no encoding", "PUT", "/v1/collections/d", "application/json", "identity", packed(t, `{}`, "", 0), 400, `no header says so`},
		{"what is not gzipped", "POST", c + "/items", "text/csv", "gzip", "id,lat,lon\nz,1,2\n", 400, `the body could not be read: the data are not gzipped`},
		{"cut off", "POST", c + "/items", "text/csv", "gzip", csv[:len(csv)-6], 400, `the gzipped data end too early`},
		{"cut off at once", "POST", c + "/items", "text/csv", "gzip", csv[:5], 400, `the gzipped data end too early`},
		{"damaged", "POST", c + "/items", "text/csv", "gzip", csv[:len(csv)-6] + "damage", 400, `the gzipped data are damaged`},
		{"gzipped queries", "POST", c + "/nearby", "application/json", "gzip", packed(t, `{"queries":[{"lat":1,"lon":1}]}`, "", 0), 200, ``},

		{"twice", "POST", c + "/items", "text/csv", "gzip", packed(t, csv, "", 0), 400, "gzip archive in another"},
		{"twice, a file", "POST", c + "/items", "text/csv", "", packed(t, csv, "", 0), 400, "gzip archive in another"},
		{"twice, a bomb", "POST", c + "/items", "text/csv", "gzip", packed(t, packed(t, "id,lat,lon\n", zeros, mib), "", 0), 400, "gzip archive in another"},
		{"twice, JSON", "POST", c + "/items", "application/x-ndjson", "gzip", packed(t, packed(t, "{", zeros, mib), "", 0), 400, "gzip archive in another"},
		{"one cell", "POST", c + "/items", "text/csv", "gzip", packed(t, "id,lat,lon,a\nb,1,2,", zeros, mib), 413, "200 times"},
		{"one cell of a file", "POST", c + "/items", "text/csv", "", packed(t, "id,lat,lon,a\nb,1,2,", zeros, mib), 413, "200 times"},
		{"one string", "POST", c + "/items", "application/x-ndjson", "gzip", packed(t, unpacked, zeros, mib), 413, "200 times"},
		{"one string of a sequence", "POST", c + "/items", "application/geo+json-seq", "gzip", packed(t, "\x1e"+unpacked, zeros, mib), 413, "200 times"},
		{"one feature", "POST", c + "/items", geoJSON, "gzip", packed(t, unpacked, zeros, mib), 413, "200 times"},
		{"one item", "PUT", c + "/items/x", geoJSON, "gzip", packed(t, unpacked, zeros, mib), 413, "1048576 bytes"},
		{"a patch", "PATCH", c + "/items/a", "application/merge-patch+json", "gzip", packed(t, `{"properties":{"a":"`, zeros, mib), 413, "1048576 bytes"},
		{"queries", "POST", c + "/nearby", "application/json", "gzip", packed(t, `{"queries":[`, zeros, mib), 413, "8388608 bytes"},
		{"a definition", "PUT", "/v1/collections/d", "application/json", "gzip", packed(t, `{"title":"`, zeros, mib), 413, "1048576 bytes"},
		{"two members", "POST", c + "/items", "text/csv", "gzip", csv + csv, 200, `"rejected":1`},
	} {
		var encodings []string
		if r.encoding != "" {
			encodings = []string{r.encoding}
		}
		a := send(r.method, r.path, r.mediaType, encodings, r.body)
		if a.status != r.status || !strings.Contains(string(a.body), r.says) {
			t.Errorf("%s: answered %d, want %d and %q: %.400s", r.name, a.status, r.status, r.says, a.body)
		}
	}
	for _, encodings := range [][]string{{"gzip, gzip"}, {"gzip", "gzip"}, {"identity", "gzip"}, {"gzip", "br"}, {"deflate"}, {"zstd"}, {"br"}} {
		a := send("POST", c+"/items", "text/csv", encodings, packed(t, csv, "", 0))
		if a.status != http.StatusUnsupportedMediaType || a.header.Get("Accept-Encoding") != "gzip" {
			t.Errorf("encodings %q: answered %d, Accept-Encoding %q", encodings, a.status, a.header.Get("Accept-Encoding"))
		}
	}
}

// flowing is a body that does not end by itself. It calls once after so many bytes.
type flowing struct {
	again string
	rest  string
	left  atomic.Int64
	then  func()
}

func (f *flowing) Read(p []byte) (int, error) {
	if f.rest == "" {
		f.rest = f.again
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	if left := f.left.Add(int64(-n)); left <= 0 && left+int64(n) > 0 {
		f.then()
	}
	return n, nil
}

// TestNobodyWaits: a body is not read on, whatever is in it, when its sender has left
// or the server is stopped.
func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	const most = 200 << 10 // bytes, then nobody waits
	rows := func(row string) string {
		var b strings.Builder
		for i := range 2000 {
			fmt.Fprintf(&b, row, i)
		}
		return b.String()
	}
	for name, body := range map[string]struct{ mediaType, encoding, head, again string }{
		"good rows":       {"text/csv", "", "id,lat,lon\n", rows("%d,1,2\n")},
		"bad rows":        {"text/csv", "", "id,lat,lon\n", rows("%d,x,y\n")},
		"gzipped":         {"text/csv", "gzip", packed(t, "id,lat,lon\n", "", 0), packed(t, rows("%d,x,y\n"), "", 0)},
		"a gzipped file":  {"text/csv", "", packed(t, "id,lat,lon\n", "", 0), packed(t, rows("%d,x,y\n"), "", 0)},
		"empty members":   {"text/csv", "gzip", packed(t, "id,lat,lon\n", "", 0), strings.Repeat(packed(t, "", "", 0), 1000)},
		"a line no end":   {"text/csv", "", "id,lat,lon\n", rows("%d,1,2,")},
		"a member no end": {geoJSON, "", `{"type":"FeatureCollection","x":"`, rows("%d")},
		"blanks":          {"application/x-ndjson", "", "", strings.Repeat("\n", 1<<16)},
	} {
		for _, how := range []string{"left", "stopped"} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				h := start(t, api.Options{})
				h.load("c", places)
				ctx, leave := context.WithCancel(context.Background())
				defer leave()
				then := leave
				if how == "stopped" {
					then = h.server.Stop
				}
				flow := &flowing{again: body.again, rest: body.head, then: then}
				flow.left.Store(most)
				req := httptest.NewRequestWithContext(ctx, "POST", "/v1/collections/c/items", flow)
				req.Header.Set("Content-Type", body.mediaType)
				if body.encoding != "" {
					req.Header.Set("Content-Encoding", body.encoding)
				}
				w, done := httptest.NewRecorder(), make(chan struct{})
				go func() {
					defer close(done)
					h.server.ServeHTTP(w, req)
				}()
				select {
				case <-done:
				case <-time.After(time.Minute):
					t.Fatalf("the body is still being read; %d bytes were taken", most-flow.left.Load())
				}
				if w.Code != http.StatusServiceUnavailable {
					t.Errorf("answered %d: %.300s", w.Code, w.Body)
				}
				if how == "stopped" && !strings.Contains(w.Body.String(), "/v1/errors/stopping") {
					t.Errorf("the answer is %.300s", w.Body)
				}
			})
		}
	}
}
