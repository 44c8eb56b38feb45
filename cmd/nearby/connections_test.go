package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestIdleConnectionsLeaveRoomToWrite: where a process may open 64 files, 100 clients that stay
// connected keep the store from nothing.
func TestIdleConnectionsLeaveRoomToWrite(t *testing.T) {
	t.Parallel()
	limited := filepath.Join(t.TempDir(), "limited")
	if err := os.WriteFile(limited, fmt.Appendf(nil, "#!/bin/sh\nulimit -n 64\nexec '%s' \"$@\"\n", program), 0o755); err != nil {
		t.Fatal(err)
	}
	s := launchAs(t, limited, nil, "--data", t.TempDir())
	s.awaitReady()
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	for range 100 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		if _, err := fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 12)); err != nil || n == 0 {
			t.Fatalf("connection %d: %v", len(conns), err)
		}
	}
	c := newClient(t)
	if status, answer := call(c, "PUT", s.base+"/v1/collections/c", "application/json", `{}`); status != 201 {
		t.Fatalf("%d %s", status, answer)
	}
	for i := range 100 {
		if status, answer := call(c, "PUT", fmt.Sprintf("%s/v1/collections/c/items/%d", s.base, i), "application/geo+json",
			`{"type":"Feature","geometry":{"type":"Point","coordinates":[1,1]},"properties":{}}`); status != 201 {
			t.Fatalf("item %d: %d %s", i, status, answer)
		}
	}
	if log := s.log.String(); strings.Contains(log, "too many open files") {
		t.Errorf("the process ran out of files: %s", log)
	}
}
