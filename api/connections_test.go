package api_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"nearby/api"
)

// TestConnections: of four connections that may be open, the one that has been idle for longest
// makes room for a fifth. If all have requests, the fifth is refused in words and the others go
// on.
func TestConnections(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		h := start(t, api.Options{})
		testConnections(t, h, h.serve(4, 0, nil))
	})
	t.Run("TLS", func(t *testing.T) {
		h := start(t, api.Options{})
		testConnections(t, h, h.serveTLS(4, 0))
	})
}

// serve makes the fixture's clients talk to one more listener of its server.
func (h *fixture) serve(most int, stall time.Duration, secure *tls.Config) *api.Connections {
	ts := httptest.NewUnstartedServer(h.server)
	connections := api.NewConnections(ts.Listener, most, secure)
	ts.Listener, ts.Config.ConnContext, ts.Config.ConnState = connections, api.ConnContext, connections.ConnState
	ts.Config.HTTP2, ts.Config.IdleTimeout = api.HTTP2(stall, 100), stall
	ts.Start()
	h.Cleanup(ts.Close) // after the clients have gone: it waits for their requests
	h.url = ts.URL
	return connections
}

func testConnections(t *testing.T, h *fixture, connections *api.Connections) {
	send := func(conn net.Conn, text string) {
		t.Helper()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	const get = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	const put = "PUT /v1/collections/c HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{"
	var conns []net.Conn
	for range 4 {
		conn := h.raw(get)
		if status := response(t, conn); status != 200 {
			t.Fatalf("answered %d", status)
		}
		// The server marks a connection as idle after its answer, and tells nobody.
		for began := time.Now(); connections.Idle() <= len(conns); time.Sleep(time.Millisecond) {
			if time.Since(began) > patience {
				t.Fatal("a connection does not become idle")
			}
		}
		conns = append(conns, conn)
	}
	for i := range conns {
		more := h.raw(put)
		_ = conns[i].SetReadDeadline(time.Now().Add(patience))
		if n, err := conns[i].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Fatalf("connection %d read %d bytes, %v; want its end", i, n, err)
		}
		conns[i] = more
		h.busy(i + 1)
	}
	last := h.raw(get)
	_ = last.SetReadDeadline(time.Now().Add(patience))
	refused, err := http.ReadResponse(bufio.NewReader(last), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = refused.Body.Close() }()
	body, err := io.ReadAll(refused.Body)
	if err != nil || refused.StatusCode != 503 || refused.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(string(body), "as many open connections as it allows") {
		t.Errorf("one more is answered %d %s, %v", refused.StatusCode, body, err)
	}
	for i, conn := range conns {
		send(conn, "}")
		if status := response(t, conn); status != 200 && status != 201 {
			t.Errorf("connection %d is answered %d", i, status)
		}
	}
	if n := connections.Open(); n > 4 {
		t.Errorf("%d connections are open", n)
	}
}
