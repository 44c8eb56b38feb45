package api

import (
	"net/http"
	"net/url"
	"strings"
)

// link is a link of an answer. All are absolute, since some clients take no
// others.
type link struct {
	Href  string `json:"href"`
	Rel   string `json:"rel"`
	Type  string `json:"type,omitzero"`
	Title string `json:"title,omitzero"`
}

// base returns what every link begins with: the configured public URL, or what
// the request was sent to.
func (s *Server) base(r *http.Request) string {
	if s.opt.PublicURL != "" {
		return s.opt.PublicURL
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + r.Host
}

func (s *Server) collectionURL(r *http.Request, name string) string {
	return s.base(r) + "/v1/collections/" + url.PathEscape(name)
}

// self returns the request's own URL.
func (s *Server) self(r *http.Request) string {
	if r.URL.RawQuery == "" {
		return s.base(r) + r.URL.EscapedPath()
	}
	return s.base(r) + r.URL.EscapedPath() + "?" + r.URL.RawQuery
}

// next returns the request's own URL with another cursor. The other parameters
// stay as they were written.
func (s *Server) next(r *http.Request, cursor string) string {
	var b strings.Builder
	b.WriteString(s.base(r))
	b.WriteString(r.URL.EscapedPath())
	b.WriteByte('?')
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if part != "" && !strings.HasPrefix(part, "cursor=") {
			b.WriteString(part)
			b.WriteByte('&')
		}
	}
	b.WriteString("cursor=")
	b.WriteString(cursor)
	return b.String()
}

// appendLinks writes the links member's value.
func appendLinks(b []byte, links ...link) []byte {
	b = append(b, '[')
	for i, l := range links {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"href":`...)
		b = appendQuoted(b, []byte(strings.ToValidUTF8(l.Href, "")))
		b = append(b, `,"rel":"`...)
		b = append(b, l.Rel...)
		b = append(b, `","type":"`...)
		b = append(b, l.Type...)
		b = append(b, `"}`...)
	}
	return append(b, ']')
}
