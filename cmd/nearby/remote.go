package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"nearby/access"
	"nearby/client"
	"nearby/internal/command"
)

// remote is a server, and how these commands ask it: once, but for the parts of a load.
type remote struct {
	*client.Client
	patient *client.Client // asks for some seconds again what may succeed later
	long    *client.Client // for answers that may take any time
	way     *noted
}

// noted is a transport that notes whether the server has answered.
type noted struct {
	http.RoundTripper
	answered atomic.Bool
}

// RoundTrip is part of http.RoundTripper.
func (n *noted) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := n.RoundTripper.RoundTrip(r)
	if err == nil {
		n.answered.Store(true)
	}
	return resp, err
}

// keyVariable is the variable that has the text of an API key. There is no flag with that text: other
// users of a machine see the command lines of all programs.
const keyVariable = "NEARBY_KEY"

// keyFlags say which API key a command sends.
type keyFlags struct {
	KeyFile string `type:"path" help:"File with the API key to send. Default: the key in the variable NEARBY_KEY, else none." placeholder:"FILE"`
}

// text returns the text of the key, or "".
func (k *keyFlags) text() (string, error) {
	if k.KeyFile == "" {
		return strings.TrimSpace(os.Getenv(keyVariable)), nil
	}
	data, err := readSmall(k.KeyFile)
	if err != nil {
		return "", fmt.Errorf("reading the API key: %w", err)
	}
	text := strings.TrimSpace(string(data))
	if !access.CheckText(text) {
		return "", fmt.Errorf("reading the API key: %s has no API key as \"nearby keys create\" prints it", k.KeyFile)
	}
	return text, nil
}

// newRemote checks the address of a server. secure is how TLS is spoken with it; nil: as the system
// does. key is the text of the API key to send; "": none.
func newRemote(server string, secure *tls.Config, key string) (*remote, error) {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: maxInFlight,
		IdleConnTimeout: 30 * time.Second, ResponseHeaderTimeout: 10 * time.Minute,
		TLSClientConfig: secure, ForceAttemptHTTP2: true,
	}
	unbounded := transport.Clone()
	unbounded.ResponseHeaderTimeout = 0
	r := &remote{way: &noted{RoundTripper: transport}}
	bounded := &http.Client{Timeout: 10 * time.Minute, Transport: r.way} // of one request, its body included
	for _, way := range []struct {
		to   **client.Client
		http *http.Client
		client.Retry
	}{
		{&r.Client, bounded, client.Retry{Tries: 1}},
		{&r.patient, bounded, client.Retry{Tries: 8, MaxWait: time.Minute}},
		{&r.long, &http.Client{Transport: unbounded}, client.Retry{Tries: 1}},
	} {
		var err error
		*way.to, err = client.New(server, client.WithHTTPClient(way.http), client.WithRetry(way.Retry), client.WithUserAgent("nearby/"+programVersion()), client.WithKey(key))
		if err != nil {
			return nil, command.Usagef("--server: %v", err)
		}
	}
	return r, nil
}

// brokenError says that a server was reached, and its answer was not.
type brokenError struct {
	server string
	err    error
}

func (e *brokenError) Error() string { return fmt.Sprintf("asking %s: %v", e.server, e.err) }
func (e *brokenError) Unwrap() error { return e.err }

// mayPass reports whether the same command may succeed later: the server says so of what
// it refused, or the connection broke.
func mayPass(err error) bool {
	if p, refused := errors.AsType[*client.Problem](err); refused {
		return p.MayPass()
	}
	_, broke := errors.AsType[*brokenError](err)
	return broke
}

// isGone reports whether an error says that there is no such collection.
func isGone(err error) bool {
	p, refused := errors.AsType[*client.Problem](err)
	return refused && p.Cause() == "collection-not-found"
}

// explain turns a failure to reach the server into a sentence. A server that has answered
// before is one that went away, and may come back.
func (r *remote) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	if errors.Is(err, syscall.ECONNREFUSED) && !r.way.answered.Load() {
		return fmt.Errorf("no server answers at %s: start one with \"nearby serve\", or name another with --server", r.Server())
	}
	if wrong := explainTLS(r.Server(), err); wrong != nil {
		return wrong
	}
	u, ok := errors.AsType[*url.Error](err)
	if !ok {
		return err
	}
	if dial, ok := errors.AsType[*net.OpError](u.Err); ok && dial.Op == "dial" && !r.way.answered.Load() {
		return fmt.Errorf("asking %s: %w", r.Server(), u.Err)
	}
	return &brokenError{r.Server(), u.Err}
}

// ready returns the state of the server in words, and nil if it can answer queries.
func (r *remote) ready(ctx context.Context) (string, error) {
	state, err := r.Ready(ctx)
	if err != nil {
		return "", r.explain(err)
	}
	if state.Reason == "" {
		return state.Status, nil
	}
	return state.Status + ": " + state.Reason, nil
}

// verify makes the server compare what it has with the database.
func (r *remote) verify(ctx context.Context, patience time.Duration) (*client.Verification, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v, err := r.Verify(ctx)
	if err != nil {
		return nil, r.explain(err)
	}
	return v, nil
}

// backup writes a backup of the server's store.
func (r *remote) backup(ctx context.Context, w io.Writer) error {
	begun := false
	err := r.long.Backup(ctx, writerFunc(func(b []byte) (int, error) {
		begun = true
		return w.Write(b)
	}))
	switch {
	case err == nil:
		return nil
	case !begun:
		return r.explain(err)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return fmt.Errorf("receiving the backup from %s: %w", r.Server(), err)
}

type writerFunc func([]byte) (int, error)

// Write is part of io.Writer.
func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// collection looks a collection up, as it is on the newest of several servers.
func (r *remote) collection(ctx context.Context, name string) (*found, error) {
	d, err := r.Collection(name).Describe(ctx, client.Strong())
	switch {
	case errors.Is(err, client.ErrNotFound):
		return new(found), nil
	case err != nil:
		return nil, r.explain(err)
	}
	return &found{exists: true, Description: *d}, nil
}

// load sends a part of a file, and sends it again while the server says that it may succeed
// later: each row has an id, so a row that arrives twice is the same item. Where a row that
// arrives twice is refused, the part is sent again only if nothing was written. With an error,
// the answer is what the server had loaded by then, as far as it says. If abort is set, the
// first bad row ends the part; it is in the answer.
func (r *remote) load(ctx context.Context, name string, existing client.Existing, abort bool, body []byte) (answer client.LoadReport, err error) {
	opts := []client.RequestOption{client.OnExisting(existing)}
	if existing != client.Fail {
		opts = append(opts, client.Repeatable())
	}
	if abort {
		opts = append(opts, client.AbortOnError())
	}
	report, err := r.patient.Collection(name).Load(ctx, client.NDJSON, bytes.NewReader(body), opts...)
	if err == nil {
		return *report, nil
	}
	p, refused := errors.AsType[*client.Problem](err)
	if !refused {
		return answer, r.explain(err)
	}
	if p.Loaded != nil {
		answer = *p.Loaded
	}
	if abort && answer.Rejected > 0 {
		answer.Errors = p.Errors
		return answer, nil
	}
	return answer, err
}
