package main

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"nearby/store/postgres/pgtest"
)

// TestVerify: servers that share a database are compared with it, each by itself; what
// differs is told by the table and the exit code, and is repaired, and a server that
// cannot compare is no equal one.
func TestVerify(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.NoFsync())
	var at [2]*server
	for i := range at {
		at[i] = startServer(t, t.TempDir(), "--store", cluster.URL(), "--verify-interval", "0s", "--metrics-addr", freeAddress(t))
	}
	c := newClient(t)
	for _, put := range [][2]string{{"", "{}"}, {"/items/a", `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{}}`}, {"/items/b", `{"type":"Feature","geometry":{"type":"Point","coordinates":[103,4]},"properties":{}}`}} {
		if status, answer := call(c, http.MethodPut, at[0].base+"/v1/collections/c"+put[0], "application/json", put[1]); status != http.StatusCreated {
			t.Fatalf("%d %s", status, answer)
		}
	}
	timeout := "1m"
	verify := func(code int, says ...string) {
		t.Helper()
		r := runCLI(t, "", "verify", "--server", at[0].base, "--server", at[1].base, "--timeout", timeout)
		if r.code != code {
			t.Errorf("exit code %d, want %d: %s%s", r.code, code, r.stdout, r.stderr)
		}
		for _, s := range says {
			if !strings.Contains(strings.Join(strings.Fields(r.stdout), " "), s) {
				t.Errorf("the table does not say %q:\n%s", s, r.stdout)
			}
		}
	}
	const header = "collection items cells missing extra different repaired "
	verify(exitOK, at[0].base+": equal", at[1].base+": equal", header+"c 2 2 0 0 0 0")
	// What was changed behind the servers' backs, past the triggers, is another version when it
	// is repaired: callers who have kept the former one, or an answer with it, are told so.
	paths := []string{"/items/b", "/items", "/items?bbox=100,0,110,10", "/nearby?lat=4&lon=103&k=1", ""}
	kept := map[string]string{}
	for _, s := range at {
		for _, path := range paths {
			r := exchange(c, http.MethodGet, s.base+"/v1/collections/c"+path, "", "")
			if kept[s.base+path] = r.header.Get("ETag"); r.status != http.StatusOK || kept[s.base+path] == "" {
				t.Fatalf("%s: %d %s", path, r.status, r.body)
			}
		}
	}
	cluster.Exec(`SET session_replication_role = replica; UPDATE nearby.items SET lon = 104 WHERE id = 'b'`)
	verify(exitFailed, at[0].base+": different", header+"c 2 2 0 0 1 1")
	verify(exitOK, at[0].base+": equal", at[1].base+": equal")
	for _, s := range at {
		for _, path := range paths {
			r := exchange(c, http.MethodGet, s.base+"/v1/collections/c"+path, "", "", "If-None-Match", kept[s.base+path])
			if r.status != http.StatusOK || !strings.Contains(string(r.body), "104") {
				t.Errorf("%s is shown again with %d %s", path, r.status, r.body)
			}
		}
	}
	// Behind the servers' backs: the triggers that tell them of changes are off.
	cluster.Exec(`SET session_replication_role = replica; DELETE FROM nearby.items WHERE id = 'a'`)
	verify(exitFailed, at[0].base+": different", header+"c 2 2 0 1 0 1")
	verify(exitOK, at[0].base+": equal", at[1].base+": equal", header+"c 1 1 0 0 0 0")
	if status, _ := call(c, http.MethodGet, at[1].base+"/v1/collections/c/items/a", "", ""); status != http.StatusNotFound {
		t.Errorf("what differed was not repaired: %d", status)
	}
	// A number that was not given out is no reason not to compare.
	cluster.Exec(`SET session_replication_role = replica; UPDATE nearby.items SET seq = 9223372036854775000 WHERE id = 'b'`)
	verify(exitFailed, at[0].base+": different", header+"c 1 1 0 1 0 1")
	verify(exitOK, at[0].base+": equal", at[1].base+": equal", header+"c 0 0 0 0 0 0")
	if status, answer := call(c, http.MethodPost, at[0].base+"/v1/verify", "", ""); status != http.StatusOK {
		t.Errorf("comparing answers %d %s", status, answer)
	}
	// Nor is one that is no position: that is a difference, which memory cannot make good.
	cluster.Exec(`SET session_replication_role = replica; INSERT INTO nearby.items (collection, id, lon, lat, created, updated, seq) SELECT 'c', 'far', 1e300, 'Infinity', now(), now(), seq FROM nearby.head`)
	verify(exitFailed, at[0].base+": different", at[1].base+": different", header+"c 0 1 1 0 0 0")
	cluster.Exec(`UPDATE nearby.items SET lon = 1, lat = 1 WHERE id = 'far'`)
	if status, answer := call(c, http.MethodGet, at[1].base+"/v1/collections/c/items/far?consistency=strong", "", ""); status != http.StatusOK {
		t.Errorf("the corrected row is not served: %d %s", status, answer)
	}
	cluster.Kill()
	timeout = "3s"
	verify(exitFailed, at[0].base+": not compared", at[1].base+": not compared")
}

// TestMetricsAddress: the numbers are at the address that is named, and nowhere else.
func TestMetricsAddress(t *testing.T) {
	t.Parallel()
	elsewhere := freeAddress(t)
	c := newClient(t)
	for _, s := range []struct {
		args         []string
		here, beside int
	}{{nil, 200, 0}, {[]string{"--metrics-addr", elsewhere}, 404, 200}} {
		server := startServer(t, t.TempDir(), s.args...)
		if status, _ := call(c, http.MethodGet, server.base+"/metrics", "", ""); status != s.here {
			t.Errorf("%v: /metrics answers %d", s.args, status)
		}
		status, text := call(c, http.MethodGet, "http://"+elsewhere+"/metrics", "", "")
		if status != s.beside {
			t.Errorf("%v: the other address answers %d", s.args, status)
		}
		for _, want := range []string{`nearby_http_requests_total{method="GET",route="/metrics",status="4xx"} 1`, "nearby_http_requests_in_flight 0", "nearby_http_requests_waiting 0", `version="v0.0.0-test"`, `route="none"`} {
			if status == 200 && !strings.Contains(string(text), want) {
				t.Errorf("there is no %s in\n%s", want, text)
			}
		}
		if code := server.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	if r := runCLI(t, "", "serve", "--addr", "127.0.0.1:0", "--data", t.TempDir(), "--metrics-addr", "256.0.0.1:1"); r.code != exitFailed || !strings.Contains(r.stderr, "--metrics-addr") {
		t.Errorf("an address that is none: %+v", r)
	}
}

// freeAddress is one that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
