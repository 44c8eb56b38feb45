package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"nearby/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// migrationLock is the advisory lock of who makes the first of the tables.
	migrationLock = 0x6e6561726279
	// migrationWait is how long another server is waited for that makes or changes them.
	migrationWait = 50 * time.Second
)

// prepare looks what kind of server it is and brings the tables up to date.
func (s *Store) prepare(ctx context.Context) error {
	config := s.withOwnPath(writing)
	if s.config.ValidateConnect == nil && oneServer(config) {
		config.ValidateConnect = nil // it may be a standby
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return unavailable(err)
	}
	defer hangUp(conn)
	id, err := identify(ctx, conn)
	if err != nil {
		return readError(err)
	}
	if id.encoding != "UTF8" {
		return fmt.Errorf("the database's encoding is %s, UTF8 is needed", id.encoding)
	}
	if id.standby && !s.opt.ReadOnly {
		s.opt.Log.Info("the database is a standby: the store can only be read")
		s.opt.ReadOnly = true
	}
	if s.opt.ReadOnly {
		return checkVersion(ctx, conn)
	}
	is, known, err := checkWhole(ctx, conn)
	switch {
	case err != nil:
		return err
	case is > known:
		return tooNew(is, known)
	case is < known:
		if err := s.update(ctx, conn); err != nil {
			return err
		}
	}
	return s.checkSchema(ctx, conn)
}

// update brings the tables up to date, one server at a time, whoever starts beside. The
// lock is one that only the owner of the tables can take. Before there are any, it is one
// that everybody can.
func (s *Store) update(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `SELECT set_config('statement_timeout', '60s', false), set_config('idle_in_transaction_session_timeout', '0', false), set_config('lock_timeout', $1::text, false)`,
		millis(s.opt.migrationWait)); err != nil {
		return readError(err)
	}
	var made bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass('nearby.migrations') IS NOT NULL`).Scan(&made); err != nil {
		return readError(err)
	}
	if !made {
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
			return s.makingBeside(ctx, "advisory", err)
		}
		if err := s.makeVersions(ctx, conn); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_unlock($1)`, int64(migrationLock)); err != nil {
			return readError(err)
		}
	}
	if err := checkOwner(ctx, conn, "bringing the tables up to date: start one server of this version"); err != nil {
		return err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return readError(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	// It lets others read the table, and rows be added by what follows.
	if _, err := tx.Exec(ctx, `LOCK TABLE nearby.migrations IN SHARE UPDATE EXCLUSIVE MODE`); err != nil {
		return s.makingBeside(ctx, "relation", err)
	}
	is, known, err := checkWhole(ctx, conn)
	if err != nil || is == known {
		return err
	}
	return s.migrate(ctx)
}

// makeVersions makes the schema and the table of versions.
func (s *Store) makeVersions(ctx context.Context, conn *pgx.Conn) error {
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'nearby')`).Scan(&exists); err != nil {
		return readError(err)
	}
	if !exists {
		if _, err := conn.Exec(ctx, `CREATE SCHEMA nearby`); err != nil {
			return fmt.Errorf("making the schema nearby: %w", err)
		}
	}
	return s.withMigrations(func(provider *goose.Provider) error {
		_, _, err := provider.GetVersions(ctx)
		return err
	})
}

// makingBeside says who holds the lock that was waited for, where that was too long.
func (s *Store) makingBeside(ctx context.Context, kind string, err error) error {
	if !isCode(err, "55P03", "57014") {
		return readError(err)
	}
	other, connectErr := s.connect(ctx, listening) // the one is perhaps in a failed transaction
	if connectErr != nil {
		return readError(err)
	}
	defer hangUp(other)
	var pid int32
	var role string
	found := other.QueryRow(ctx, `SELECT l.pid, coalesce(a.usename::text, '?') FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.locktype = $2::text
   AND (l.locktype = 'advisory' AND l.objsubid = 1 AND l.classid::bigint << 32 | l.objid::bigint = $1
     OR l.locktype = 'relation' AND l.relation = to_regclass('nearby.migrations') AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
 ORDER BY 1 LIMIT 1`, int64(migrationLock), kind).Scan(&pid, &role)
	if found != nil {
		return readError(err)
	}
	return unavailable(fmt.Errorf("waiting for who makes or changes the tables: process %[1]d, of the role %[2]s, holds their lock; "+
		"if that is no server of nearby that has just started, end it with SELECT pg_terminate_backend(%[1]d): %[3]w", pid, role, err))
}

// checkOwner refuses to do what only the owner of nearby's tables can, and names it.
func checkOwner(ctx context.Context, conn *pgx.Conn, what string) error {
	var owner, role string
	var is bool
	if err := conn.QueryRow(ctx, `SELECT pg_get_userbyid(c.relowner)::text, current_user::text, pg_has_role(c.relowner, 'USAGE') FROM pg_class c
 WHERE c.oid = to_regclass('nearby.migrations')`).Scan(&owner, &role, &is); err != nil {
		return readError(err)
	}
	if !is {
		return fmt.Errorf("%s as %s, the owner of nearby's tables: the role %s may not change them", what, owner, role)
	}
	return nil
}

// pathAdvice is for a role that is named like the schema of nearby's tables.
const pathAdvice = `PostgreSQL's search_path, "$user", public, begins with the schema nearby for a role of that name: ` +
	`let programs log in as another role, or ALTER ROLE nearby SET search_path = public`

// checkSchema warns of what is in the schema nearby, or will be, without being nearby's.
func (s *Store) checkSchema(ctx context.Context, conn *pgx.Conn) error {
	var here *string
	var tables []string
	var superuser bool
	if err := conn.QueryRow(ctx, `SELECT current_schema(),
       ARRAY (SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'nearby'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1),
       EXISTS (SELECT FROM pg_roles r WHERE r.rolname = current_user AND r.rolsuper)`).Scan(&here, &tables, &superuser); err != nil {
		return readError(err)
	}
	tables = slices.DeleteFunc(tables, ownTable)
	if here != nil && *here == "nearby" || len(tables) > 0 {
		s.opt.Log.Warn("tables of other programs get into the schema nearby", "tables", tables, "advice", pathAdvice)
	}
	if superuser {
		s.opt.Log.Warn("nearby runs as a superuser of the database, and needs not: who owns an attached table or view could run code as one")
	}
	return nil
}

var createTable = regexp.MustCompile(`CREATE (?:UNLOGGED )?TABLE nearby\.(\w+)`)

// ownTable reports whether a table of the schema nearby is one that the migrations make.
func ownTable(name string) bool {
	if name == "migrations" {
		return true
	}
	files, _ := fs.Glob(migrations, "migrations/*.sql")
	for _, file := range files {
		text, _ := fs.ReadFile(migrations, file) // it is a part of the program
		for _, m := range createTable.FindAllSubmatch(text, -1) {
			if string(m[1]) == name {
				return true
			}
		}
	}
	return false
}

// halfSQL looks for what a database has only while it is being restored: tables without
// the one that tells their version, or without a row in it, or without primary keys; and
// for who restores it, before there is anything. Other tables than nearby's may be in
// the schema.
const halfSQL = `
SELECT to_regclass('nearby.migrations') IS NOT NULL,
       EXISTS (SELECT FROM pg_proc WHERE pronamespace = to_regnamespace('nearby') AND proname = 'commit') OR to_regclass('nearby.head') IS NOT NULL,
       EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = to_regnamespace('nearby') AND c.relkind = 'r'
          AND c.relname IN ('attachments', 'collections', 'head', 'items', 'migrations', 'receipts', 'replicas', 'tombstones', 'writers')
          AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)),
       EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pg_restore')`

// checkWhole sees to it that tables which are being restored are neither made nor changed
// meanwhile. It returns the version that the tables have and the one that is known.
func checkWhole(ctx context.Context, conn *pgx.Conn) (is, known int64, err error) {
	var versioned, tables, keyless, restorer bool
	if err := conn.QueryRow(ctx, halfSQL).Scan(&versioned, &tables, &keyless, &restorer); err != nil {
		return 0, 0, readError(err)
	}
	if versioned {
		if err := conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM nearby.migrations WHERE is_applied`).Scan(&is); err != nil {
			return 0, 0, readError(err)
		}
	}
	if known, err = newestVersion(); err != nil {
		return 0, 0, err
	}
	if tables && is == 0 || keyless || restorer && is < known {
		return 0, 0, store.ErrRestored
	}
	if is < signedVersion {
		return is, known, nil
	}
	_, err = readPosition(ctx, conn)
	return is, known, err
}

// signedVersion is the first in which the head tells whether it was restored.
const signedVersion = 5

// checkVersion holds tables that may not be changed from here to the version that this
// program knows. Older ones are waited for: somebody else will bring them up to date.
func checkVersion(ctx context.Context, conn *pgx.Conn) error {
	var made bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass('nearby.migrations') IS NOT NULL`).Scan(&made); err != nil {
		return readError(err)
	}
	var is int64
	if made {
		if err := conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM nearby.migrations WHERE is_applied`).Scan(&is); err != nil {
			return readError(err)
		}
	}
	known, err := newestVersion()
	switch {
	case err != nil:
		return err
	case is > known:
		return tooNew(is, known)
	case is < known:
		reason := fmt.Sprintf("the database's tables have version %d, and this server, which only reads, needs version %d: start one that may write, as their owner, which brings them up to date", is, known)
		if !made {
			reason = "the database has no tables of nearby, and this server, which only reads, makes none: start one that may write, or restore them"
		}
		return &store.UnavailableError{Reason: reason}
	}
	return nil
}

func tooNew(is, known int64) error {
	return fmt.Errorf("the tables have version %d, this program knows versions up to %d", is, known)
}

// newestVersion is the number of the last migration.
func newestVersion() (int64, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		return 0, errors.Join(errors.New("there are no migrations"), err)
	}
	return goose.NumericComponent(files[len(files)-1])
}

// withMigrations lets do use what knows the migrations.
func (s *Store) withMigrations(do func(*goose.Provider) error) (err error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	config := s.with(writing)
	config.RuntimeParams["statement_timeout"] = "0"                                   // a new index may take its time
	config.RuntimeParams["idle_in_transaction_session_timeout"] = millis(time.Minute) // and so may a busy machine
	config.RuntimeParams["plan_cache_mode"] = "auto"
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName("nearby.migrations"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	return do(provider)
}

func (s *Store) migrate(ctx context.Context) error {
	return s.withMigrations(func(provider *goose.Provider) error {
		made, err := provider.Up(ctx)
		if err != nil {
			return fmt.Errorf("bringing the tables up to date: %w", err)
		}
		for _, m := range made {
			s.opt.Log.Info("the tables were brought up to date", "version", m.Source.Version, "microseconds", m.Duration.Microseconds())
		}
		return nil
	})
}
