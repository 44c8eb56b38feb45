package replica

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nearby/store"
)

// A commit that is applied just before the wait for it is on the list ends that wait.
func TestAppliedWhileTheWaitBegins(t *testing.T) {
	var w waiters
	reached, leave := w.enter(5, func() uint64 {
		w.reached(4)
		return 5
	})
	defer leave()
	select {
	case <-reached:
	default:
		t.Error("it waits for ever")
	}
}

// Whoever waits for a commit goes on when that commit is applied, and not before it.
func TestAwait(t *testing.T) {
	const last = 20_000
	gen := NewGeneration(store.CommitID{Epoch: "e", Seq: 3}, time.Now())
	if err := gen.await(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	var running atomic.Int32
	for range 8 {
		running.Add(1)
		all.Go(func() {
			defer running.Add(-1)
			for want := gen.Applied() + 1; want <= last; want = gen.Applied() + 1 + rand.Uint64N(2) {
				if err := gen.await(ctx, want); err != nil {
					t.Errorf("waiting for %d, at %d: %v", want, gen.Applied(), err)
					return
				}
				if got := gen.Applied(); got < want {
					t.Errorf("went on at %d, before %d", got, want)
				}
			}
		})
	}
	// Each commit comes when somebody waits for one, so that waits end in every order.
	for seq := uint64(4); seq <= last; seq++ {
		for gen.waiters.n.Load() == 0 && running.Load() > 0 {
			runtime.Gosched()
		}
		gen.advance(seq)
	}
	all.Wait()
	if n := gen.waiters.n.Load(); n != 0 || len(gen.waiters.list) != 0 {
		t.Errorf("%d waiters are left, %d of them on the list", n, len(gen.waiters.list))
	}
	if at := gen.At(); at != (store.CommitID{Epoch: "e", Seq: last}) {
		t.Errorf("it is at %v", at)
	}
}

// A wait ends with its context, and leaves nothing behind.
func TestAwaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gen := NewGeneration(store.CommitID{}, time.Now())
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
				defer cancel()
				begun := time.Now()
				err := gen.await(ctx, uint64(i+1))
				if waited := time.Since(begun); i >= 5 && (!errors.Is(err, context.DeadlineExceeded) || waited != time.Duration(i+1)*time.Second) {
					t.Errorf("%d: %v after %v", i, err, waited)
				} else if i < 5 && err != nil {
					t.Errorf("%d: %v", i, err)
				}
			})
		}
		time.Sleep(500 * time.Millisecond) // of the bubble: all wait by then
		gen.advance(5)
		all.Wait()
		if n := gen.waiters.n.Load(); n != 0 {
			t.Errorf("%d waiters are left", n)
		}
	})
}

// How old what is shown may be is counted from the time that a step names, and is not negative.
func TestStaleness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gen := NewGeneration(store.CommitID{}, time.Now())
		time.Sleep(3 * time.Second) // of the bubble
		if got := gen.Staleness(); got != 3*time.Second {
			t.Errorf("after 3 s without a step: %v", got)
		}
		gen.confirm(time.Now().Add(-time.Second))
		if got := gen.Staleness(); got != time.Second {
			t.Errorf("after a step of a second ago: %v", got)
		}
		gen.confirm(time.Now().Add(time.Second)) // of another clock
		if got := gen.Staleness(); got != 0 {
			t.Errorf("after a step of the future: %v", got)
		}
	})
}
