package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"nearby/internal/wire"
	"nearby/value"
)

// Types of the API that this package uses without changes.
type (
	// Definition is the definition of a collection: title, description, index, queryables,
	// time, write policy. Each member has a default.
	Definition = wire.Definition
	// Queryables are the properties that requests can filter by, with the types of their
	// values.
	Queryables = value.Queryables
	// IndexSpec is a kind of index, "auto", "geohash" or "quadtree", and its parameters.
	IndexSpec = wire.IndexSpec
	// Fault is one thing that was wrong, and where.
	Fault = wire.Fault
	// LoadReport says what became of the rows of a load.
	LoadReport = wire.LoadReport
	// Facet says how many items have which value of a property, or a number in which step.
	Facet = wire.Facet
	// ValueCount is how many items have a value: a string, float64 or bool.
	ValueCount = wire.ValueCount
	// StepCount is how many items have a number that is at least From, and below Below.
	StepCount = wire.StepCount
	// Ring is how many items are no farther away than a distance in metres.
	Ring = wire.Ring
	// Proof says how much a nearby answer covers, and what it cost.
	Proof = wire.Proof
	// Readiness is the state of a server: "ready", "degraded", "starting" or "draining".
	Readiness = wire.Readiness
	// Verification is what a server found when it compared itself with its database.
	Verification = wire.Verification
)

// Client sends requests to one server, or to several that share a database behind one address.
type Client struct {
	server string // without a slash at the end
	http   *http.Client
	agent  string
	key    string // "": none
	retry  Retry
	most   int64
	token  token
}

// Option changes a Client.
type Option func(*Client)

// WithHTTPClient makes the Client use h, with its timeouts and its transport. Left out:
// [http.DefaultClient], which has no timeout; a request then ends with its context.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithRootCAs makes the Client accept only certificates from these authorities, and not those that the
// system trusts. It takes the place of WithHTTPClient: of the two, the later one counts.
func WithRootCAs(roots *x509.CertPool) Option {
	return func(c *Client) {
		transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
		if usual, ok := http.DefaultTransport.(*http.Transport); ok {
			transport = usual.Clone()
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
		c.http = &http.Client{Transport: transport}
	}
}

// WithUserAgent sets the header User-Agent of each request.
func WithUserAgent(name string) Option { return func(c *Client) { c.agent = name } }

// WithRetry says how often requests are sent again, and when.
func WithRetry(r Retry) Option { return func(c *Client) { c.retry = r } }

// WithToken makes the answers at least as new as the position that text names. text comes from
// [Client.Token] of another client.
func WithToken(text string) Option { return func(c *Client) { c.token.saw(text) } }

// WithMaxAnswer sets the greatest size of an answer after decompression, in bytes. A larger one is
// an error, [ErrTooLarge]. Left out: 256 MiB. A backup has no limit.
func WithMaxAnswer(bytes int64) Option { return func(c *Client) { c.most = bytes } }

const (
	defaultMaxAnswer = 256 << 20
	maxProblem       = 1 << 20 // a problem has 100 faults at most
)

// New returns a client of the server at an address such as http://127.0.0.1:8080. The scheme
// may be left out, and the path /v1 may be given.
func New(server string, opts ...Option) (*Client, error) {
	address := server
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not the URL of a server, such as http://127.0.0.1:8080", server)
	}
	c := &Client{
		server: u.Scheme + "://" + u.Host + strings.TrimSuffix(strings.TrimSuffix(u.EscapedPath(), "/"), "/v1"),
		http:   http.DefaultClient, agent: "nearby-client", most: defaultMaxAnswer,
	}
	for _, o := range opts {
		o(c)
	}
	c.retry = c.retry.withDefaults()
	return c, nil
}

// Server returns the address of the server, without /v1.
func (c *Client) Server() string { return c.server }

// Token returns the latest position that an answer has named; "" before the first one. It is
// never older than what this client has written or read.
func (c *Client) Token() string { return c.token.text() }

// Ready returns the state of the server. The error is nil if requests may be sent to it; a
// degraded server, whose answers may be old, is ready. Ready does not wait and asks once.
func (c *Client) Ready(ctx context.Context) (Readiness, error) {
	r := newRequest(http.MethodGet, "/readyz", nil)
	var state Readiness
	a, err := c.once(ctx, r)
	if p, refused := errors.AsType[*Problem](err); refused && p.Status == http.StatusServiceUnavailable && decode(p.body, &state) == nil && state.Status != "" {
		p.Title, p.again = state.Reason, false // the caller wants the current state, so it is not asked again
		return state, p
	}
	if err != nil {
		return state, err
	}
	return state, a.decode(&state)
}

// Collections lists the collections by name.
func (c *Client) Collections(ctx context.Context, opts ...RequestOption) ([]Description, error) {
	a, err := c.send(ctx, newRequest(http.MethodGet, "/v1/collections", opts).asRead().aboutData())
	if err != nil {
		return nil, err
	}
	var list struct {
		Collections []wire.Collection `json:"collections"`
	}
	if err := a.decode(&list); err != nil {
		return nil, err
	}
	all := make([]Description, len(list.Collections))
	for i, d := range list.Collections {
		all[i].Collection = d
	}
	return all, nil
}

// Verify makes the server compare what it has in memory with the database that it shares with
// others, and repair what differs. It is refused (409) if nobody else writes the store.
func (c *Client) Verify(ctx context.Context) (*Verification, error) {
	a, err := c.send(ctx, newRequest(http.MethodPost, "/v1/verify", nil).asRead()) // comparing twice does no harm
	if err != nil {
		return nil, err
	}
	v := new(Verification)
	return v, a.decode(v)
}

// Backup writes a backup of the server's data folder to w. Without an error it is complete as
// far as HTTP can tell; "nearby restore --check" compares its checksums. It is asked for once.
// An error of w is returned as it is.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	r := newRequest(http.MethodPost, "/v1/backup", nil)
	r.header.Set("Accept-Encoding", "identity") // it is packed already
	resp, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	to := &target{w: w}
	if _, err := io.Copy(to, resp.Body); to.err == nil && err != nil {
		return broken(resp, err)
	}
	return to.err
}

// target is a writer that remembers its error. io.Copy does not say whether its error comes from the
// reader or the writer.
type target struct {
	w   io.Writer
	err error
}

// Write is part of io.Writer.
func (t *target) Write(b []byte) (n int, err error) {
	n, t.err = t.w.Write(b)
	return n, t.err
}

// Collection names a collection, which need not exist.
func (c *Client) Collection(name string) *Collection { return &Collection{c, name} }

// Retry says when a request that can be sent again is sent again.
type Retry struct {
	// Tries is how often a request is sent at most. 1: once; 0: 5 times.
	Tries int
	// Wait is how long to wait before the second try. It doubles each time, and varies by a
	// fifth. 0: 100 ms.
	Wait time.Duration
	// MaxWait is the longest wait. If the server asks for a longer one, the request is not
	// sent again. 0: 30 s.
	MaxWait time.Duration
}

func (r Retry) withDefaults() Retry {
	if r.Tries <= 0 {
		r.Tries = 5
	}
	if r.Wait <= 0 {
		r.Wait = 100 * time.Millisecond
	}
	if r.MaxWait <= 0 {
		r.MaxWait = 30 * time.Second
	}
	return r
}
