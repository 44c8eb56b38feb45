package postgres

import (
	"context"
	"sync/atomic"
	"time"

	"nearby/store"
	"nearby/store/postgres/database"
)

// watch ends a reading for which the database sends nothing for long. Time that the
// receiver takes does not count.
type watch struct {
	reads  atomic.Uint64 // grows with what comes
	busy   atomic.Bool   // the receiver is at work
	cancel context.CancelCauseFunc
}

var errStalled error = &store.UnavailableError{Reason: database.NoAnswer}

// newWatch returns a context that ends with errStalled.
func newWatch(ctx context.Context, limit time.Duration) (*watch, context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{cancel: cancel}
	go func() {
		// Several looks: a process that was stopped and goes on has not waited.
		const looks = 5
		tick := time.NewTicker(limit / looks)
		defer tick.Stop()
		last, same := uint64(0), 0
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if now := w.reads.Load(); now != last || w.busy.Load() {
				last, same = now, 0
			} else if same++; same == looks {
				cancel(errStalled)
			}
		}
	}()
	return w, ctx
}

// came notes that something came.
func (w *watch) came() { w.reads.Add(1) }

// stop ends the watch and its context.
func (w *watch) stop() { w.cancel(nil) }
