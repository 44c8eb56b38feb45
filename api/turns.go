package api

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"nearby/parameter"
)

// turns are those of heavy requests: as many work at once as there are processors, and the others
// wait in the order in which they came. More would not be done sooner, and a light request would
// wait for the processor behind all of them.
type turns struct {
	most    int64
	free    *semaphore.Weighted
	waiting atomic.Int64
	took    atomic.Int64 // the mean time of a heavy request, in nanoseconds; later ones weigh more
}

// longestQueue is how long a heavy request may have to wait for its turn. If those before it will
// take longer, it is refused at once.
const longestQueue = 2 * time.Second

func newTurns(most int) turns {
	return turns{most: int64(most), free: semaphore.NewWeighted(int64(most))}
}

// crowded reports whether those that wait will take longer than longestQueue.
func (t *turns) crowded() bool {
	return t.waiting.Load()*t.took.Load()/t.most > int64(longestQueue)
}

// shortWait is how long a request may wait, for its client to read a piece of the answer, and keep
// its turn. Most pieces are taken at once. If a request lost its turn with each, its memory would
// be out of the processor's cache at the next.
const shortWait = 2 * time.Millisecond

// turn is that of one request.
type turn struct {
	heavy bool
	held  bool
	began time.Time
	took  time.Duration // in earlier turns
	lend  *time.Timer
}

// begin waits for the turn.
func (r *turn) begin(t *turns) {
	if r.lend != nil {
		r.lend.Stop()
	}
	if !r.heavy || r.held {
		return
	}
	t.waiting.Add(1)
	_ = t.free.Acquire(context.Background(), 1) // fails only if its context ends
	t.waiting.Add(-1)
	r.held, r.began = true, time.Now()
}

// end ends the turn.
func (r *turn) end(t *turns) {
	r.took += time.Since(r.began)
	r.held = false
	t.free.Release(1)
}

// leave ends the turn for good, and counts the time of the request.
func (r *turn) leave(t *turns) {
	if r.held {
		r.end(t)
	}
	if r.heavy {
		mean := t.took.Load()
		t.took.Store(mean + (int64(r.took)-mean)/16)
	}
}

// lightItems is how many items a request may ask for and still be light.
const lightItems = 100

// heavy reports whether a request for so many items may take much more time than a search for a
// few: it asks for many, or may look at many more than it returns.
func (p *parameters) heavy(items int) bool {
	if items > lightItems || p.filter.Matches() {
		return true
	}
	for i := range p.values.given[:p.values.n] {
		if parameter.Table[p.values.given[i].row].Scans {
			return true
		}
	}
	for range p.filter.Added() {
		return true
	}
	return false
}
