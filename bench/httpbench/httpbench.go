// Package httpbench measures how much of what HTTP allows a running service
// gets out of it: its queries a second beside those of a handler that does
// nothing but send the same bytes, on the same machine, with the same client,
// in one run.
//
// The handler runs in a process of its own, as the service does: one that shares
// its process with the client would be woken by it without the kernel's help.
//
// The two are measured in turns of a fraction of a second, so that a machine
// that is busy for a while slows both. The client shares the machine, and thus
// the CPUs, with the server: the ratio means more than the rates.
package httpbench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Defaults and limits.
const (
	DefaultConnections = 8
	DefaultDuration    = 4 * time.Second // of all turns together
	MaxDuration        = 10 * time.Minute
	maxConnections     = 256
	maxBody            = 64 << 20 // of an answer
	maxTimes           = 1 << 22  // requests whose times are kept
	turns              = 8        // of each side
)

// Position is a place in degrees.
type Position struct{ Lon, Lat float64 }

// Options say what to measure.
type Options struct {
	// Base is the service's URL, e.g. http://127.0.0.1:8080.
	Base string
	// Collection is asked.
	Collection string
	// K is the number of neighbours; 0: 10.
	K int
	// Centres of the queries, asked in turn; nil: the whole Earth, at random.
	Centres []Position
	// Seed of the random centres.
	Seed uint64
	// Connections is how many clients ask at once; 0: DefaultConnections.
	Connections int
	// Duration of the whole run; 0: DefaultDuration.
	Duration time.Duration
	// Floor is the command of a program that calls ServeFloor; nil: the handler
	// runs in this process, which flatters it.
	Floor []string
	// Step is called before each turn, and the run ends with its error; nil: none.
	Step func(doing string) error
	// AllowRemote lets Base be a machine other than this one. A load test of
	// somebody else's service is not for a slip of the keyboard.
	AllowRemote bool
}

// Steps is how often Run calls Options.Step.
const Steps = 1 + turns

// Side is what was found about one of the two.
type Side struct {
	Requests int           `json:"requests"`
	Rate     float64       `json:"perSecond"`
	P50      time.Duration `json:"p50Ns"`
	P99      time.Duration `json:"p99Ns"`
}

// Result is the comparison.
type Result struct {
	URL     string  `json:"url"`
	Bytes   int     `json:"bytes"` // of the answer that the empty handler sends
	Service Side    `json:"service"`
	Empty   Side    `json:"empty"`
	Ratio   float64 `json:"ratio"` // Service.Rate / Empty.Rate
}

// ErrNotLoopback: the base URL is another machine's.
var ErrNotLoopback = errors.New("httpbench: not an address of this machine")

// Run measures until the duration is over or ctx ends, which is an error. Any
// answer other than 200 ends the run with an error.
func Run(ctx context.Context, o Options) (*Result, error) {
	o, err := o.withDefaults(ctx)
	if err != nil {
		return nil, err
	}
	service := o.urls()
	client := &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			MaxIdleConns: 2 * o.Connections, MaxIdleConnsPerHost: o.Connections, MaxConnsPerHost: o.Connections,
			DisableCompression: true,
		},
	}
	defer client.CloseIdleConnections()

	body, header, err := sample(ctx, client, service)
	if err != nil {
		return nil, err
	}
	base, stop, err := o.startFloor(floor{header.Get("Content-Type"), body})
	if err != nil {
		return nil, err
	}
	defer stop()
	// The same paths and queries, so that both parse the same request.
	empty := make([]string, len(service))
	for i, u := range service {
		empty[i] = base + u[len(o.Base):]
	}

	result := &Result{URL: service[0], Bytes: len(body)}
	sides := [2]struct {
		urls  []string
		times []time.Duration
		spent time.Duration
	}{{urls: service}, {urls: empty}}
	turn := o.Duration / (2 * turns)
	step := o.Step
	if step == nil {
		step = func(string) error { return ctx.Err() }
	}
	if err := step("warm up"); err != nil {
		return nil, err
	}
	// One turn of each to warm up, a quarter as long, which does not count.
	for i := range sides {
		if _, err := load(ctx, client, sides[i].urls, o.Connections, turn/4, maxTimes); err != nil {
			return nil, err
		}
	}
	for n := range turns {
		if err := step(fmt.Sprintf("turn %d of %d", n+1, turns)); err != nil {
			return nil, err
		}
		for i := range sides {
			s := &sides[i]
			start := time.Now()
			times, err := load(ctx, client, s.urls, o.Connections, turn, maxTimes/turns)
			if err != nil {
				return nil, err
			}
			s.spent += time.Since(start)
			s.times = append(s.times, times...)
		}
	}
	result.Service = side(sides[0].times, sides[0].spent)
	result.Empty = side(sides[1].times, sides[1].spent)
	result.Ratio = result.Service.Rate / result.Empty.Rate
	return result, nil
}

// Check returns what is wrong with the options, without asking the service.
func (o Options) Check(ctx context.Context) error {
	_, err := o.withDefaults(ctx)
	return err
}

func (o Options) withDefaults(ctx context.Context) (Options, error) {
	if o.Connections == 0 {
		o.Connections = DefaultConnections
	}
	if o.Duration == 0 {
		o.Duration = DefaultDuration
	}
	if o.K == 0 {
		o.K = 10
	}
	switch {
	case o.Connections < 1 || o.Connections > maxConnections:
		return o, fmt.Errorf("httpbench: %d connections, must be from 1 to %d", o.Connections, maxConnections)
	case o.Duration < 0 || o.Duration > MaxDuration:
		return o, fmt.Errorf("httpbench: duration is %v, must be at most %v", o.Duration, MaxDuration)
	case o.K < 0:
		return o, fmt.Errorf("httpbench: k is %d, must not be negative", o.K)
	case o.Collection == "":
		return o, errors.New("httpbench: no collection was named")
	}
	u, err := url.Parse(o.Base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return o, fmt.Errorf("httpbench: %q is not the base URL of a service, such as http://127.0.0.1:8080", o.Base)
	}
	for len(o.Base) > 0 && o.Base[len(o.Base)-1] == '/' {
		o.Base = o.Base[:len(o.Base)-1]
	}
	if !o.AllowRemote {
		return o, checkLoopback(ctx, u.Hostname())
	}
	return o, nil
}

// checkLoopback reports whether every address of a host is this machine's own.
func checkLoopback(ctx context.Context, host string) error {
	addresses, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return fmt.Errorf("httpbench: %w", err)
	}
	for _, a := range addresses {
		if !a.IP.IsLoopback() {
			return fmt.Errorf("%w: %s is %s", ErrNotLoopback, host, a.IP)
		}
	}
	return nil
}

// Places returns the positions of up to n items of the collection, to be the
// centres of queries: near to its items, as most queries are.
func (o Options) Places(ctx context.Context, n int) ([]Position, error) {
	o, err := o.withDefaults(ctx)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	var body bytes.Buffer
	if _, err := get(ctx, client, o.Base+"/v1/collections/"+url.PathEscape(o.Collection)+"/items?properties=&limit="+strconv.Itoa(n), &body); err != nil {
		return nil, err
	}
	var page struct {
		Features []struct {
			Geometry struct{ Coordinates []float64 }
		}
	}
	if err := json.Unmarshal(body.Bytes(), &page); err != nil {
		return nil, fmt.Errorf("httpbench: the items of the collection %q: %w", o.Collection, err)
	}
	var list []Position
	for _, f := range page.Features {
		if c := f.Geometry.Coordinates; len(c) >= 2 {
			list = append(list, Position{Lon: c[0], Lat: c[1]})
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("httpbench: the collection %q has no items", o.Collection)
	}
	return list, nil
}

// urls returns the requests to make, in turn.
func (o Options) urls() []string {
	centres := o.Centres
	if len(centres) == 0 {
		r := rand.New(rand.NewPCG(o.Seed, 3))
		for range 1000 {
			centres = append(centres, Position{360*r.Float64() - 180, 180*r.Float64() - 90})
		}
	}
	list := make([]string, len(centres))
	for i, c := range centres {
		list[i] = o.Base + "/v1/collections/" + url.PathEscape(o.Collection) + "/nearby?lat=" +
			strconv.FormatFloat(c.Lat, 'f', 7, 64) + "&lon=" + strconv.FormatFloat(c.Lon, 'f', 7, 64) + "&k=" + strconv.Itoa(o.K)
	}
	return list
}

// sample returns the answer of middling size among the first few.
func sample(ctx context.Context, client *http.Client, urls []string) ([]byte, http.Header, error) {
	type answer struct {
		body   []byte
		header http.Header
	}
	var answers []answer
	for _, u := range urls[:min(15, len(urls))] {
		var b bytes.Buffer
		header, err := get(ctx, client, u, &b)
		if err != nil {
			return nil, nil, err
		}
		answers = append(answers, answer{b.Bytes(), header})
	}
	slices.SortFunc(answers, func(a, b answer) int { return len(a.body) - len(b.body) })
	a := answers[len(answers)/2]
	return a.body, a.header, nil
}

// get makes one request and copies the answer's body.
func get(ctx context.Context, client *http.Client, u string, to io.Writer) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, fmt.Errorf("httpbench: %w", err)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("httpbench: %w", err)
	}
	defer res.Body.Close()
	n, err := io.Copy(to, io.LimitReader(res.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("httpbench: read %s: %w", u, err)
	case n > maxBody:
		return nil, fmt.Errorf("httpbench: the answer of %s has more than %d bytes", u, maxBody)
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("httpbench: %s answers %s", u, res.Status)
	}
	return res.Header, nil
}

// load makes requests over several connections for a time and returns how long
// each took, at most most of them.
func load(ctx context.Context, client *http.Client, urls []string, connections int, d time.Duration, most int) ([]time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	end := time.Now().Add(d)
	results := make([][]time.Duration, connections)
	var wg sync.WaitGroup
	for c := range connections {
		wg.Go(func() {
			for i := c * len(urls) / connections; len(results[c]) < most/connections; i++ {
				start := time.Now()
				if start.After(end) {
					return
				}
				if _, err := get(ctx, client, urls[i%len(urls)], io.Discard); err != nil {
					cancel(err)
					return
				}
				results[c] = append(results[c], time.Since(start))
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return slices.Concat(results...), nil
}

// side sums up the times of one side.
func side(times []time.Duration, spent time.Duration) Side {
	if len(times) == 0 {
		return Side{}
	}
	slices.Sort(times)
	at := func(percent int) time.Duration { return times[(len(times)-1)*percent/100] }
	return Side{Requests: len(times), Rate: float64(len(times)) / spent.Seconds(), P50: at(50), P99: at(99)}
}
