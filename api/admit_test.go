package api_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"nearby/api"
	"nearby/collection"
)

// raw opens a connection to the server and sends text.
func (h *fixture) raw(text string) net.Conn {
	h.Helper()
	_, address, _ := strings.Cut(h.url, "://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		h.Fatal(err)
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	if h.secure != nil {
		conn = tls.Client(conn, h.secure)
	}
	h.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		h.Fatal(err)
	}
	return conn
}

// busy waits until so many requests wait and none works.
func (h *fixture) busy(waiting int) {
	h.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) { // nothing tells when a request begins to wait
		b := h.server.Busy()
		if b.Requests == 0 && b.Waiting == waiting {
			return
		}
		if time.Since(began) > patience {
			h.Fatalf("%+v, want %d that wait", b, waiting)
		}
	}
}

// TestTooMany: a request for which there is no slot is refused, and told when to come again;
// health is answered.
func TestTooMany(t *testing.T) {
	h := start(t, api.Options{Limits: api.Limits{MaxConcurrent: 2}})
	leave := h.server.Occupy()
	h.do("GET", "/v1/collections", "", "").want(t, 200)
	last := h.server.Occupy()
	if a := h.do("GET", "/v1/collections", "", "").want(t, 503); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	h.do("GET", "/healthz", "", "").want(t, 200)
	leave()
	last()
	h.do("GET", "/v1/collections", "", "").want(t, 200)
}

// TestWaitingTakesNoSlot: a server that may work on one request at a time answers, though a
// request waits for its body, a load for more rows, one for a commit, and one for its client to
// read. When they go on they are answered.
func TestWaitingTakesNoSlot(t *testing.T) {
	h, f := startFaulty(t, collection.Options{}, api.Options{Limits: api.Limits{MaxConcurrent: 1}})
	var rows strings.Builder
	rows.WriteString("id,lat,lon,text\n")
	for i := range 3000 {
		fmt.Fprintf(&rows, "%d,1,2,%s\n", i, strings.Repeat("x", 10_000))
	}
	h.do("POST", "/v1/collections/c/items", "text/csv", rows.String()).want(t, 200)
	// The reader has the slot for a moment as often as the system has taken a part of its answer.
	retried := func(method, path, contentType, body string) (a *answer) {
		for began := time.Now(); ; time.Sleep(time.Millisecond) {
			if a = h.do(method, path, contentType, body); a.status != 503 || time.Since(began) > patience {
				return a
			}
		}
	}
	answered := func() {
		t.Helper()
		retried("GET", "/v1/collections/c/nearby?lat=0&lon=0", "", "").want(t, 200)
	}
	body := h.raw("PUT /v1/collections/d HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{")
	h.busy(1)
	answered()
	load := h.raw("POST /v1/collections/c/items HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: 18\r\n\r\nid,lat,lon\n")
	h.busy(2)
	answered()
	reader := h.raw("GET /v1/collections/c/items?limit=3000 HTTP/1.1\r\nHost: x\r\n\r\n")
	h.busy(3)
	answered()
	release := f.hold()
	write := make(chan int)
	go func() { write <- retried("PUT", "/v1/collections/c/items/p", geoJSON, feature("p", 1, 1, "")).status }()
	h.busy(4)
	answered()
	release()
	if status := <-write; status != 201 {
		t.Errorf("the write was answered %d", status)
	}
	for _, c := range []struct {
		conn net.Conn
		rest string
		want int
	}{{body, "}", 201}, {load, "a,1,2\n\n", 200}, {reader, "", 200}} {
		if _, err := io.WriteString(c.conn, c.rest); err != nil {
			t.Fatal(err)
		}
		if got := response(t, c.conn); got != c.want {
			t.Errorf("answered %d, want %d", got, c.want)
		}
	}
	h.busy(0)
	answered()
}

// TestWaitersAreBounded: eight requests may wait for each slot. One more that may have to wait
// is refused, and one that need not wait is answered.
func TestWaitersAreBounded(t *testing.T) {
	h := start(t, api.Options{Limits: api.Limits{MaxConcurrent: 2}})
	for range 16 {
		h.raw("PUT /v1/collections/c HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{")
	}
	h.busy(16)
	h.do("PUT", "/v1/collections/c", "application/json", "{}").want(t, 503)
	h.do("GET", "/v1/collections", "", "").want(t, 200)
}

// TestFutureToken: a token that no answer of the server can have had is refused at once, and the
// server does not wait for what cannot come.
func TestFutureToken(t *testing.T) {
	h, _ := startFaulty(t, collection.Options{MaxWait: time.Hour}, api.Options{})
	at := h.do("PUT", "/v1/collections/c/items/p", geoJSON, feature("p", 1, 1, "")).want(t, 201).position(t)
	at.Seq += 1_000_000
	conn := h.raw("GET /v1/collections/c HTTP/1.1\r\nHost: x\r\nNearby-After: " + api.MakeToken(at) + "\r\nNearby-Wait: 600000\r\n\r\n")
	if status := response(t, conn); status != 503 {
		t.Errorf("answered %d", status)
	}
}

// TestLeastBodyRate: a body that trickles is cut off, though it never stops for long.
func TestLeastBodyRate(t *testing.T) {
	t.Parallel()
	const stall = 2 * time.Second
	h := start(t, api.Options{Stall: stall})
	conn := h.raw("PUT /v1/collections/c HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{")
	answer := make(chan int)
	go func() { answer <- response(t, conn) }()
	for began := time.Now(); ; {
		select {
		case status := <-answer:
			if status != http.StatusRequestTimeout {
				t.Errorf("answered %d", status)
			}
			return
		case <-time.After(stall / 8): // the pace of a slow client is what is tested
			_, _ = io.WriteString(conn, " ")
		}
		if time.Since(began) > patience {
			t.Fatal("never cut off")
		}
	}
}

// response reads an answer to its end, and returns its status.
func response(t *testing.T, conn net.Conn) int {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Error(err)
	}
	return resp.StatusCode
}
