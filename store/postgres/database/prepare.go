package database

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"

	"nearby/store"
)

const (
	// migrationLock is the advisory lock of the server that makes the first tables.
	migrationLock = 0x6e6561726279
	// migrationWait is the default of Options.MigrationWait.
	migrationWait = 50 * time.Second
)

// Prepare makes the tables or brings them up to date. If the database is read-only, or the
// server is a standby, it only checks their version. It fails with store.ErrUnavailable if
// the database cannot be reached, and with store.ErrRestored if it is being restored.
func (d *Database) Prepare(ctx context.Context) error {
	config := d.ConfigWithOwnPath(Writing)
	if d.config.ValidateConnect == nil && oneServer(config) {
		config.ValidateConnect = nil // the only server may be a standby
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return Unavailable(err)
	}
	defer HangUp(conn)
	id, err := Identify(ctx, conn)
	if err != nil {
		return ReadError(err)
	}
	if id.encoding != "UTF8" {
		return fmt.Errorf("the database's encoding is %s, UTF8 is needed", id.encoding)
	}
	if id.Standby && !d.opt.ReadOnly {
		d.opt.Log.Info("the database is a standby: the store can only be read")
		d.opt.ReadOnly = true
	}
	if d.opt.ReadOnly {
		return checkVersion(ctx, conn)
	}
	is, known, err := checkNotRestored(ctx, conn)
	switch {
	case err != nil:
		return err
	case is > known:
		return tooNew(is, known)
	case is < known:
		if err := d.update(ctx, conn); err != nil {
			return err
		}
	}
	return d.checkSchema(ctx, conn)
}

// PrepareUnreleased is Prepare, but it also succeeds for a restored database that is complete
// and not yet released.
func (d *Database) PrepareUnreleased(ctx context.Context) error {
	unreleased := d.Prepare(ctx)
	if !errors.Is(unreleased, store.ErrRestored) {
		return unreleased
	}
	conn, err := d.Connect(ctx, Writing)
	if err != nil {
		return err
	}
	defer HangUp(conn)
	if err := checkVersion(ctx, conn); err != nil {
		return err
	}
	var lost *string
	if err := conn.QueryRow(ctx, `SELECT nearby.lost() FROM nearby.head`).Scan(&lost); err != nil {
		return HeadError(err)
	}
	if lost != nil {
		return fmt.Errorf("%w: %s", unreleased, *lost)
	}
	return nil
}

// update brings the tables up to date. One server at a time does that: it locks the table of
// versions, which only the owner of the tables can lock. If that table does not exist yet,
// update first makes it, under an advisory lock, which every role can take.
func (d *Database) update(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `SELECT set_config('statement_timeout', '60s', false), set_config('idle_in_transaction_session_timeout', '0', false), set_config('lock_timeout', $1::text, false)`,
		Millis(d.opt.MigrationWait)); err != nil {
		return ReadError(err)
	}
	var made bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass('nearby.migrations') IS NOT NULL`).Scan(&made); err != nil {
		return ReadError(err)
	}
	if !made {
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
			return d.migrationHolder(ctx, "advisory", err)
		}
		if err := d.makeVersions(ctx, conn); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_unlock($1)`, int64(migrationLock)); err != nil {
			return ReadError(err)
		}
	}
	if err := CheckOwner(ctx, conn, "bring the tables up to date: start one server of this version"); err != nil {
		return err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return ReadError(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	// With this lock others can read the table, and the migrations can add rows to it.
	if _, err := tx.Exec(ctx, `LOCK TABLE nearby.migrations IN SHARE UPDATE EXCLUSIVE MODE`); err != nil {
		return d.migrationHolder(ctx, "relation", err)
	}
	is, known, err := checkNotRestored(ctx, conn)
	if err != nil || is == known {
		return err
	}
	return d.migrate(ctx)
}

// makeVersions makes the schema and the table of versions.
func (d *Database) makeVersions(ctx context.Context, conn *pgx.Conn) error {
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'nearby')`).Scan(&exists); err != nil {
		return ReadError(err)
	}
	if !exists {
		if _, err := conn.Exec(ctx, `CREATE SCHEMA nearby`); err != nil {
			return fmt.Errorf("making the schema nearby: %w", err)
		}
	}
	return d.withMigrations(func(provider *goose.Provider) error {
		_, _, err := provider.GetVersions(ctx)
		return err
	})
}

// migrationHolder returns the error of waiting for a lock. If the wait was too long, the error
// names the session that holds the lock. kind is the type of the lock in pg_locks.
func (d *Database) migrationHolder(ctx context.Context, kind string, err error) error {
	if !IsCode(err, "55P03", "57014") {
		return ReadError(err)
	}
	other, connectErr := d.Connect(ctx, Writing) // the first connection may be in a failed transaction
	if connectErr != nil {
		return ReadError(err)
	}
	defer HangUp(other)
	var pid int32
	var role string
	found := other.QueryRow(ctx, `SELECT l.pid, coalesce(a.usename::text, '?') FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.locktype = $2::text
   AND (l.locktype = 'advisory' AND l.objsubid = 1 AND l.classid::bigint << 32 | l.objid::bigint = $1
     OR l.locktype = 'relation' AND l.relation = to_regclass('nearby.migrations') AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
 ORDER BY 1 LIMIT 1`, int64(migrationLock), kind).Scan(&pid, &role)
	if found != nil {
		return ReadError(err)
	}
	return Unavailable(fmt.Errorf("another session makes or changes the tables: process %[1]d, of the role %[2]s, holds their lock; "+
		"if it is not a nearby server that has just started, end it with SELECT pg_terminate_backend(%[1]d): %[3]w", pid, role, err))
}
