package client_test

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"nearby/client"
)

// TestWithRootCAs: a client speaks HTTP/2 with a server whose authority it was told of, with no
// other, and says what is wrong where the scheme is.
func TestWithRootCAs(t *testing.T) {
	var proto string
	ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto = r.Proto
		_, _ = w.Write([]byte(`{"status":"ready"}`))
	}))
	ts.EnableHTTP2 = true
	ts.StartTLS()
	defer ts.Close()
	roots := x509.NewCertPool()
	roots.AddCert(ts.Certificate())
	for _, r := range []struct {
		server string
		opts   []client.Option
		want   string // of the error; "": none
	}{
		{ts.URL, []client.Option{client.WithRootCAs(roots)}, ""},
		{ts.URL, nil, "certificate signed by unknown authority"},
		{ts.URL, []client.Option{client.WithRootCAs(x509.NewCertPool())}, "certificate signed by unknown authority"},
		{strings.Replace(ts.URL, "https", "http", 1), nil, "speaks HTTPS"},
	} {
		c, err := client.New(r.server, r.opts...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Ready(context.Background())
		if (err == nil) != (r.want == "") || err != nil && !strings.Contains(err.Error(), r.want) {
			t.Errorf("%s: %v, want %q", r.server, err, r.want)
		}
	}
	if proto != "HTTP/2.0" {
		t.Errorf("the client speaks %s", proto)
	}
}
