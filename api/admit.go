package api

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// slots bound the requests that a server works on at once. A request has a slot while it uses the
// processor, and none while it waits: for the rest of its body, for its client to read the answer,
// for a commit, or for a state that is new enough. Otherwise a few hundred clients that do
// nothing would keep all others out.
type slots struct {
	most    int64
	free    *semaphore.Weighted
	held    atomic.Int64
	waiting atomic.Int64
	heavy   turns
	timed   bool // the time in which a request has a slot is measured
}

// waitingPerSlot is how many requests may wait for each slot. Those that wait cost memory, but no
// processor time.
const waitingPerSlot = 8

func newSlots(most int) slots {
	return slots{most: int64(most), free: semaphore.NewWeighted(int64(most)), heavy: newTurns(runtime.GOMAXPROCS(0))}
}

// crowded reports whether too many requests wait for one more to do so.
func (s *slots) crowded() bool { return s.waiting.Load() >= s.most*waitingPerSlot }

func (s *slots) release() {
	s.held.Add(-1)
	s.free.Release(1)
}

// slot is that of one request. A load has several goroutines; it has the slot while one of them
// works.
type slot struct {
	mu    sync.Mutex
	of    *slots        // nil: the request needs no slot
	works int           // how many goroutines work
	turn  turn          // of a heavy request
	since time.Time     // when the request got the slot, if that is measured
	work  time.Duration // how long it had the slot before
}

// take takes a slot. It reports false if there is none, or if requests that have waited need it.
func (l *slot) take(of *slots) bool {
	if !of.free.TryAcquire(1) {
		return false
	}
	of.held.Add(1)
	l.of, l.works, l.turn = of, 1, turn{}
	if of.timed {
		l.since, l.work = time.Now(), 0
	}
	return true
}

// leave gives the slot back. Goroutines that are still there need none any more.
func (l *slot) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.of
	if l.of = nil; l.works > 0 {
		l.stop(of)
		of.release()
	} else {
		of.waiting.Add(-1)
	}
	l.turn.leave()
}

// stop counts the time in which the request had the slot.
func (l *slot) stop(of *slots) {
	if of.timed {
		l.work += time.Since(l.since)
	}
}

// weigh says that the request is a heavy one: it may take much more time than a search for a few
// items. It waits for its turn, or refuses the request if that would take too long. It fails if the
// context ends meanwhile: the client has gone.
func (l *slot) weigh(ctx context.Context) error {
	if l.of == nil || l.turn.of != nil {
		return nil
	}
	if l.of.heavy.crowded() {
		return newProblem(overloaded, "")
	}
	l.pause()
	l.turn.of = &l.of.heavy
	if !l.resumed(ctx) {
		l.turn.of = nil
		return context.Cause(ctx)
	}
	return nil
}

// pause says that a goroutine begins to wait. If no other works, the slot is given back.
func (l *slot) pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		return
	}
	if l.works--; l.works == 0 {
		l.of.waiting.Add(1)
		l.stop(l.of)
		l.of.release()
		if l.turn.held {
			l.turn.lend = time.AfterFunc(shortWait, l.lend)
		}
	}
}

// lend gives the turn of a request to others while it waits.
func (l *slot) lend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of != nil && l.works == 0 && l.turn.held {
		l.turn.end()
	}
}

// resume says that a goroutine works again, or is a new one. It waits for a slot if the request
// has none. That is short, since those that have one work.
func (l *slot) resume() { l.resumed(context.Background()) }

// resumed is resume. It reports false if the context ends before a heavy request has its turn.
func (l *slot) resumed(ctx context.Context) (ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ok = true
	if l.of == nil {
		return ok
	}
	if l.works++; l.works == 1 {
		ok = l.turn.begin(ctx)
		_ = l.of.free.Acquire(context.Background(), 1) // fails only if its context ends
		l.of.held.Add(1)
		l.of.waiting.Add(-1)
		if l.of.timed {
			l.since = time.Now()
		}
	}
	return ok
}

// idle runs what waits between pause and resume.
func (l *slot) idle(waits func()) {
	l.pause()
	defer l.resume()
	waits()
}

// slotOf returns the slot of the request that has the context.
func slotOf(ctx context.Context) *slot {
	if e, ok := ctx.Value(exchangeKey).(*exchange); ok && e.slot != nil {
		return e.slot
	}
	return new(slot)
}

// Busy counts the requests that a server is answering.
type Busy struct {
	Requests int // those under /v1 that it works on: not health and metrics
	Waiting  int // those under /v1 that wait for their client, a commit, a newer state or their turn
	Loads    int // bulk loads among both
}

// Busy returns how many requests are under way.
func (s *Server) Busy() Busy {
	return Busy{int(s.slots.held.Load()), int(s.slots.waiting.Load()), int(s.loads.Load())}
}

// admit refuses a request if too many are under way, and bounds the time of a request. Health
// and metrics have no bound. Loads, backups and comparisons with the store have time limits of
// their own. Reads are bounded by the points that they may compare.
func (s *Server) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1") {
			next.ServeHTTP(w, r)
			return
		}
		if mayWait(r) && s.slots.crowded() {
			s.fail(w, r, newProblem(overloaded, ""))
			return
		}
		var l *slot
		e, _ := r.Context().Value(exchangeKey).(*exchange)
		if body, ok := r.Body.(*movingBody); ok {
			l = &body.slot // a goroutine may still read the body when the connection has the next request
		} else {
			l = &e.own
		}
		if !l.take(&s.slots) {
			s.fail(w, r, newProblem(overloaded, ""))
			return
		}
		e.slot = l
		defer func() {
			e.slot = nil
			l.leave()
			if e.bucket != nil {
				s.rates.charge(e.bucket, l.work, e.now())
			}
		}()
		long := r.Method == http.MethodPost && (strings.HasSuffix(r.URL.Path, "/items") || r.URL.Path == "/v1/verify" || r.URL.Path == "/v1/backup")
		if !reads(r) && !long {
			ctx, cancel := context.WithTimeout(r.Context(), s.opt.Limits.Timeout)
			defer cancel()
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}

// mayWait reports whether a request may have to wait before it is worked on.
func mayWait(r *http.Request) bool {
	return !reads(r) || r.ContentLength != 0 || len(r.Header[headerAfter]) > 0
}
