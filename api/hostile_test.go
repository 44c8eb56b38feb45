package api_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"nearby/api"
)

// endless is a body that does not end: a head, then the same again and again. It
// counts what was taken of it.
type endless struct {
	head, again string
	taken       int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.head)
	e.head = e.head[n:]
	for n < len(p) {
		n += copy(p[n:], e.again)
	}
	e.taken += int64(n)
	return n, nil
}

// TestEndlessBodies: a body without an end, sent in chunks, is refused after what
// may be sent, whatever it begins with.
func TestEndlessBodies(t *testing.T) {
	h := start(t, api.Options{Limits: api.Limits{MaxBodyBytes: 100_000, MaxBatchBytes: 200_000}})
	h.load("c", places)
	bounded := h.beside(api.Limits{MaxLoadBytes: 300_000})
	const c = "/v1/collections/c"
	for _, r := range []struct {
		server                             *fixture
		method, path, mediaType, head, row string
		encoding                           string
		status                             int
	}{
		{h, "PUT", c, "application/json", `{"title":"`, "x", "", 413},
		{h, "PUT", c + "/items/a", geoJSON, `{"type":"Feature","properties":{"a":"`, "x", "", 413},
		{h, "PATCH", c + "/items/a", "application/merge-patch+json", `{"properties":{"a":"`, "x", "", 413},
		{h, "POST", c + "/nearby", "application/json", `{"queries":[{"lat":1,"lon":1}`, `,{"lat":1,"lon":1}`, "", 413},
		{h, "POST", c + "/nearby", "application/json", "", "[", "", 413},
		{h, "POST", c + "/nearby", "application/json", `{"within":1,"line":{"type":"LineString","coordinates":[[0,0]`, `,[0,0]`, "", 413},
		{bounded, "POST", c + "/items", "text/csv", "id,lat,lon\n", "a,1,2\n", "", 413},
		{bounded, "POST", c + "/items", "application/x-ndjson", "", feature("a", 1, 2, "") + "\n", "", 413},
		{bounded, "POST", c + "/items", geoJSON, `{"type":"FeatureCollection","features":[` + feature("a", 1, 2, ""), "," + feature("a", 1, 2, ""), "", 413},
		{bounded, "POST", c + "/items", "text/csv", "", "x", "", 0},
		{bounded, "POST", c + "/items", "text/csv", "id,lat,lon\n\"", "x", "", 0},
		{bounded, "POST", c + "/items", "application/x-ndjson", `{"a":"`, "x", "", 0},
		{bounded, "POST", c + "/items", "application/geo+json-seq", "\x1e{", "x", "", 0},
		{bounded, "POST", c + "/items", geoJSON, `{"type":"FeatureCollection","features":[{"a":"`, "x", "", 0},
		{bounded, "POST", c + "/items", geoJSON, `{"a":`, "[", "", 0},
		{bounded, "POST", c + "/items", geoJSON, `{"type":"FeatureCollection","x":"`, "x", "", 0},
		{h, "POST", c + "/items", "text/csv", "", "x", "gzip", 400},
	} {
		ask := func() (*http.Response, error) {
			req, err := http.NewRequest(r.method, r.server.url+r.path, io.NopCloser(&endless{head: r.head, again: r.row}))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", r.mediaType)
			if r.encoding != "" {
				req.Header.Set("Content-Encoding", r.encoding)
			}
			return http.DefaultTransport.RoundTrip(req)
		}
		resp, err := ask()
		// The server waits half a second for a client to read the answer before it
		// closes. On a busy machine this one may still be sending then.
		for tries := 20; tries > 0 && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)); tries-- {
			resp, err = ask()
		}
		name := fmt.Sprintf("%s %s %s %.30q", r.method, r.path, r.mediaType, r.head)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		answer, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		_ = resp.Body.Close()
		if resp.StatusCode < 400 || resp.StatusCode >= 500 || r.status != 0 && resp.StatusCode != r.status {
			t.Errorf("%s: answered %d, want %d: %.200s", name, resp.StatusCode, r.status, answer)
		}
	}
	if n := decode[features](t, h.do("GET", c+"/items", "", "").want(t, 200)).NumberReturned; n != 6 {
		t.Errorf("%d items are left, want 6", n)
	}
}

// TestHostileBodies: what is no JSON, or JSON that may mean two things, or text
// that is none, is refused with the reason.
func TestHostileBodies(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const c = "/v1/collections/c"
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	withID := func(id string) string {
		return `{"type":"Feature","id":` + id + `,"geometry":{"type":"Point","coordinates":[1,2]},"properties":{}}`
	}
	withProperty := func(p string) string {
		return `{"type":"Feature","id":"h","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"a":` + p + `}}`
	}
	at := func(coordinates string) string {
		return `{"type":"Feature","id":"h","geometry":{"type":"Point","coordinates":` + coordinates + `},"properties":{}}`
	}
	for _, r := range []struct {
		name, body string
		status     int
	}{
		{"depth 10,001", withProperty(deep(10_001)), 400},
		{"depth 33", withProperty(deep(33)), 400},
		{"duplicate names", `{"type":"Feature","type":"Feature","id":"h","geometry":{"type":"Point","coordinates":[1,2]},"properties":{}}`, 400},
		{"duplicate names inside", withProperty(`{"b":1,"b":2}`), 0},
		{"duplicate names by escape", withProperty(`{"b":1,"\u0062":2}`), 0},
		{"trailing data", withProperty("1") + "{}", 400},
		{"trailing comma", withProperty("1,"), 400},
		{"a comment", withProperty("1/*2*/"), 400},
		{"single quotes", withProperty("'1'"), 400},
		{"NaN", at("[NaN,2]"), 400},
		{"Infinity", at("[1,Infinity]"), 400},
		{"a number of 400 digits", at("[1" + strings.Repeat("0", 400) + ",2]"), 400},
		{"1e400", at("[1e400,2]"), 400},
		{"hexadecimal", at("[0x1,2]"), 400},
		{"a string for a number", at(`["1","2"]`), 400},
		{"null for a number", at("[null,2]"), 400},
		{"one number", at("[1]"), 400},
		{"no numbers", at("[]"), 400},
		{"latitude above the pole", at("[0,90.0000001]"), 400},
		{"longitude beyond the seam", at("[180.0000001,0]"), 400},
		{"invalid UTF-8 in a value", withProperty("\"\xff\""), 400},
		{"invalid UTF-8 in a name", withProperty("{\"\xc3\x28\":1}"), 400},
		{"a lone surrogate", withProperty(`"\ud800"`), 400},
		{"surrogates the wrong way round", withProperty(`"\udc00\ud800"`), 400},
		{"a raw control character", withProperty("\"\x01\""), 400},
		{"NUL in an id", withID(`"a\u0000b"`), 400},
		{"a newline in an id", withID(`"a\nb"`), 400},
		{"ANSI in an id", withID(`"\u001b[31m"`), 400},
		{"DEL in an id", withID(`"\u007f"`), 400},
		{"a lone surrogate in an id", withID(`"\udfff"`), 400},
		{"an id of 9 kB", withID(`"` + strings.Repeat("i", 9000) + `"`), 400},
		{"an id of 257 bytes in 129 letters", withID(`"` + strings.Repeat("é", 128) + `i"`), 400},
		{"no letters in an id", withID(`""`), 400},
		{"a dot for an id", withID(`"."`), 400},
		{"two dots for an id", withID(`".."`), 400},
		{"an object for an id", withID(`{}`), 400},
		{"true for an id", withID(`true`), 400},
		{"UTF-16", "\xff\xfe{\x00}\x00", 400},
		{"nothing", "", 400},
		{"a number", "5", 400},
		{"an array", "[]", 400},
		{"null", "null", 400},
	} {
		for _, method := range []string{"POST", "PUT"} {
			path := c + "/items"
			if method == "PUT" {
				path += "/h"
			}
			a := h.do(method, path, geoJSON, r.body)
			if a.status != r.status && (r.status != 0 || a.status != 400) {
				t.Errorf("%s, %s: answered %d, want %d: %.300s", r.name, method, a.status, r.status, a.body)
			}
			if len(a.body) > 2000 {
				t.Errorf("%s, %s: the answer has %d bytes", r.name, method, len(a.body))
			}
		}
	}
	for name, body := range map[string]string{
		"a member in another case":   `{"Title":"x"}`,
		"an unknown member":          `{"title":"x","titel":"y"}`,
		"a member of 100 kB":         `{"` + strings.Repeat("x", 100_000) + `":1}`,
		"depth 10,001":               deep(10_001),
		"a duplicate by escape":      `{"title":"x","\u0074itle":"y"}`,
		"a float for a whole number": `{"index":{"kind":"geohash","bits":1.5}}`,
		"a number beyond int64":      `{"index":{"kind":"geohash","bits":99999999999999999999}}`,
		"a lone surrogate":           `{"title":"\ud800"}`,
	} {
		if a := h.do("PUT", "/v1/collections/d", "application/json", body).want(t, 400); len(a.body) > 2000 {
			t.Errorf("%s: the answer has %d bytes", name, len(a.body))
		}
	}
	// Rows: each of these is one rejected row, and harms no other.
	var report struct {
		Created, Updated, Rejected int
		Errors                     []struct{ Field string }
	}
	rows := "id,lat,lon,name\nr1,,2,empty\nr2,1,,empty\nr3,NaN,2,x\nr4,0x1,2,x\nr5,1_0,2,x\nr6,1e400,2,x\nr7,90.0000001,2,x\nr8,1,180.0000001,x\n" +
		"..,1,2,x\n,1,2,made\nok1,1,2,=cmd()\nok2,-90,-180,\"+1\"\nok3,90,180,@x\nok4,-0,-0,-1\nok1,3,4,=again()\n"
	if err := json.Unmarshal(h.do("POST", c+"/items", "text/csv", rows).want(t, 200).body, &report); err != nil {
		t.Fatal(err)
	}
	if report.Rejected != 9 || report.Created != 5 || report.Updated != 1 {
		t.Errorf("the rows: %+v", report)
	}
	if a := h.do("GET", c+"/items/ok1", "", "").want(t, 200); !strings.Contains(string(a.body), `"name":"=again()"`) {
		t.Errorf("a cell that begins with = came back as %s", a.body)
	}
	if a := h.do("GET", c+"/items/ok4", "", "").want(t, 200); !strings.Contains(string(a.body), `"coordinates":[0,0]`) {
		t.Errorf("-0 came back as %s", a.body)
	}
}

// TestHostileEncodings: a compressed body that is broken or of an unknown kind.
func TestHostileEncodings(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	var whole bytes.Buffer
	z := gzip.NewWriter(&whole)
	if _, err := io.WriteString(z, "id,lat,lon\n"+strings.Repeat("x,1,2\n", 5000)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole.Bytes())
	flipped[len(flipped)-6] ^= 1 // in the checksum
	for _, r := range []struct {
		encoding, body string
		status         int
	}{
		{"gzip", whole.String(), 200},
		{"GZIP", whole.String(), 200},
		{"identity", "id,lat,lon\nx,1,2\n", 200},
		{"gzip", whole.String()[:whole.Len()/2], 400},
		{"gzip", string(flipped), 400},
		{"gzip", whole.String()[:5], 400},
		{"gzip", whole.String() + "garbage", 400},
		{"gzip", "id,lat,lon\n", 400},
		{"gzip, gzip", whole.String(), 415},
		{"deflate", "x", 415},
		{"br", "x", 415},
		{"zstd", "x", 415},
		{"snappy", "x", 415},
	} {
		if a := h.do("POST", "/v1/collections/c/items", "text/csv", r.body, "Content-Encoding", r.encoding); a.status != r.status {
			t.Errorf("%s %.20q: answered %d, want %d: %.300s", r.encoding, r.body, a.status, r.status, a.body)
		}
	}
}

// TestHostileIDs: an id travels in a path as it is, or is refused; no path reaches
// another resource than it names.
func TestHostileIDs(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const items = "/v1/collections/c/items/"
	taken := []string{"a/b", "a;b", "a+b", "a b", "a%b", "a%2Fb", "...", "a/../b", "/", "//", "~", "é", "e\u0301", "🙂", "\u202eright to left", "?", "#", "&", "=", "\\", "'", `"`, "<script>", "null", "0", strings.Repeat("i", 256)}
	for i, id := range taken {
		path := items + url.PathEscape(id)
		h.do("PUT", path, geoJSON, fmt.Sprintf(`{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"i":%d}}`, i)).want(t, 201)
	}
	for i, id := range taken { // after all were written, so that none overwrote another
		a := h.do("GET", items+url.PathEscape(id), "", "").want(t, 200)
		got := decode[struct {
			ID         string
			Properties struct{ I int }
			links
		}](t, a)
		if got.ID != id || got.Properties.I != i {
			t.Errorf("%q came back as %s", id, a.body)
		}
		self := (&visit{fixture: h}).link(got.links, "self", geoJSON)
		h.do("DELETE", self, "", "").want(t, 204)
		h.do("GET", items+url.PathEscape(id), "", "").want(t, 404)
	}
	body := feature("", 1, 2, "")
	body = strings.Replace(body, `"id":"",`, "", 1)
	for path, status := range map[string]int{
		items + "..":                        400,
		items + ".":                         400,
		items + "%2e%2e":                    400,
		items + "%2E":                       400,
		items + "..%2f..%2fc":               201, // an id like another
		items + "%00":                       400,
		items + "a%0Ab":                     400,
		items + "%7f":                       400,
		items + "%ff":                       400,
		items + "%c3%28":                    400,
		items + "%ed%a0%80":                 400,
		items + strings.Repeat("i", 257):    400,
		items + strings.Repeat("i", 9000):   400,
		items:                               404,
		items + "a/b":                       404,
		items + "a/":                        404,
		"/v1/collections/c/../c/items/x":    404,
		"/v1/collections//items/x":          404,
		"/v1/collections/%2e%2e/items/x":    404,
		"/v1/collections/c%2Fitems/items/x": 404,
		"/v1//collections/c/items/x":        404,
		"/v1/collections/c%00/items/x":      404,
		"/v1/collections/" + strings.Repeat("c", 9000) + "/items/x": 404,
	} {
		req, err := http.NewRequest("PUT", h.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", geoJSON)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("PUT %.60s: answered %d, want %d: %.200s", path, resp.StatusCode, status, answer)
		}
	}
	all := decode[features](t, h.do("GET", "/v1/collections/c/items", "", "").want(t, 200))
	if len(all.Features) != 7 {
		t.Errorf("left are %q", all.ids())
	}
	for _, line := range strings.Split(strings.TrimSpace(h.log.String()), "\n") {
		if !json.Valid([]byte(line)) || strings.ContainsAny(line, "\x1b\x00\x7f") {
			t.Errorf("a line of the log is %q", line)
		}
	}
}

// TestHostileRequests sends bytes that no client library would, several requests
// on one connection among them. It wants the statuses, and the connection closed
// after a request that was not understood.
func TestHostileRequests(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	const good = "GET /v1/collections/c/items?limit=1 HTTP/1.1\r\nHost: x\r\n\r\n"
	put := func(headers, body string) string {
		return "PUT /v1/collections/c/items/raw HTTP/1.1\r\nHost: x\r\nContent-Type: application/geo+json\r\n" + headers + "\r\n" + body
	}
	put2 := func(headers, body string) string {
		return strings.Replace(put(headers, body), "items/raw", "items/raw2", 1)
	}
	chunk := func(text string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(text), text) }
	const last = -1
	for _, r := range []struct {
		name, raw string
		want      []int // the statuses; 0: any 4xx, after which the connection ends; last: its end
	}{
		{"pipelining", good + good + good, []int{200, 200, 200}},
		{"HTTP/1.0", "GET /v1/collections/c HTTP/1.0\r\n\r\n", []int{200}},
		{"HTTP/0.9", "GET /v1/collections/c\r\n\r\n", []int{0}},
		{"HTTP/3.0", "GET /v1/collections/c HTTP/3.0\r\nHost: x\r\n\r\n", []int{505}},
		{"FOO", "FOO /v1/collections/c HTTP/1.1\r\nHost: x\r\n\r\n" + good, []int{405, 200}},
		{"a method in lower case", "get /v1/collections/c HTTP/1.1\r\nHost: x\r\n\r\n", []int{405}},
		{"a method of 500 kB", strings.Repeat("M", 500_000) + " /v1/collections/c HTTP/1.1\r\nHost: x\r\n\r\n", []int{405}},
		{"CONNECT", "CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", []int{404}},
		{"a proxy's request", "GET http://other.example/v1/collections/c HTTP/1.1\r\nHost: x\r\n\r\n", []int{200}},
		{"*", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", []int{200}},
		{"an asterisk elsewhere", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", []int{404}},
		{"no host", "GET /v1/collections/c HTTP/1.1\r\n\r\n", []int{0}},
		{"two hosts", "GET /v1/collections/c HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", []int{0}},
		{"a bad host", "GET /v1/collections/c HTTP/1.1\r\nHost: a b\r\n\r\n", []int{0}},
		{"a header of 2 MB", "GET /v1/collections/c HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("b", 2<<20) + "\r\n\r\n", []int{431}},
		{"a line of 2 MB", "GET /v1/" + strings.Repeat("c", 2<<20) + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{431}},
		{"a header with a control character", "GET /v1/collections/c HTTP/1.1\r\nHost: x\r\nContent-Encoding: \x1b[31m\r\n\r\n", []int{0}},
		{"a space before the colon", "GET /v1/collections/c HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", []int{0}},
		{"100,000 ranges", "GET /v1/collections/c/items HTTP/1.1\r\nHost: x\r\nRange: bytes=0-0" + strings.Repeat(",0-0", 100_000) + "\r\n\r\n", []int{200}},
		{"10,000 headers", "GET /v1/collections/c HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 10_000) + "\r\n", []int{200}},
		{"10,000 parameters", "GET /v1/collections/c/items?" + strings.Repeat("a=1&", 10_000) + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		// The chunks count, and what follows is not taken for a request.
		{"length and chunks", put("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n") + good, []int{400, last}},
		{"chunks and length", put("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "0\r\n\r\n") + good, []int{400, last}},
		{"length and chunks, a good body", put("Content-Length: 3\r\nTransfer-Encoding: Chunked\r\n", chunk(feature("raw2", 1, 2, ""))) + good, []int{400, last}},
		{"length and chunks, taken", put2("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", chunk(feature("raw2", 1, 2, ""))) + good, []int{201, last}},
		{"length and chunks in other letters", put2("content-LENGTH:3\r\ntransfer-ENCODING:chunked\r\n", chunk(feature("raw2", 1, 2, ""))) + good, []int{200, last}},
		{"chunks in HTTP/1.0", "GET /v1/collections/c HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + good, []int{200, last}},
		{"HTTP/1.0 that goes on", "GET /v1/collections/c HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n" + good, []int{200, 200}},
		// Chunks alone say clearly where they end.
		{"chunks", put2("Transfer-Encoding: chunked\r\n", chunk(feature("raw2", 1, 2, ""))) + good + good, []int{200, 200, 200}},
		{"a length, then chunks", put2("Content-Length: 2\r\n", "{}") + put2("Transfer-Encoding: chunked\r\n", chunk(feature("raw2", 1, 2, ""))) + good, []int{400, 200, 200}},
		// What has come in already may end twice, so the first answer is the last.
		{"chunks, then length and chunks", put2("Transfer-Encoding: chunked\r\n", chunk(feature("raw2", 1, 2, ""))) + put2("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", chunk(feature("raw2", 1, 2, ""))) + good, []int{200, last}},
		// What is refused before its end is answered at once.
		{"chunks that are not awaited", strings.Replace(put("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"), "geo+json", "x", 1), []int{415}},
		{"two lengths", put("Content-Length: 2\r\nContent-Length: 3\r\n", "{}x"), []int{0}},
		{"a negative length", put("Content-Length: -1\r\n", ""), []int{0}},
		{"a length with a sign", put("Content-Length: +2\r\n", "{}"), []int{0}},
		{"a length of 10 GB", put("Content-Length: 10000000000\r\n", strings.Repeat("x", 2<<20)), []int{413}},
		{"a chunk's length that is none", put("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"), []int{0}},
		{"a chunk's length beyond int64", put("Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\n{}"), []int{0}},
		{"an unknown transfer encoding", put("Transfer-Encoding: gzip\r\n", "x"), []int{501}},
	} {
		t.Run(r.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(patience))
			go func() { _, _ = io.WriteString(conn, r.raw) }() // the server may stop reading
			in := bufio.NewReader(conn)
			for i, want := range r.want {
				resp, err := http.ReadResponse(in, nil)
				if want == last {
					if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("the connection goes on: %v", err)
					}
					break
				}
				if err != nil {
					t.Fatalf("answer %d: %v", i+1, err)
				}
				if resp.StatusCode != want && (want != 0 || resp.StatusCode < 400 || resp.StatusCode >= 500) {
					t.Errorf("answer %d is %d, want %d", i+1, resp.StatusCode, want)
				}
				_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
				_ = resp.Body.Close()
				if want != 0 {
					continue
				}
				if more, err := in.ReadByte(); err == nil {
					t.Errorf("the connection goes on after %d with %q", resp.StatusCode, more)
				} else if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("the connection stays open after %d", resp.StatusCode)
				}
			}
		})
	}
	h.do("GET", "/v1/collections/c", "", "").want(t, 200)
	h.do("GET", "/v1/collections/c/items/raw", "", "").want(t, 404)
	for _, line := range strings.Split(h.log.String(), "\n") {
		if len(line) > 1000 {
			t.Errorf("a line of the log has %d bytes: %.300s", len(line), line)
		}
	}
}

// TestNumbersAtTheEdge: the edges of the ranges are in them.
func TestNumbersAtTheEdge(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	near := "/v1/collections/c/nearby?"
	for query, status := range map[string]int{
		"lat=90&lon=180": 200, "lat=-90&lon=-180": 200, "lat=-0&lon=-0": 200, "lat=%2B1.5&lon=1e1": 200, "lat=007&lon=1": 200,
		"lat=1e308&lon=1": 400, "lat=1e-400&lon=1": 200, "lat=-Infinity&lon=1": 400, "lat=1,5&lon=1": 400, "lat=.&lon=1": 400, "lat=1.&lon=1": 200, "lat=%D9%A1&lon=1": 400,
		"lat=1&lon=1&k=1000000000": 400, "lat=1&lon=1&k=1000": 200, "lat=1&lon=1&k=99999999999999999999": 400, "lat=1&lon=1&k=": 400, "lat=1&lon=1&k=%2B1": 400,
		"lat=1&lon=1&radius=20015115": 200, "lat=1&lon=1&radius=NaN": 400, "lat=1&lon=1&radius=1e400": 400, "lat=1&lon=1&radius=": 400, "lat=1&lon=1&radius=-0": 200,
		"lat=1&lon=1&LAT=1": 400, "lat=1;lon=1": 400, "lat=1&lon=1&category=%00": 200, "lat=1&lon=1&category=%ff": 200,
	} {
		if a := h.do("GET", near+query, "", ""); a.status != status {
			t.Errorf("%s: answered %d, want %d: %.200s", query, a.status, status, a.body)
		}
	}
	for box, n := range map[string]int{"-180,-90,180,90": 6, "0,-90,0,90": 2, "180,-90,-180,90": 0, "-180,-90,-180,90": 0, "0,0,0,0": 1, "179,10,-179,10": 2} {
		a := decode[features](t, h.do("GET", "/v1/collections/c/items?bbox="+box, "", "").want(t, 200))
		if len(a.Features) != n {
			t.Errorf("%s: %q, want %d items", box, a.ids(), n)
		}
	}
}
