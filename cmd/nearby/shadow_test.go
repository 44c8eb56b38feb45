package main

import (
	"net/http"
	"strings"
	"testing"
)

// A server with --shadow checks its answers, and says so in its metrics; and one query can be verified
// at once.
func TestShadow(t *testing.T) {
	s := startServer(t, t.TempDir(), "--shadow", "1")
	c := newClient(t)
	createCollection(t, s, "c", `{}`)
	if status, answer := call(c, http.MethodPost, s.base+"/v1/collections/c/items", "text/csv", "id,lat,lon\na,1,1\nb,2,2\nc,3,3\n"); status != http.StatusOK {
		t.Fatalf("loading: %d %s", status, answer)
	}
	for _, query := range [][]string{{"1", "2"}, {"--intersects", "POLYGON((0 0,9 0,9 9,0 0))"}} {
		r := runCLI(t, "", append([]string{"query", "-c", "c", "--verify", "--server", s.base}, query...)...)
		if r.code != exitOK || !strings.HasSuffix(r.stdout, "verified: a scan gives the same answer; items compared: 3\n") {
			t.Errorf("%v: exit code %d: %s%s", query, r.code, r.stdout, r.stderr)
		}
	}
	if r := runCLI(t, "", "query", "-c", "c", "--verify", "--server", s.base, "1", "2", "--sort-by", "distance"); r.code == exitOK || !strings.Contains(r.stderr, "cannot be combined with sortby") {
		t.Errorf("with an order: exit code %d: %s", r.code, r.stderr)
	}
	call(c, http.MethodGet, s.base+"/v1/collections/c/items", "", "")
	s.becomes(c, "/metrics", "nearby_shadow_checked_total 3\n")
	s.becomes(c, "/metrics", "nearby_shadow_mismatches_total 0\n")
	s.becomes(c, "/metrics", "nearby_shadow_dropped_total 0\n")
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	if r := runCLI(t, "", "serve", "--data", t.TempDir(), "--shadow", "1.5"); r.code == exitOK || !strings.Contains(r.stderr, "must be from 0 to 1") {
		t.Errorf("a share of 1.5: exit code %d: %s", r.code, r.stderr)
	}
}
