package attach

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres/database"
)

// comparesSQL counts the connections that compare the table of the attachment a: 0 or 1. It
// is a subquery, so PostgreSQL computes it again if it had to wait for the row of a and the
// row has changed.
const comparesSQL = `(SELECT count(*) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid = a.holder
   AND l.classid::bigint << 32 | l.objid::bigint = a.ticket AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))`

// tryLock makes the connection the one that compares the table of an attachment, and reports
// whether it could: no other connection may be comparing it.
//
// The lock is an advisory lock. Any role can take any advisory lock, so tryLock takes one
// with a random number, the ticket, and writes the ticket and the process of the connection
// to the row of the attachment, which only nearby can change. PostgreSQL releases the lock
// when the connection ends.
func tryLock(ctx context.Context, conn *pgx.Conn, number int32) (ticket int64, ok bool, err error) {
	ticket = rand.Int64()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1::bigint)`, ticket); err != nil {
		return 0, false, database.ReadError(err)
	}
	taken, err := conn.Exec(ctx, `UPDATE nearby.attachments a SET holder = pg_backend_pid(), ticket = $2::bigint WHERE a.number = $1::int AND `+comparesSQL+` = 0`, number, ticket)
	if err != nil && !database.IsCode(err, "55P03") { // the table is being detached
		return 0, false, database.ReadError(err)
	}
	if taken.RowsAffected() == 0 {
		return 0, false, unlock(ctx, conn, ticket)
	}
	return ticket, true, nil
}

func unlock(ctx context.Context, conn *pgx.Conn, ticket int64) error {
	_, err := conn.Exec(ctx, `SELECT pg_advisory_unlock($1::bigint)`, ticket)
	return database.ReadError(err)
}

// comparingError names the process that compares a table.
type comparingError struct {
	pid  int32
	role string
}

func (e *comparingError) Error() string {
	return fmt.Sprintf("process %d, of the role %s, is comparing it; try again later", e.pid, e.role)
}

// checkNotCompared returns a *comparingError if a connection compares the table. It locks the
// row of the attachment, so no connection begins to compare until the transaction of tx ends.
func checkNotCompared(ctx context.Context, tx interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, number int32,
) error {
	var e comparingError
	var is bool
	err := tx.QueryRow(ctx, `SELECT coalesce(a.holder, 0), coalesce((SELECT s.usename::text FROM pg_stat_activity s WHERE s.pid = a.holder), '?'), `+comparesSQL+` > 0
  FROM nearby.attachments a WHERE a.number = $1::int FOR UPDATE`, number).Scan(&e.pid, &e.role, &is)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ErrNotAttached // another program has detached the table meanwhile
	case err != nil:
		return database.ReadError(err)
	case is:
		return &e
	}
	return nil
}

// awaitLock takes the lock. If another connection has it, awaitLock waits up to heldLimit: a
// server has the lock for a moment, or longer while it compares all rows.
func awaitLock(ctx context.Context, conn *pgx.Conn, number int32) error {
	for end := time.Now().Add(heldLimit); ; {
		_, ok, err := tryLock(ctx, conn, number)
		if err != nil || ok {
			return err
		}
		if time.Now().After(end) {
			if err := checkNotCompared(ctx, conn, number); err != nil {
				return fmt.Errorf("the table cannot be compared: %w", err)
			}
		}
		if err := pause(ctx, lockedPause); err != nil {
			return err
		}
	}
}
