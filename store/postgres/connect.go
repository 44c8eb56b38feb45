package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"nearby/store"
)

const (
	connectTimeout = 2 * time.Second
	// readTimeout bounds a small read, from the sending to the answer.
	readTimeout = 5 * time.Second
)

// role is what a connection is for: its settings in the database. Its application_name
// says so after the one that the address has, which names the program.
type role map[string]string

// programName is the application_name where the address has none.
const programName = "nearby"

// everyRole has settings that keep a client that hangs, or a network that ends,
// from holding on to what others wait for.
var everyRole = role{
	"client_encoding":             "UTF8",
	"standard_conforming_strings": "on",
	"TimeZone":                    "UTC",
	"jit":                         "off", // it takes longer than what it speeds up
	"tcp_user_timeout":            millis(5 * time.Second),
	"tcp_keepalives_idle":         "5",
	"tcp_keepalives_interval":     "2",
	"tcp_keepalives_count":        "3",
	"lock_timeout":                millis(2 * time.Second),
	// Nobody's function or operator is taken for one of PostgreSQL's own.
	"search_path": "pg_catalog, pg_temp",
}

var (
	// writing is for what holds locks.
	writing = role{
		"application_name":                    "writes",
		"default_transaction_isolation":       "read committed",
		"default_transaction_read_only":       "off",
		"idle_in_transaction_session_timeout": millis(2 * time.Second),
		"statement_timeout":                   millis(10 * time.Second),
		// The calls are the same each time, whatever is in them: rows are found by their
		// keys. Plans that were made when a table was small must not stay when it grows.
		"plan_cache_mode":   "force_generic_plan",
		"enable_seqscan":    "off",
		"enable_bitmapscan": "off",
		"enable_hashjoin":   "off",
		"enable_mergejoin":  "off",
	}
	// reading is for views: one may be read for long, and wait for the reader.
	reading = role{
		"application_name":                    "reads",
		"default_transaction_isolation":       "read committed",
		"idle_in_transaction_session_timeout": millis(10 * time.Minute),
		"statement_timeout":                   "0",
	}
	// feeding reads by seq, in its order: there is an index for nothing else.
	feeding = role{
		"application_name":                    "follows",
		"default_transaction_isolation":       "read committed",
		"idle_in_transaction_session_timeout": millis(time.Minute),
		"statement_timeout":                   "0",
		"plan_cache_mode":                     "force_generic_plan",
		"enable_seqscan":                      "off",
		"enable_bitmapscan":                   "off",
		"enable_sort":                         "off",
	}
	// listening waits for notifications.
	listening = role{
		"application_name":                    "listens",
		"idle_in_transaction_session_timeout": millis(2 * time.Second),
	}
)

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func parse(url string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("the address of the database: %w", err) // without the password
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	switch config.DefaultQueryExecMode {
	case pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol:
		config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe // results are read in binary
	}
	return config, nil
}

// with returns the configuration of a connection of a role. A store that writes
// talks to a primary only, also where the address names several servers.
func (s *Store) with(r role) *pgx.ConnConfig {
	config := s.config.Copy()
	for _, settings := range []role{everyRole, r} {
		maps.Copy(config.RuntimeParams, settings)
	}
	config.RuntimeParams["application_name"] = cmp.Or(s.config.RuntimeParams["application_name"], programName) + " " + r["application_name"]
	if !s.opt.ReadOnly && config.ValidateConnect == nil {
		config.ValidateConnect = isPrimary
	}
	return config
}

// withOwnPath is with for a connection that has the search_path of the role that logs in.
func (s *Store) withOwnPath(r role) *pgx.ConnConfig {
	config := s.with(r)
	if path, ok := s.config.RuntimeParams["search_path"]; ok {
		config.RuntimeParams["search_path"] = path
	} else {
		delete(config.RuntimeParams, "search_path")
	}
	return config
}

// isPrimary refuses a standby.
func isPrimary(ctx context.Context, conn *pgconn.PgConn) error {
	if err := pgconn.ValidateConnectTargetSessionAttrsPrimary(ctx, conn); err != nil {
		return fmt.Errorf("%w, and a primary is waited for; with --read-only a standby will do", err)
	}
	return nil
}

// oneServer reports whether an address names a single server. What it falls back to is
// then the same one, without encryption.
func oneServer(config *pgx.ConnConfig) bool {
	return !slices.ContainsFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.Host != config.Host || f.Port != config.Port })
}

// connect opens a connection of a role. Its errors are store.ErrUnavailable.
func (s *Store) connect(ctx context.Context, r role) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, s.with(r))
	if err != nil {
		return nil, unavailable(err)
	}
	return conn, nil
}

// Why commits are refused, for everybody.
const (
	whyNoAnswer = "the database does not answer; see whether it runs, and whether the server can reach it"
	whyHeldUp   = "an open transaction of another program holds up all writes to the database; the operator can end it, and the server's log names it"
	whyOther    = "the database belongs to another history than the collections, which are read anew; writes are taken again in a moment"
)

// unavailable is store.ErrUnavailable with what an error of the database, or on the way to
// it, means.
func unavailable(err error) error {
	if store.Reason(err) != "" {
		return err
	}
	return &store.UnavailableError{Reason: meaning(err), Err: err}
}

func meaning(err error) string {
	var pe *pgconn.PgError
	switch {
	case hopeless(err):
		return "the database refuses the server; see its role, password and privileges"
	case pgconn.Timeout(err), errors.Is(err, context.DeadlineExceeded):
		return whyNoAnswer
	case !errors.As(err, &pe):
		return "the database, or its primary, cannot be reached; see whether it runs, and whether the server can reach it"
	}
	switch code := pe.Code; {
	case code == "25006":
		return "the database has become a standby, which takes no writes; they are taken again by its primary"
	case code == "53100":
		return "the disk of the database is full; make room on it"
	case code == "53300":
		return "the database has no connection left; end those that are not needed, or let it have more"
	case strings.HasPrefix(code, "53"):
		return "the database lacks memory or another resource; see its log"
	case code == "57014":
		return "the database took too long; see what it is busy with"
	case strings.HasPrefix(code, "57P"):
		return "the database is stopping or starting, or has ended the server's connection; see whether it runs"
	}
	return "the database fails; see its log, and the server's"
}

// hopeless reports whether the database, which can be reached, refuses who asks, so that
// to ask again is of no use.
func hopeless(err error) bool {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return false
	}
	return strings.HasPrefix(pe.Code, "28") || // who is it?
		pe.Code == "3D000" || // there is no such database
		pe.Code == "42501" // a privilege is missing
}

func (s *Store) newPool() (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, err
	}
	config.ConnConfig = s.with(reading)
	config.MaxConns = int32(s.opt.Readers)
	config.MaxConnLifetime = time.Hour
	config.MaxConnLifetimeJitter = 10 * time.Minute
	config.MaxConnIdleTime = 5 * time.Minute
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := identify(ctx, conn)
		return err
	}
	return pgxpool.NewWithConfig(s.life, config)
}

// onPool lets f use a connection of the pool, which f gives back. It is called again,
// once, if the connection was one that had ended unnoticed.
func (s *Store) onPool(ctx context.Context, f func(*pgxpool.Conn) error) error {
	for again := false; ; again = true {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		c := conn.Conn()
		if err = f(conn); err == nil || again || !c.IsClosed() || ctx.Err() != nil {
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
		defer conn.Release()
		return f(limited, conn.Conn())
	})
	return overdue(ctx, err)
}

// overdue tells the end of a time of ours, that of the database to answer, from the
// end of the caller's context.
func overdue(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return unavailable(err)
	}
	return err
}

// hangUp closes a connection without waiting for the database for long.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// beingRestored reports whether the database lacks what the tables were made with, or
// says itself that it is not released.
func beingRestored(pe *pgconn.PgError) bool {
	switch pe.Code {
	case codeRestored,
		"3F000", "42P01", "42703", "42883", // no such schema, table, column, function
		"42P10": // no primary key yet
		return true
	}
	return false
}

// readError names the kind of a failed read.
func readError(err error) error {
	var pe *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrUnavailable):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &pe) && beingRestored(pe):
		return fmt.Errorf("%w: %w", store.ErrRestored, pe)
	case errors.As(err, &pe) && strings.HasPrefix(pe.Code, "XX"):
		return joined(store.ErrCorrupt, err)
	default:
		return unavailable(err)
	}
}
