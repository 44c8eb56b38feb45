package postgres

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"nearby/store"
	"nearby/store/postgres/database"
)

const (
	maxWaiting = 1024 // commits in the writer's queue; the callers of others wait to enter it
	// If another program's open transaction holds a row that a commit changes, the commit is
	// tried again lockedTries times. The first pause is lockedPause, each next one twice as
	// long.
	lockedTries = 5
	lockedPause = 50 * time.Millisecond
	// retryPause is the pause between two attempts to reach the database. After the last
	// attempt of a commit has failed, further commits are refused for as long without an
	// attempt.
	retryPause = 100 * time.Millisecond
	// probePause is the pause between two calls of probe.
	probePause = time.Second
)

// writer makes all commits of a store, one transaction at a time.
type writer struct {
	s     *Store
	id    uuid.UUID
	queue chan *request
	held  *request // taken from the queue, but it could not join the group

	conn    *pgx.Conn     // nil: none
	process atomic.Uint32 // of the connection, in the database
	server  database.Identity
	epoch   store.Epoch // when the connection was made; a new epoch raises the fence
	fence   int64       // of this connection
	number  int64       // of the last batch
	made    int64       // the last batch that is known to be made
	counter int64       // of the history in which it was made
	used    time.Time   // when the connection was last used
	unsure  int64       // a batch that ended with store.ErrUncertain; 0: none
	refuse  time.Time   // until then reconnect fails with away at once, unless it has to insist
	away    error       // why the last attempt to connect has failed; nil: it has not
}

func newWriter(s *Store, id uuid.UUID) *writer {
	return &writer{s: s, id: id, queue: make(chan *request, maxWaiting)}
}

// run makes commits until ctx ends. It returns when none is under way.
func (w *writer) run(ctx context.Context) {
	defer w.hangUp()
	for {
		group := w.gather(ctx)
		if group == nil {
			return
		}
		w.make(group)
	}
}

// make commits a group and answers its requests. If the database refuses a group, and one
// request may be the cause, make commits the requests one by one.
func (w *writer) make(group []*request) {
	b, err := newBatch(group)
	var last store.Seq
	if err == nil {
		last, err = w.commit(b, group)
	}
	var locked *lockedError
	w.note(err)
	switch {
	case err == nil:
		for i, req := range group {
			req.seq = last - store.Seq(len(group)-1-i)
			close(req.done)
		}
	case len(group) > 1 && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUncertain):
		for _, req := range group {
			w.make([]*request{req})
		}
	case len(group) == 1 && errors.As(err, &locked) && group[0].tries < lockedTries:
		// The request is queued again after a pause, so that others are made meanwhile.
		req := group[0]
		pause := lockedPause << req.tries
		req.tries++
		req.state.Store(queued)
		time.AfterFunc(pause, func() { w.queue <- req })
	default:
		if errors.As(err, &locked) {
			err = database.Joined(store.ErrLocked, err)
		}
		for _, req := range group {
			req.err = err
			close(req.done)
		}
	}
}

// note records the outcome of a batch for Fault: why commits are refused, or that they are not.
func (w *writer) note(err error) {
	switch {
	case errors.Is(err, store.ErrUncertain): // reconnect has recorded the fault, if there is one
	case errors.Is(err, store.ErrUnavailable):
		w.s.fault.Store(&err)
	default:
		w.s.fault.Store(nil)
	}
}

// probe finds out whether commits, which were refused, can be made again.
func (w *writer) probe() {
	limit := time.Now().Add(w.s.opt.AwayTimeout)
	if w.conn == nil {
		if _, err := w.reconnect(limit, false); err != nil {
			return
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), limit)
	defer cancel()
	if _, err := w.conn.Exec(ctx, `SELECT FROM nearby.head FOR NO KEY UPDATE NOWAIT`); err == nil {
		w.s.fault.Store(nil)
	} else if w.conn.IsClosed() {
		w.hangUp()
	}
}
