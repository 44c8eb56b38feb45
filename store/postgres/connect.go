package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"nearby/store/postgres/database"
)

// readTimeout limits the time of a small read, from the sending to the answer.
const readTimeout = 5 * time.Second

var (
	// reading is for views. The reading of a view may take long, and its transaction is idle
	// while it waits for the reader.
	reading = database.Settings{
		"application_name":                    "reads",
		"default_transaction_isolation":       "read committed",
		"idle_in_transaction_session_timeout": database.Millis(10 * time.Minute),
		"statement_timeout":                   "0",
	}
	// feeding is for Follow. Its statements read in the order of seq, so they must use the
	// indexes by seq.
	feeding = database.Settings{
		"application_name":                    "follows",
		"default_transaction_isolation":       "read committed",
		"idle_in_transaction_session_timeout": database.Millis(time.Minute),
		"statement_timeout":                   "0",
		"plan_cache_mode":                     "force_generic_plan",
		"enable_seqscan":                      "off",
		"enable_bitmapscan":                   "off",
		"enable_sort":                         "off",
	}
	// listening is for the connection that waits for notifications.
	listening = database.Settings{
		"application_name":                    "listens",
		"idle_in_transaction_session_timeout": database.Millis(2 * time.Second),
	}
)

func (s *Store) newPool() (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, err
	}
	config.ConnConfig = s.db.Config(reading)
	config.MaxConns = int32(s.opt.Readers)
	config.MaxConnLifetime = time.Hour
	config.MaxConnLifetimeJitter = 10 * time.Minute
	config.MaxConnIdleTime = 5 * time.Minute
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := database.Identify(ctx, conn)
		return err
	}
	return pgxpool.NewWithConfig(s.life, config)
}

// onPool calls f with a connection of the pool. If f succeeds, f is responsible for the
// connection: it keeps it or releases it. If f fails, onPool releases it. If the connection
// had been closed by the other side, onPool calls f once more with another one.
func (s *Store) onPool(ctx context.Context, f func(*pgxpool.Conn) error) error {
	for again := false; ; again = true {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		if err = f(conn); err == nil {
			return nil
		}
		ended := conn.Conn().IsClosed() // to be asked before the release: then others may use conn
		conn.Release()
		if again || !ended || ctx.Err() != nil {
			return err
		}
		s.pool.Reset() // the pool's other connections are probably closed, too
	}
}

// onConnection calls f as onPool does, and releases the connection when f has returned. It
// takes at most limit; if the time is up, it fails with store.ErrUnavailable.
func (s *Store) onConnection(ctx context.Context, limit time.Duration, f func(context.Context, *pgx.Conn) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := s.onPool(limited, func(conn *pgxpool.Conn) error {
		if err := f(limited, conn.Conn()); err != nil {
			return err
		}
		conn.Release()
		return nil
	})
	return overdue(ctx, err)
}

// overdue returns a store.ErrUnavailable if err comes from a time limit of this package and
// not from the end of ctx, the caller's context. Otherwise it returns err.
func overdue(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return database.Unavailable(err)
	}
	return err
}
