package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"nearby/api"
	"nearby/catalog"
	"nearby/collection"
	"nearby/internal/command"
	"nearby/metrics"
	"nearby/shadow"
	"nearby/store"
	"nearby/store/embedded"
)

type serveCmd struct {
	Addr           string           `default:"127.0.0.1:8080" help:"Address to listen on. Only this machine can reach the default. Port 0 means any free port."`
	PublicURL      string           `name:"public-url" help:"URL that links in answers begin with, such as the URL of a proxy. Default: the URL of the request." placeholder:"URL"`
	AllowedHost    []string         `name:"allowed-host" help:"Host that the server answers for, such as geo.example.org, or * for any. The server always answers for loopback and the host of --public-url. It refuses requests for other hosts. May be repeated. Default: none if the server listens on loopback, else any." placeholder:"HOST"`
	TrustProxy     []string         `name:"trust-proxy" help:"Address of a proxy, or a block of addresses such as 10.0.0.0/8. From this proxy the server accepts the header Forwarded, or X-Forwarded-Proto, -Host and -Prefix, and begins links with what they say. May be repeated. Default: none." placeholder:"CIDR"`
	CORSOrigin     []string         `name:"cors-origin" help:"Origin whose web pages may send requests, such as https://maps.example.org, or * for all. May be repeated. Default: none." placeholder:"ORIGIN"`
	Beside         besides          `embed:""`
	InsecureNoKeys bool             `help:"Listen on more than loopback although the store has no API keys. Everybody who reaches the address can then read and delete everything."`
	TLS            certificateFiles `embed:""`
	Shadow         float64          `default:"0" help:"Share of the searches, from 0 to 1, whose answers the server compares with those of a scan of all items, beside the requests. Differences are logged and counted in /metrics. 0.001 checks one request in a thousand." placeholder:"SHARE"`
	Demo           bool             `help:"Create the collections city and wilderness if they are missing."`

	LogLevel  string        `default:"info" enum:"debug,info,warn,error" help:"Lowest level that is logged on stderr: ${enum}."`
	LogFormat string        `default:"json" enum:"json,text" help:"Format of the log: ${enum}."`
	SlowQuery time.Duration `default:"0s" help:"Log the question of each search that takes as long as this, at most 5 a second. 0 means none. A question may have the place of a person."`

	DrainDelay      time.Duration `default:"0s" help:"How long the server still answers after SIGTERM or SIGINT, while /readyz answers 503. A load balancer can then notice."`
	ShutdownTimeout time.Duration `default:"30s" help:"How long requests that have begun may take after --drain-delay."`

	Storage storage   `embed:"" group:"Store"`
	Limits  limits    `embed:"" group:"Limits"`
	Rate    rateFlags `embed:"" group:"Limits"`
}

// Help is shown below the flags.
func (serveCmd) Help() string {
	return `The server opens its address and then reads the store. Meanwhile /healthz answers 200, and /readyz
503. When the server is ready, it prints one line with its address to stdout. It logs to stderr, and
writes the line of a request within a second. SIGTERM and SIGINT stop the server. Before it ends, it
answers the requests that have begun and finishes the writes that it has accepted.

Once the store has an API key, requests need one ("nearby keys --help"). A server that other machines
can reach does not start without one.

Examples:

    nearby serve --demo
    nearby keys create --scope admin --data /var/lib/nearby >admin.key
    nearby serve --addr 0.0.0.0:8080 --data /var/lib/nearby --public-url https://geo.example.org
    nearby serve --store postgres://nearby_server@db.example.org/places --write-policy through
    nearby serve --addr 0.0.0.0:443 --tls-cert /etc/tls/tls.crt --tls-key /etc/tls/tls.key
    nearby serve --data /var/lib/nearby --shadow 0.001
    nearby serve --cors-origin https://maps.example.org --cors-origin http://localhost:5173
    NEARBY_MAX_K=5000 nearby serve --log-format text`
}

// Timeouts of connections that are no one's to configure.
const (
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10 // net/http adds 4 KiB, so that 20 are taken, the request line included
)

func (c *serveCmd) Run(env *command.Environ) (err error) {
	if err := errors.Join(c.Limits.check(), c.Storage.check()); err != nil {
		return err
	}
	requests, work, err := c.Rate.rates()
	if err != nil {
		return err
	}
	memory := newMemory(c.Limits.MaxMemory)
	out := newLogBuffer(env.Stderr)
	defer out.flush()
	log := c.logger(out)
	if !(c.Shadow >= 0 && c.Shadow <= 1) {
		return command.Usagef("--shadow %v: must be from 0 to 1", c.Shadow)
	}
	if c.Addr == "" { // which to package net is any port of any address
		return errors.New("cannot listen: --addr is empty, and must be an address with a port, such as 127.0.0.1:8080")
	}
	certificate, err := c.TLS.open(log)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	defer func() { _ = listener.Close() }()
	hosts, err := c.hosts(listener)
	if err != nil {
		return err
	}
	connections := api.NewConnections(listener, int(min(uint64(c.Limits.MaxConnections), max(1, embedded.Descriptors()/4))), certificate.config())
	var front front
	server := &http.Server{
		Handler:           &front,
		ConnContext:       api.ConnContext,
		ConnState:         connections.ConnState,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             api.HTTP2(c.Limits.LoadTimeout, c.Limits.MaxConcurrent),
		ErrorLog:          stdlog.New(serverErrors{log}, "", 0),
	}
	broken := make(chan error, 1)
	go func() { broken <- server.Serve(connections) }()
	defer func() { _ = server.Close() }()

	st, err := c.Storage.open(env.Ctx, log, front.waits)
	if err != nil {
		if env.Ctx.Err() != nil {
			return nil // a signal came first
		}
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	catalog := catalog.New(c.Storage.options(c.Limits.catalog(st, memory, log)))
	defer catalog.Close()

	var watch func(*http.Request, *collection.Snapshot) *collection.Snapshot
	var checks *shadow.Checker
	if c.Shadow > 0 {
		checks = shadow.New(c.Shadow, log)
		defer checks.Close()
		watch = func(r *http.Request, s *collection.Snapshot) *collection.Snapshot {
			if !checks.Samples() {
				return s
			}
			return checks.Watch(s, r.Method+" "+r.URL.RequestURI())
		}
	}

	watched := metrics.New(programVersion())
	watched.Catalog(catalog)
	shown := watched.Handler()
	filled, draining := make(chan struct{}), make(chan struct{})
	handler, err := api.New(api.Options{
		Catalog: catalog, Log: log, PublicURL: c.PublicURL, Hosts: hosts, TrustProxy: c.TrustProxy, CORSOrigins: c.CORSOrigin,
		Limits: c.Limits.api(memory), PartRows: c.Storage.partRows(), Stall: c.Limits.LoadTimeout, LogRequest: c.requestLog(log, out), SlowQuery: c.SlowQuery,
		Complete: filled, Draining: draining, Backup: backupOf(st), NeedKey: c.needKey(listener),
		Observer: func(method, route string) api.Observer { return watched.Route(method, cmp.Or(route, "none")) }, RateRequests: requests, RateWork: work,
		Watch: watch, Metrics: c.Beside.main(shown), Admin: c.Beside.AdminAddr != "",
	})
	if err != nil {
		return err
	}
	beside, err := c.Beside.listen(c.hosts, shown, handler, certificate.config(), c.Limits.LoadTimeout, log)
	if err != nil {
		return err
	}
	defer func() { _ = beside.close() }()
	measure(watched, handler, connections, memory, st)
	if certificate != nil {
		watched.Source(certificate.numbers)
		go certificate.watch(env.Ctx)
	}
	if checks != nil {
		watched.Source(func() []metrics.Number { return shadowNumbers(checks.Stats()) })
	}
	var serving http.Handler = handler
	front.server.Store(&serving)

	if err := c.fill(env.Ctx, st, listener, catalog, log); err != nil {
		if env.Ctx.Err() != nil {
			return nil // a signal came first
		}
		if errors.Is(err, collection.ErrMemory) {
			err = memory.tooLittle(err)
		}
		return err
	}
	close(filled)
	fmt.Fprintf(env.Stdout, "nearby ready on %s://%s/v1/\n", c.TLS.scheme(), dialable(listener.Addr().String()))
	select {
	case err := <-broken:
		return fmt.Errorf("serving: %w", err)
	case <-env.Ctx.Done():
	}

	log.Info("shutting down")
	close(draining)
	time.Sleep(c.DrainDelay)
	ctx, cancel := context.WithTimeout(context.Background(), c.ShutdownTimeout)
	defer cancel()
	handler.Stop()
	defer beside.shutdown(ctx)
	if err := server.Shutdown(ctx); err != nil {
		log.Warn("requests were cut off", "error", err)
		_ = server.Close() // or the store would wait for the end of a backup, however slow its client is
	}
	return nil
}

// needKey reports whether requests must have an API key, also while there is none: whether other
// machines can reach the server, unless the operator has said otherwise.
func (c *serveCmd) needKey(l net.Listener) bool {
	if c.InsecureNoKeys {
		return false
	}
	admin, err := net.ResolveTCPAddr("tcp", c.Beside.AdminAddr)
	return !onLoopback(l.Addr()) || c.Beside.AdminAddr != "" && (err != nil || !onLoopback(admin))
}

func onLoopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// errNoKeys says how to make the first API key.
func (c *serveCmd) errNoKeys() error {
	where := "--data " + c.Storage.Data
	if u, err := url.Parse(c.Storage.Store); err == nil && c.Storage.Store != "" {
		where = "--store " + u.Redacted()
	}
	return fmt.Errorf("other machines can reach this server, and its store has no API keys: make the first one by \"nearby keys create --scope admin %s\", or start the server with --insecure-no-keys, and everybody who reaches it can delete everything", where)
}

// checkKeys fails if requests must have an API key and there is none.
func (c *serveCmd) checkKeys(ctx context.Context, st store.Store, l net.Listener) error {
	if !c.needKey(l) {
		return nil
	}
	keys, err := catalog.StoredKeys(ctx, st)
	if err == nil && keys == nil {
		err = c.errNoKeys()
	}
	return err
}

// hosts are those that requests to a listener may be for.
func (c *serveCmd) hosts(l net.Listener) (*api.Hosts, error) {
	return api.NewHosts(onLoopback(l.Addr()), c.PublicURL, c.AllowedHost)
}

func (c *serveCmd) logger(out *logBuffer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // the flag's enum allows only names that it knows
	opt := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewJSONHandler(out, opt)
	if c.LogFormat == "text" {
		handler = slog.NewTextHandler(out, opt)
	}
	return slog.New(promptHandler{handler, out})
}

// requestLog returns what writes the lines about requests, nil if the logger does.
func (c *serveCmd) requestLog(log *slog.Logger, out *logBuffer) func(*api.Answered) {
	if c.LogFormat != "json" || !log.Enabled(context.Background(), slog.LevelInfo) {
		return nil
	}
	return out.request
}

// fill reads the store into the catalog, and makes the demo's collections.
func (c *serveCmd) fill(ctx context.Context, st store.Store, l net.Listener, catalog *catalog.Catalog, log *slog.Logger) error {
	p := &loading{log: log, begun: time.Now(), items: map[string]int{}}
	for {
		err := c.checkKeys(ctx, st, l)
		if err == nil {
			err = catalog.Load(ctx, p.progress)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return fmt.Errorf("reading the store: %w", err)
		}
		log.Warn("the database cannot be read yet", "error", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.finish()
	if c.Demo {
		return createDemo(ctx, catalog, log)
	}
	return nil
}
