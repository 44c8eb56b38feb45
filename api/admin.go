package api

import (
	"context"
	"net/http"
	"strings"
)

// The operator may have an address of its own (Options.Admin). What only the operator needs is then
// at no other address.

// forOperator are the paths of what only the operator needs, and the beginnings of those below them.
var forOperator = []string{"/metrics", "/v1/verify", "/v1/backup", "/v1/keys"}

// Admin returns what answers at the operator's address, whose hosts are these: everything that the
// server answers, and what it keeps for the operator.
func (s *Server) Admin(hosts *Hosts) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), adminKey, hosts)))
	})
}

// keepForOperator answers 404 to requests for what only the operator needs, unless they are sent to the
// operator's address.
func (s *Server) keepForOperator(next http.Handler) http.Handler {
	if !s.opt.Admin {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, admin := r.Context().Value(adminKey).(*Hosts); !admin {
			for _, path := range forOperator {
				if r.URL.Path == path || strings.HasPrefix(r.URL.Path, path+"/") {
					s.fail(w, r, newProblem(pathNotFound, "this is for the operator of the server, at the address of --admin-addr"))
					return
				}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// hostsOf are those that a request may be for: those of the address that it was sent to.
func (s *Server) hostsOf(r *http.Request) *Hosts {
	if s.opt.Admin {
		if hosts, admin := r.Context().Value(adminKey).(*Hosts); admin {
			return hosts
		}
	}
	return s.opt.Hosts
}
