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
	"golang.org/x/sync/semaphore"

	"nearby/catalog"
	"nearby/collection"
)

// Options of a server.
type Options struct {
	Catalog *catalog.Catalog
	Log     *slog.Logger // default: discards
	// LogRequest, when not nil, gets the line about each request; Log then gets none. It must
	// not keep its argument.
	LogRequest func(*Answered)
	// SlowQuery is the time from which a search gets a line of its own in Log, with its
	// question; 0: no search gets one.
	SlowQuery time.Duration
	// Stall is how long a client may neither send a part of its request nor read a part of its
	// answer before the server closes the connection; 0: no limit. With Stall the http.Server
	// needs no WriteTimeout.
	Stall time.Duration
	// PartRows is the greatest number of rows of a load that are written at once; 0: 8,000, and
	// in a long load up to 32,000.
	PartRows int
	// PublicURL is the beginning of the links in answers, e.g. https://example.org/places;
	// empty: the scheme and host of the request.
	PublicURL string
	// TrustProxy are addresses of proxies, and blocks of addresses. The server believes these
	// proxies the headers Forwarded, or X-Forwarded-Proto, -Host and -Prefix.
	TrustProxy []string
	Limits     Limits
	// Hosts are the hosts that requests may be for; nil: any.
	Hosts *Hosts
	// CORSOrigins are the origins whose pages may use the API from a browser, or "*"; empty:
	// none.
	CORSOrigins []string
	// Observer, when not nil, returns the observer of a route. New calls it once for each route,
	// and once with "" for requests that match no route.
	Observer func(method, route string) Observer
	// Metrics, when not nil, answers /metrics.
	Metrics http.Handler
	// Admin says that there is an address with Server.Admin. The metrics and the operations of the
	// operator are then only there.
	Admin bool
	// Watch, when not nil, may return a snapshot whose answers are watched, in place of the one that a
	// request is answered from.
	Watch func(*http.Request, *collection.Snapshot) *collection.Snapshot
	// Backup, when not nil, writes a backup of the store.
	Backup func(context.Context, io.Writer) error
	// NeedKey makes every request need an API key, also while the store has none.
	NeedKey bool
	// RateRequests and RateWork limit what one address may ask for.
	RateRequests, RateWork Rate
	// Complete, when not nil, makes /readyz answer 503 until it is closed.
	Complete <-chan struct{}
	// Draining, when not nil, makes /readyz answer 503 once it is closed.
	Draining <-chan struct{}
}

// Server answers requests. It is an http.Handler.
type Server struct {
	opt          Options
	settings     digest // of the limits and the public URL, on which answers depend
	proxies      proxies
	router       *chi.Mux
	slots        slots
	unread       *semaphore.Weighted // takes the bytes of large answers that are sent whole
	rates        *rates              // nil: there are no limits
	buffers      sync.Pool
	dates        dates
	tokens       tokens
	unrouted     Observer
	document     document
	loads        atomic.Int32 // how many loads are under way
	rules        map[string]rule
	refusals     [8]atomic.Uint64 // requests, by the places of access.Refusals
	slowSearches *slowLog         // nil: slow searches get no lines

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
	s := &Server{opt: opt, rules: map[string]rule{}, settings: digest(0).of(fmt.Sprintf("%+v", opt.Limits)).of(opt.PublicURL)}
	var err error
	if s.proxies, err = newProxies(opt.TrustProxy); err != nil {
		return nil, err
	}
	s.slowSearches = newSlowLog(opt.Log, opt.SlowQuery)
	s.slots = newSlots(opt.Limits.MaxConcurrent)
	s.unread = semaphore.NewWeighted(opt.Limits.MaxUnreadBytes)
	if s.rates, err = newRates(opt.RateRequests, opt.RateWork); err != nil {
		return nil, err
	}
	s.slots.timed = opt.RateWork.Quota > 0
	s.buffers.New = func() any { return new(buffer) }
	if s.document, err = newDocument(opt.PublicURL); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	s.unrouted = s.observer("", "")
	s.router = s.routes()
	packed, err := s.compress(s.limitRate(s.admit(s.keepForOperator(s.options(s.router)))))
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
