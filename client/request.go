package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sethvargo/go-retry"
)

// request is a request as it is sent, perhaps several times.
type request struct {
	method string
	path   string // below the server's address, encoded
	query  url.Values
	header http.Header
	// open returns the body from its beginning. nil: there is none.
	open func(context.Context) (io.Reader, error)
	// answered: if an answer says that the request may succeed later, it may be sent again,
	// although something may have been made. broken: so it may if no answer came.
	answered, broken bool
	spent            bool  // it cannot be sent again, since its body is gone
	data             bool  // it is about collections, whose answers name a position
	err              error // of an option
}

func newRequest(method, path string, opts []RequestOption) *request {
	r := &request{method: method, path: path, query: url.Values{}, header: http.Header{}}
	for _, o := range opts {
		o(r)
	}
	return r
}

// asRead says that the request changes nothing.
func (r *request) asRead() *request {
	r.answered, r.broken = true, true
	return r
}

// aboutData says that the request is about collections.
func (r *request) aboutData() *request {
	r.data = true
	return r
}

// keyed gives a write of an item the key by which it is made once, unless the caller has
// chosen one, or none.
func (r *request) keyed() *request {
	if _, chosen := r.header[headerKey]; !chosen {
		Key(rand.Text())(r)
	}
	if r.header.Get(headerKey) == "" {
		r.header.Del(headerKey)
		return r
	}
	r.answered, r.broken = true, true
	return r
}

// with gives the request a body that can be sent again.
func (r *request) with(contentType string, body []byte) *request {
	r.header.Set("Content-Type", contentType)
	r.open = func(context.Context) (io.Reader, error) { return bytes.NewReader(body), nil }
	return r
}

// unsafe reports whether the request must not be sent again after an error.
func (r *request) unsafe(err error) bool {
	if r.spent {
		return true
	}
	if p, refused := errors.AsType[*Problem](err); refused {
		return !p.again || !r.answered && p.Outcome != NotMade
	}
	if _, invalid := errors.AsType[*tls.CertificateVerificationError](err); invalid {
		return true
	}
	if unknown, ok := errors.AsType[*net.DNSError](err); ok && unknown.IsNotFound {
		return true
	}
	if _, sent := errors.AsType[*url.Error](err); !sent {
		return true // it was not sent, or its answer is of no use
	}
	return !r.broken && !neverSent(err)
}

// neverSent reports whether no connection was made.
func neverSent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	server string
}

// decode reads the body of an answer.
func (a *answer) decode(to any) error {
	if err := decode(a.body, to); err != nil {
		return fmt.Errorf("the answer of %s cannot be read: %w", a.server, err)
	}
	return nil
}

// send sends a request until it is answered, or must not be sent again.
func (c *Client) send(ctx context.Context, r *request) (a *answer, err error) {
	var last error
	var asked time.Duration // of the last answer
	waits := retry.WithMaxRetries(uint64(c.retry.Tries-1), retry.WithCappedDuration(c.retry.MaxWait, retry.WithJitterPercent(20, retry.NewExponential(c.retry.Wait))))
	next := retry.BackoffFunc(func() (time.Duration, bool) {
		wait, stop := waits.Next()
		return max(wait, asked), stop || asked > c.retry.MaxWait
	})
	err = retry.Do(ctx, next, func(ctx context.Context) error {
		asked = 0
		if a, last = c.once(ctx, r); last == nil || ctx.Err() != nil || r.unsafe(last) {
			return last
		}
		if p, refused := errors.AsType[*Problem](last); refused {
			asked = p.RetryAfter
		}
		return retry.RetryableError(last)
	})
	if err != nil && last != nil && !errors.Is(err, last) { // the context ended while it waited
		err = fmt.Errorf("%w, after: %w", err, last)
	}
	return a, err
}

// once sends a request once, and reads its answer.
func (c *Client) once(ctx context.Context, r *request) (*answer, error) {
	resp, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := c.read(resp, c.most)
	if err != nil {
		return nil, err
	}
	return &answer{resp.StatusCode, resp.Header, body, c.server}, nil
}

// do sends a request once. An answer that refuses it is an error.
func (c *Client) do(ctx context.Context, r *request) (*http.Response, error) {
	if r.err != nil {
		return nil, r.err
	}
	address := c.server + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.open != nil {
		var err error
		if body, err = r.open(ctx); err != nil {
			return nil, err
		}
		if given, ok := body.(interface{ release() }); ok {
			defer given.release()
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return nil, err
	}
	req.Header = r.header.Clone()
	req.Header.Set("User-Agent", c.agent)
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key) // which http.Client does not take along to another host
	}
	if after := c.token.text(); after != "" && r.data {
		req.Header.Set(headerAfter, after)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if r.data {
		c.token.saw(resp.Header.Get(headerToken))
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp, nil
	}
	defer resp.Body.Close()
	text, err := c.read(resp, min(c.most, maxProblem))
	if err != nil && !errors.Is(err, ErrTooLarge) {
		return nil, err
	}
	return nil, newProblem(resp, text)
}

// read reads the body of an answer, if it has at most so many bytes.
func (c *Client) read(resp *http.Response, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return nil, broken(resp, err)
	}
	if int64(len(body)) > most {
		return nil, fmt.Errorf("%w: that of %s has more than %d bytes", ErrTooLarge, c.server, most)
	}
	return body, nil
}

// broken is the error of an answer that broke off, as http.Client has those before an answer.
func broken(resp *http.Response, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	method := resp.Request.Method
	return &url.Error{Op: method[:1] + strings.ToLower(method[1:]), URL: resp.Request.URL.Redacted(), Err: err}
}

// escape makes one element of a path. Dots alone would be taken for a way up.
func escape(element string) string {
	if element == "." || element == ".." {
		return strings.ReplaceAll(element, ".", "%2E")
	}
	return url.PathEscape(element)
}
