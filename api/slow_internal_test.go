package api

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"golang.org/x/time/rate"
)

// TestSlowLinesAreBounded: above the bound searches are counted, and the next line tells how many.
func TestSlowLinesAreBounded(t *testing.T) {
	var out strings.Builder
	l := newSlowLog(slog.New(slog.NewTextHandler(&out, nil)), time.Millisecond)
	l.lines = rate.NewLimiter(0, 3)
	routing := chi.NewRouteContext()
	routing.RoutePatterns = []string{"/v1/collections/{collectionId}/nearby"}
	r := httptest.NewRequest("GET", "/v1/collections/c/nearby?lat=1&lon=2", nil)
	e := &exchange{routing: *routing}
	for range 10 {
		l.note(r, e, time.Second)
		l.note(r, e, time.Microsecond)
	}
	l.lines = rate.NewLimiter(0, 1)
	l.note(r, e, time.Second)
	if text := out.String(); strings.Count(text, "\n") != 4 || strings.Count(text, "untold=0") != 3 || strings.Count(text, "untold=7") != 1 {
		t.Errorf("%s", text)
	}
}
