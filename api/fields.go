package api

import (
	"net/http"
	"slices"
	"strings"
)

// singletons are headers that the API reads and that are no lists. A request must not have two
// lines of one (RFC 9110, section 5.3). The dates of conditions are not among them: if there are
// two, the standard demands that both are ignored (sections 13.1.3 and 13.1.4).
var singletons = []string{"Content-Type", "Content-Crs", headerAuthorization, headerKey, headerAfter, headerWait, "Origin", "Sec-Fetch-Site", "Access-Control-Request-Method"}

// refuseRepeated refuses a request with two lines of a singleton: a proxy that reads the first
// line and a server that reads the last would understand different requests. It also refuses a
// request with Content-Range, which writes only a part of something: the rest would be lost (RFC
// 9110, section 14.5).
func (s *Server) refuseRepeated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, lines := range r.Header {
			if len(lines) > 1 && slices.Contains(singletons, name) {
				s.fail(w, r, badParameter(name, strings.Join(lines, ", "), "must be given once", ""))
				return
			}
		}
		if part := r.Header["Content-Range"]; part != nil {
			s.fail(w, r, badParameter("Content-Range", strings.Join(part, ", "), "is not supported: a body must have all of what it writes", ""))
			return
		}
		next.ServeHTTP(w, r)
	})
}
