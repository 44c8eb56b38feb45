package api

import (
	"net/http"
	"slices"
	"strings"
)

// singletons are the headers that the interface reads and that are no lists: a second line of
// one has no meaning (RFC 9110, section 5.3). The dates of conditions are not among them: where
// there are two, the standard wants both passed over (sections 13.1.3 and 13.1.4).
var singletons = []string{"Content-Type", "Content-Crs", headerKey, headerAfter, headerWait, "Origin", "Sec-Fetch-Site", "Access-Control-Request-Method"}

// refuseRepeated refuses a request with two lines of one of them: whoever reads the first, and
// whoever reads the last, would read another request. It refuses one that writes a part of
// something, too, of which the rest would be lost (RFC 9110, section 14.5).
func (s *Server) refuseRepeated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, lines := range r.Header {
			if len(lines) > 1 && slices.Contains(singletons, name) {
				s.fail(w, r, badParameter(name, strings.Join(lines, ", "), "must be given once", ""))
				return
			}
		}
		if part := r.Header["Content-Range"]; part != nil {
			s.fail(w, r, badParameter("Content-Range", strings.Join(part, ", "), "is not taken: a body is the whole of what it writes", ""))
			return
		}
		next.ServeHTTP(w, r)
	})
}
