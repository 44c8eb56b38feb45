package api_test

import (
	"strings"
	"testing"

	"nearby/api"
)

// TestHosts: a server on loopback, and one that was told its hosts, answer no request for
// another, by any method: a page could have made its own name resolve to the server.
func TestHosts(t *testing.T) {
	loopback := []string{"127.0.0.1", "127.0.0.1:8080", "127.8.9.1", "localhost", "LOCALHOST:1", "localhost.", "a.localhost:8080", "[::1]", "[::1]:8080", "[::ffff:127.0.0.1]:80"}
	foreign := []string{"evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "notlocalhost", "192.168.1.5:8080", "[2001:db8::1]:8080", "0.0.0.0:8080", "geo.example.org.evil.example", "127.0.0.1:8080:80", "2130706433"}
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
			for _, r := range [][2]string{
				{"GET", "/v1/collections/c"}, {"HEAD", "/v1/collections/c"}, {"OPTIONS", "/v1/collections/c"}, {"GET", "/readyz"}, {"GET", "/metrics"}, {"GET", "/nothing"},
				{"POST", "/v1/verify"}, {"PUT", "/v1/collections/d"}, {"PATCH", "/v1/collections/c"}, {"DELETE", "/v1/collections/c/items/none"}, {"TRACE", "/v1/"},
			} {
				ask := func(host string) *answer {
					return h.do(r[0], r[1], "", "", "Host", host, "Origin", "http://"+host)
				}
				for _, host := range s.taken {
					if a := ask(host); a.status == 421 {
						t.Errorf("%s %s for %s: %s", r[0], r[1], host, a.body)
					}
				}
				for _, host := range s.others {
					if a := ask(host); a.status != 421 || r[0] != "HEAD" && !strings.Contains(string(a.body), `"/v1/errors/foreign-host"`) {
						t.Errorf("%s %s for %s: %d %s", r[0], r[1], host, a.status, a.body)
					}
				}
			}
		})
	}
	for _, bad := range []string{"", "http://geo.example.org", "geo.example.org:8080", "geo.example.org/places", "*.example.org", "a b", "user@geo.example.org", "[::1", "geo.example.org:", "geo?x"} {
		if _, err := api.NewHosts(false, "", []string{bad}); err == nil {
			t.Errorf("the host %q was taken", bad)
		}
	}
}
