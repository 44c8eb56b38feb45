package main

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nearby/access"
	"nearby/api"
)

// TestLogBuffer: a line waits a second at most, a warning and what came before it
// not at all, and no line is cut in two or lost.
func TestLogBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		l := newLogBuffer(&out)
		log := slog.New(promptHandler{slog.NewTextHandler(l, nil), l}).WithGroup("g").With("k", "v")
		lines := func() int {
			l.mu.Lock()
			defer l.mu.Unlock()
			if out.Len() > 0 && !strings.HasSuffix(out.String(), "\n") {
				t.Errorf("the log ends within a line: %q", out.String()[out.Len()-20:])
			}
			return strings.Count(out.String(), "\n")
		}
		want := func(n int, when string) {
			t.Helper()
			if got := lines(); got != n {
				t.Errorf("%s: %d lines are written, want %d", when, got, n)
			}
		}
		for range 3 {
			log.Info("a")
			before := lines()
			time.Sleep(logDelay / 2)
			log.Info("b")
			want(before, "after half the delay")
			time.Sleep(logDelay / 2)
			synctest.Wait()
			want(before+2, "after the delay")
			time.Sleep(3 * logDelay)
		}
		log.Info("c")
		log.Warn("d")
		want(8, "after a warning")
		n := 8
		for out.Len() < 3*logBufferBytes {
			log.Info(strings.Repeat("x", 1000))
			n++
			lines()
		}
		l.flush()
		want(n, "after the last flush")
	})
}

// TestRequestLine: the line about a request is what slog would write, and one about
// a failure does not wait.
func TestRequestLine(t *testing.T) {
	east := time.FixedZone("", 2*60*60)
	for _, a := range []api.Answered{
		{ID: "0123456789abcdef", Method: "GET", Route: "/v1/collections/{collectionId}", Status: 200, Bytes: 12345, At: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC), Took: 1234 * time.Microsecond},
		{ID: "a", Method: "\"\n\\", Status: 404, At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		{ID: "b", Method: "PUT", Status: 503, Bytes: 1, At: time.Date(2026, 12, 31, 23, 59, 59, 999_999_999, east), Took: -1},
		{ID: "k", Method: "PUT", Route: "/v1/x", Key: "k7q2mz4l", Refused: access.LowScope, Status: 403, Bytes: 1, At: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Took: time.Millisecond},
		{ID: "c", Method: "GET", Status: 200, Bytes: 57_000_000, Cut: api.CutStalled, At: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Took: time.Minute},
	} {
		var out, slogs strings.Builder
		l := newLogBuffer(&out)
		l.request(&a)
		if flushed := out.Len() > 0; flushed != (a.Status >= 500) {
			t.Errorf("status %d: written at once: %v", a.Status, flushed)
		}
		l.flush()
		level := slog.LevelInfo
		if a.Status >= 500 {
			level = slog.LevelWarn
		}
		r := slog.NewRecord(a.At, level, "request", 0)
		r.AddAttrs(slog.String("id", a.ID), slog.String("method", a.Method), slog.String("route", a.Route),
			slog.Int("status", a.Status), slog.Int("bytes", a.Bytes), slog.Int64("microseconds", a.Took.Microseconds()))
		if a.Key != "" {
			r.AddAttrs(slog.String("key", a.Key), slog.String("refused", string(a.Refused)))
		}
		if a.Cut != "" {
			r.AddAttrs(slog.String("cut", string(a.Cut)))
		}
		if err := slog.NewJSONHandler(&slogs, nil).Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		got := out.String()
		if a.At.Nanosecond() == 0 {
			got = strings.Replace(got, ".000000000", "", 1) // which slog leaves out
		}
		if got != slogs.String() {
			t.Errorf("got  %swant %s", got, &slogs)
		}
	}
}
