package api

import (
	"net/http"

	"github.com/klauspost/compress/gzhttp"
)

// compress compresses answers of 1 KiB or more if the client accepts that, and every answer if
// the client accepts nothing else. Each answer has the header Vary for caches.
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
				// The wrappers ignore HEAD, so its headers would differ from those of GET (RFC
				// 9110, section 9.3.2). So they see a GET. net/http does not send the body.
				r = r.WithContext(r.Context())
				r.Method = http.MethodGet
			}
			accepted = oneName(accepted)
			r.Header["Accept-Encoding"] = accepted // the wrappers read the first line
			plain, coding := codings(accepted)
			switch {
			case plain:
				given, wrapped = vary, packed // the wrapper adds Accept-Encoding to Vary
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
