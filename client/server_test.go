package client_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"nearby/api"
	"nearby/catalog"
	"nearby/collection"
	"nearby/indexes"
	"nearby/store/embedded"
)

// start starts a real server in this process, on a folder of its own. between, if it is not
// nil, comes before its handlers.
func start(limits api.Limits, between func(http.Handler) http.Handler) (address string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "nearby-client-")
	if err != nil {
		return "", nil, err
	}
	st, err := embedded.Open(dir, embedded.Options{})
	if err != nil {
		return "", nil, err
	}
	all := catalog.New(collection.Options{Store: st, Kinds: indexes.Kinds()})
	if err := all.Load(context.Background(), nil); err != nil {
		return "", nil, err
	}
	s, err := api.New(api.Options{Catalog: all, Limits: limits})
	if err != nil {
		return "", nil, err
	}
	handler := http.Handler(s)
	if between != nil {
		handler = between(handler)
	}
	ts := httptest.NewServer(handler)
	return ts.URL, func() {
		ts.Close()
		all.Close()
		_ = st.Close()
		_ = os.RemoveAll(dir)
	}, nil
}

// serve is start for a test.
func serve(t testing.TB, limits api.Limits, between func(http.Handler) http.Handler) (address string) {
	t.Helper()
	address, stop, err := start(limits, between)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return address
}
