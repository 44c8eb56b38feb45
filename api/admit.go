package api

import (
	"context"
	"net/http"
	"strings"
)

// Busy is what a server has under way.
type Busy struct {
	Requests int // health and metrics excepted
	Loads    int // of those, bulk loads
}

// Busy tells what is under way.
func (s *Server) Busy() Busy { return Busy{int(s.underWay.Load()), int(s.loads.Load())} }

// admit refuses what is more than can be served at once, and bounds the time of
// a request. Health is exempt; loads, backups and comparisons keep their own time, and reads
// are bounded by what they may compare.
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
