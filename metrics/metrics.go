// Package metrics publishes the metrics of a server in the format of Prometheus, with its client
// library.
//
// A Metrics has a registry of its own. Requests are counted when they happen. Route returns the
// counters of a route once, so a request needs no look-up and only a few additions. The state of
// the catalog, the server and the store is read at each scrape. docs/metrics.md says what each
// metric means and which values are a reason for alarm.
package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxScrapes is how many scrapes are answered at once. Others get 503.
const maxScrapes = 4

// Metrics are the metrics of one process. Methods that add a source must be called before the first
// scrape, each once.
type Metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
}

// New makes metrics. They include those of the Go runtime and of the process. version is the version
// of the program.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nearby_http_requests_total",
			Help: "Requests that were answered, by route and class of status.",
		}, []string{"method", "route", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "nearby_http_request_duration_seconds",
			Help:    "Time from a request's header to the end of its answer, by route.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "route"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "nearby_build_info",
		Help:        "1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.durations, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers with all metrics, as text.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		DisableCompression:  true, // the server that uses the handler compresses
		MaxRequestsInFlight: maxScrapes,
	})
}

// Route returns a function that counts a request of a route by the status of its answer. Route must
// be called once for each route. The function may be called concurrently, and does not allocate.
func (m *Metrics) Route(method, route string) func(status int, took time.Duration) {
	duration := m.durations.WithLabelValues(method, route)
	var classes [4]prometheus.Counter
	for i, class := range [...]string{"2xx", "3xx", "4xx", "5xx"} {
		classes[i] = m.requests.WithLabelValues(method, route, class)
	}
	return func(status int, took time.Duration) {
		// Any other status means that the connection ended before there was one. It counts as 5xx.
		class := status/100 - 2
		if class < 0 || class >= len(classes) {
			class = len(classes) - 1
		}
		classes[class].Inc()
		duration.Observe(took.Seconds())
	}
}
