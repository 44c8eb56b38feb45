package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"nearby/api"
)

// slowSearches sends requests to a server, and returns the lines about slow searches.
func slowSearches(t *testing.T, least time.Duration, requests ...[4]string) (all []map[string]any) {
	t.Helper()
	h := start(t, api.Options{SlowQuery: least})
	ts := httptest.NewUnstartedServer(h.server)
	ts.Config.ConnContext = api.ConnContext
	ts.Start()
	for _, r := range requests {
		req, err := http.NewRequestWithContext(t.Context(), r[0], ts.URL+r[1], strings.NewReader(r[3]))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Traceparent", r[2])
		resp, err := ts.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	ts.Close() // a line is written after the answer
	for line := range strings.Lines(h.log.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if m["msg"] == "a search was slow" {
			all = append(all, m)
		}
	}
	return all
}

// TestSlowQuery: a search that takes as long as the bound gets a line with the question, the time
// and the trace that the caller names; what is no search gets none, and the lines have a bound.
func TestSlowQuery(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, c := range []struct{ method, path, traceparent, body, trace string }{
		{"GET", "/v1/collections/none/nearby?lat=1&lon=2&k=3", "00-" + trace + "-00f067aa0ba902b7-01", "", trace},
		{"POST", "/v1/collections/none/items/search", "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", "{}", ""},
		{"POST", "/v1/collections/none/nearby", "00-" + strings.ToUpper(trace) + "-00f067aa0ba902b7-01", "{}", ""},
		{"GET", "/v1/collections/none/items?q=" + strings.Repeat("x", 3000), "rubbish", "", ""},
	} {
		all := slowSearches(t, time.Nanosecond, [4]string{c.method, c.path, c.traceparent, c.body})
		if len(all) != 1 {
			t.Fatalf("%s %.60s: %d lines", c.method, c.path, len(all))
		}
		question, _ := all[0]["question"].(string)
		if l := all[0]; l["trace_id"] != c.trace || !strings.HasPrefix(c.path, strings.TrimSuffix(question, "…")) || len(question) > 2100 || l["method"] != c.method || l["microseconds"].(float64) < 0 || l["id"] == "" {
			t.Errorf("%s %.60s: %v", c.method, c.path, l)
		}
	}
	if all := slowSearches(t, time.Nanosecond, [4]string{"GET", "/v1/collections"}, [4]string{"PUT", "/v1/collections/c", "", "{}"}, [4]string{"POST", "/v1/collections/c/items", "", "{}"}); len(all) > 0 {
		t.Errorf("what is no search: %v", all)
	}
	for _, never := range []time.Duration{0, 24 * time.Hour} {
		if all := slowSearches(t, never, [4]string{"GET", "/v1/collections/none/nearby?lat=1&lon=2"}); len(all) > 0 {
			t.Errorf("with %v: %v", never, all)
		}
	}
}
