package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestHosts: a server that listens on loopback serves no host that it does not know, nor
// its metrics; one that listens everywhere serves all, unless it was told its hosts.
func TestHosts(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	metrics := freeAddress(t)
	for _, s := range []struct {
		args                []string
		evil, public, other int
	}{
		{[]string{"--metrics-addr", metrics}, 421, 421, 421},
		{[]string{"--metrics-addr", metrics, "--public-url", "https://geo.example.org", "--allowed-host", "other.example,third.example"}, 421, 200, 200},
		{[]string{"--metrics-addr", metrics, "--allowed-host", "*"}, 200, 200, 200},
		{[]string{"--addr", "0.0.0.0:0", "--insecure-no-keys", "--public-url", "https://geo.example.org"}, 200, 200, 200},
		{[]string{"--addr", "0.0.0.0:0", "--insecure-no-keys", "--allowed-host", "third.example", "--allowed-host", "other.example"}, 421, 421, 200},
	} {
		server := startServer(t, t.TempDir(), s.args...)
		urls := []string{server.base + "/v1/collections", server.base + "/readyz", server.base + "/metrics"}
		if s.args[0] == "--metrics-addr" {
			urls[2] = "http://" + metrics + "/metrics"
		}
		for _, url := range urls {
			for host, want := range map[string]int{"evil.example:8080": s.evil, "geo.example.org": s.public, "other.example": s.other, "localhost:8080": 200, "127.0.0.1": 200, "localhost:http": 400} {
				if r := exchange(c, http.MethodGet, url, "", "", "Host", host); r.status != want {
					t.Errorf("%v: %s for %s is answered %d: %s, %v", s.args, url, host, r.status, r.body, r.err)
				}
			}
		}
		server.kill()
	}
	for flag, says := range map[string]string{
		"--allowed-host=http://geo.example.org": "without a scheme, a port and a path", "--allowed-host=": "it is empty", "--allowed-host=a.example,,b.example": "it is empty",
		"--allowed-host=..": "before one of its dots", "--allowed-host=bücher.example": "xn--", "--addr=": "--addr is empty",
	} {
		if r := runCLI(t, "", "serve", "--addr", "127.0.0.1:0", "--data", t.TempDir(), flag); r.code != exitFailed || !strings.Contains(r.stderr, says) {
			t.Errorf("%s: exit code %d: %s", flag, r.code, r.stderr)
		}
	}
}
