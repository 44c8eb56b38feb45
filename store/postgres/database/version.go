package database

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"nearby/store"
)

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

// signedVersion is the first in which the head tells whether it was restored.
const signedVersion = 5

// checkVersion holds tables that may not be changed from here to the version that this
// program knows. Older ones are waited for: somebody else will bring them up to date.
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

func tooNew(is, known int64) error {
	return fmt.Errorf("the tables have version %d, this program knows versions up to %d", is, known)
}
