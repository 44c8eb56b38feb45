package api

import (
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of the lines about slow searches.
const (
	slowLines    = 5    // lines a second, and at once
	slowQuestion = 2048 // bytes of a question
)

// slowLog writes a line about each search that took long, up to a number of lines a second.
type slowLog struct {
	log    *slog.Logger
	least  time.Duration
	lines  *rate.Limiter
	untold atomic.Int64 // searches since the last line that got none
}

// newSlowLog returns nil if least is 0.
func newSlowLog(log *slog.Logger, least time.Duration) *slowLog {
	if least <= 0 {
		return nil
	}
	return &slowLog{log: log, least: least, lines: rate.NewLimiter(slowLines, slowLines)}
}

// note writes the line about a request, if it was a search and took long.
func (l *slowLog) note(r *http.Request, e *exchange, took time.Duration) {
	route := e.routing.RoutePattern()
	if took < l.least || !isSearch(r.Method, route) {
		return
	}
	if !l.lines.Allow() {
		l.untold.Add(1)
		return
	}
	question := r.URL.RequestURI()
	if len(question) > slowQuestion {
		question = question[:slowQuestion] + "…"
	}
	l.log.Warn("a search was slow", "id", e.id[0], "method", r.Method, "route", route, "question", question,
		"status", e.status, "bytes", e.bytes, "microseconds", took.Microseconds(),
		"trace_id", traceID(r.Header.Get("Traceparent")), "untold", l.untold.Swap(0))
}

// isSearch reports whether the requests of a route read items of a collection.
func isSearch(method, route string) bool {
	switch method {
	case http.MethodGet, http.MethodHead:
		return strings.HasSuffix(route, "/nearby") || strings.HasSuffix(route, "/items")
	case http.MethodPost:
		return strings.HasSuffix(route, "/nearby") || strings.HasSuffix(route, "/items/search")
	}
	return false
}

// traceID returns the trace-id of a header traceparent, as W3C Trace Context defines it, or "".
func traceID(traceparent string) string {
	const version, id, parent = 2, 32, 16
	parts := strings.SplitN(traceparent, "-", 4)
	if len(parts) < 4 || len(parts[0]) != version || len(parts[1]) != id || len(parts[2]) != parent || parts[0] == "ff" {
		return ""
	}
	for _, c := range []byte(parts[0] + parts[1] + parts[2]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ""
		}
	}
	if strings.Trim(parts[1], "0") == "" || strings.Trim(parts[2], "0") == "" {
		return ""
	}
	return parts[1]
}
