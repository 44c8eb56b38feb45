package api

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// link is a link of an answer. Its URL is absolute, because some clients do not read relative
// ones.
type link struct {
	Href  string `json:"href"`
	Rel   string `json:"rel"`
	Type  string `json:"type,omitzero"`
	Title string `json:"title,omitzero"`
}

// appendBase appends the beginning of every link: the public URL if there is one, else the scheme,
// host and path prefix that the request was sent to. A trusted proxy may have told them.
func (s *Server) appendBase(b []byte, r *http.Request) []byte {
	if s.opt.PublicURL != "" {
		return append(b, s.opt.PublicURL...)
	}
	at := seenOf(r)
	switch {
	case at.scheme != "":
		b = append(b, at.scheme...)
	case r.TLS != nil:
		b = append(b, "https"...)
	default:
		b = append(b, "http"...)
	}
	b = append(b, "://"...)
	if r.Host == "" { // a request of HTTP/1.0 may have no Host, but a URL must have a host (RFC 9110 §4.2.1)
		if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
			b = append(b, local.String()...)
		}
	}
	return append(append(b, r.Host...), at.prefix...)
}

func (s *Server) base(r *http.Request) string { return string(s.appendBase(nil, r)) }

func (s *Server) appendCollectionURL(b []byte, r *http.Request, name string) []byte {
	return append(append(s.appendBase(b, r), "/v1/collections/"...), url.PathEscape(name)...)
}

func (s *Server) collectionURL(r *http.Request, name string) string {
	return string(s.appendCollectionURL(nil, r, name))
}

// appendSelf appends the request's own URL.
func (s *Server) appendSelf(b []byte, r *http.Request) []byte {
	b = append(s.appendBase(b, r), r.URL.EscapedPath()...)
	if r.URL.RawQuery != "" {
		b = append(append(b, '?'), r.URL.RawQuery...)
	}
	return b
}

func (s *Server) self(r *http.Request) string { return string(s.appendSelf(nil, r)) }

// appendNext appends the request's own URL without its cursor, and "cursor=" at the end. The other
// parameters stay as they were written.
func (s *Server) appendNext(b []byte, r *http.Request) []byte {
	b = append(append(s.appendBase(b, r), r.URL.EscapedPath()...), '?')
	for rest := r.URL.RawQuery; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "&")
		name, _, _ := strings.Cut(part, "=")
		if name, _ = url.QueryUnescape(name); part != "" && name != "cursor" {
			b = append(append(b, part...), '&')
		}
	}
	return append(b, "cursor="...)
}

// A link of an answer is written in three steps: beginLink, the URL as it is, and endLink. href is
// where the URL begins in b.
const beginLink = `{"href":"`

func endLink(b []byte, href int, rel, mediaType string) []byte {
	if isPlain(b[href:]) {
		b = append(b, '"')
	} else {
		b = appendQuoted(b[:href-1], []byte(strings.ToValidUTF8(string(b[href:]), "")))
	}
	b = append(append(b, `,"rel":"`...), rel...)
	b = append(append(b, `","type":"`...), mediaType...)
	return append(b, `"}`...)
}

// beginMore appends the beginning of the link to the next page of an answer to a POST, up to its
// cursor. endMore follows that. merge: the cursor is added to the body that was sent. So STAC API has it.
func (s *Server) beginMore(b []byte, r *http.Request, mediaType string) []byte {
	b = append(b, beginLink...)
	b = endLink(s.appendSelf(b, r), len(b), "next", mediaType)
	return append(b[:len(b)-1], `,"method":"POST","body":{"cursor":"`...)
}

const endMore = `"},"merge":true}`
