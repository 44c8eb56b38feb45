package main

import (
	"net/http"
	"strings"
	"testing"

	"nearby/client"
)

// TestRateFlags: the limits are kept by the real program, the Go client waits as it is told, and what
// is no limit is refused.
func TestRateFlags(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir(), "--rate-limit", "2/s", "--rate-cost", "60m/h", "--admin-addr", freeAddress(t))
	c, err := client.New(s.base, client.WithHTTPClient(newClient(t)), client.WithRetry(client.Retry{Tries: 100}))
	if err != nil {
		t.Fatal(err)
	}
	for range 6 { // more than may come at once
		if _, err := c.Collections(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var last reply
	for range 1000 {
		if last = exchange(newClient(t), http.MethodGet, s.base+"/v1/collections", "", ""); last.status == http.StatusTooManyRequests {
			break
		}
	}
	if last.status != http.StatusTooManyRequests || last.header.Get("Retry-After") != "1" || last.header.Get("RateLimit-Policy") != `"requests";q=2;w=1, "work";q=3600000;qu="milliseconds";w=3600` {
		t.Errorf("%d %v %s", last.status, last.header, last.body)
	}
	for flag, says := range map[string]string{
		"--rate-limit=100": "such as 100/s", "--rate-limit=0/s": "from 1 on", "--rate-limit=1.5/s": "whole number", "--rate-limit=1/d": "/h", "--rate-limit=/s": "whole number",
		"--rate-cost=500/s": "such as 500ms/s", "--rate-cost=1us/s": "from 1ms on", "--rate-cost=1s": "/m",
	} {
		if r := runCLI(t, "", "serve", "--addr", "127.0.0.1:0", "--data", t.TempDir(), flag); r.code != exitUsage || !strings.Contains(r.stderr, says) {
			t.Errorf("%s: exit code %d: %s", flag, r.code, r.stderr)
		}
	}
}
