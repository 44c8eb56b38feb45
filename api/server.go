package api

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"

	"nearby/catalog"
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
	// Observer, when not nil, returns the observer of a route. It is called once for
	// each; "" stands for requests to none.
	Observer func(method, route string) Observer
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
	unrouted Observer
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
	s.unrouted = s.observer("", "")
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
