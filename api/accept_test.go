package api_test

import (
	"net/http"
	"strings"
	"testing"

	"nearby/api"
)

// TestAcceptedFormats: the document is YAML for whoever prefers that to JSON, and JSON for all
// others, also for those who accept neither.
func TestAcceptedFormats(t *testing.T) {
	h := start(t, api.Options{})
	for _, c := range []struct {
		accept []string
		yaml   bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"*/*"}, false},
		{[]string{"application/yaml"}, true},
		{[]string{"Application/YAML"}, true},
		{[]string{"application/yaml;charset=utf-8"}, true},
		{[]string{"text/yaml"}, true},
		{[]string{"application/x-yaml, */*;q=0.1"}, true},
		{[]string{"application/vnd.oai.openapi+yaml;version=3.0"}, true},
		{[]string{"application/yaml, application/json"}, true},
		{[]string{"application/json, application/yaml"}, false},
		{[]string{"application/json;q=0.5, application/yaml"}, true},
		{[]string{"application/json;q=0.5", "application/yaml"}, true},
		{[]string{"application/yaml;q=0.5, */*"}, false},
		{[]string{"application/yaml;q=0.5, application/*;q=0.4"}, true},
		{[]string{"application/yaml;q=0"}, false},
		{[]string{"application/yaml;Q=0, application/json"}, false},
		{[]string{"application/xml, application/yaml;q=0.1"}, true},
		{[]string{"application/vnd.oai.openapi+json;version=3.0;q=0.9, application/yaml;q=0.8"}, false},
		{[]string{"application/vnd.yamlike"}, false},
		{[]string{"text/x-jsonnet, application/yaml;q=0.5"}, true},
		{[]string{`application/json;note="a, application/yaml;q=1";q=0.1, application/yaml;q=0.2`}, true},
		{[]string{"text/html, application/xhtml+xml, */*;q=0.8"}, false},
	} {
		req, err := http.NewRequest("GET", h.url+"/v1/api", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Accept"] = c.accept
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		kind := resp.Header.Get("Content-Type")
		if resp.StatusCode != 200 || strings.HasPrefix(kind, "application/yaml") != c.yaml {
			t.Errorf("Accept: %q is answered %d, %s", c.accept, resp.StatusCode, kind)
		}
	}
}
