package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"nearby/catalog"
	"nearby/item"
)

// Options of a server.
type Options struct {
	Catalog *catalog.Catalog
	Log     *slog.Logger // default: discards
	// LogRequest, when not nil, takes the lines about requests in place of Log. It
	// must not keep what it is given.
	LogRequest func(*Answered)
	// Stall is how long a client may neither send of its request nor take of its
	// answer; 0: for ever. The http.Server needs no WriteTimeout then.
	Stall time.Duration
	// PartRows bounds the rows of a load that are written at once; 0: as many as
	// are good for this process alone.
	PartRows int
	// PublicURL begins the links in answers, e.g. https://example.org/places;
	// empty: the scheme and host of the request.
	PublicURL string
	// TrustProxy are addresses, and blocks of them, of proxies that are believed what
	// they tell of a request by Forwarded or X-Forwarded-Proto, -Host and -Prefix.
	TrustProxy []string
	Limits     Limits
	// Hosts are those that requests may be for; nil: any.
	Hosts *Hosts
	// CORSOrigins are the origins whose pages may use the interface from a
	// browser, or "*"; empty: none.
	CORSOrigins []string
	// Measure, when not nil, gives each route what is told of every request to it. It
	// is called once for a route; "" stands for requests to none.
	Measure func(method, route string) Meter
	// Metrics, when not nil, answers /metrics.
	Metrics http.Handler
	// Backup, when not nil, writes all that the store has. BackupFrom says who may have
	// it; empty: BackupLocal.
	Backup     func(context.Context, io.Writer) error
	BackupFrom string
	// Complete, when not nil, makes /readyz answer 503 until it is closed.
	Complete <-chan struct{}
	// Draining, when not nil, makes /readyz answer 503 once it is closed.
	Draining <-chan struct{}
}

// Meter is told of an answer. It may be called concurrently.
type Meter func(status int, took time.Duration)

// Server answers requests. It is an http.Handler.
type Server struct {
	opt      Options
	settings digest // of what answers depend on
	proxies  proxies
	router   *chi.Mux
	underWay atomic.Int64 // requests
	buffers  sync.Pool
	dates    dates
	tokens   tokens
	unrouted Meter
	document document
	loads    atomic.Int32 // under way

	backingUp atomic.Bool
	bodies    bodies
	http.Handler
}

// New makes a server.
func New(opt Options) (*Server, error) {
	opt.Limits = opt.Limits.WithDefaults()
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.PublicURL != "" {
		if err := checkPublicURL(opt.PublicURL); err != nil {
			return nil, err
		}
		opt.PublicURL = strings.TrimSuffix(opt.PublicURL, "/")
	}
	s := &Server{opt: opt, settings: digest(0).of(fmt.Sprintf("%+v", opt.Limits)).of(opt.PublicURL)}
	var err error
	if s.proxies, err = newProxies(opt.TrustProxy); err != nil {
		return nil, err
	}
	s.buffers.New = func() any { return new(buffer) }
	if s.document, err = newDocument(opt.PublicURL); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	s.unrouted = s.meter("", "")
	s.router = s.routes()
	packed, err := s.compress(s.admit(s.options(s.router)))
	if err != nil {
		return nil, err
	}
	cross, err := crossOrigin(opt.CORSOrigins)
	if err != nil {
		return nil, err
	}
	guarded, err := s.refuseForeign(packed)
	if err != nil {
		return nil, err
	}
	s.Handler = s.observe(s.refuseHosts(s.refuseRepeated(s.believe(cross(guarded)))))
	return s, nil
}

// routes is every operation of openapi.yaml.
func (s *Server) routes() *chi.Mux {
	r := chi.NewRouter()
	r.Use(middleware.GetHead)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, s.nothingAt(r))
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", s.allowed(r))
		s.fail(w, r, newProblem(methodNotAllowed, r.Method+" is not possible here"))
	})
	on := func(method, route string, f handler) {
		r.Method(method, route, s.handle(s.meter(method, route), f))
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
	// Flat, not mounted: chi takes a mount for a route of every method.
	const one = "/v1/collections/{collectionId}"
	on(http.MethodGet, one, s.getCollection)
	on(http.MethodPut, one, s.putCollection)
	on(http.MethodPatch, one, s.patchCollection)
	on(http.MethodDelete, one, s.deleteCollection)
	on(http.MethodGet, one+"/schema", s.getSchema)
	on(http.MethodGet, one+"/items", s.listItems)
	on(http.MethodPost, one+"/items", s.postItems)
	on(http.MethodGet, one+"/items/{itemId}", s.getItem)
	on(http.MethodPut, one+"/items/{itemId}", s.putItem)
	on(http.MethodPatch, one+"/items/{itemId}", s.patchItem)
	on(http.MethodDelete, one+"/items/{itemId}", s.deleteItem)
	on(http.MethodGet, one+"/nearby", s.getNearby)
	on(http.MethodPost, one+"/nearby", s.postNearby)
	return r
}

// nothingAt is the answer to a request for a path that the interface has not. It names the
// one that it has, if that only ends in another way.
func (s *Server) nothingAt(r *http.Request) error {
	path := r.URL.Path
	words := "there is nothing at " + item.Shorten(path)
	switch trimmed := strings.TrimRight(path, "/"); {
	case trimmed == "":
		words += "; the interface begins at /v1/"
	case trimmed != path && s.router.Match(chi.NewRouteContext(), r.Method, trimmed):
		words += "; there is at " + item.Shorten(trimmed) + ", without the slash at the end"
	}
	return newProblem(pathNotFound, words)
}

// handler answers a request, or returns the error that is to be answered.
type handler func(http.ResponseWriter, *http.Request) error

// meter returns what is told of the requests to a route, or nil.
func (s *Server) meter(method, route string) Meter {
	if s.opt.Measure == nil {
		return nil
	}
	return s.opt.Measure(method, route)
}

// Busy is what a server has under way.
type Busy struct {
	Requests int // health and metrics excepted
	Loads    int // of those, bulk loads
}

// Busy tells what is under way.
func (s *Server) Busy() Busy { return Busy{int(s.underWay.Load()), int(s.loads.Load())} }

// handle makes an http.Handler of a handler.
func (s *Server) handle(meter Meter, f handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if e, ok := r.Context().Value(exchangeKey).(*exchange); ok {
			e.meter = meter
		}
		if err := f(w, r); err != nil {
			s.fail(w, r, err)
		}
	}
}

var closing = []string{"close"}

// observe gives each request an id, logs one line about it, and turns a panic
// into a 500 that tells the caller nothing of it.
func (s *Server) observe(next http.Handler) http.Handler {
	nosniff, check := []string{"nosniff"}, []string{"no-cache"} // of many answers; full, so that an append copies them
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, r := s.exchange(w, r)
		h := w.Header()
		h["X-Request-Id"] = e.id[:]
		h["X-Content-Type-Options"] = nosniff
		h["Cache-Control"] = check  // or a browser shows for a while what it has (RFC 9111 §4.2.2)
		if e.framing.endsTwice(r) { // what follows may not be a request
			h["Connection"] = closing
		}
		if r.Body != nil && r.Body != http.NoBody {
			body := s.newMovingBody(w, r.Body)
			defer s.bodies.remove(body)
			// In a copy: net/http looks at the body that it made to tell whether the client
			// waits for the answer before it sends one.
			r = r.WithContext(r.Context())
			r.Body = body
			if len(r.TransferEncoding) > 0 {
				e.chunks = body
			}
		}
		defer func() {
			cause := recover()
			if err, ok := cause.(error); cause != nil && (!ok || !errors.Is(err, http.ErrAbortHandler)) {
				s.opt.Log.ErrorContext(e, "panic", "id", e.id[0], "route", e.routing.RoutePattern(), "cause", fmt.Sprint(cause))
				if e.status == 0 {
					s.fail(e, r, newProblem(internalError, ""))
					cause = nil
				}
			}
			if cause != nil {
				e.cut = cmp.Or(e.cut, CutFailed)
			}
			s.logRequest(e, item.Shorten(r.Method))
			if cause != nil {
				panic(http.ErrAbortHandler) // the answer is half written: cut it
			}
		}()
		next.ServeHTTP(e, r)
	})
}

// Answered is what the log says about a request.
type Answered struct {
	ID, Method, Route string
	Status, Bytes     int
	Cut               Cut
	At                time.Time
	Took              time.Duration
}

// logRequest writes the line about a request. It makes the record itself, since
// slog would look for the line of code that it comes from.
func (s *Server) logRequest(e *exchange, method string) {
	took := e.finish()
	if e.meter != nil {
		e.meter(e.status, took)
	}
	if s.opt.LogRequest != nil {
		s.opt.LogRequest(&Answered{
			ID: e.id[0], Method: method, Route: e.routing.RoutePattern(),
			Status: e.status, Bytes: e.bytes, Cut: e.cut, At: e.written, Took: took,
		})
		return
	}
	level := slog.LevelInfo
	if e.status >= 500 {
		level = slog.LevelWarn
	}
	handler := s.opt.Log.Handler()
	if !handler.Enabled(e, level) {
		return
	}
	record := slog.NewRecord(e.written, level, "request", 0)
	record.AddAttrs(
		slog.String("id", e.id[0]), slog.String("method", method), slog.String("route", e.routing.RoutePattern()),
		slog.Int("status", e.status), slog.Int("bytes", e.bytes), slog.Int64("microseconds", took.Microseconds()))
	if e.cut != "" {
		record.AddAttrs(slog.String("cut", string(e.cut)))
	}
	_ = handler.Handle(e, record) // as slog does: there is nobody to tell
}

// admit refuses what is more than can be served at once, and bounds the time of
// a request. Health is exempt; loads, backups and comparisons keep their own time, and reads
// are bounded by what they may compare.
func (s *Server) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1") {
			next.ServeHTTP(w, r)
			return
		}
		defer s.underWay.Add(-1)
		if s.underWay.Add(1) > int64(s.opt.Limits.MaxConcurrent) {
			s.fail(w, r, newProblem(overloaded, ""))
			return
		}
		long := r.Method == http.MethodPost && (strings.HasSuffix(r.URL.Path, "/items") || r.URL.Path == "/v1/verify" || r.URL.Path == "/v1/backup")
		if !reads(r) && !long {
			ctx, cancel := context.WithTimeout(r.Context(), s.opt.Limits.Timeout)
			defer cancel()
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}

var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// allowed lists the methods that a path has, for the Allow header.
func (s *Server) allowed(r *http.Request) string {
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	var found []string
	for _, m := range methods {
		if s.router.Match(chi.NewRouteContext(), m, path) {
			found = append(found, m)
			if m == http.MethodGet {
				found = append(found, http.MethodHead)
			}
		}
	}
	if found != nil {
		found = append(found, http.MethodOptions)
	}
	return strings.Join(found, ", ")
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
				w.WriteHeader(http.StatusOK)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
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
