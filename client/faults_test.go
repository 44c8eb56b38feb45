package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nearby/api"
	"nearby/client"
)

// breaker is a TCP proxy that cuts connections: after so many bytes of a request or of an answer,
// at random.
type breaker struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	rng      *rand.Rand
	share    float64 // of connections that are cut
	cuts     atomic.Int64
	links    sync.WaitGroup
}

// startBreaker starts a proxy before a server. It ends with the test.
func startBreaker(t *testing.T, server string, seed uint64, share float64) *breaker {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &breaker{listener: l, target: u.Host, rng: rand.New(rand.NewPCG(seed, 1)), share: share}
	b.links.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.links.Go(func() { b.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close() })
	return b
}

func (b *breaker) address() string { return "http://" + b.listener.Addr().String() }

// draw returns how many bytes go to the server and come from it before the cut; -1: there is none.
func (b *breaker) draw() (up, down int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	up, down = -1, -1
	if b.rng.Float64() < b.share {
		if b.rng.IntN(2) == 0 {
			up = b.rng.Int64N(600)
		} else {
			down = b.rng.Int64N(900)
		}
	}
	return up, down
}

func (b *breaker) serve(c net.Conn) {
	s, err := net.Dial("tcp", b.target)
	if err != nil {
		_ = c.Close()
		return
	}
	up, down := b.draw()
	var once sync.Once
	end := func() { once.Do(func() { _, _ = c.Close(), s.Close() }) }
	pass := func(to, from net.Conn, most int64) {
		if most >= 0 {
			n, _ := io.CopyN(to, from, most)
			if n == most {
				b.cuts.Add(1)
			}
		} else {
			_, _ = io.Copy(to, from)
		}
		end()
	}
	b.links.Go(func() { pass(s, c, up) })
	pass(c, s, down)
}

// dial returns a client that goes through the proxy by a new connection each time.
func (b *breaker) dial(t *testing.T, opts ...client.Option) *client.Client {
	t.Helper()
	h := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	c, err := client.New(b.address(), append([]client.Option{client.WithHTTPClient(h), client.WithRetry(client.Retry{Tries: 30, Wait: time.Millisecond, MaxWait: 2 * time.Second})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestMadeOnce: while connections break at any moment, each write that is acknowledged was made
// once, and every write is acknowledged in the end: counters that are raised on conditions count
// the acknowledgements, and items that the server names are as many as were inserted.
func TestMadeOnce(t *testing.T) {
	t.Parallel()
	const workers, rounds, counters = 4, 25, 3
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	address := serve(t, api.Limits{}, nil)
	b := startBreaker(t, address, seed, 0.5)
	direct, err := client.New(address)
	if err != nil {
		t.Fatal(err)
	}
	places := direct.Collection("c")
	if _, err := places.Create(t.Context(), client.Definition{}); err != nil {
		t.Fatal(err)
	}
	type count struct{ N int }
	item := func(n int, v count) client.Item {
		it, err := client.NewItem(fmt.Sprint("counter ", n), 1, 2, v)
		if err != nil {
			t.Fatal(err)
		}
		return it
	}
	for n := range counters {
		if _, err := places.PutItem(t.Context(), item(n, count{}), client.IfAbsent()); err != nil {
			t.Fatal(err)
		}
	}
	var made [counters]atomic.Int64
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			c := b.dial(t).Collection("c")
			for round := range rounds {
				n := (w + round) % counters
				for {
					it, err := c.GetItem(t.Context(), fmt.Sprint("counter ", n))
					if err != nil {
						t.Errorf("reading: %v", err)
						return
					}
					var v count
					if err := it.Decode(&v); err != nil {
						t.Error(err)
						return
					}
					v.N++
					if round%2 == 0 {
						_, err = c.PutItem(t.Context(), item(n, v), client.IfMatch(it.ETag))
					} else {
						_, err = c.PatchItem(t.Context(), it.ID, map[string]any{"properties": map[string]any{"N": v.N}}, client.IfMatch(it.ETag))
					}
					if errors.Is(err, client.ErrConflict) { // another was faster
						continue
					}
					if err != nil {
						t.Errorf("raising: %v", err)
						return
					}
					made[n].Add(1)
					break
				}
				if _, err := c.InsertItem(t.Context(), client.Item{Lat: 3, Lon: 4}); err != nil {
					t.Errorf("inserting: %v", err)
				}
				gone := fmt.Sprintf("gone %d %d", w, round)
				if _, err := c.InsertItem(t.Context(), client.Item{ID: gone}); err != nil { // not ErrExists: it was not there
					t.Errorf("inserting %s: %v", gone, err)
				}
				if err := c.DeleteItem(t.Context(), gone); err != nil { // not ErrNotFound: it was there
					t.Errorf("deleting %s: %v", gone, err)
				}
			}
		})
	}
	all.Wait()
	for n := range counters {
		it, err := places.GetItem(t.Context(), fmt.Sprint("counter ", n))
		if err != nil {
			t.Fatal(err)
		}
		var v count
		if err := it.Decode(&v); err != nil || int64(v.N) != made[n].Load() {
			t.Errorf("counter %d is %d after %d acknowledged writes, %v", n, v.N, made[n].Load(), err)
		}
	}
	d, err := places.Describe(t.Context())
	if err != nil || d.ItemCount != counters+workers*rounds {
		t.Errorf("%d items, want %d, %v", d.ItemCount, counters+workers*rounds, err)
	}
	if b.cuts.Load() < workers*rounds {
		t.Errorf("only %d connections were cut", b.cuts.Load())
	}
}

// TestUnkeyedWritesComeOnce is the control of TestMadeOnce: without a key nothing is sent again
// that may have arrived.
func TestUnkeyedWritesComeOnce(t *testing.T) {
	t.Parallel()
	var writes atomic.Int64
	address := serve(t, api.Limits{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				writes.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	})
	direct, err := client.New(address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := direct.Collection("c").Create(t.Context(), client.Definition{}); err != nil {
		t.Fatal(err)
	}
	c := startBreaker(t, address, rand.Uint64(), 0.8).dial(t).Collection("c")
	calls, failed := 0, 0
	for range 60 {
		calls++
		if _, err := c.InsertItem(t.Context(), client.Item{}, client.NoKey()); err != nil {
			failed++
		}
		calls++
		if _, err := c.Load(t.Context(), client.CSV, strings.NewReader(shops), client.Repeatable()); err != nil {
			failed++
		}
	}
	if n := writes.Load(); n > int64(calls) || failed == 0 {
		t.Errorf("%d calls, %d of them failed, came as %d requests", calls, failed, n)
	}
}

// TestPagesThroughFaults: what is read page by page while connections break is what is there.
func TestPagesThroughFaults(t *testing.T) {
	t.Parallel()
	address := serve(t, api.Limits{}, nil)
	direct, err := client.New(address)
	if err != nil {
		t.Fatal(err)
	}
	want := fill(t, direct.Collection("c"), 300)
	b := startBreaker(t, address, rand.Uint64(), 0.4)
	c := b.dial(t).Collection("c")
	seen := map[string]bool{}
	for it, err := range c.Items(t.Context(), client.Limit(7)) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[it.ID] {
			t.Errorf("%s comes twice", it.ID)
		}
		seen[it.ID] = true
	}
	if len(seen) != len(want) || b.cuts.Load() == 0 {
		t.Errorf("%d items, want %d; %d connections were cut", len(seen), len(want), b.cuts.Load())
	}
}

// fill makes a collection of n items in random places, of which some are at the same place.
func fill(t *testing.T, c *client.Collection, n int) (all []client.Item) {
	t.Helper()
	if _, err := c.Create(t.Context(), client.Definition{Queryables: client.Queryables{{Name: "kind"}}}); err != nil {
		t.Fatal(err)
	}
	var rows strings.Builder
	for i := range n {
		it := client.Item{ID: fmt.Sprint("i", i), Lat: rand.Float64()*170 - 85, Lon: rand.Float64()*360 - 180}
		if i > 0 && i%5 == 0 {
			it.Lat, it.Lon = all[i-1].Lat, all[i-1].Lon
		}
		it.Properties = json.RawMessage(fmt.Sprintf(`{"kind":"k%d","number":9007199254740993}`, i%3))
		all = append(all, it)
		fmt.Fprintf(&rows, `{"type":"Feature","id":%q,"geometry":{"type":"Point","coordinates":[%v,%v]},"properties":%s}`+"\n", it.ID, it.Lon, it.Lat, it.Properties)
	}
	report, err := c.Load(t.Context(), client.NDJSON, strings.NewReader(rows.String()))
	if err != nil || report.Created != n {
		t.Fatal(report, err)
	}
	return all
}
