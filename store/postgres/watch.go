package postgres

import (
	"context"
	"sync/atomic"
	"time"

	"nearby/store"
	"nearby/store/postgres/database"
)

// watch ends the context of a read if the database sends nothing for too long. The time that
// the receiver of the data takes does not count.
type watch struct {
	reads  atomic.Uint64 // calls of came
	busy   atomic.Bool   // the receiver is at work
	cancel context.CancelCauseFunc
}

var errStalled error = &store.UnavailableError{Reason: database.NoAnswer}

// newWatch returns a watch and its context. The context ends, with errStalled as its cause, if
// came was not called for the time limit.
func newWatch(ctx context.Context, limit time.Duration) (*watch, context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{cancel: cancel}
	go func() {
		// One check is not enough: if this process was stopped for a while, the first
		// check after that finds nothing new, although data may have come.
		const checks = 5
		tick := time.NewTicker(limit / checks)
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
			} else if same++; same == checks {
				cancel(errStalled)
			}
		}
	}()
	return w, ctx
}

// came says that the database has sent something.
func (w *watch) came() { w.reads.Add(1) }

// stop ends the watch and its context.
func (w *watch) stop() { w.cancel(nil) }
