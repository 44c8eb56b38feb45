package api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"nearby/item"
)

// routes returns a router with every operation of openapi.yaml.
func (s *Server) routes() *chi.Mux {
	r := chi.NewRouter()
	r.Use(middleware.GetHead)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, s.nothingAt(r))
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", s.allowed(r))
		s.fail(w, r, newProblem(methodNotAllowed, "this path does not take "+r.Method))
	})
	on := func(method, route string, demands rule, f handler) {
		s.rules[method+" "+route] = demands
		r.Method(method, route, s.handle(s.observer(method, route), demands, f))
	}
	on(http.MethodGet, "/healthz", open, s.getHealth)
	on(http.MethodGet, "/readyz", open, s.getReady)
	on(http.MethodGet, "/metrics", admin, s.getMetrics)
	on(http.MethodGet, "/v1/", open, s.getLanding)
	on(http.MethodGet, "/v1/conformance", open, s.getConformance)
	on(http.MethodGet, "/v1/api", public, s.getAPI)
	on(http.MethodGet, "/v1/api.html", open, s.getPage)
	on(http.MethodGet, "/v1/errors", open, s.listErrors)
	on(http.MethodGet, "/v1/errors/{name}", open, s.getError)
	on(http.MethodPost, "/v1/verify", admin, s.postVerify)
	on(http.MethodPost, "/v1/backup", localAdmin, s.postBackup)
	const keys, oneKey = "/v1/keys", "/v1/keys/{keyId}"
	on(http.MethodGet, keys, localAdmin, s.listKeys)
	on(http.MethodPost, keys, localAdmin, s.postKey)
	on(http.MethodGet, oneKey, localAdmin, s.getKey)
	on(http.MethodDelete, oneKey, localAdmin, s.deleteKey)
	on(http.MethodPost, oneKey+"/rotate", localAdmin, s.rotateKey)
	on(http.MethodGet, "/v1/collections", anyKey, s.listCollections)
	// Not a subrouter: chi would answer every method at the path where it is mounted.
	const one = "/v1/collections/{collectionId}"
	on(http.MethodGet, one, readOf, s.getCollection)
	on(http.MethodPut, one, adminOf, s.putCollection)
	on(http.MethodPatch, one, adminOf, s.patchCollection)
	on(http.MethodDelete, one, adminOf, s.deleteCollection)
	on(http.MethodGet, one+"/schema", readOf, s.getSchema)
	on(http.MethodGet, one+"/queryables", readOf, s.getQueryables)
	on(http.MethodGet, one+"/sortables", readOf, s.getSortables)
	on(http.MethodGet, one+"/items", readOf, s.listItems)
	on(http.MethodPost, one+"/items", writeOf, s.postItems)
	on(http.MethodPost, one+"/items/search", readOf, s.searchItems)
	on(http.MethodGet, one+"/items/{itemId}", readOf, s.getItem)
	on(http.MethodPut, one+"/items/{itemId}", writeOf, s.putItem)
	on(http.MethodPatch, one+"/items/{itemId}", writeOf, s.patchItem)
	on(http.MethodDelete, one+"/items/{itemId}", writeOf, s.deleteItem)
	on(http.MethodGet, one+"/nearby", readOf, s.getNearby)
	on(http.MethodPost, one+"/nearby", readOf, s.postNearby)
	return r
}

// handler answers a request, or returns an error, which handle turns into a problem.
type handler func(http.ResponseWriter, *http.Request) error

// handle makes an http.Handler of a handler. It answers requests that the rule allows.
func (s *Server) handle(o Observer, demands rule, f handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		e := r.Context().Value(exchangeKey).(*exchange) // observe has put it there
		e.observer = o
		err := s.authorize(w, r, e, demands)
		if err == nil {
			err = f(w, r)
		}
		if err != nil && e.status != 0 {
			s.opt.Log.ErrorContext(e, "the answer could not be ended", "id", e.id[0], "error", err)
			panic(http.ErrAbortHandler) // a part was sent: close the connection
		}
		if err != nil {
			s.fail(w, r, err)
		}
	}
}

// pathParam returns a part of the path, decoded.
func pathParam(r *http.Request, name string) (string, error) {
	v := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return v, nil
	}
	v, err := url.PathUnescape(v)
	if err != nil {
		return "", badParameter(name, v, "is not a valid part of a URL", "")
	}
	return v, nil
}

// nothingAt returns the problem of a path that does not exist. If the path without its last slash
// exists, the detail names that.
func (s *Server) nothingAt(r *http.Request) error {
	path := r.URL.Path
	words := "there is nothing at " + item.Shorten(path)
	switch trimmed := strings.TrimRight(path, "/"); {
	case trimmed == "":
		words += "; the API begins at /v1/"
	case trimmed != path && s.router.Match(chi.NewRouteContext(), r.Method, trimmed):
		words += "; use " + item.Shorten(trimmed) + ", without the slash at the end"
	}
	return newProblem(pathNotFound, words)
}

var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// allowed lists the methods that a path has, for the Allow header.
func (s *Server) allowed(r *http.Request) string {
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	var allow []string
	for _, m := range methods {
		if s.router.Match(chi.NewRouteContext(), m, path) {
			allow = append(allow, m)
			if m == http.MethodGet {
				allow = append(allow, http.MethodHead)
			}
		}
	}
	if allow != nil {
		allow = append(allow, http.MethodOptions)
	}
	return strings.Join(allow, ", ")
}

// options answers OPTIONS for every path that has any method.
func (s *Server) options(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1" { // the landing page, as some clients spell it
			r.URL.Path = "/v1/"
		}
		if r.Method == http.MethodOptions {
			if allow := s.allowed(r); allow != "" {
				w.Header().Set("Allow", allow)
				if strings.Contains(allow, http.MethodPatch) {
					w.Header().Set(headerPatch, strings.Join(patchTypes, ", "))
				}
				w.WriteHeader(http.StatusOK)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
