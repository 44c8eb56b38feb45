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

// crossOrigin returns a handler that lets pages of the given origins use the API from a browser.
// Without origins it does nothing.
func crossOrigin(origins []string) (func(http.Handler) http.Handler, error) {
	if len(origins) == 0 {
		return func(next http.Handler) http.Handler { return next }, nil
	}
	for _, o := range origins {
		if fault := originFault(o); o != "*" && fault != "" {
			return nil, fmt.Errorf("CORS origin %q: must be * or an origin as browsers send it, such as https://maps.example.org; %s", o, fault)
		}
	}
	return cors.Handler(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: append([]string{http.MethodHead}, methods...),
		AllowedHeaders: []string{"Accept", headerAuthorization, "Content-Type", "Content-Encoding", "Content-Crs", headerMatch, headerNoneMatch, headerUnmodified, headerModified, headerKey, headerAfter, headerWait},
		ExposedHeaders: []string{"Accept", "Accept-Encoding", headerPatch, "Allow", "ETag", "Last-Modified", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", headerChallenge, "X-Request-Id", headerToken, headerStaleness, headerDurability, headerNote, headerReplayed},
		MaxAge:         600, // seconds that a browser remembers a preflight
	}), nil
}

// originFault says why a text is not an origin in the form that browsers send (RFC 6454, section
// 6.2); "": it is one.
func originFault(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || text != u.Scheme+"://"+u.Host:
		return "it must consist of http or https, a host, and a port if that is not the default"
	case text != strings.ToLower(text):
		return "it has capital letters"
	case u.Port() == "443" && u.Scheme == "https" || u.Port() == "80" && u.Scheme == "http" || strings.HasSuffix(text, ":"):
		return "browsers leave out the default port of a scheme"
	}
	if fault := hostFault(u.Hostname()); fault != "" || validAuthority(u.Host) {
		return fault
	}
	return "its host or its port is not valid"
}

// refuseForeign refuses a request that can change something if it comes from a page of an
// origin that may not use the API. Before most of such requests a browser asks the server for
// permission, but not before a POST that a form can send. Programs other than browsers send no
// origin, and are not refused.
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
			origin := r.Header.Get("Origin")
			from := fmt.Sprintf("the request comes from a page of %q", item.Shorten(origin))
			f := fault{Parameter: "Origin", Got: origin, Reason: "is not an origin that may use the API", Hint: "start the server with --cors-origin and this origin"}
			if origin == "" {
				from = "the request comes from a page of another origin, and does not name that origin"
				f = fault{Parameter: "Sec-Fetch-Site", Got: r.Header.Get("Sec-Fetch-Site"), Reason: "says that the request comes from a page of another origin, but there is no Origin", Hint: "browsers send both headers; other programs should send neither"}
			}
			s.fail(w, r, newProblem(foreignOrigin, from, f))
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}
