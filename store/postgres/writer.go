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
	maxWaiting = 1024 // commits in the writer's queue; more wait outside
	// A commit that meets a row which another program's open transaction holds is
	// tried again, lockedTries times, with pauses that double.
	lockedTries = 5
	lockedPause = 50 * time.Millisecond
	// retryPause is between attempts to reach a database that is away, and how long
	// commits are refused at once when the last attempt has failed.
	retryPause = 100 * time.Millisecond
	// probePause is between looks whether commits can be made again.
	probePause = time.Second
)

// writer makes all commits of a store, one transaction at a time.
type writer struct {
	s     *Store
	id    uuid.UUID
	queue chan *request
	held  *request // taken from the queue, but not fit for the group that was formed

	conn    *pgx.Conn
	process atomic.Uint32 // in the database, of the connection
	server  database.Identity
	epoch   store.Epoch // when the connection was made; the fence tells of another
	fence   int64       // of this connection
	number  int64       // of the last batch
	made    int64       // the last batch that is known to be made
	counter int64       // of the history in which it was
	used    time.Time   // the connection, at last
	unsure  int64       // a batch whose outcome nobody waits for any more; 0: none
	refuse  time.Time
	away    error // why the database could not be reached, at last
}

func newWriter(s *Store, id uuid.UUID) *writer {
	return &writer{s: s, id: id, queue: make(chan *request, maxWaiting)}
}

// run makes commits until ctx ends; then none is under way.
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

// make commits a group and answers its requests. If the database refuses a group
// for what may be the fault of one request, they are made one by one.
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
		// Not here: the others go on meanwhile.
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

// note keeps why commits are refused, for Fault.
func (w *writer) note(err error) {
	switch {
	case errors.Is(err, store.ErrUncertain): // what is known of it was noted
	case errors.Is(err, store.ErrUnavailable):
		w.s.fault.Store(&err)
	default:
		w.s.fault.Store(nil)
	}
}

// probe looks whether commits, which were refused, can be made again.
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
