package api_test

import (
	"strings"
	"testing"

	"nearby/api"
)

// TestHosts: a server on loopback, and one that was told its hosts, answer no request for
// another, by any method: a page could have made its own name resolve to the server.
func TestHosts(t *testing.T) {
	loopback := []string{"127.0.0.1", "127.0.0.1:8080", "127.8.9.1", "localhost", "LOCALHOST:1", "localhost.", "a.localhost:8080", "localhost:", "localhost:0080", "127.0.0.1:65535", "[::1]", "[::1]:8080", "[::ffff:127.0.0.1]:80"}
	foreign := []string{"evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "notlocalhost", "192.168.1.5:8080", "[2001:db8::1]:8080", "0.0.0.0:8080", "geo.example.org.evil.example", "2130706433"}
	none := []string{"127.0.0.1:8080:80", "localhost:http", "localhost:65536", "localhost:-1", "localhost:+1", "[localhost]", "[127.0.0.1]", "[::1", "[::1]8080", "[::1]:x", "::1", ":8080", "localhost%", "localhost%g0", "[]"}
	public := []string{"geo.example.org", "GEO.example.org:443", "geo.example.org.", "geo.example.org:8080"}
	more := []string{"other.example", "other.example:99", "10.0.0.7:8080", "[2001:db8::7]", "[2001:DB8:0::7]:80"}
	for name, s := range map[string]struct {
		loopback      bool
		public        string
		allowed       []string
		taken, others []string
	}{
		"beyond loopback":                 {false, "", nil, append(append(loopback, foreign...), public...), nil},
		"beyond loopback, public":         {false, "https://geo.example.org/places", nil, append(append(loopback, foreign...), public...), nil},
		"beyond loopback, allowed":        {false, "", []string{"other.example", "10.0.0.7", "2001:db8::7"}, append(loopback, more...), append(foreign, public...)},
		"beyond loopback, both":           {false, "https://geo.example.org/places", []string{"other.example", "10.0.0.7", "2001:db8::7"}, append(append(loopback, more...), public...), foreign},
		"on loopback":                     {true, "", nil, loopback, append(append(foreign, public...), more...)},
		"on loopback, public":             {true, "https://geo.example.org/places", nil, append(loopback, public...), append(foreign, more...)},
		"on loopback, allowed":            {true, "", []string{"Other.example", "10.0.0.7", "2001:db8::7"}, append(loopback, more...), append(foreign, public...)},
		"on loopback, any that is wanted": {true, "", []string{"*"}, append(loopback, foreign...), nil},
	} {
		t.Run(name, func(t *testing.T) {
			hosts, err := api.NewHosts(s.loopback, s.public, s.allowed)
			if err != nil {
				t.Fatal(err)
			}
			h := start(t, api.Options{Hosts: hosts, PublicURL: s.public, CORSOrigins: []string{"*"}})
			h.load("c", places)
			requests := [][2]string{
				{"GET", "/v1/collections/c"}, {"HEAD", "/v1/collections/c"}, {"OPTIONS", "/v1/collections/c"}, {"GET", "/readyz"}, {"GET", "/metrics"}, {"GET", "/nothing"},
				{"POST", "/v1/verify"}, {"PUT", "/v1/collections/d"}, {"PATCH", "/v1/collections/c"}, {"DELETE", "/v1/collections/c/items/none"}, {"TRACE", "/v1/"},
			}
			for n, r := range requests {
				ask := func(host string) *answer {
					return h.do(r[0], r[1], "", "", "Host", host, "Origin", "http://"+host)
				}
				// By one method each, and by all methods the first.
				due := func(i int) bool { return i == 0 || i%len(requests) == n }
				for i, host := range s.taken {
					if !due(i) {
						continue
					}
					if a := ask(host); a.status == 421 {
						t.Errorf("%s %s for %s: %s", r[0], r[1], host, a.body)
					}
				}
				for i, host := range none {
					if !due(i) {
						continue
					}
					if a := ask(host); a.status != 400 || r[0] != "HEAD" && !strings.Contains(string(a.body), `"parameter":"Host"`) {
						t.Errorf("%s %s for %s: %d %s", r[0], r[1], host, a.status, a.body)
					}
				}
				for i, host := range s.others {
					if !due(i) {
						continue
					}
					if a := ask(host); a.status != 421 || r[0] != "HEAD" && !strings.Contains(string(a.body), `"/v1/errors/foreign-host"`) {
						t.Errorf("%s %s for %s: %d %s", r[0], r[1], host, a.status, a.body)
					}
				}
			}
		})
	}
	catalog := newCatalog(t)
	for _, bad := range []string{"", "http://geo.example.org", "geo.example.org:8080", "geo.example.org/places", "*.example.org", "a b", "user@geo.example.org", "[::1", "geo.example.org:", "geo?x",
		"..", ".", "geo..example", ".example", "geo.example..", "256.1.1.1", "1234", "fe80::1%eth0", "[localhost]", "[127.0.0.1]", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 130) + "example"} {
		if _, err := api.NewHosts(false, "", []string{bad}); err == nil || !strings.Contains(err.Error(), "without a scheme") {
			t.Errorf("the host %q: %v", bad, err)
		}
		if bad == "" || strings.ContainsAny(bad, ":/?@") {
			continue // which a URL may have
		}
		for _, opt := range []api.Options{{PublicURL: "https://" + bad}, {CORSOrigins: []string{"https://" + bad}}} {
			opt.Catalog = catalog
			if _, err := api.New(opt); err == nil {
				t.Errorf("%q was taken", "https://"+bad)
			}
		}
	}
	for _, good := range []string{"geo.example.org", "geo.example.org.", "xn--bcher-kva.example", "my_service", "a-b", "4.example", "10.0.0.7", "2001:db8::7", "[2001:db8::7]"} {
		if _, err := api.NewHosts(false, "", []string{good}); err != nil {
			t.Error(err)
		}
	}
	// Browsers send a name with other letters in its ASCII form.
	_, err := api.NewHosts(false, "", []string{"bücher.example"})
	if err == nil || !strings.Contains(err.Error(), "xn--") {
		t.Errorf("the host: %v", err)
	}
	for _, opt := range []api.Options{{CORSOrigins: []string{"https://bücher.example"}}, {PublicURL: "https://bücher.example/places"}} {
		opt.Catalog = catalog
		if _, err := api.New(opt); err == nil || !strings.Contains(err.Error(), "xn--") {
			t.Errorf("%v%s: %v", opt.CORSOrigins, opt.PublicURL, err)
		}
	}
	for _, bad := range []string{"geo.example.org", "ftp://geo.example.org", "https://", "https://geo.example.org:65536", "https://u@geo.example.org", "https://geo.example.org/?a=b", "https://geo.example.org/#a"} {
		if _, err := api.New(api.Options{Catalog: catalog, PublicURL: bad}); err == nil {
			t.Errorf("the public URL %q was taken", bad)
		}
	}
}
