package api

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"nearby/item"
)

// Hosts are those that a request may be for. A page can have its own name resolve to this
// machine, and is then of the same origin as the server for the browser; but its requests
// still say whom they are for. nil: any.
type Hosts struct{ names map[string]bool }

// NewHosts returns the hosts of a server: those of loopback, of the public URL, if that
// is not empty, and the allowed. They are nil, if one of those allowed is *, or if
// none is and the server is reached from beyond loopback, by names that it cannot know.
func NewHosts(loopback bool, publicURL string, allowed []string) (*Hosts, error) {
	h := &Hosts{map[string]bool{}}
	every := len(allowed) == 0 && !loopback
	for _, name := range allowed {
		if name == "*" {
			every = true
			continue
		}
		u, err := url.Parse("http://" + bracketed(name))
		if err != nil || u.Hostname() == "" || u.Host != bracketed(name) || u.Port() != "" || strings.HasSuffix(name, ":") || strings.Contains(name, "*") {
			return nil, fmt.Errorf("allowed host %q: must be * or the name or address of a host, such as geo.example.org, without a port", name)
		}
		h.names[hostName(u.Host)] = true
	}
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		h.names[hostName(u.Host)] = true
	}
	if every {
		return nil, nil
	}
	return h, nil
}

// Allow reports whether a request is for one of the hosts. One without a host is of a
// program of HTTP/1.0, and not of a browser.
func (h *Hosts) Allow(r *http.Request) bool {
	if h == nil || r.Host == "" {
		return true
	}
	name := hostName(r.Host)
	if h.names[name] || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Unmap().IsLoopback()
}

// bracketed is an address as a URL has it.
func bracketed(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
		return "[" + host + "]"
	}
	return host
}

// hostName is a Host without its port, as it is compared.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String()
	}
	return host
}

// refuseHosts refuses what is for another host, by whatever method.
func (s *Server) refuseHosts(next http.Handler) http.Handler {
	if s.opt.Hosts == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.opt.Hosts.Allow(r) {
			s.fail(w, r, newProblem(foreignHost, fmt.Sprintf("the request is for the host %q", item.Shorten(r.Host)),
				fault{Parameter: "Host", Got: item.Shorten(r.Host), Reason: "is not a host of this server", Hint: "start the server with --allowed-host and this name"}))
			return
		}
		next.ServeHTTP(w, r)
	})
}
