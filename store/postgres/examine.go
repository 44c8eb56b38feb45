package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres/database"
)

// Examined says how a database is that a server uses, or may use.
type Examined struct {
	Version   string // of PostgreSQL
	Standby   bool
	Encoding  string
	Superuser bool // the role is one
	MayMake   bool // the role may make the schema nearby
	Fsync     bool // fsync and full_page_writes
	Vacuums   bool // autovacuum
	// Connections are open, of MaxConnections.
	Connections, MaxConnections int
	// ClockAhead is how far the clock of the database is ahead of this process's, and may
	// be wrong by ClockError.
	ClockAhead, ClockError time.Duration
	// Oldest is the age of the oldest open transaction of the database.
	Oldest time.Duration

	Tables   bool  // nearby's tables are there
	Older    bool  // a server brings them up to date when it starts
	Fault    error // why a server cannot use them; nil: nothing
	MayWrite bool  // the role may write items
	Items    int64 // estimated by the database; -1: not known
}

// Examine looks at a database, and changes nothing. Servers may use the database meanwhile. It
// fails with a store.ErrUnavailable that says why the database cannot be reached.
func Examine(ctx context.Context, url string) (Examined, error) {
	var e Examined
	db, err := database.New(url, database.Options{ReadOnly: true})
	if err != nil {
		return e, err
	}
	conn, err := db.Connect(ctx, listening)
	if err != nil {
		return e, err
	}
	defer database.HangUp(conn)
	var clock time.Time
	began := time.Now()
	if err := conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&clock); err != nil {
		return e, database.ReadError(err)
	}
	e.ClockError = time.Since(began) / 2
	e.ClockAhead = clock.Sub(began.Add(e.ClockError))
	const sql = `
SELECT current_setting('server_version'), pg_is_in_recovery(), pg_encoding_to_char(d.encoding), r.rolsuper,
       has_database_privilege(d.oid, 'CREATE'), current_setting('fsync')::bool AND current_setting('full_page_writes')::bool,
       current_setting('autovacuum')::bool, (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int,
       current_setting('max_connections')::int,
       coalesce((SELECT extract(epoch FROM max(now() - a.xact_start)) FROM pg_stat_activity a WHERE a.datname = d.datname AND a.pid <> pg_backend_pid()), 0)::float8,
       to_regclass('nearby.head') IS NOT NULL
  FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user`
	var oldest float64
	err = conn.QueryRow(ctx, sql).Scan(&e.Version, &e.Standby, &e.Encoding, &e.Superuser, &e.MayMake, &e.Fsync, &e.Vacuums,
		&e.Connections, &e.MaxConnections, &oldest, &e.Tables)
	if err != nil {
		return e, database.ReadError(err)
	}
	e.Oldest, e.Items = time.Duration(oldest*float64(time.Second)), -1
	if e.Tables {
		e.Fault = e.lookAtTables(ctx, conn)
	}
	return e, nil
}

func (e *Examined) lookAtTables(ctx context.Context, conn *pgx.Conn) (err error) {
	if e.Older, err = database.Check(ctx, conn); err != nil {
		return err
	}
	const sql = `SELECT has_table_privilege('nearby.items', 'INSERT'), c.reltuples::bigint FROM pg_class c WHERE c.oid = 'nearby.items'::regclass`
	return database.ReadError(conn.QueryRow(ctx, sql).Scan(&e.MayWrite, &e.Items))
}
