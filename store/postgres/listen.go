package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"nearby/store/postgres/database"
)

// listen signals wake when another session has committed, and each time it has begun to
// listen. Follow finds by polling what listen misses.
func (s *Store) listen(ctx context.Context, wake chan struct{}) {
	wait := retryPause
	for ctx.Err() == nil {
		if begun := s.listenOnce(ctx, wake); begun {
			wait = retryPause
		}
		_ = pause(ctx, wait, nil)
		wait = min(2*wait, time.Second)
	}
}

// listenCheck is how long a listening connection may be silent before listenOnce tests it.
const listenCheck = 10 * time.Second

// listenOnce listens until the connection is lost. It reports whether it had begun to listen.
func (s *Store) listenOnce(ctx context.Context, wake chan struct{}) (begun bool) {
	conn, err := s.db.Connect(ctx, listening)
	if err != nil {
		return false
	}
	defer database.HangUp(conn)
	if err := execSoon(ctx, conn, `LISTEN nearby`); err != nil {
		return false
	}
	signal(wake)
	for {
		quiet, cancel := context.WithTimeout(ctx, listenCheck)
		n, err := conn.WaitForNotification(quiet)
		cancel()
		switch {
		case err == nil && s.writer != nil && n.PID == s.writer.process.Load():
			// The writer signals its own commits. If the process belongs to another client
			// of a connection pooler, Follow finds its commits by polling.
		case err == nil:
			signal(wake)
		case !pgconn.Timeout(err) || ctx.Err() != nil || execSoon(ctx, conn, `SELECT 1`) != nil:
			return true
		}
	}
}

// execSoon executes a statement that takes less than readTimeout.
func execSoon(ctx context.Context, conn *pgx.Conn, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	_, err := conn.Exec(ctx, sql)
	return err
}
