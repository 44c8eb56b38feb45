package api

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"nearby/item"
)

// Hosts are the hosts that a request may be for. A web page can make its own name resolve to this
// machine. The browser then takes the page and the server for one origin, but the Host of its
// requests is still the page's name. A nil Hosts allows every host.
type Hosts struct{ names map[string]bool }

// NewHosts returns the hosts of a server: loopback, the host of the public URL if there is one,
// and the allowed ones. It returns nil if one of the allowed is *, or if allowed is nil and the
// server listens on more than loopback: then it cannot know its own names.
func NewHosts(loopback bool, publicURL string, allowed []string) (*Hosts, error) {
	h := &Hosts{map[string]bool{}}
	every := len(allowed) == 0 && !loopback
	if allowed != nil && len(allowed) == 0 {
		allowed = []string{""} // the option was given, but is empty
	}
	for _, name := range allowed {
		if name == "*" {
			every = true
			continue
		}
		if fault := hostFault(name); fault != "" {
			return nil, fmt.Errorf("allowed host %q: must be * or the name or address of a host, such as geo.example.org, without a scheme, a port and a path; %s", name, fault)
		}
		h.names[hostName(name)] = true
	}
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		h.names[hostName(u.Host)] = true
	}
	if every {
		return nil, nil
	}
	return h, nil
}

// Refuse returns the status of the refusal of a request: 400 if its Host is not valid, 421 if it
// is not one of h, and 0 if the request is allowed. A request without a host is allowed: it comes
// from a program that speaks HTTP/1.0, not from a browser.
func (h *Hosts) Refuse(r *http.Request) (status int) {
	switch {
	case r.Host == "":
	case !validAuthority(r.Host):
		return http.StatusBadRequest
	case h == nil:
	default:
		if name := hostName(r.Host); !h.names[name] && !isLoopback(name) {
			return http.StatusMisdirectedRequest
		}
	}
	return 0
}

// isLoopback reports whether a name or an address is that of loopback.
func isLoopback(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Unmap().IsLoopback()
}

// hostName returns a Host in the form in which hosts are compared: without its port, in lower
// case.
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

// hostFault says why a text is not the name or the address of a host in the form that browsers
// send; "": it is one.
func hostFault(text string) string {
	bare := text
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		bare = text[1 : len(text)-1]
	}
	if addr, err := netip.ParseAddr(bare); err == nil && addr.Zone() == "" && (bare == text || addr.Is6()) {
		return ""
	}
	if text == "" {
		return "it is empty"
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) {
		return "it has letters that are not ASCII; write the name as browsers send it, with xn--, such as xn--bcher-kva.example"
	}
	name := strings.TrimSuffix(text, ".")
	if len(name) > 253 {
		return "it has more than 253 letters"
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return "there is nothing before one of its dots"
		case len(label) > 63:
			return fmt.Sprintf("its part %s has more than 63 letters", item.Shorten(label))
		case strings.ContainsFunc(label, func(r rune) bool { return notAlphanumeric(r) && r != '-' && r != '_' }):
			return fmt.Sprintf("its part %q has other characters than letters, digits, - and _", item.Shorten(label))
		}
		last = label
	}
	if strings.Trim(last, "0123456789") == "" {
		return "it is not an address, and a name must not end in a number"
	}
	return ""
}

// validAuthority reports whether text is a valid Host (RFC 9112 §3.2, RFC 3986 §3.2.2): a name or
// an address, and perhaps a port. An IPv6 address is in brackets.
func validAuthority(text string) bool {
	end := 0
	if strings.HasPrefix(text, "[") {
		if end = strings.IndexByte(text, ']') + 1; end == 0 {
			return false
		}
		if addr, err := netip.ParseAddr(text[1 : end-1]); err != nil || !addr.Is6() || addr.Zone() != "" {
			return false
		}
	} else {
		for ; end < len(text) && text[end] != ':'; end++ {
			c := text[end]
			if c == '%' && len(text) > end+2 {
				if _, err := strconv.ParseUint(text[end+1:end+3], 16, 8); err == nil {
					continue
				}
			}
			if notAlphanumeric(rune(c)) && strings.IndexByte("-._~!$&'()*+,;=", c) < 0 {
				return false
			}
		}
		if end == 0 {
			return false
		}
	}
	if end == len(text) {
		return true
	}
	port := text[end+1:]
	_, err := strconv.ParseUint(port, 10, 16)
	return text[end] == ':' && (port == "" || err == nil)
}

// checkPublicURL returns an error if links cannot begin with this URL.
func checkPublicURL(text string) error {
	u, err := url.Parse(text)
	fault := ""
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("public URL %q: must be an http or https URL", text)
	case u.User != nil || strings.ContainsAny(text, "?#"):
		fault = "it has a user, a query or a fragment"
	case hostFault(u.Hostname()) != "":
		fault = hostFault(u.Hostname())
	case !validAuthority(u.Host):
		fault = "its host or its port is not valid"
	}
	if fault != "" {
		return fmt.Errorf("public URL %q: must be an http or https URL that links can begin with, such as https://geo.example.org/places; %s", text, fault)
	}
	return nil
}

// refuseHosts refuses a request, of any method, whose Host is not valid or is not one of the
// server's.
func (s *Server) refuseHosts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch s.hostsOf(r).Refuse(r) {
		case http.StatusBadRequest:
			s.fail(w, r, badParameter("Host", r.Host, "must be the name or the address of a host, and perhaps a port of at most 65535; an IPv6 address must be in brackets", ""))
			return
		case http.StatusMisdirectedRequest:
			s.fail(w, r, newProblem(foreignHost, fmt.Sprintf("the request is for the host %q", item.Shorten(r.Host)),
				fault{Parameter: "Host", Got: item.Shorten(r.Host), Reason: "is not a host of this server", Hint: "start the server with --allowed-host and this name"}))
			return
		}
		next.ServeHTTP(w, r)
	})
}
