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

// self returns the request's own URL with some parameters changed.
func (s *Server) self(r *http.Request, set ...string) string {
	if len(set) == 0 {
		if r.URL.RawQuery == "" {
			return s.base(r) + r.URL.EscapedPath()
		}
		return s.base(r) + r.URL.EscapedPath() + "?" + r.URL.RawQuery
	}
	q := r.URL.Query()
	for i := 0; i < len(set); i += 2 {
		q.Set(set[i], set[i+1])
	}
	return s.base(r) + r.URL.EscapedPath() + "?" + q.Encode()
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
