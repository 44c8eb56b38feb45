// Package metrics shows what a server does to whoever watches it, in the format of
// Prometheus, on its client library.
//
// A Metrics has a registry of its own. What happens often, requests, is counted when it
// happens: Route gives each route its counters once, so that a request finds them
// without a look-up and costs a few additions. What is there anyway, the state of the
// catalog, the server and the store, is read when somebody asks.
// docs/metrics.md says what each number means and when to be alarmed.
package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxScrapes is how many may ask at once; others are answered 503.
const maxScrapes = 4

// Metrics are those of one process. The methods that add a source are called before
// anybody asks, each once.
type Metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
}

// New makes metrics with those of the Go runtime and the process. version is the
// program's.
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
		DisableCompression:  true, // whoever serves it compresses
		MaxRequestsInFlight: maxScrapes,
	})
}

// Route returns what counts the requests of a route, by the status of the answer. It is
// called once for each route; what it returns may be called concurrently and does not
// allocate.
func (m *Metrics) Route(method, route string) func(status int, took time.Duration) {
	duration := m.durations.WithLabelValues(method, route)
	var classes [4]prometheus.Counter
	for i, class := range [...]string{"2xx", "3xx", "4xx", "5xx"} {
		classes[i] = m.requests.WithLabelValues(method, route, class)
	}
	return func(status int, took time.Duration) {
		// A status that is none of these is of a connection that ended without one.
		class := status/100 - 2
		if class < 0 || class >= len(classes) {
			class = len(classes) - 1
		}
		classes[class].Inc()
		duration.Observe(took.Seconds())
	}
}
