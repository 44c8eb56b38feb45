package postgres

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"

	"nearby/store"
	"nearby/store/postgres/database"
)

// Renew is part of store.Renewing.
func (s *Store) Renew(ctx context.Context, of store.Epoch) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.inFlight.Done()
	if s.writer == nil {
		return store.ErrReadOnly
	}
	return database.ReadError(s.onConnection(ctx, readTimeout, func(ctx context.Context, conn *pgx.Conn) error {
		var counter int64
		if err := conn.QueryRow(ctx, `SELECT epoch FROM nearby.head`).Scan(&counter); err != nil {
			return database.HeadError(err)
		}
		id, err := database.Identify(ctx, conn)
		if err != nil || id.Epoch(counter) != of {
			return err
		}
		return newHistory(ctx, conn, counter)
	}))
}

// asking joins calls of Head: all that come while the database is being asked share the next
// question. They cannot share the one under way, which may have been answered before they
// came.
type asking struct {
	mu   sync.Mutex
	next *question // nil: nobody waits for one
	busy bool      // ask is running
}

// question is one question for the head, with its answer.
type question struct {
	done chan struct{}
	pos  store.CommitID
	err  error
}

// Head is part of store.Shared.
func (s *Store) Head(ctx context.Context) (store.CommitID, error) {
	if err := s.closedOr(ctx.Err()); err != nil {
		return store.CommitID{}, err
	}
	a := &s.asking
	a.mu.Lock()
	if a.next == nil {
		a.next = &question{done: make(chan struct{})}
		if !a.busy {
			a.busy = true
			go s.ask()
		}
	}
	q := a.next
	a.mu.Unlock()
	select {
	case <-q.done:
		return q.pos, q.err
	case <-ctx.Done():
		return store.CommitID{}, ctx.Err()
	case <-s.closing:
		return store.CommitID{}, store.ErrClosed
	}
}

// ask asks the database until no caller waits any more.
func (s *Store) ask() {
	a := &s.asking
	for {
		a.mu.Lock()
		q := a.next
		a.next = nil
		a.busy = q != nil
		a.mu.Unlock()
		if q == nil {
			return
		}
		q.pos, q.err = s.readHead()
		close(q.done)
	}
}

func (s *Store) readHead() (pos store.CommitID, err error) {
	err = s.onConnection(s.life, readTimeout, func(ctx context.Context, conn *pgx.Conn) error {
		pos, err = database.ReadPosition(ctx, conn)
		return err
	})
	return pos, database.ReadError(err)
}
