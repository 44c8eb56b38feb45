package replica

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nearby/collection"
	"nearby/store"
)

// Generation is the collections of one history of the store. When the store turns out
// to have another history, or the way from here to its newest commit is no longer
// kept, a new generation is read beside the old one and takes its place. Where nobody else
// writes the store, there is one generation for ever.
type Generation struct {
	epoch  store.Epoch
	byName atomic.Pointer[map[string]*collection.Collection]

	// What follows is used where other processes write the store, too.

	// applied: every commit up to it is in the newest snapshots.
	applied atomic.Uint64
	// confirmed, in nanoseconds since begun: what had been committed then is in
	// the newest snapshots.
	confirmed atomic.Int64
	begun     time.Time
	waiters   waiters
}

// NewGeneration returns a generation without collections, of what was read at a position.
// Everything that was committed before asOf is in it.
func NewGeneration(at store.CommitID, asOf time.Time) *Generation {
	gen := &Generation{epoch: at.Epoch, begun: asOf}
	gen.byName.Store(&map[string]*collection.Collection{})
	gen.applied.Store(uint64(at.Seq))
	return gen
}

// Epoch names the history.
func (gen *Generation) Epoch() store.Epoch { return gen.epoch }

// Applied is the commit up to which every commit is in the newest snapshots.
func (gen *Generation) Applied() uint64 { return gen.applied.Load() }

// At names the commit Applied in the history.
func (gen *Generation) At() store.CommitID {
	return store.CommitID{Epoch: gen.epoch, Seq: store.Seq(gen.applied.Load())}
}

// Edit publishes a changed copy of the set of collections. Only one may be under way.
func (gen *Generation) Edit(change func(map[string]*collection.Collection)) {
	m := maps.Clone(gen.All())
	change(m)
	gen.byName.Store(&m)
}

// All returns the collections by name. The map is not to be changed.
func (gen *Generation) All() map[string]*collection.Collection { return *gen.byName.Load() }

// Get returns a collection, or collection.ErrNotFound.
func (gen *Generation) Get(name string) (*collection.Collection, error) {
	if col, ok := gen.All()[name]; ok {
		return col, nil
	}
	return nil, collection.NotFound(name)
}

// List returns all collections by name.
func (gen *Generation) List() []*collection.Collection {
	return slices.SortedFunc(maps.Values(gen.All()), func(a, b *collection.Collection) int {
		return cmp.Compare(a.Name(), b.Name())
	})
}

// confirm notes what a step has shown.
func (gen *Generation) confirm(at time.Time) { gen.confirmed.Store(int64(at.Sub(gen.begun))) }

// Staleness is how long ago the newest snapshots were known to be the newest
// state.
func (gen *Generation) Staleness() time.Duration {
	return max(0, time.Since(gen.begun)-time.Duration(gen.confirmed.Load()))
}

// advance tells that every commit up to seq is in the newest snapshots.
func (gen *Generation) advance(seq uint64) {
	gen.applied.Store(seq)
	gen.waiters.reached(seq)
}

// await waits until every commit up to seq is in the newest snapshots.
func (gen *Generation) await(ctx context.Context, seq uint64) error {
	if gen.applied.Load() >= seq {
		return nil
	}
	reached, leave := gen.waiters.enter(seq, gen.applied.Load)
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
