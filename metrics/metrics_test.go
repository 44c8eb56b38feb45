package metrics_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"nearby/api"
	"nearby/catalog"
	"nearby/collection"
	"nearby/indexes"
	"nearby/metrics"
	"nearby/store/embedded"
)

// watched is a server with metrics.
type watched struct {
	testing.TB
	catalog *catalog.Catalog
	server  *api.Server
	http    *httptest.Server
}

func start(t testing.TB) *watched {
	t.Helper()
	st, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{TB: t, catalog: catalog.New(collection.Options{Store: st, Kinds: indexes.Kinds()})}
	m := metrics.New("v0.0.0-test")
	m.Catalog(w.catalog)
	w.server, err = api.New(api.Options{
		Catalog: w.catalog, Metrics: m.Handler(),
		Observer: func(method, route string) api.Observer { return m.Route(method, route) },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.http = httptest.NewUnstartedServer(w.server)
	w.http.Config.ConnContext = api.ConnContext
	w.http.Start()
	t.Cleanup(func() {
		w.http.Close()
		w.catalog.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// call sends a request and returns the answer's body.
func (w *watched) call(method, path, contentType, body string, status int) string {
	w.Helper()
	req, err := http.NewRequest(method, w.http.URL+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		w.Fatal(err)
	}
	if resp.StatusCode != status {
		w.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, data)
	}
	return string(data)
}

// has reports whether the metrics have a line.
func (w *watched) has(line string) {
	w.Helper()
	if text := w.call("GET", "/metrics", "", "", 200); !slices.Contains(strings.Split(text, "\n"), line) {
		w.Errorf("there is no %s in\n%s", line, regexp.MustCompile(`(?m)^(#|go_|process_|.*_bucket|.* 0$).*\n`).ReplaceAllString(text, ""))
	}
}

// TestRequestsAreCounted: by the pattern of their route, never by what was asked for,
// and by the class of their status.
func TestRequestsAreCounted(t *testing.T) {
	w := start(t)
	w.has("nearby_ready 0")
	if err := w.catalog.Load(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	w.call("PUT", "/v1/collections/c", "application/json", "{}", 201)
	w.call("POST", "/v1/collections/c/items", "text/csv", "id,lat,lon\na,1,1\nb,2,2\n", 200)
	for range 3 {
		w.call("GET", "/v1/collections/c/nearby?lat=1&lon=1", "", "", 200)
	}
	w.call("GET", "/v1/collections/c/nearby?lat=91&lon=1", "", "", 400)
	w.call("GET", "/v1/collections/none/nearby?lat=1&lon=1", "", "", 404)
	w.call("HEAD", "/v1/collections/c/nearby?lat=1&lon=1", "", "", 200)
	w.call("GET", "/secret-path-7", "", "", 404)
	w.call("TRACE", "/v1/collections/c", "", "", 405)
	const nearby = `{method="GET",route="/v1/collections/{collectionId}/nearby"`
	for _, line := range []string{
		"nearby_http_requests_total" + nearby + `,status="2xx"} 4`,
		"nearby_http_requests_total" + nearby + `,status="4xx"} 2`,
		"nearby_http_requests_total" + nearby + `,status="5xx"} 0`,
		"nearby_http_request_duration_seconds_count" + nearby + `} 6`,
		`nearby_http_requests_total{method="",route="",status="4xx"} 2`,
		`nearby_collection_items{collection="c"} 2`,
		`nearby_collection_pending_writes{collection="c"} 0`,
		"nearby_ready 1", "nearby_degraded 0", "nearby_staleness_seconds 0", "nearby_verification_timestamp_seconds 0",
	} {
		w.has(line)
	}
	if text := w.call("GET", "/metrics", "", "", 200); strings.Contains(text, "secret-path-7") || strings.Contains(text, "none/") {
		t.Error("a path that was asked for is a label")
	}
}

// TestNames: the names are as Prometheus wants them, and there is a line in the document
// for each.
func TestNames(t *testing.T) {
	w := start(t)
	if err := w.catalog.Load(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	w.call("PUT", "/v1/collections/c", "application/json", "{}", 201)
	text := w.call("GET", "/metrics", "", "", 200)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	document, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (nearby_\w+)`).FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile("(?m)^\\| `" + m[1] + "[`{]").Match(document) {
			t.Errorf("docs/metrics.md says nothing of %s", m[1])
		}
	}
	// What the document names beyond that is of the program that is wired elsewhere.
	for _, m := range regexp.MustCompile("(?m)^\\| `(nearby_\\w+)").FindAllStringSubmatch(string(document), -1) {
		if !strings.Contains(text, "# TYPE "+m[1]+" ") && !strings.HasPrefix(m[1], "nearby_database_") && !strings.HasPrefix(m[1], "nearby_folder_") && !strings.HasSuffix(m[1], "_in_flight") && !strings.HasPrefix(m[1], "nearby_http_") && !strings.HasPrefix(m[1], "nearby_tls_") && !strings.HasPrefix(m[1], "nearby_memory_") && !strings.HasPrefix(m[1], "nearby_shadow_") {
			t.Errorf("docs/metrics.md names %s, which is not there", m[1])
		}
	}
}

// TestCountingCostsNoMemory: a request is counted without an allocation.
func TestCountingCostsNoMemory(t *testing.T) {
	meter := metrics.New("v").Route("GET", "/x")
	if n := testing.AllocsPerRun(1000, func() { meter(200, 123*time.Microsecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkRoute is what a request pays for being counted.
func BenchmarkRoute(b *testing.B) {
	meter := metrics.New("v").Route("GET", "/x")
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			meter(200, 123*time.Microsecond)
		}
	})
}
