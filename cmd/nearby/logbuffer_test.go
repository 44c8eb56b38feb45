package main

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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
