package api

import (
	"net/http"

	"github.com/klauspost/compress/gzhttp"
)

// compress packs answers for those who take them so, if that is worth while, or if they take
// nothing else. It is left out for the others, but for the header that tells caches of the
// difference.
func (s *Server) compress(next http.Handler) (http.Handler, error) {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(1024), gzhttp.CompressionLevel(3), gzhttp.SuffixETag("-gzip"))
	if err != nil {
		return nil, err
	}
	always, err := gzhttp.NewWrapper(gzhttp.MinSize(0), gzhttp.CompressionLevel(3), gzhttp.SuffixETag("-gzip"), gzhttp.ContentTypeFilter(gzhttp.CompressAllContentTypeFilter))
	if err != nil {
		return nil, err
	}
	packed, onlyPacked := wrap(next), always(next)
	vary, both := []string{headerAfter}, []string{"Accept-Encoding, " + headerAfter}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, wrapped := both, next
		if accepted := r.Header["Accept-Encoding"]; accepted != nil {
			if r.Method == http.MethodHead {
				// The wrappers pass HEAD over, and its headers would not be those of GET
				// (RFC 9110, section 9.3.2). net/http leaves the body out.
				r = r.WithContext(r.Context())
				r.Method = http.MethodGet
			}
			accepted = oneName(accepted)
			r.Header["Accept-Encoding"] = accepted // the wrappers read the first line
			plain, coding := codings(accepted)
			switch {
			case plain:
				given, wrapped = vary, packed // which adds the other
			case coding != "":
				r.Header["Accept-Encoding"] = []string{coding}
				given, wrapped = vary, onlyPacked
			default:
				wrapped = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					s.fail(w, r, newProblem(notAcceptable, ""))
				})
			}
		}
		if h := w.Header(); h["Vary"] == nil {
			h["Vary"] = given[:1:1]
		} else {
			h.Add("Vary", given[0])
		}
		wrapped.ServeHTTP(w, r)
	}), nil
}
