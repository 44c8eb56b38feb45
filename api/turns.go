package api

import (
	"context"
	"slices"
	"sync"
	"time"

	"nearby/parameter"
)

// turns are those of heavy requests: as many work at once as there are processors, and the others
// wait in the order in which they came. More would not be done sooner, and a light request would
// wait for the processor behind all of them.
type turns struct {
	most int

	mu   sync.Mutex
	free int
	// Those that wait. A request that had a turn, and lent it to others while its client read, comes
	// before those that had none: it has a part of its work behind it, and takes memory.
	again, first []chan struct{}
	took         time.Duration // the mean time of a heavy request; later ones weigh more
}

// A heavy request may wait for its turn if at most shortQueue wait for each processor, or if those
// before it will take at most longestQueue. Otherwise it is refused at once. In a longer queue
// no more would be answered, and all would wait longer.
const (
	shortQueue   = 8
	longestQueue = 200 * time.Millisecond
)

func newTurns(most int) turns { return turns{most: most, free: most} }

// crowded reports whether too many wait for one more to do so.
func (t *turns) crowded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	waiting := len(t.again) + len(t.first)
	return waiting >= shortQueue*t.most && time.Duration(waiting)*t.took/time.Duration(t.most) > longestQueue
}

// begin waits for a turn. It reports false if the context ends first.
func (t *turns) begin(ctx context.Context, again bool) bool {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return true
	}
	queue := &t.first
	if again {
		queue = &t.again
	}
	turn := make(chan struct{}, 1)
	*queue = append(*queue, turn)
	t.mu.Unlock()
	select {
	case <-turn:
		return true
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(*queue, turn); i >= 0 {
		*queue = slices.Delete(*queue, i, i+1)
	} else {
		t.next() // the turn came at the same time
	}
	return false
}

// next gives a turn that has ended to the one that waits for it. The caller holds mu.
func (t *turns) next() {
	for _, queue := range []*[]chan struct{}{&t.again, &t.first} {
		if len(*queue) > 0 {
			(*queue)[0] <- struct{}{}
			*queue = slices.Delete(*queue, 0, 1)
			return
		}
	}
	t.free++
}

// end ends a turn.
func (t *turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next()
}

// count counts the time that a heavy request has taken in its turns.
func (t *turns) count(took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.took += (took - t.took) / 16
}

// shortWait is how long a request may wait, for its client to read a piece of the answer, and keep
// its turn. Most pieces are taken at once. If a request lost its turn with each, its memory would
// be out of the processor's cache at the next.
const shortWait = 2 * time.Millisecond

// turn is that of one request.
type turn struct {
	of    *turns // nil: the request is light
	held  bool
	had   bool // the request had a turn before
	began time.Time
	took  time.Duration // in earlier turns
	lend  *time.Timer
}

// begin waits for the turn, unless the request is light. It reports false if the context ends first.
func (r *turn) begin(ctx context.Context) bool {
	if r.lend != nil {
		r.lend.Stop()
	}
	if r.of == nil || r.held {
		return true
	}
	if !r.of.begin(ctx, r.had) {
		return false
	}
	r.held, r.had, r.began = true, true, time.Now()
	return true
}

// end ends the turn.
func (r *turn) end() {
	r.took += time.Since(r.began)
	r.held = false
	r.of.end()
}

// leave ends the turn for good, and counts the time of the request.
func (r *turn) leave() {
	if r.held {
		r.end()
	}
	if r.had {
		r.of.count(r.took)
	}
}

// lightItems is how many items a request may ask for and still be light.
const lightItems = 100

// lightBytes is how large a body of JSON may be to be read without a turn.
const lightBytes = 64 << 10

// heavy reports whether a request for so many items may take much more time than a search for a
// few: it asks for many, or for none and only counts, or may look at many more than it returns.
func (p *parameters) heavy(items int) bool {
	if items > lightItems || items == 0 || p.filter.Matches() {
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

// heavy reports whether a query of a batch may look at many more items than it returns.
func (q *batchQuery) heavy() bool {
	for range q.filter.Added() {
		return true
	}
	ordered := q.sorted != nil || q.ranked != nil || q.grouped != nil
	return ordered || q.Area != nil || q.least > 0 || q.wants.any() || q.filter.Matches() || q.filter.During != nil
}
