package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestAdminAddress: what is for the operator is at the operator's address, and nowhere else; and no
// page of another host gets it, although --addr answers for all hosts.
func TestAdminAddress(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	s := startServer(t, t.TempDir(), "--addr", "0.0.0.0:0", "--admin-addr", address, "--insecure-no-keys")
	operator := "http://" + address
	c := newClient(t)
	for _, r := range []struct {
		method, path string
		here, there  int
	}{
		{"GET", "/metrics", 404, 200},
		{"HEAD", "/metrics", 404, 200},
		{"GET", "/metrics/", 404, 404},
		{"POST", "/v1/verify", 404, 409}, // it shares no database
		{"POST", "/v1/backup", 404, 200},
		{"GET", "/v1/keys", 404, 0},
		{"GET", "/debug/pprof/", 404, 200},
		{"GET", "/debug/pprof/heap?debug=1", 404, 200},
		{"GET", "/debug/pprof/goroutine", 404, 200},
		{"GET", "/debug/pprof/profile?seconds=1", 404, 200},
		{"GET", "/debug/pprof/trace?seconds=1", 404, 200},
		{"GET", "/debug/pprof/cmdline", 404, 404},
		{"GET", "/v1/collections", 200, 200},
		{"GET", "/healthz", 200, 200},
		{"GET", "/readyz", 200, 200},
	} {
		if got := exchange(c, r.method, s.base+r.path, "", ""); got.status != r.here || got.status == 404 && r.method != "HEAD" && got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s is answered %d %s", r.method, r.path, got.status, got.body)
		}
		if got := exchange(c, r.method, operator+r.path, "", ""); got.status != r.there && r.there != 0 {
			t.Errorf("%s %s is answered %d at the operator's address: %.300s, %v", r.method, r.path, got.status, got.body, got.err)
		}
		if got := exchange(c, r.method, operator+r.path, "", "", "Host", "evil.example"); got.status != http.StatusMisdirectedRequest {
			t.Errorf("%s %s for another host is answered %d at the operator's address", r.method, r.path, got.status)
		}
	}
	if got := exchange(c, "POST", s.base+"/v1/verify", "", ""); !strings.Contains(string(got.body), "/v1/errors/path-not-found") || !strings.Contains(string(got.body), "--admin-addr") {
		t.Errorf("the problem is %s", got.body)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d: %s", code, s.log)
	}
	plain := startServer(t, t.TempDir())
	if got := exchange(c, "GET", plain.base+"/debug/pprof/", "", ""); got.status != 404 {
		t.Errorf("profiles are answered %d at the main address", got.status)
	}
	// Metrics may be at an address of their own, which then has nothing else.
	metrics := freeAddress(t)
	both := startServer(t, t.TempDir(), "--admin-addr", freeAddress(t), "--metrics-addr", metrics)
	for url, want := range map[string]int{both.base + "/metrics": 404, "http://" + metrics + "/metrics": 200, "http://" + metrics + "/debug/pprof/": 404, "http://" + metrics + "/v1/collections": 404} {
		if got := exchange(c, "GET", url, "", ""); got.status != want {
			t.Errorf("%s is answered %d", url, got.status)
		}
	}
	if r := runCLI(t, "", "serve", "--addr", "127.0.0.1:0", "--data", t.TempDir(), "--admin-addr", "256.0.0.1:1"); r.code != exitFailed || !strings.Contains(r.stderr, "--admin-addr") {
		t.Errorf("an address that is none: %+v", r)
	}
}
