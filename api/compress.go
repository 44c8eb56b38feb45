package api

import (
	"net/http"
	"strconv"
	"strings"

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

// codings reads what a request accepts (RFC 9110, section 12.5.3): whether an answer may be
// sent as it is, and else how it has to be packed; "": in no way that there is here.
func codings(accepted []string) (plain bool, packed string) {
	if len(accepted) == 1 && !strings.Contains(accepted[0], ";") { // nothing is refused
		return true, ""
	}
	weights := map[string]float64{}
	for _, element := range elementsOf(accepted) {
		coding, parameters, _ := strings.Cut(element, ";")
		weights[strings.ToLower(strings.TrimSpace(coding))] = weight(parameters)
	}
	of := func(coding string, unsaid float64) float64 {
		for _, name := range []string{coding, "*"} {
			if q, ok := weights[name]; ok {
				return q
			}
		}
		return unsaid
	}
	gzip, zstd := max(of("gzip", 0), weights["x-gzip"]), of("zstd", 0)
	switch {
	case of("identity", 1) > 0:
		return true, ""
	case zstd > gzip:
		return false, "zstd"
	case gzip > 0:
		return false, "gzip"
	}
	return false, ""
}

// weight is the q among the parameters of an element of Accept or Accept-Encoding.
func weight(parameters string) float64 {
	q := 1.0
	for p := range strings.SplitSeq(parameters, ";") {
		if name, value, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(name, "q") {
			if v, err := strconv.ParseFloat(value, 64); err == nil && v >= 0 {
				q = v
			}
		}
	}
	return q
}
