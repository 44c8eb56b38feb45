package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"nearby/store/postgres/database"
)

// readTimeout bounds a small read, from the sending to the answer.
const readTimeout = 5 * time.Second

var (
	// reading is for views: one may be read for long, and wait for the reader.
	reading = database.Settings{
		"application_name":                    "reads",
		"default_transaction_isolation":       "read committed",
		"idle_in_transaction_session_timeout": database.Millis(10 * time.Minute),
		"statement_timeout":                   "0",
	}
	// feeding reads by seq, in its order: there is an index for nothing else.
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
	// listening waits for notifications.
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

// onPool lets f use a connection of the pool. If f succeeds, it has kept the connection or
// given it back; if f fails, onPool gives it back. f is called again, once, if the
// connection was one that had ended unnoticed.
func (s *Store) onPool(ctx context.Context, f func(*pgxpool.Conn) error) error {
	for again := false; ; again = true {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		if err = f(conn); err == nil {
			return nil
		}
		ended := conn.Conn().IsClosed() // as soon as it is given back, others may use it
		conn.Release()
		if again || !ended || ctx.Err() != nil {
			return err
		}
		s.pool.Reset() // the others will have ended, too
	}
}

// onConnection is onPool for what is done in the meantime.
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

// overdue tells the end of a time of ours, that of the database to answer, from the
// end of the caller's context.
func overdue(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return database.Unavailable(err)
	}
	return err
}
