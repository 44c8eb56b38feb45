package replica

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nearby/store"
)

// Whoever waits for a commit goes on when that commit is applied, not before it, and not
// later, also if it is applied while the wait begins.
func TestAwait(t *testing.T) {
	const last = 200
	gen := NewGeneration(store.CommitID{Epoch: "e", Seq: 3}, time.Now())
	if err := gen.await(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range 200 {
				want := rand.Uint64N(last) + 1
				if err := gen.await(t.Context(), want); err != nil {
					t.Error(err)
				}
				if got := gen.Applied(); got < want {
					t.Errorf("went on at %d, before %d", got, want)
				}
			}
		})
	}
	for seq := uint64(4); seq <= last; seq += 1 + rand.Uint64N(3) {
		gen.advance(seq)
	}
	gen.advance(last)
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
		time.Sleep(500 * time.Millisecond)
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
		time.Sleep(3 * time.Second)
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
