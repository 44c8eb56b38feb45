package api_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dunglas/httpsfv"

	"nearby/api"
)

// limit reads a header with the limits: a list of names with numbers.
func limit(t *testing.T, a *answer, header string) map[string]map[string]int64 {
	t.Helper()
	list, err := httpsfv.UnmarshalList(a.header.Values(header))
	if err != nil {
		t.Fatalf("%s: %q: %v", header, a.header.Values(header), err)
	}
	all := map[string]map[string]int64{}
	for _, member := range list {
		item := member.(httpsfv.Item)
		numbers := map[string]int64{}
		for _, name := range item.Params.Names() {
			v, _ := item.Params.Get(name)
			if n, ok := v.(int64); ok {
				numbers[name] = n
			}
		}
		all[item.Value.(string)] = numbers
	}
	return all
}

// TestRateLimit: an address has so many requests; after these it is refused, and told when to come
// again. Health is free. Other addresses have their own, also behind a trusted proxy.
func TestRateLimit(t *testing.T) {
	h := start(t, api.Options{RateRequests: api.Rate{Quota: 3, Window: time.Hour}, TrustProxy: []string{"127.0.0.1", "10.0.0.0/8"}, CORSOrigins: []string{"*"}})
	for i := range 3 {
		a := h.do("GET", "/v1/collections", "", "", "Origin", "https://maps.example").want(t, 200)
		if policy, left := limit(t, a, "RateLimit-Policy"), limit(t, a, "RateLimit"); len(policy) != 1 || policy["requests"]["q"] != 3 || policy["requests"]["w"] != 3600 ||
			left["requests"]["r"] != int64(2-i) || left["requests"]["t"] > int64(1200*(i+1)) || left["requests"]["t"] < int64(1200*i) {
			t.Errorf("request %d: %v", i, a.header)
		}
		if exposed := a.header.Get("Access-Control-Expose-Headers"); !strings.Contains(strings.ToLower(exposed), "ratelimit-policy") {
			t.Errorf("pages may not read the limits: %s", exposed)
		}
	}
	refused := h.do("PUT", "/v1/collections/c", "application/json", "{}").want(t, 429)
	if wait, err := strconv.Atoi(refused.header.Get("Retry-After")); err != nil || wait < 1 || wait > 1200 || limit(t, refused, "RateLimit")["requests"]["r"] != 0 {
		t.Errorf("refused with %v", refused.header)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if a := h.do("GET", path, "", "").want(t, 200); a.header.Get("RateLimit") != "" {
			t.Errorf("%s is counted", path)
		}
	}
	if n := h.server.RateLimited(); n != 1 {
		t.Errorf("%d requests are counted as refused", n)
	}
	for _, from := range []struct {
		headers []string
		left    int64
	}{
		{[]string{"X-Forwarded-For", "192.0.2.1"}, 2},
		{[]string{"X-Forwarded-For", "192.0.2.1, 10.1.2.3"}, 1},               // a trusted proxy before the last
		{[]string{"X-Forwarded-For", "198.51.100.9, 192.0.2.1, 10.1.2.3"}, 0}, // what a client sends itself does not count
		{[]string{"X-Forwarded-For", "10.9.9.9"}, 2},
		{[]string{"Forwarded", `for="[2001:db8::1]:4711"`}, 2},
		{[]string{"Forwarded", `for="[2001:db8:0:0:1::2]", for=10.1.1.1`}, 1}, // of the same /64
		{[]string{"Forwarded", `for="[2001:db8:0:1::1]"`}, 2},
		{[]string{"Forwarded", `for="[::ffff:192.0.2.7]"`}, 2},
		{[]string{"X-Forwarded-For", "192.0.2.7"}, 1},
	} {
		if a := h.do("GET", "/v1/collections", "", "", from.headers...).want(t, 200); limit(t, a, "RateLimit")["requests"]["r"] != from.left {
			t.Errorf("%q: %s, want %d", from.headers, a.header.Get("RateLimit"), from.left)
		}
	}
	for _, hidden := range [][]string{{"Forwarded", "for=_hidden"}, {"Forwarded", "for=unknown"}, {"X-Forwarded-For", "what"}, nil} {
		h.do("GET", "/v1/collections", "", "", hidden...).want(t, 429) // they share the bucket of the proxy
	}
}

// TestRateCost: who has used more of the server's time than allowed gets no more until that is
// over. Waiting does not count.
func TestRateCost(t *testing.T) {
	h := start(t, api.Options{RateWork: api.Rate{Quota: 1, Window: time.Hour}, TrustProxy: []string{"127.0.0.1"}})
	var rows strings.Builder
	rows.WriteString("id,lat,lon,text\n")
	for i := range 20_000 {
		fmt.Fprintf(&rows, "%d,%d,2,%s\n", i, i%90, strings.Repeat("x", 100))
	}
	h.do("PUT", "/v1/collections/c", "application/json", "{}", "X-Forwarded-For", "192.0.2.1").want(t, 201)
	h.do("POST", "/v1/collections/c/items", "text/csv", rows.String(), "X-Forwarded-For", "192.0.2.2").want(t, 200)
	a := h.do("GET", "/v1/collections/c/items?limit=10000", "", "", "X-Forwarded-For", "192.0.2.2").want(t, 429)
	if policy := limit(t, a, "RateLimit-Policy"); policy["work"]["q"] != 1 || limit(t, a, "RateLimit")["work"]["r"] != 0 || a.header.Get("Retry-After") == "" {
		t.Errorf("refused with %v", a.header)
	}
	h.do("GET", "/v1/collections/c", "", "", "X-Forwarded-For", "192.0.2.3").want(t, 200)
}

// TestRateArithmetic: a bucket fills evenly, holds no more than its quota, and lets go at exactly the
// time that it tells.
func TestRateArithmetic(t *testing.T) {
	r := api.NewRateTest(t, api.Rate{Quota: 10, Window: time.Second}, api.Rate{Quota: 500, Window: time.Second})
	for range 10 {
		if wait := r.Take("192.0.2.1", 0); wait != 0 {
			t.Fatalf("one of the first ten waits %v", wait)
		}
	}
	wait := r.Take("192.0.2.1", 0)
	if wait != 100*time.Millisecond {
		t.Errorf("the eleventh waits %v", wait)
	}
	if again := r.Take("192.0.2.1", wait-1); again != 1 {
		t.Errorf("a nanosecond before, it waits %v", again)
	}
	if again := r.Take("192.0.2.1", wait); again != 0 {
		t.Errorf("then it waits %v", again)
	}
	taken := 0
	for r.Take("192.0.2.1", time.Hour) == 0 {
		taken++
	}
	if taken != 10 {
		t.Errorf("after an hour there are %d", taken)
	}
	r.Charge("192.0.2.2", 1500*time.Millisecond, 0) // of 500 ms in a second: 3 s of debt, of which 1 s is allowed
	for at, want := range map[time.Duration]bool{0: false, 1999 * time.Millisecond: false, 2001 * time.Millisecond: true} {
		if wait := r.Take("192.0.2.2", at); (wait == 0) != want {
			t.Errorf("in debt, after %v it waits %v", at, wait)
		}
	}
	r.Charge("192.0.2.3", 1000*time.Hour, 0)
	if wait := r.Take("192.0.2.3", 0); wait > time.Hour+time.Second {
		t.Errorf("the longest debt is %v", wait)
	}
}

// TestRateFlood: however many addresses come, there are no more buckets than allowed; and who has
// used up a bucket does not get another by it, as long as others have used less of theirs.
func TestRateFlood(t *testing.T) {
	r := api.NewRateTest(t, api.Rate{Quota: 2, Window: time.Hour}, api.Rate{})
	for r.Take("192.0.2.1", 0) == 0 {
	}
	for i := range 100_000 {
		r.Take(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), 0)
	}
	if n := r.Len(); n > 1<<16 {
		t.Errorf("there are %d buckets", n)
	}
	if r.Take("192.0.2.1", 0) == 0 {
		t.Error("the used bucket made room")
	}
}

// TestRateAtATime: requests that come at the same time get no more than the quota.
func TestRateAtATime(t *testing.T) {
	h := start(t, api.Options{RateRequests: api.Rate{Quota: 20, Window: time.Hour}, RateWork: api.Rate{Quota: 3_600_000, Window: time.Hour}})
	var all sync.WaitGroup
	var mu sync.Mutex
	got := map[int]int{}
	for range 40 {
		all.Go(func() {
			resp, err := http.Get(h.url + "/v1/collections")
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			got[resp.StatusCode]++
		})
	}
	all.Wait()
	if got[200] != 20 || got[429] != 20 {
		t.Errorf("the answers are %v", got)
	}
}

// TestBadRates: a limit that cannot be kept is refused.
func TestBadRates(t *testing.T) {
	for _, r := range []api.Rate{{Quota: -1, Window: time.Second}, {Quota: 1}, {Quota: 1, Window: time.Millisecond}, {Quota: 2_000_000_000, Window: time.Second}} {
		if _, err := api.New(api.Options{Catalog: newCatalog(t), RateRequests: r}); err == nil {
			t.Errorf("%+v was taken", r)
		}
	}
}
