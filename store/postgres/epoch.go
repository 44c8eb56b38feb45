package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"nearby/store"
)

// An epoch names the cluster, its timeline, the database in it and the counter
// that its head has. A standby has the epoch of its primary. The timeline is another
// after a promotion and after a recovery to a point in time.

// released is true of the row of nearby.head that was written here. A row that a backup
// brought was written by another transaction than the one that it names: until
// nearby.release was called the rest of the backup may be missing. Nor is it true where a
// table is not the one that the row names: it was put back alone (nearby.tables).
const released = `coalesce(written_by = xmin AND tables = ARRAY['nearby.attached_later'::regclass, 'nearby.attachments'::regclass,
 'nearby.collections'::regclass, 'nearby.head'::regclass, 'nearby.items'::regclass, 'nearby.migrations'::regclass, 'nearby.pending'::regclass,
 'nearby.receipts'::regclass, 'nearby.replicas'::regclass, 'nearby.tombstones'::regclass, 'nearby.writers'::regclass]::oid[], false)`

// headError is the error of reading the head. Where it has no row, it is about to be
// restored.
func headError(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return store.ErrRestored
	}
	return readError(err)
}

// identity is what a connection's server contributes to the epoch.
type identity struct {
	server   string
	standby  bool // the timeline may change under the connection
	encoding string
}

const identitySQL = `
SELECT (pg_control_system()).system_identifier::text || '/' || d.oid::text || '/' ||
       CASE WHEN pg_is_in_recovery() THEN (pg_control_checkpoint()).timeline_id
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END::text,
       pg_is_in_recovery(), pg_encoding_to_char(d.encoding)
  FROM pg_database d WHERE d.datname = current_database()`

const identityKey = "nearby.identity"

// identify asks a connection's server who it is, once if that cannot change.
func identify(ctx context.Context, conn *pgx.Conn) (identity, error) {
	known := conn.PgConn().CustomData()
	if id, ok := known[identityKey].(identity); ok && !id.standby {
		return id, nil
	}
	var id identity
	if err := conn.QueryRow(ctx, identitySQL).Scan(&id.server, &id.standby, &id.encoding); err != nil {
		return id, err
	}
	known[identityKey] = id
	return id, nil
}

// epoch is the epoch of a server whose head has a counter.
func (id identity) epoch(counter int64) store.Epoch {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", id.server, counter))
	return store.Epoch(hex.EncodeToString(sum[:8]))
}

// Renew is part of store.Renewing.
func (s *Store) Renew(ctx context.Context, of store.Epoch) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.inFlight.Done()
	if s.writer == nil {
		return store.ErrReadOnly
	}
	return readError(s.onConnection(ctx, readTimeout, func(ctx context.Context, conn *pgx.Conn) error {
		var counter int64
		if err := conn.QueryRow(ctx, `SELECT epoch FROM nearby.head`).Scan(&counter); err != nil {
			return headError(err)
		}
		id, err := identify(ctx, conn)
		if err != nil || id.epoch(counter) != of {
			return err
		}
		return newHistory(ctx, conn, counter)
	}))
}

// asking lets callers who come while a question is under way share the next one.
type asking struct {
	mu   sync.Mutex
	next *question
	busy bool
}

type question struct {
	done chan struct{}
	pos  store.Position
	err  error
}

// Head is part of store.Shared.
func (s *Store) Head(ctx context.Context) (store.Position, error) {
	if err := s.closedOr(ctx.Err()); err != nil {
		return store.Position{}, err
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
		return store.Position{}, ctx.Err()
	case <-s.closing:
		return store.Position{}, store.ErrClosed
	}
}

// ask asks until nobody waits any more.
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

func (s *Store) readHead() (pos store.Position, err error) {
	err = s.onConnection(s.life, readTimeout, func(ctx context.Context, conn *pgx.Conn) error {
		pos, err = readPosition(ctx, conn)
		return err
	})
	return pos, readError(err)
}

// readPosition reads the head. The server is asked who it is after that: a standby
// that was promoted meanwhile is another history.
func readPosition(ctx context.Context, conn *pgx.Conn) (store.Position, error) {
	var seq, counter int64
	var usable bool
	if err := conn.QueryRow(ctx, `SELECT seq, epoch, `+released+` FROM nearby.head`).Scan(&seq, &counter, &usable); err != nil {
		return store.Position{}, headError(err)
	}
	if !usable {
		return store.Position{}, store.ErrRestored
	}
	id, err := identify(ctx, conn)
	return store.Position{Epoch: id.epoch(counter), Seq: store.Seq(seq)}, err
}
