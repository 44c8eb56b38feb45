package collection

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nearby/store"
)

// generation is the collections of one history of the store. When the store turns out
// to have another history, or the way from here to its newest commit is no longer
// kept, a new generation is read beside the old one and takes its place.
type generation struct {
	epoch  store.Epoch
	byName atomic.Pointer[map[string]*Collection]

	// What follows is used where other processes write the store, too.

	// applied: every commit up to it is in the newest snapshots.
	applied atomic.Uint64
	// confirmed, in nanoseconds since begun: what had been committed then is in
	// the newest snapshots.
	confirmed atomic.Int64
	begun     time.Time
	waiters   waiters
}

func newGeneration(at store.Position, asOf time.Time) *generation {
	gen := &generation{epoch: at.Epoch, begun: asOf}
	gen.byName.Store(&map[string]*Collection{})
	gen.applied.Store(uint64(at.Seq))
	return gen
}

// set publishes a changed copy of the set of collections. The catalog's mutex is
// held.
func (gen *generation) set(change func(map[string]*Collection)) {
	m := maps.Clone(*gen.byName.Load())
	change(m)
	gen.byName.Store(&m)
}

func (gen *generation) get(name string) (*Collection, error) {
	if col, ok := (*gen.byName.Load())[name]; ok {
		return col, nil
	}
	return nil, fmt.Errorf("%w: collection %q", ErrNotFound, name)
}

func (gen *generation) list() []*Collection {
	return slices.SortedFunc(maps.Values(*gen.byName.Load()), func(a, b *Collection) int {
		return cmp.Compare(a.name, b.name)
	})
}

// confirm notes what a step has shown.
func (gen *generation) confirm(at time.Time) { gen.confirmed.Store(int64(at.Sub(gen.begun))) }

// staleness is how long ago the newest snapshots were known to be the newest
// state.
func (gen *generation) staleness() time.Duration {
	return max(0, time.Since(gen.begun)-time.Duration(gen.confirmed.Load()))
}

// advance tells that every commit up to seq is in the newest snapshots.
func (gen *generation) advance(seq uint64) {
	gen.applied.Store(seq)
	gen.waiters.reached(seq)
}

// await waits until every commit up to seq is in the newest snapshots.
func (gen *generation) await(ctx context.Context, seq uint64) error {
	if gen.applied.Load() >= seq {
		return nil
	}
	reached, leave := gen.waiters.enter(seq, func() uint64 { return gen.applied.Load() })
	defer leave()
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waiters wait for a number to be reached. The zero value has none.
type waiters struct {
	n    atomic.Int32
	mu   sync.Mutex
	list []*waiter
}

type waiter struct {
	seq     uint64
	reached chan struct{}
}

// enter returns a channel that is closed when seq is reached. now reads the
// number. leave must be called in the end.
func (w *waiters) enter(seq uint64, now func() uint64) (reached <-chan struct{}, leave func()) {
	me := &waiter{seq, make(chan struct{})}
	w.mu.Lock()
	w.list = append(w.list, me)
	w.n.Store(int32(len(w.list)))
	w.mu.Unlock()
	if now() >= seq { // it may have been reached before we were on the list
		w.reached(now())
	}
	return me.reached, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if i := slices.Index(w.list, me); i >= 0 {
			w.list = slices.Delete(w.list, i, i+1)
			w.n.Store(int32(len(w.list)))
		}
	}
}

func (w *waiters) reached(seq uint64) {
	if w.n.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = slices.DeleteFunc(w.list, func(one *waiter) bool {
		if one.seq > seq {
			return false
		}
		close(one.reached)
		return true
	})
	w.n.Store(int32(len(w.list)))
}
