package api

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// One caller, that is one address, may have a limited number of requests and amount of work in a time.
// Each limit is a bucket: a request takes from it, and it fills up evenly. Work is the time in which
// the requests of the caller have a slot. So it counts whatever a request costs, and no waiting. It is
// known only when a request ends. So a caller may go into debt, and has no more requests until that
// is paid.

// Rate is a limit: a full bucket has Quota, and an empty one is full after Window. No Quota: no limit.
type Rate struct {
	Quota  int64 // requests, or milliseconds of work
	Window time.Duration
}

// maxCallers is how many callers have buckets. Any other has full ones. If there are more, the fullest
// of a few buckets makes room: a full bucket is like none.
const maxCallers = 1 << 16

// fewCallers is how many buckets are compared to find one that makes room.
const fewCallers = 16

// longestDebt is how long a caller has to wait at most.
const longestDebt = time.Hour

// rates are the buckets of all callers.
type rates struct {
	requests, work Rate
	policy         []string // the value of RateLimit-Policy
	begun          time.Time
	refused        atomic.Uint64

	mu      sync.Mutex
	buckets map[netip.Addr]*bucket
}

// bucket is what one caller has left: when each of its buckets is full, since rates.begun.
type bucket struct{ requests, work time.Duration }

// Headers of draft-ietf-httpapi-ratelimit-headers-12, as http.Header has them.
const (
	headerRatePolicy = "Ratelimit-Policy"
	headerRate       = "Ratelimit"
)

// newRates returns nil if there are no limits.
func newRates(requests, work Rate) (*rates, error) {
	var policy []string
	for _, one := range []struct {
		Rate
		name, unit string
	}{{requests, `"requests"`, ""}, {work, `"work"`, `;qu="milliseconds"`}} {
		switch {
		case one.Quota == 0:
		case one.Quota < 0 || one.Window < time.Second || one.Window > 24*time.Hour || one.Window/time.Duration(one.Quota) == 0:
			return nil, fmt.Errorf("the rate %d in %v: must be more than 0, in a time of a second to a day, and at most 1,000,000,000 a second", one.Quota, one.Window)
		default:
			policy = append(policy, fmt.Sprintf("%s;q=%d%s;w=%d", one.name, one.Quota, one.unit, one.Window/time.Second))
		}
	}
	if policy == nil {
		return nil, nil
	}
	return &rates{requests: requests, work: work, policy: []string{strings.Join(policy, ", ")}, begun: time.Now(), buckets: map[netip.Addr]*bucket{}}, nil
}

// take takes one request from the bucket of a caller. If the caller has none left, or is in debt,
// wait is how long that lasts. state is the value of RateLimit.
func (s *rates) take(caller netip.Addr, at time.Time) (b *bucket, state string, wait time.Duration) {
	now := at.Sub(s.begun)
	s.mu.Lock()
	defer s.mu.Unlock()
	if b = s.buckets[caller]; b == nil {
		b = s.add(caller)
	}
	missing, debt := max(0, b.requests-now), max(0, b.work-now)
	if s.requests.Quota > 0 {
		one := s.requests.Window / time.Duration(s.requests.Quota)
		wait = max(0, missing+one-s.requests.Window)
		if wait == 0 {
			missing += one
		}
	}
	if s.work.Quota > 0 && debt >= s.work.Window {
		wait = max(wait, debt-s.work.Window+time.Millisecond)
	}
	if wait == 0 {
		b.requests = now + missing
	}
	var text [96]byte
	out := s.requests.appendLeft(text[:0], `"requests"`, missing)
	out = s.work.appendLeft(out, `"work"`, debt)
	return b, string(out), wait
}

// appendLeft writes how much a bucket has, and when it is full.
func (r Rate) appendLeft(b []byte, name string, missing time.Duration) []byte {
	if r.Quota == 0 {
		return b
	}
	if len(b) > 0 {
		b = append(b, ", "...)
	}
	left := float64(r.Window-min(missing, r.Window)) / float64(r.Window) * float64(r.Quota)
	b = strconv.AppendInt(append(append(b, name...), ";r="...), int64(left), 10)
	return strconv.AppendInt(append(b, ";t="...), seconds(missing), 10)
}

// seconds rounds up.
func seconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }

// add makes full buckets for a caller.
func (s *rates) add(caller netip.Addr) *bucket {
	if len(s.buckets) >= maxCallers {
		var fullest netip.Addr
		least, seen := time.Duration(math.MaxInt64), 0
		for other, b := range s.buckets { // from anywhere on
			if full := max(b.requests, b.work); full < least {
				fullest, least = other, full
			}
			if seen++; seen == fewCallers {
				break
			}
		}
		delete(s.buckets, fullest)
	}
	b := new(bucket)
	s.buckets[caller] = b
	return b
}

// charge takes the work of a request from the bucket of its caller.
func (s *rates) charge(b *bucket, worked time.Duration, at time.Time) {
	if s.work.Quota == 0 {
		return
	}
	fills := time.Duration(float64(worked) / float64(s.work.Quota) / float64(time.Millisecond) * float64(s.work.Window))
	now := at.Sub(s.begun)
	s.mu.Lock()
	defer s.mu.Unlock()
	b.work = now + min(max(0, b.work-now)+fills, s.work.Window+longestDebt)
}

// callerAddr is the address of who sends a request: of the client, behind trusted proxies. Of an IPv6
// address the first 64 bits count, since one host or home has all addresses that begin with these.
func callerAddr(r *http.Request) netip.Addr {
	addr := seenOf(r).client
	if !addr.IsValid() {
		addr, _ = addrOf(r.RemoteAddr)
	}
	if addr.Is6() {
		block, _ := addr.Prefix(64) // fails only for more bits than there are
		return block.Addr()
	}
	return addr
}

// addrOf reads an address, with or without a port.
func addrOf(text string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return addr.Unmap().WithZone(""), err == nil
}

// limitRate refuses the requests of callers that have none left. Health is free, and so is what is
// sent to the operator's address.
func (s *Server) limitRate(next http.Handler) http.Handler {
	if s.rates == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, admin := r.Context().Value(adminKey).(*Hosts)
		if admin || r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
			next.ServeHTTP(w, r)
			return
		}
		e := r.Context().Value(exchangeKey).(*exchange) // observe has put it there
		b, state, wait := s.rates.take(callerAddr(r), e.begun)
		h := w.Header()
		h[headerRatePolicy], h[headerRate] = s.rates.policy, []string{state}
		if wait > 0 {
			s.rates.refused.Add(1)
			p := newProblem(rateLimited, "the limits are "+s.rates.policy[0]+" (q in w seconds); what is left is "+state)
			p.after = wait
			s.fail(w, r, p)
			return
		}
		e.bucket = b
		next.ServeHTTP(w, r)
	})
}

// RateLimited returns how many requests were refused because their caller had none left.
func (s *Server) RateLimited() uint64 {
	if s.rates == nil {
		return 0
	}
	return s.rates.refused.Load()
}
