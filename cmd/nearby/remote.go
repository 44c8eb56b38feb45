package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"nearby/bench/httpbench"
	"nearby/client"
)

// remote is a server and what these commands ask of it, through the client that
// is generated from the interface's description.
type remote struct {
	base string // without a slash at the end
	v1   *client.Client
	root *client.Client // for /readyz, which stands outside /v1
	long *client.Client // for answers that may take any time
}

// maxAnswerBytes bounds what is read of an answer.
const maxAnswerBytes = 256 << 20

// newRemote checks the address of a server, which may be given with or without
// the scheme and the path /v1.
func newRemote(server string) (*remote, error) {
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, usagef("--server %q: must be the URL of a server, such as http://127.0.0.1:8080", server)
	}
	r := &remote{base: u.Scheme + "://" + u.Host + strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/v1")}
	doer := client.WithHTTPClient(&http.Client{
		Timeout: 10 * time.Minute, // of one request, its body included
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: maxInFlight,
			IdleConnTimeout: 30 * time.Second, ResponseHeaderTimeout: 10 * time.Minute,
		},
	})
	agent := client.WithRequestEditorFn(func(_ context.Context, req *http.Request) error {
		req.Header.Set("User-Agent", "nearby/"+programVersion())
		return nil
	})
	if r.v1, err = client.NewClient(r.base+"/v1", doer, agent); err != nil {
		return nil, err
	}
	if r.root, err = client.NewClient(r.base, doer, agent); err != nil {
		return nil, err
	}
	r.long, err = client.NewClient(r.base+"/v1", client.WithHTTPClient(new(http.Client)), agent)
	return r, err
}

// problem is an error that the server explained.
type problem struct {
	status     int
	cause      string // the last part of the type, such as store-unavailable; "": unknown
	sentence   string
	outcome    client.ProblemOutcome // of a write; "": unknown
	passes     bool                  // the same request may succeed later
	retryAfter time.Duration
	loaded     client.LoadReport // of a load that ended midway
	faults     []client.Fault
}

func (p *problem) Error() string {
	if p.cause == "" {
		return fmt.Sprintf("the server answers %d: %s", p.status, p.sentence)
	}
	said := fmt.Sprintf("the server answers %d (%s): %s", p.status, p.cause, p.sentence)
	if p.outcome == client.MayHaveBeenMade {
		said += "; the write may have been made"
	}
	return said
}

// brokenError says that a server was reached, and its answer was not.
type brokenError struct {
	base string
	err  error
}

func (e *brokenError) Error() string { return fmt.Sprintf("asking %s: %v", e.base, e.err) }
func (e *brokenError) Unwrap() error { return e.err }

// mayPass reports whether the same command may succeed later: the server says so of what
// it refused, or the connection broke.
func mayPass(err error) bool {
	var p *problem
	if errors.As(err, &p) {
		return p.passes
	}
	return errors.As(err, new(*brokenError))
}

// newProblem makes one sentence of a problem document.
func newProblem(resp *http.Response, body []byte) error {
	p := &problem{status: resp.StatusCode, sentence: http.StatusText(resp.StatusCode)}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		p.passes, p.retryAfter = true, time.Duration(s)*time.Second
	}
	var state client.Readiness // which says no by the same statuses
	if json.Unmarshal(body, &state) == nil && state.Reason != nil {
		p.sentence, p.passes = *state.Reason, false // who asks wants to know how it is now
		return p
	}
	var doc client.Problem
	if json.Unmarshal(body, &doc) != nil || doc.Title == "" { // of what stands before the server
		p.passes = p.passes || slices.Contains([]int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, p.status)
		return p
	}
	p.cause = path.Base(doc.Type)
	p.outcome, p.loaded = deref(doc.Outcome), deref(doc.Loaded)
	p.sentence = cmp.Or(deref(doc.Detail), doc.Title)
	if doc.Errors == nil {
		return p
	}
	p.faults = *doc.Errors
	var parts []string
	for _, e := range p.faults {
		f := fault{Field: cmp.Or(deref(e.Parameter), deref(e.Field)), Got: deref(e.Got), Reason: e.Reason, Hint: deref(e.Hint)}
		parts = append(parts, f.what())
	}
	if len(parts) > 0 {
		p.sentence = strings.Join(parts, "; ")
	}
	return p
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// status returns the HTTP status that the server refused with, or 0.
func status(err error) int {
	var p *problem
	if errors.As(err, &p) {
		return p.status
	}
	return 0
}

// read returns the body of a good answer.
func (r *remote) read(resp *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, r.explain(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	if err != nil {
		return nil, &brokenError{r.base, err}
	}
	if len(data) > maxAnswerBytes {
		return nil, fmt.Errorf("the answer of %s has more than %d bytes", r.base, maxAnswerBytes)
	}
	if resp.StatusCode >= 400 {
		return nil, newProblem(resp, data)
	}
	return data, nil
}

// explain turns a failure to reach the server into a sentence.
func (r *remote) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no server answers at %s: start one with \"nearby serve\", or name another with --server", r.base)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if dial := (*net.OpError)(nil); errors.As(err, &dial) && dial.Op == "dial" {
		return fmt.Errorf("asking %s: %w", r.base, err)
	}
	return &brokenError{r.base, err}
}

// ready returns nil if the server can answer queries, and its state in words.
func (r *remote) ready(ctx context.Context) (string, error) {
	data, err := r.read(r.root.GetReady(ctx))
	if err != nil {
		return "", err
	}
	var state client.Readiness
	if err := json.Unmarshal(data, &state); err != nil {
		return "", fmt.Errorf("the answer of %s cannot be read: %w", r.base, err)
	}
	if state.Reason == nil {
		return string(state.Status), nil
	}
	return string(state.Status) + ": " + *state.Reason, nil
}

// verify makes the server compare what it has with the database.
func (r *remote) verify(ctx context.Context, patience time.Duration) (*client.Verification, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	data, err := r.read(r.v1.Verify(ctx))
	if err != nil {
		return nil, err
	}
	v := new(client.Verification)
	if err := json.Unmarshal(data, v); err != nil {
		return nil, fmt.Errorf("the answer of %s cannot be read: %w", r.base, err)
	}
	return v, nil
}

// collection looks a collection up, as it is on the newest of several servers.
func (r *remote) collection(ctx context.Context, name string) (*found, error) {
	strong := client.GetCollectionParamsConsistency("strong")
	resp, err := r.v1.GetCollection(ctx, name, &client.GetCollectionParams{Consistency: &strong})
	data, err := r.read(resp, err)
	if status(err) == http.StatusNotFound {
		return new(found), nil
	}
	if err != nil {
		return nil, err
	}
	f := &found{exists: true, tag: resp.Header.Get("ETag")}
	if err := json.Unmarshal(data, &f.def); err != nil {
		return nil, fmt.Errorf("the answer of %s cannot be read: %w", r.base, err)
	}
	return f, nil
}

// create makes a collection. It is refused with 412 if there is one.
func (r *remote) create(ctx context.Context, name string, def client.Definition) error {
	none := "*"
	_, err := r.read(r.v1.PutCollection(ctx, name, &client.PutCollectionParams{IfNoneMatch: &none}, def))
	return err
}

// patch changes a collection's definition. It is refused with 412 if that is not in the
// version of the tag.
func (r *remote) patch(ctx context.Context, name string, patch client.DefinitionPatch, tag string) error {
	_, err := r.read(r.v1.PatchCollection(ctx, name, &client.PatchCollectionParams{IfMatch: &tag}, patch))
	return err
}

// load sends a batch. It waits and tries again while the server says that it may
// succeed later: each row has an id, so a row that arrives twice is the same item. Where
// a row that arrives twice is refused, it tries again only if nothing was written. With
// an error, the answer is what the server had loaded by then, as far as it says. If
// abort is set, the first bad row ends the batch; it is in the answer.
func (r *remote) load(ctx context.Context, name string, existing client.PostItemsParamsOnExisting, abort bool, body []byte) (answer client.LoadReport, err error) {
	const tries = 8
	wait := 100 * time.Millisecond
	params := &client.PostItemsParams{}
	if existing != client.PostItemsParamsOnExistingReplace { // the default, which every server knows
		params.OnExisting = &existing
	}
	if abort {
		end := client.PostItemsParamsOnErrorAbort
		params.OnError = &end
	}
	for try := 1; ; try++ {
		data, err := r.read(r.v1.PostItemsWithBody(ctx, name, params, "application/x-ndjson", bytes.NewReader(body)))
		if err == nil {
			if err := json.Unmarshal(data, &answer); err != nil {
				return answer, fmt.Errorf("the answer of %s cannot be read: %w", r.base, err)
			}
			return answer, nil
		}
		var p *problem
		if !errors.As(err, &p) {
			return answer, err
		}
		if abort && p.loaded.Rejected > 0 {
			p.loaded.Errors = p.faults
			return p.loaded, nil
		}
		once := existing == client.PostItemsParamsOnExistingFail && p.outcome != client.NotMade
		if !p.passes || once || try == tries {
			return p.loaded, err
		}
		select {
		case <-time.After(min(max(wait, p.retryAfter), 10*time.Second)):
		case <-ctx.Done():
			return answer, ctx.Err()
		}
		wait *= 2
	}
}

// nearby asks for the nearest items; the answer is GeoJSON. where adds
// conditions on properties.
func (r *remote) nearby(ctx context.Context, name string, params client.GetNearbyParams, where url.Values) ([]byte, error) {
	return r.read(r.v1.GetNearby(ctx, name, &params, func(_ context.Context, req *http.Request) error {
		// The generated parameters cannot repeat a name.
		q := req.URL.Query()
		for name, values := range where {
			q[name] = values
		}
		req.URL.RawQuery = q.Encode()
		return nil
	}))
}

// places returns the positions of up to n items.
func (r *remote) places(ctx context.Context, name string, n int) ([]httpbench.Position, error) {
	body, err := r.read(r.v1.ListItems(ctx, name, &client.ListItemsParams{Limit: &n}))
	if err != nil {
		return nil, r.explain(err)
	}
	var page client.FeatureCollection
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, fmt.Errorf("the answer of %s cannot be read: %w", r.base, err)
	}
	places := make([]httpbench.Position, 0, len(page.Features))
	for _, f := range page.Features {
		if c := f.Geometry.Coordinates; len(c) >= 2 {
			places = append(places, httpbench.Position{Lon: c[0], Lat: c[1]})
		}
	}
	if len(places) == 0 {
		return nil, fmt.Errorf("the collection %q has no items", name)
	}
	return places, nil
}
