package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/cors"
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
		AllowedHeaders: []string{"Accept", "Content-Type", "Content-Encoding", headerMatch, headerNoneMatch, headerKey, headerAfter, headerWait},
		ExposedHeaders: []string{"ETag", "Location", "Retry-After", "X-Request-Id", headerToken, headerStaleness, headerDurability, headerReplayed},
		MaxAge:         600, // seconds that a browser remembers a preflight
	}), nil
}
