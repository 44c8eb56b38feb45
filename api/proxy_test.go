package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"nearby/api"
)

// TestProxies: links begin with what a proxy was asked for, if it is one that is believed.
func TestProxies(t *testing.T) {
	const self = "SELF"
	type headers = map[string]string
	for _, s := range []struct {
		trusted []string
		sent    headers
		want    string // what links begin with
	}{
		{nil, headers{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "geo.example.org"}, self},
		{[]string{"192.0.2.0/24", "2001:db8::/32"}, headers{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "geo.example.org"}, self},
		{[]string{"127.0.0.1"}, headers{}, self},
		{[]string{"127.0.0.1"}, headers{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "geo.example.org"}, "https://geo.example.org"},
		{[]string{"10.0.0.0/8", "127.0.0.0/8"}, headers{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "geo.example.org:8443", "X-Forwarded-Prefix": "/places/v2/"}, "https://geo.example.org:8443/places/v2"},
		{[]string{"127.0.0.0/8"}, headers{"X-Forwarded-Prefix": "/places"}, self + "/places"},
		{[]string{"127.0.0.0/8"}, headers{"Forwarded": `for=192.0.2.1;Proto=HTTPS;host="geo.example.org:8443"`}, "https://geo.example.org:8443"},
		{[]string{"127.0.0.0/8"}, headers{"Forwarded": `for="[2001:db8::1]:4711";host=geo.example.org`, "X-Forwarded-Host": "other.example", "X-Forwarded-Prefix": "/p"}, "http://geo.example.org/p"},
		// What a client says itself is before what a proxy adds.
		{[]string{"127.0.0.0/8"}, headers{"Forwarded": `host=evil.example;for=10.0.0.1, for=192.0.2.1;host=geo.example.org`}, "http://geo.example.org"},
		{[]string{"127.0.0.0/8"}, headers{"X-Forwarded-Host": "evil.example, geo.example.org", "X-Forwarded-For": "127.0.0.1, 192.0.2.1"}, "http://geo.example.org"},
		// A proxy that is believed, behind another.
		{[]string{"127.0.0.0/8", "10.0.0.0/8"}, headers{"Forwarded": `for=192.0.2.1;host=evil.example, for=192.0.2.2;host=geo.example.org;proto=https, for=10.0.0.7;host=inner`}, "https://geo.example.org"},
		{[]string{"127.0.0.0/8", "10.0.0.0/8"}, headers{"X-Forwarded-Host": "evil.example, geo.example.org, inner", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1, 192.0.2.2, 10.0.0.7"}, "https://geo.example.org"},
		// What cannot be is not taken.
		{[]string{"127.0.0.0/8"}, headers{"X-Forwarded-Proto": "javascript", "X-Forwarded-Host": `a"b`, "X-Forwarded-Prefix": `/"><script>`}, self},
		{[]string{"127.0.0.0/8"}, headers{"X-Forwarded-Host": "user@evil.example", "X-Forwarded-Prefix": "places"}, self},
		{[]string{"127.0.0.0/8"}, headers{"X-Forwarded-Host": "evil.example/path?x", "X-Forwarded-Prefix": "//evil.example"}, self},
	} {
		h := start(t, api.Options{TrustProxy: s.trusted})
		h.load("c", places)
		var pairs []string
		for name, value := range s.sent {
			pairs = append(pairs, name, value)
		}
		want := strings.Replace(s.want, self, h.url, 1)
		for _, path := range []string{"/v1/", "/v1/collections", "/v1/collections/c", "/v1/collections/c/items?limit=1", "/v1/collections/c/items/a", "/v1/collections/c/nearby?lat=0&lon=0&k=1"} {
			a := h.do("GET", path, "", "", pairs...).want(t, 200)
			for _, l := range decode[features](t, a).Links {
				if !strings.HasPrefix(l.Href, want+"/v1/") {
					t.Errorf("%v of %v: %s has a link to %s, want %s/v1/", s.sent, s.trusted, path, l.Href, want)
				}
			}
			if s.trusted != nil && !varies(a.header, "X-Forwarded-Host") {
				t.Errorf("%s: Vary is %q", path, a.header.Values("Vary"))
			}
		}
		made := h.do("PUT", "/v1/collections/c/items/n", geoJSON, feature("n", 1, 1, ""), pairs...).want(t, 201)
		if got := made.header.Get("Location"); got != want+"/v1/collections/c/items/n" {
			t.Errorf("%v of %v: Location is %s", s.sent, s.trusted, got)
		}
		_, prefix, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(want, "https://"), "http://"), "/")
		if prefix != "" {
			prefix = "/" + prefix
		}
		for _, accept := range []string{"", "application/yaml"} {
			doc := string(h.do("GET", "/v1/api", "", "", append(pairs, "Accept", accept)...).want(t, 200).body)
			if !strings.Contains(doc, fmt.Sprintf(`{"url":"%s/v1"}`, prefix)) && !strings.Contains(doc, "- url: "+prefix+"/v1\n") {
				t.Errorf("%v: the document's server is not %s/v1", s.sent, prefix)
			}
		}
	}
	for _, bad := range []string{"", "localhost", "10.0.0.0/33", "10.0.0", "fe80::1%eth0", "*"} {
		if _, err := api.New(api.Options{Catalog: newCatalog(t), TrustProxy: []string{bad}}); err == nil {
			t.Errorf("the proxy %q was taken", bad)
		}
	}
}

// TestNoHost: a request of HTTP/1.0 need not say whom it is for; the links in its answer
// have a host (RFC 9110 §4.2.1).
func TestNoHost(t *testing.T) {
	h := start(t, api.Options{})
	h.load("c", places)
	for _, path := range []string{"/v1/", "/v1/collections/c/items?limit=1", "/v1/collections/c/nearby?lat=0&lon=0&k=1"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(bufio.NewReader(conn))
		if err != nil || !strings.Contains(string(all), `"href":"`+h.url+"/v1/") || strings.Contains(string(all), "http:///") {
			t.Errorf("%s: %v, %s", path, err, all)
		}
		_ = conn.Close()
	}
}

// TestAcceptYAML: the document comes as YAML only to who takes it (RFC 9110 §12.4.2).
func TestAcceptYAML(t *testing.T) {
	h := start(t, api.Options{})
	for accept, yaml := range map[string]bool{
		"": false, "*/*": false, "application/yaml": true, "application/x-yaml, */*;q=0.1": true, "application/yaml;q=0": false,
		"application/yaml; Q=0.0, application/json": false, "application/json, application/yaml": false, "application/yaml;q=0.2,application/json;q=0.1": true,
		"text/html, application/yaml;q=0.9": true, "application/yaml;q=0, */*": false,
	} {
		a := h.do("GET", "/v1/api", "", "", "Accept", accept).want(t, 200)
		if got := a.header.Get("Content-Type") == "application/yaml"; got != yaml {
			t.Errorf("%q is answered with %s", accept, a.header.Get("Content-Type"))
		}
	}
}
