package api

import (
	"context"
	"net/http"
	"strings"
)

// Busy counts the requests that a server is answering.
type Busy struct {
	Requests int // those under /v1: not health and metrics
	Loads    int // bulk loads among them
}

// Busy returns how many requests are under way.
func (s *Server) Busy() Busy { return Busy{int(s.underWay.Load()), int(s.loads.Load())} }

// admit refuses a request if too many are under way, and bounds the time of a request. Health
// and metrics have no bound. Loads, backups and comparisons with the store have time limits of
// their own. Reads are bounded by the points that they may compare.
func (s *Server) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1") {
			next.ServeHTTP(w, r)
			return
		}
		defer s.underWay.Add(-1)
		if s.underWay.Add(1) > int64(s.opt.Limits.MaxConcurrent) {
			s.fail(w, r, newProblem(overloaded, ""))
			return
		}
		long := r.Method == http.MethodPost && (strings.HasSuffix(r.URL.Path, "/items") || r.URL.Path == "/v1/verify" || r.URL.Path == "/v1/backup")
		if !reads(r) && !long {
			ctx, cancel := context.WithTimeout(r.Context(), s.opt.Limits.Timeout)
			defer cancel()
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}
