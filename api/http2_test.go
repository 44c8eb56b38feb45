package api_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nearby/api"
)

// serveTLS is serve with TLS, as the certificate of package httptest has it.
func (h *fixture) serveTLS(most int, stall time.Duration) *api.Connections {
	other := httptest.NewTLSServer(nil)
	other.Close()
	connections := h.serve(most, stall, &tls.Config{Certificates: other.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}})
	h.url = strings.Replace(h.url, "http:", "https:", 1)
	roots := x509.NewCertPool()
	roots.AddCert(other.Certificate())
	h.secure = &tls.Config{RootCAs: roots, ServerName: "example.com"}
	return connections
}

// http2 returns a client that speaks HTTP/2 with the fixture. dial makes its connections; nil: as
// usual.
func (h *fixture) http2(dial func(context.Context, string, string) (net.Conn, error)) *http.Client {
	transport := &http.Transport{TLSClientConfig: h.secure, ForceAttemptHTTP2: true, DisableCompression: true, DialContext: dial}
	h.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// send sends a request by HTTP/2. The caller closes the body of the answer.
func (h *fixture) send(c *http.Client, method, path, contentType string, body io.Reader) *http.Response {
	h.Helper()
	req, err := http.NewRequest(method, h.url+path, body)
	if err != nil {
		h.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.Do(req)
	if err != nil {
		h.Fatalf("%s %s: %v", method, path, err)
	}
	if resp.ProtoMajor != 2 {
		h.Fatalf("%s %s is answered by %s", method, path, resp.Proto)
	}
	return resp
}

// TestTLSFraming: with TLS, too, a connection ends after a request whose end a proxy may see
// elsewhere, and what follows is not taken for a request.
func TestTLSFraming(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	h.serveTLS(0, 0)
	const good = "GET /v1/collections/c HTTP/1.1\r\nHost: x\r\n\r\n"
	put := func(headers string) string {
		body := feature("raw", 1, 2, "")
		return "PUT /v1/collections/c/items/raw HTTP/1.1\r\nHost: x\r\nContent-Type: application/geo+json\r\n" + headers + fmt.Sprintf("\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	}
	for _, r := range []struct {
		name, raw string
		want      []int // the statuses, after which the connection ends
	}{
		{"length and chunks", put("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n") + good, []int{201}},
		{"chunks", put("Transfer-Encoding: chunked\r\n") + good, []int{200}},
		{"chunks in HTTP/1.0", "GET /v1/collections/c HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + good, []int{200}},
		{"neither", good + good + "GET /v1/collections/c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + good, []int{200, 200, 200}},
	} {
		conn := h.raw(r.raw)
		_ = conn.SetDeadline(time.Now().Add(patience))
		in := bufio.NewReader(conn)
		for i, want := range r.want {
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("%s: answer %d: %v", r.name, i+1, err)
			}
			if resp.StatusCode != want {
				t.Errorf("%s: answer %d is %d, want %d", r.name, i+1, resp.StatusCode, want)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		if b, err := in.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection goes on with %q, %v", r.name, b, err)
		}
	}
}

// TestHTTP2ManyAtATime: requests that share a connection get their own answers and ids, while
// each needs a slot, and the connection counts as one.
func TestHTTP2ManyAtATime(t *testing.T) {
	h := start(t, api.Options{Limits: api.Limits{MaxConcurrent: 64}})
	h.load("c", places)
	connections := h.serveTLS(1, 0)
	c := h.http2(nil)
	_ = h.send(c, "GET", "/healthz", "", nil).Body.Close() // the connection that the others share
	var ids sync.Map
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			id := string("abcdef"[i%6])
			resp := h.send(c, "GET", "/v1/collections/c/items/"+id, "", nil)
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), `"id":"`+id+`"`) || !strings.Contains(string(body), h.url+"/v1/") {
				t.Errorf("item %s: %d %s %v", id, resp.StatusCode, body, err)
			}
			if _, twice := ids.LoadOrStore(resp.Header.Get("X-Request-Id"), true); twice {
				t.Error("two requests have one id")
			}
		})
	}
	all.Wait()
	if n := connections.Open(); n != 1 {
		t.Errorf("%d connections are open", n)
	}
	// The body has no length, which HTTP/1.1 would send in chunks. The connection goes on.
	resp := h.send(c, "PUT", "/v1/collections/c/items/g", geoJSON, io.MultiReader(strings.NewReader(feature("g", 1, 2, ""))))
	_ = resp.Body.Close()
	if resp.StatusCode != 201 || resp.Header.Get("Connection") != "" {
		t.Errorf("answered %d, Connection: %q", resp.StatusCode, resp.Header.Get("Connection"))
	}
	for range 64 {
		defer h.server.Occupy()()
	}
	for range 3 {
		resp := h.send(c, "GET", "/v1/collections/c/items/a", "", nil)
		_ = resp.Body.Close()
		if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("without a free slot a request is answered %d", resp.StatusCode)
		}
	}
	// One more connection takes the place of this one, which is idle.
	for began := time.Now(); connections.Idle() == 0; time.Sleep(time.Millisecond) { // nobody is told
		if time.Since(began) > patience {
			t.Fatal("the connection does not become idle")
		}
	}
	resp = h.send(h.http2(nil), "GET", "/healthz", "", nil)
	_ = resp.Body.Close()
	if resp.StatusCode != 200 || connections.Open() != 1 {
		t.Errorf("one more is answered %d, and %d are open", resp.StatusCode, connections.Open())
	}
}

// TestHTTP2Deadlines: on a connection that is used by others, a body that stops and an answer that
// is not taken end after the stall time, and only they.
func TestHTTP2Deadlines(t *testing.T) {
	t.Parallel()
	const stall = 4 * time.Second
	h := start(t, api.Options{Stall: stall})
	h.do("PUT", "/v1/collections/c", "application/json", "{}").want(t, 201)
	var rows strings.Builder
	rows.WriteString("id,lat,lon,text\n")
	for i := range 3000 {
		fmt.Fprintf(&rows, "%d,1,2,%s\n", i, strings.Repeat("x", 10_000))
	}
	h.do("POST", "/v1/collections/c/items", "text/csv", rows.String()).want(t, 200)
	connections := h.serveTLS(0, stall)
	c := h.http2(nil)
	_ = h.send(c, "GET", "/healthz", "", nil).Body.Close() // the connection that the others share
	load := func(rows int, more bool) int {
		in, out := io.Pipe()
		go func() {
			_, _ = io.WriteString(out, "id,lat,lon\n")
			for range rows {
				time.Sleep(stall / 4) // the pace of a slow client is what is tested
				_, _ = io.WriteString(out, "a,1,2\n")
			}
			if !more {
				_ = out.Close()
			}
		}()
		defer func() { _ = in.Close() }()
		resp := h.send(c, "POST", "/v1/collections/c/items", "text/csv", in)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	var all sync.WaitGroup
	all.Go(func() {
		if status := load(5, false); status != 200 {
			t.Errorf("a slow body is answered %d", status)
		}
	})
	all.Go(func() {
		if status := load(1, true); status != 408 {
			t.Errorf("a body that stops is answered %d", status)
		}
	})
	all.Go(func() {
		resp := h.send(c, "GET", "/v1/collections/c/items?limit=3000", "", nil)
		defer func() { _ = resp.Body.Close() }()
		h.logged(`"cut":"stalled"`) // it takes nothing
		if _, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Error("an answer that is not taken is sent whole")
		}
	})
	all.Wait()
	if n := connections.Open(); n != 1 {
		t.Errorf("%d connections are open", n)
	}
}

// TestHTTP2SlowServer: a server that is slow to read a body does not blame the client.
func TestHTTP2SlowServer(t *testing.T) {
	t.Parallel()
	const stall = time.Second
	h := start(t, api.Options{Stall: stall, Limits: api.Limits{MaxConcurrent: 1}})
	h.do("PUT", "/v1/collections/c", "application/json", "{}").want(t, 201)
	h.serveTLS(0, stall)
	in, out := io.Pipe()
	body := feature("a", 1, 2, "")
	go func() {
		h.busy(1)
		leave := h.server.Occupy()
		_, _ = io.WriteString(out, body[:10])
		time.Sleep(2 * stall) // how long the server is slow is what is tested
		leave()
		_, _ = io.WriteString(out, body[10:])
		_ = out.Close()
	}()
	resp := h.send(h.http2(nil), "PUT", "/v1/collections/c/items/a", geoJSON, in)
	_ = resp.Body.Close()
	if resp.StatusCode != 201 {
		t.Errorf("answered %d", resp.StatusCode)
	}
}

// deaf is a connection that stops reading.
type deaf struct {
	net.Conn
	now  atomic.Bool
	gone chan struct{}
}

// Read is part of net.Conn.
func (d *deaf) Read(b []byte) (int, error) {
	if d.now.Load() {
		<-d.gone
	}
	return d.Conn.Read(b)
}

// TestHTTP2Deaf: a client that takes nothing any more from a connection loses it.
func TestHTTP2Deaf(t *testing.T) {
	t.Parallel()
	const stall = 2 * time.Second
	h := start(t, api.Options{Stall: stall})
	h.do("PUT", "/v1/collections/c", "application/json", "{}").want(t, 201)
	var rows strings.Builder
	rows.WriteString("id,lat,lon,text\n")
	for i := range 3000 {
		fmt.Fprintf(&rows, "%d,1,2,%s\n", i, strings.Repeat("x", 10_000))
	}
	h.do("POST", "/v1/collections/c/items", "text/csv", rows.String()).want(t, 200)
	connections := h.serveTLS(0, stall)
	d := &deaf{gone: make(chan struct{})}
	t.Cleanup(func() { close(d.gone) })
	c := h.http2(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			_ = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		d.Conn = conn
		return d, err
	})
	resp := h.send(c, "GET", "/v1/collections/c/items?limit=3000", "", nil)
	defer func() { _ = resp.Body.Close() }()
	d.now.Store(true)
	go func() { _, _ = io.Copy(io.Discard, resp.Body) }() // so that only the connection holds it up
	h.logged(`"cut":"`)
	for began := time.Now(); connections.Open() != 0; time.Sleep(10 * time.Millisecond) { // nobody is told
		if time.Since(began) > patience {
			t.Fatal("the connection stays open")
		}
	}
}
