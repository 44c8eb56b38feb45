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
	on := func(method, route string, f handler) {
		r.Method(method, route, s.handle(s.observer(method, route), f))
	}
	on(http.MethodGet, "/healthz", s.getHealth)
	on(http.MethodGet, "/readyz", s.getReady)
	on(http.MethodGet, "/metrics", s.getMetrics)
	on(http.MethodGet, "/v1/", s.getLanding)
	on(http.MethodGet, "/v1/conformance", s.getConformance)
	on(http.MethodGet, "/v1/api", s.getAPI)
	on(http.MethodGet, "/v1/api.html", s.getPage)
	on(http.MethodGet, "/v1/errors", s.listErrors)
	on(http.MethodGet, "/v1/errors/{name}", s.getError)
	on(http.MethodPost, "/v1/verify", s.postVerify)
	on(http.MethodPost, "/v1/backup", s.postBackup)
	on(http.MethodGet, "/v1/collections", s.listCollections)
	// Not a subrouter: chi would answer every method at the path where it is mounted.
	const one = "/v1/collections/{collectionId}"
	on(http.MethodGet, one, s.getCollection)
	on(http.MethodPut, one, s.putCollection)
	on(http.MethodPatch, one, s.patchCollection)
	on(http.MethodDelete, one, s.deleteCollection)
	on(http.MethodGet, one+"/schema", s.getSchema)
	on(http.MethodGet, one+"/queryables", s.getQueryables)
	on(http.MethodGet, one+"/sortables", s.getSortables)
	on(http.MethodGet, one+"/items", s.listItems)
	on(http.MethodPost, one+"/items", s.postItems)
	on(http.MethodPost, one+"/items/search", s.searchItems)
	on(http.MethodGet, one+"/items/{itemId}", s.getItem)
	on(http.MethodPut, one+"/items/{itemId}", s.putItem)
	on(http.MethodPatch, one+"/items/{itemId}", s.patchItem)
	on(http.MethodDelete, one+"/items/{itemId}", s.deleteItem)
	on(http.MethodGet, one+"/nearby", s.getNearby)
	on(http.MethodPost, one+"/nearby", s.postNearby)
	return r
}

// handler answers a request, or returns an error, which handle turns into a problem.
type handler func(http.ResponseWriter, *http.Request) error

// handle makes an http.Handler of a handler.
func (s *Server) handle(o Observer, f handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if e, ok := r.Context().Value(exchangeKey).(*exchange); ok {
			e.observer = o
		}
		err := f(w, r)
		if e, ok := r.Context().Value(exchangeKey).(*exchange); err != nil && ok && e.status != 0 {
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
