package httpbench_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nearby/bench/httpbench"
)

// TestMain lets the test's own program be the one that a run starts.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{"floor"}) {
		if err := httpbench.ServeFloor(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// service answers as a nearby service does, after some delay.
func service(t *testing.T, delay time.Duration, status int) (*httptest.Server, *atomic.Int64) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		q := r.URL.Query()
		if r.URL.Path != "/v1/collections/c d/nearby" || q.Get("k") != "10" || q.Get("lat") == "" || q.Get("lon") == "" {
			t.Errorf("asked for %s", r.URL)
		}
		for end := time.Now().Add(delay); time.Now().Before(end); {
		}
		w.WriteHeader(status)
		fmt.Fprint(w, strings.Repeat("x", 700))
	}))
	t.Cleanup(s.Close)
	return s, &asked
}

func TestRunComparesWithTheEmptyHandler(t *testing.T) {
	const delay = 2 * time.Millisecond
	s, asked := service(t, delay, http.StatusOK)
	got, err := httpbench.Run(context.Background(), httpbench.Options{Base: s.URL + "/", Collection: "c d", Duration: 400 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case got.Bytes != 700:
		t.Errorf("the answer has %d bytes, want 700", got.Bytes)
	case got.Service.Requests == 0 || int64(got.Service.Requests) > asked.Load():
		t.Errorf("%d requests measured, %d made", got.Service.Requests, asked.Load())
	case got.Service.P50 < delay || got.Service.P99 < got.Service.P50 || got.Empty.P99 < got.Empty.P50:
		t.Errorf("times make no sense: %+v", got)
	case got.Ratio >= 1 || got.Ratio != got.Service.Rate/got.Empty.Rate:
		t.Errorf("the ratio of a slow service is %v: %+v", got.Ratio, got)
	}
}

// TestRunStartsTheFloor: the handler may be a process, which must not outlive the
// run, and one that does not start is an error that says why.
func TestRunStartsTheFloor(t *testing.T) {
	s, _ := service(t, 0, http.StatusOK)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := httpbench.Options{Base: s.URL, Collection: "c d", Duration: 200 * time.Millisecond, Floor: []string{program, "floor"}}
	got, err := httpbench.Run(context.Background(), o)
	if err != nil || got.Empty.Requests == 0 || got.Ratio == 0 {
		t.Errorf("%+v, %v", got, err)
	}
	o.Floor = []string{program, "-test.no-such-flag"}
	if _, err := httpbench.Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("a program that does not start gives %v", err)
	}
}

func TestRunStopsAtAnError(t *testing.T) {
	s, _ := service(t, 0, http.StatusNotFound)
	_, err := httpbench.Run(context.Background(), httpbench.Options{Base: s.URL, Collection: "c d", Duration: time.Second})
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a service without the collection gives %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := httpbench.Run(ctx, httpbench.Options{Base: s.URL, Collection: "c d"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled run gives %v", err)
	}
}

func TestRunRefuses(t *testing.T) {
	remote := httpbench.Options{Base: "http://192.0.2.1:8080", Collection: "c"}
	if _, err := httpbench.Run(context.Background(), remote); !errors.Is(err, httpbench.ErrNotLoopback) {
		t.Errorf("a remote address gives %v", err)
	}
	for _, o := range []httpbench.Options{
		{Base: "127.0.0.1:8080", Collection: "c"},
		{Base: "ftp://127.0.0.1", Collection: "c"},
		{Base: "http://127.0.0.1:1/?q=1", Collection: "c"},
		{Base: "http://127.0.0.1:1"},
		{Base: "http://127.0.0.1:1", Collection: "c", Connections: -1},
		{Base: "http://127.0.0.1:1", Collection: "c", Duration: time.Hour},
		{Base: "http://127.0.0.1:1", Collection: "c", K: -1},
	} {
		if _, err := httpbench.Run(context.Background(), o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
