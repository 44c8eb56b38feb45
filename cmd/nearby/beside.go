package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"nearby/api"
)

// besides are the addresses that a server may have beside --addr. --metrics-addr is often reached by
// a whole network that scrapes metrics. So it never has more than these, and is no other name of
// --admin-addr.
type besides struct {
	MetricsAddr string `name:"metrics-addr" help:"Address to serve /metrics on, and nothing else. Default: --admin-addr if that is given, else --addr." placeholder:"ADDR"`
	AdminAddr   string `name:"admin-addr" help:"Address for the operator, which nobody else should reach. It has everything that --addr has, and profiles (/debug/pprof/). If it is given, --addr no longer has /metrics, POST /v1/verify, POST /v1/backup and /v1/keys. Default: none." placeholder:"ADDR"`
}

// beside are the servers at these addresses.
type beside []*http.Server

// main is what answers /metrics at --addr, or at --admin-addr; nil: nothing does.
func (b *besides) main(metrics http.Handler) http.Handler {
	if b.MetricsAddr != "" && b.AdminAddr == "" {
		return nil
	}
	return metrics
}

// Bounds of these addresses.
const (
	maxBeside      = 64               // open connections
	metricsTimeout = 30 * time.Second // for the answer to a scrape
	profileTimeout = 10 * time.Minute // for a profile, which takes as many seconds as it is asked for
)

// listen begins to answer at these addresses. hosts are those of a listener. metrics answers
// /metrics, server everything else.
func (b *besides) listen(hosts func(net.Listener) (*api.Hosts, error), metrics http.Handler, server *api.Server, secure *tls.Config, stall time.Duration, log *slog.Logger) (all beside, err error) {
	for _, at := range []struct {
		flag, addr string
		handler    func(*api.Hosts) http.Handler
	}{
		{"--metrics-addr", b.MetricsAddr, func(h *api.Hosts) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("GET /metrics", within(metricsTimeout, h, metrics))
			return mux
		}},
		{"--admin-addr", b.AdminAddr, func(h *api.Hosts) http.Handler { return admin(h, server) }},
	} {
		if at.addr == "" {
			continue
		}
		listener, err := net.Listen("tcp", at.addr)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("cannot listen for %s: %w", at.flag, err), all.close())
		}
		known, err := hosts(listener)
		if err != nil {
			return nil, errors.Join(err, listener.Close(), all.close())
		}
		connections := api.NewConnections(listener, maxBeside, secure)
		one := &http.Server{
			Handler: at.handler(known), ConnContext: api.ConnContext, ConnState: connections.ConnState,
			ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
			HTTP2: api.HTTP2(stall, maxBeside), ErrorLog: stdlog.New(serverErrors{log}, "", 0),
		}
		all = append(all, one)
		go func() { _ = one.Serve(connections) }() // until it is closed
	}
	return all, nil
}

// shutdown lets the requests that have begun end, until ctx does.
func (b beside) shutdown(ctx context.Context) {
	for _, one := range b {
		_ = one.Shutdown(ctx) // close ends what is left
	}
}

// close ends all requests.
func (b beside) close() error {
	var all error
	for _, one := range b {
		all = errors.Join(all, one.Close())
	}
	return all
}

// admin is what the operator's address has.
func admin(hosts *api.Hosts, server *api.Server) http.Handler {
	mux := http.NewServeMux()
	for path, profile := range map[string]http.HandlerFunc{
		// Not /debug/pprof/cmdline: the flags may have the password of the database.
		"/debug/pprof/": pprof.Index, "/debug/pprof/profile": pprof.Profile, "/debug/pprof/symbol": pprof.Symbol, "/debug/pprof/trace": pprof.Trace,
	} {
		mux.Handle(path, within(profileTimeout, hosts, profile))
	}
	rest := server.Admin(hosts)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/debug/pprof/") {
			mux.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// within refuses requests for other hosts, and bounds the time of the answers to all others.
func within(most time.Duration, hosts *api.Hosts, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := hosts.Refuse(r); status != 0 {
			http.Error(w, "this host is not allowed: see --allowed-host", status)
			return
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(most)) // fails only on a writer that is no connection
		next.ServeHTTP(w, r)
	})
}
