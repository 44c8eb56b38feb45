package api

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
)

// Headers in which a proxy names the URL that a request was sent to, as http.Header has them.
const (
	headerForwarded       = "Forwarded" // RFC 7239
	headerForwardedFor    = "X-Forwarded-For"
	headerForwardedHost   = "X-Forwarded-Host"
	headerForwardedProto  = "X-Forwarded-Proto"
	headerForwardedPrefix = "X-Forwarded-Prefix"
)

var variesByProxy = strings.Join([]string{headerForwarded, headerForwardedHost, headerForwardedPrefix, headerForwardedProto}, ", ")

// proxies are the addresses of trusted proxies.
type proxies []netip.Prefix

// newProxies reads addresses and blocks of them.
func newProxies(texts []string) (proxies, error) {
	var all proxies
	for _, text := range texts {
		block, err := netip.ParsePrefix(text)
		if addr, single := netip.ParseAddr(text); err != nil && single == nil && addr.Zone() == "" {
			block, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("trusted proxy %q: must be an address or a block of addresses, such as 10.0.0.0/8", text)
		}
		all = append(all, block.Masked())
	}
	return all, nil
}

// trust reports whether an address, with or without a port, is that of a trusted proxy.
func (p proxies) trust(address string) bool {
	addr, ok := addrOf(address)
	if !ok {
		return false
	}
	for _, block := range p {
		if block.Contains(addr) {
			return true
		}
	}
	return false
}

// seen is the scheme, host and path prefix that a request was sent to, and the address that it came
// from, as its proxy tells. A part that the proxy does not tell is empty.
type seen struct {
	scheme, host, prefix string
	client               netip.Addr
}

// of reads the headers of a request's proxies. Each proxy adds its part to the end of the header
// that it got. A client can send anything in these headers. So the part that counts is the one
// that the outermost trusted proxy has added.
func (p proxies) of(r *http.Request) (s seen) {
	if !p.trust(r.RemoteAddr) {
		return s
	}
	if lines := r.Header[headerForwarded]; lines != nil {
		elements := elementsOf(lines)
		for i := len(elements) - 1; i >= 0; i-- {
			given := pairsOf(elements[i])
			s.scheme, s.host = cmp.Or(given["proto"], s.scheme), cmp.Or(given["host"], s.host)
			if from, ok := addrOf(given["for"]); ok { // it may also be a name that hides the address
				s.client = from
			}
			if !p.trust(given["for"]) {
				break
			}
		}
	} else {
		// If the last proxy got the request from a trusted proxy, the part before the last counts,
		// and so on.
		behind := 1
		hops := elementsOf(r.Header[headerForwardedFor])
		for behind <= len(hops) && p.trust(hops[len(hops)-behind]) {
			behind++
		}
		if len(hops) > 0 {
			s.client, _ = addrOf(hops[max(0, len(hops)-behind)])
		}
		s.scheme, s.host = added(r, headerForwardedProto, behind), added(r, headerForwardedHost, behind)
	}
	s.prefix = strings.TrimRight(added(r, headerForwardedPrefix, 1), "/")
	s.scheme = strings.ToLower(s.scheme)
	if s.scheme != "http" && s.scheme != "https" {
		s.scheme = ""
	}
	if !validAuthority(s.host) {
		s.host = ""
	}
	if !validPrefix.MatchString(s.prefix) {
		s.prefix = ""
	}
	return s
}

// validPrefix matches the path prefixes that links may get from a proxy.
var validPrefix = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

// added returns the element of a list that a proxy has added: the last one if behind is 1, the one
// before it if behind is 2, and so on. If a proxy replaced the whole list, the list is shorter;
// its first element then counts.
func added(r *http.Request, name string, behind int) string {
	list := elementsOf(r.Header[name])
	if len(list) == 0 {
		return ""
	}
	return list[max(0, len(list)-behind)]
}

// elementsOf returns the elements of a header that is a list. Quoted text may contain commas.
func elementsOf(lines []string) []string { return cutOutside(strings.Join(lines, ","), ',') }

// pairsOf returns the parameters of an element of Forwarded, without quotes.
func pairsOf(element string) map[string]string {
	pairs := map[string]string{}
	for _, pair := range cutOutside(element, ';') {
		name, value, _ := strings.Cut(pair, "=")
		if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
			value = strings.ReplaceAll(value[1:len(value)-1], `\`, "")
		}
		pairs[strings.ToLower(name)] = value
	}
	return pairs
}

// cutOutside cuts a text at each mark that is not in quotes, and leaves out empty parts.
func cutOutside(text string, mark byte) (parts []string) {
	quoted, begun := false, 0
	for i := 0; i <= len(text); i++ {
		switch {
		case i == len(text) || text[i] == mark && !quoted:
			if part := strings.TrimSpace(text[begun:i]); part != "" {
				parts = append(parts, part)
			}
			begun = i + 1
		case text[i] == '"':
			quoted = !quoted
		case text[i] == '\\' && quoted:
			i++
		}
	}
	return parts
}

// believe replaces the host of a request by the one that its trusted proxy tells, and keeps the
// scheme and the path prefix for the links in the answer.
func (s *Server) believe(next http.Handler) http.Handler {
	if len(s.proxies) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", variesByProxy)
		at := s.proxies.of(r)
		if at.host != "" {
			r.Host = at.host
		}
		if e, ok := r.Context().Value(exchangeKey).(*exchange); ok {
			e.seen = at
		}
		next.ServeHTTP(w, r)
	})
}

// seenOf returns what the proxy of a request has told.
func seenOf(r *http.Request) seen {
	if e, ok := r.Context().Value(exchangeKey).(*exchange); ok {
		return e.seen
	}
	return seen{}
}
