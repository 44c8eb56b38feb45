package api_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"nearby/api"
)

// TestDeadlines: a body may take longer than the stall time as long as it moves,
// and is cut off when it does not; so is a client that does not take its answer.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	const stall = 4 * time.Second
	h := start(t, api.Options{Stall: stall})
	h.do("PUT", "/v1/collections/c", "application/json", "{}").want(t, 201)
	dial := func(request string) net.Conn {
		conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	load := func(rows, of int) (status int) {
		const row = "a,1,2\n"
		conn := dial(fmt.Sprintf("POST /v1/collections/c/items HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\nid,lat,lon\n", 11+of*len(row)))
		for range rows {
			time.Sleep(stall / 4) // the pace of a slow client is what is tested
			if _, err := io.WriteString(conn, row); err != nil {
				t.Fatal(err)
			}
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%d of %d rows: %v", rows, of, err)
		}
		_ = conn.Close()
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if status := load(5, 5); status != http.StatusOK {
		t.Errorf("a slow body was answered %d", status)
	}
	if status := load(1, 5); status != http.StatusRequestTimeout {
		t.Errorf("a body that stopped was answered %d", status)
	}

	var rows strings.Builder
	rows.WriteString("id,lat,lon,text\n")
	for i := range 3000 {
		fmt.Fprintf(&rows, "%d,1,2,%s\n", i, strings.Repeat("x", 10_000))
	}
	h.do("POST", "/v1/collections/c/items", "text/csv", rows.String()).want(t, 200)
	conn := dial("GET /v1/collections/c/items?limit=3000 HTTP/1.1\r\nHost: x\r\n\r\n")
	h.logged(`"cut":"stalled"`) // it takes nothing
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a client that stopped was not cut off after %d bytes: %v", n, err)
	}
	_ = resp.Body.Close()
}

// logged waits until the log has a piece of text.
func (h *fixture) logged(piece string) {
	h.Helper()
	for began := time.Now(); !strings.Contains(h.log.String(), piece); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patience {
			h.Fatalf("the log has no %s:\n%s", piece, h.log)
		}
	}
}

// TestCutLoad: the log says how much of a load was taken that the client cut off, for
// nobody reads the answer.
func TestCutLoad(t *testing.T) {
	h := start(t, api.Options{})
	h.do("PUT", "/v1/collections/c", "application/json", "{}").want(t, 201)
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST /v1/collections/c/items HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: 100000000\r\n\r\nid,lat,lon\n"); err != nil {
		t.Fatal(err)
	}
	for i := range 100_000 { // more than is looked at before the first row is taken
		if _, err := fmt.Fprintf(conn, "%d,1,%d\n", i, i%200); err != nil { // those from 181 are rejected
			t.Fatal(err)
		}
	}
	_ = conn.Close()
	h.logged(`"msg":"a load ended early"`)
	_, line, _ := strings.Cut(h.log.String(), `"msg":"a load ended early"`)
	line, _, _ = strings.Cut(line, "\n")
	_, counts, _ := strings.Cut(line, `"collection":"c",`)
	var created, updated, skipped, rejected int
	if _, err := fmt.Sscanf(counts, `"created":%d,"updated":%d,"skipped":%d,"rejected":%d}`, &created, &updated, &skipped, &rejected); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	got := decode[struct{ ItemCount int }](t, h.do("GET", "/v1/collections/c", "", "").want(t, 200)).ItemCount
	if got == 0 || created != got || updated+skipped != 0 || rejected == 0 {
		t.Errorf("there are %d items: %s", got, line)
	}
}

// TestSlowReader: a client that takes a large answer slowly, but steadily, gets all of
// it, and the log calls no answer cut but one whose client left.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const stall = 4 * time.Second
	h := start(t, api.Options{Stall: stall})
	h.do("PUT", "/v1/collections/c", "application/json", "{}").want(t, 201)
	var rows strings.Builder
	rows.WriteString("id,lat,lon,text\n")
	for i := range 3000 {
		fmt.Fprintf(&rows, "%d,1,2,%s\n", i, strings.Repeat("x", 12_000))
	}
	h.do("POST", "/v1/collections/c/items", "text/csv", rows.String()).want(t, 200)
	ask := func() (*http.Response, net.Conn) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		if _, err := io.WriteString(conn, "GET /v1/collections/c/items?limit=3000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp, conn
	}
	resp, _ := ask()
	defer func() { _ = resp.Body.Close() }()
	var got int64
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) { // the pace of a slow client is what is tested
		n, err := io.CopyN(io.Discard, resp.Body, 400<<10)
		got += n
		if errors.Is(err, io.EOF) {
			if took := time.Since(began); took < 2*stall {
				t.Fatalf("the answer was taken in %s, which is not slow", took)
			}
			break
		}
		if err != nil {
			t.Fatalf("cut off after %d bytes and %s: %v", got, time.Since(began), err)
		}
	}
	if got < 36_000_000 || resp.ContentLength >= 0 && got != resp.ContentLength {
		t.Errorf("%d bytes came of %d", got, resp.ContentLength)
	}
	h.logged(fmt.Sprintf(`"bytes":%d`, got))
	if strings.Contains(h.log.String(), `"cut"`) {
		t.Errorf("an answer that was sent whole is logged as cut:\n%s", h.log)
	}
	again, conn := ask()
	defer func() { _ = again.Body.Close() }()
	if _, err := io.CopyN(io.Discard, again.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	h.logged(`"cut":"gone"`)
}
