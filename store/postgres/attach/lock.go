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

// comparesSQL counts who compares the table of the attachment a. A subquery is asked again
// for a row that has changed while it was waited for.
const comparesSQL = `(SELECT count(*) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid = a.holder
   AND l.classid::bigint << 32 | l.objid::bigint = a.ticket AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))`

// tryLock makes the connection the one that compares the table of an attachment, if none
// does. Any role can take any advisory lock: so it is one that nobody knows before it is
// taken, and the row, which strangers cannot change, says which and whose. It goes with
// the connection, as do the statements that it protects.
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

// comparedError names the process that compares a table.
type comparedError struct {
	pid  int32
	role string
}

func (e *comparedError) Error() string {
	return fmt.Sprintf("process %d, of the role %s, is comparing it; try again later", e.pid, e.role)
}

// compared returns a comparedError if the table is compared, and keeps it from being so
// until the transaction ends, if there is one.
func compared(ctx context.Context, tx interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, number int32,
) error {
	var e comparedError
	var is bool
	err := tx.QueryRow(ctx, `SELECT coalesce(a.holder, 0), coalesce((SELECT s.usename::text FROM pg_stat_activity s WHERE s.pid = a.holder), '?'), `+comparesSQL+` > 0
  FROM nearby.attachments a WHERE a.number = $1::int FOR UPDATE`, number).Scan(&e.pid, &e.role, &is)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ErrNotAttached // any more
	case err != nil:
		return database.ReadError(err)
	case is:
		return &e
	}
	return nil
}

// awaitLock waits for the lock, which a replica holds for a moment, and longer
// while it compares all rows.
func awaitLock(ctx context.Context, conn *pgx.Conn, number int32) error {
	for end := time.Now().Add(heldLimit); ; {
		_, ok, err := tryLock(ctx, conn, number)
		if err != nil || ok {
			return err
		}
		if time.Now().After(end) {
			if err := compared(ctx, conn, number); err != nil {
				return fmt.Errorf("the table cannot be compared: %w", err)
			}
		}
		if err := pause(ctx, lockedPause); err != nil {
			return err
		}
	}
}
