package api_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"nearby/api"
)

// TestExpect: who waits to be told to send a body is told, or has the final answer, which
// no byte of the body is read for (RFC 9110 §10.1.1).
func TestExpect(t *testing.T) {
	h := start(t, api.Options{Stall: 2 * time.Second})
	h.load("c", places)
	for _, r := range []struct {
		request, headers string
		status           int
	}{
		{"POST /v1/collections/c/items", "Content-Type: text/plain\r\nContent-Length: 20000000\r\n", 415},
		{"POST /v1/collections/c/items", "Content-Type: text/csv\r\nContent-Encoding: br\r\nContent-Length: 20000000\r\n", 415},
		{"POST /v1/collections/none/items", "Content-Type: text/csv\r\nContent-Length: 20000000\r\n", 404},
		{"POST /v1/collections/c/items?x=1", "Content-Type: text/csv\r\nContent-Length: 20000000\r\n", 400},
		{"POST /v1/collections/c/items", "Content-Type: text/plain\r\nContent-Length: 20\r\n", 415},
		{"POST /v1/collections/c/items", "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n", 415},
		{"PUT /v1/collections/c/items/a", "Content-Type: application/geo+json\r\nContent-Length: 20000000\r\n", 413},
		{"PUT /v1/collections/c/items/a", "Content-Type: text/csv\r\nContent-Length: 20\r\n", 415},
		{"POST /v1/collections/c/nearby", "Content-Type: application/json\r\nContent-Length: 20000000\r\n", 413},
		{"POST /v1/collections/none/nearby", "Content-Type: application/json\r\nContent-Length: 20\r\n", 404},
		{"POST /v1/collections/c/nearby", "Content-Type: application/json\r\nNearby-Wait: x\r\nContent-Length: 20\r\n", 400},
		{"PUT /v1/collections/c/items/..", "Content-Type: application/geo+json\r\nContent-Length: 20\r\n", 400},
		{"PATCH /v1/collections/c/items/a%00", "Content-Type: application/json\r\nContent-Length: 20\r\n", 404},
		{"PUT /v1/collections/c/items/a", "Content-Type: application/geo+json\r\nIdempotency-Key: \"\r\nContent-Length: 20\r\n", 400},
		{"PUT /v1/collections/c/items/a", "Content-Type: application/geo+json\r\nIf-Match: a\r\nContent-Length: 20\r\n", 400},
		{"PUT /v1/collections/b%20d", "Content-Type: application/json\r\nContent-Length: 20\r\n", 400},
		{"POST /v1/collections/c/items?delimiter=xx", "Content-Type: text/csv\r\nContent-Length: 20\r\n", 400},
		{"POST /v1/collections/c/items", "Content-Type: text/csv\r\nIdempotency-Key: k\r\nContent-Length: 20\r\n", 400},
		{"POST /v1/collections/c/items", "Content-Type: text/csv; header=absent\r\nContent-Length: 20\r\n", 400},
		{"PUT /v1/collections/c/items/a", "Content-Type: application/geo+json\r\nContent-Length: 20\r\n", 100},
		{"POST /none", "Content-Type: application/json\r\nContent-Length: 20000000\r\n", 404},
		{"GET /v1/collections/c", "Content-Length: 20000000\r\n", 200},
		{"POST /v1/collections/c/items", "Content-Type: text/csv\r\nContent-Length: 20\r\n", 100},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(conn, r.request+" HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"+r.headers+"\r\n"); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if want := "HTTP/1.1 " + http.StatusText(r.status); !strings.HasSuffix(strings.TrimSpace(line), http.StatusText(r.status)) {
			t.Errorf("%s %q is answered %q (%v), want %s", r.request, r.headers, line, err, want)
		}
		_ = conn.Close()
	}
}
