package database

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"nearby/store"
)

// restoringSQL looks for signs that a database is being restored: nearby's tables without the
// table of versions, tables without primary keys, and a connection of pg_restore. Other
// programs may have tables in the schema, too, so it names nearby's tables.
const restoringSQL = `
SELECT to_regclass('nearby.migrations') IS NOT NULL,
       EXISTS (SELECT FROM pg_proc WHERE pronamespace = to_regnamespace('nearby') AND proname = 'commit') OR to_regclass('nearby.head') IS NOT NULL,
       EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = to_regnamespace('nearby') AND c.relkind = 'r'
          AND c.relname IN ('attachments', 'collections', 'head', 'items', 'migrations', 'receipts', 'replicas', 'tombstones', 'writers')
          AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)),
       EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pg_restore')`

// checkNotRestored fails with store.ErrRestored if the database is being restored, or is not
// released since, so that the tables are not changed meanwhile. It returns the version that
// the tables have and the newest that this program knows.
func checkNotRestored(ctx context.Context, conn *pgx.Conn) (is, known int64, err error) {
	var versioned, tables, keyless, restorer bool
	if err := conn.QueryRow(ctx, restoringSQL).Scan(&versioned, &tables, &keyless, &restorer); err != nil {
		return 0, 0, ReadError(err)
	}
	if versioned {
		if err := conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM nearby.migrations WHERE is_applied`).Scan(&is); err != nil {
			return 0, 0, ReadError(err)
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
	_, err = ReadPosition(ctx, conn)
	return is, known, err
}

// signedVersion is the first version of the tables whose head shows whether it was restored
// (Released).
const signedVersion = 5

// checkVersion is for a server that does not change the tables. It fails if they do not have
// the version that this program knows. If they are older, the error is a
// *store.UnavailableError, because another server may bring them up to date.
func checkVersion(ctx context.Context, conn *pgx.Conn) error {
	var made bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass('nearby.migrations') IS NOT NULL`).Scan(&made); err != nil {
		return ReadError(err)
	}
	var is int64
	if made {
		if err := conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM nearby.migrations WHERE is_applied`).Scan(&is); err != nil {
			return ReadError(err)
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

// Check finds out whether a server can use the tables, and changes nothing. older: it brings
// them up to date first.
func Check(ctx context.Context, conn *pgx.Conn) (older bool, err error) {
	is, known, err := checkNotRestored(ctx, conn)
	if err == nil && is > known {
		err = tooNew(is, known)
	}
	return is < known, err
}

func tooNew(is, known int64) error {
	return fmt.Errorf("the tables have version %d, this program knows versions up to %d", is, known)
}
