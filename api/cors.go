package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-chi/cors"

	"nearby/item"
)

// crossOrigin lets pages of other origins use the interface from a browser, as
// far as they are named. It says nothing where none is.
func crossOrigin(origins []string) (func(http.Handler) http.Handler, error) {
	if len(origins) == 0 {
		return func(next http.Handler) http.Handler { return next }, nil
	}
	for _, o := range origins {
		u, err := url.Parse(o)
		if o != "*" && (err != nil || strings.Contains(o, "*") || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || o != u.Scheme+"://"+u.Host) {
			return nil, fmt.Errorf("CORS origin %q: must be * or an origin, such as https://maps.example.org", o)
		}
	}
	return cors.Handler(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: append([]string{http.MethodHead}, methods...),
		AllowedHeaders: []string{"Accept", "Content-Type", "Content-Encoding", "Content-Crs", headerMatch, headerNoneMatch, headerUnmodified, headerModified, headerKey, headerAfter, headerWait},
		ExposedHeaders: []string{"ETag", "Last-Modified", "Location", "Retry-After", "X-Request-Id", headerToken, headerStaleness, headerDurability, headerReplayed},
		MaxAge:         600, // seconds that a browser remembers a preflight
	}), nil
}

// refuseForeign refuses what is to change something and comes from a page of an origin
// that may not use the interface. A browser asks before it sends most of these, but not
// before it sends a POST as a form does. Programs send no origin, and are not concerned.
func (s *Server) refuseForeign(next http.Handler) (http.Handler, error) {
	if slices.Contains(s.opt.CORSOrigins, "*") {
		return next, nil
	}
	protection := http.NewCrossOriginProtection()
	trusted := slices.Clone(s.opt.CORSOrigins)
	if s.opt.PublicURL != "" {
		u, err := url.Parse(s.opt.PublicURL)
		if err != nil {
			return nil, err
		}
		trusted = append(trusted, u.Scheme+"://"+u.Host) // a proxy may send another Host
	}
	for _, origin := range trusted {
		if err := protection.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if protection.Check(r) != nil {
			s.fail(w, r, newProblem(foreignOrigin, fmt.Sprintf("the request comes from a page of %q", item.Shorten(r.Header.Get("Origin"))),
				fault{Parameter: "Origin", Got: item.Shorten(r.Header.Get("Origin")), Reason: "is not an origin that may use the interface", Hint: "start the server with --cors-origin and this origin"}))
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}
