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
		if fault := originFault(o); o != "*" && fault != "" {
			return nil, fmt.Errorf("CORS origin %q: must be * or an origin as browsers send it, such as https://maps.example.org; %s", o, fault)
		}
	}
	return cors.Handler(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: append([]string{http.MethodHead}, methods...),
		AllowedHeaders: []string{"Accept", "Content-Type", "Content-Encoding", "Content-Crs", headerMatch, headerNoneMatch, headerUnmodified, headerModified, headerKey, headerAfter, headerWait},
		ExposedHeaders: []string{"Accept", "Accept-Encoding", headerPatch, "Allow", "ETag", "Last-Modified", "Location", "Retry-After", "X-Request-Id", headerToken, headerStaleness, headerDurability, headerNote, headerReplayed},
		MaxAge:         600, // seconds that a browser remembers a preflight
	}), nil
}

// originFault says why a text is not an origin as browsers send it (RFC 6454, section 6.2);
// "": it is.
func originFault(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || text != u.Scheme+"://"+u.Host:
		return "it has more, or less, than http or https, a host, and its port"
	case text != strings.ToLower(text):
		return "it has capital letters"
	case u.Port() == "443" && u.Scheme == "https" || u.Port() == "80" && u.Scheme == "http" || strings.HasSuffix(text, ":"):
		return "the port of its scheme is left out"
	}
	if fault := hostFault(u.Hostname()); fault != "" || validAuthority(u.Host) {
		return fault
	}
	return "its host, or its port, is none"
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
			origin := r.Header.Get("Origin")
			from := fmt.Sprintf("the request comes from a page of %q", item.Shorten(origin))
			f := fault{Parameter: "Origin", Got: origin, Reason: "is not an origin that may use the interface", Hint: "start the server with --cors-origin and this origin"}
			if origin == "" {
				from = "the request comes from a page of another origin, and does not say of which"
				f = fault{Parameter: "Sec-Fetch-Site", Got: r.Header.Get("Sec-Fetch-Site"), Reason: "is of a page of another origin, and there is no Origin", Hint: "browsers send Origin, too; a program sends neither"}
			}
			s.fail(w, r, newProblem(foreignOrigin, from, f))
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}
