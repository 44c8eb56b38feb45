package database

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"nearby/store"
)

// Released is the SQL condition that the row of nearby.head was not written by the restore of
// a backup. The row names the transaction that wrote it and the oids of the tables. If a
// backup was restored, another transaction wrote the row, and the condition is false until
// nearby.release() was called: before that, a part of the backup may be missing. If one table
// was restored alone, its oid differs, and the condition is false, too.
const Released = `coalesce(written_by = xmin AND tables = ARRAY['nearby.attached_later'::regclass, 'nearby.attachments'::regclass,
 'nearby.collections'::regclass, 'nearby.head'::regclass, 'nearby.items'::regclass, 'nearby.migrations'::regclass, 'nearby.pending'::regclass,
 'nearby.receipts'::regclass, 'nearby.replicas'::regclass, 'nearby.tombstones'::regclass, 'nearby.writers'::regclass]::oid[], false)`

// HeadError returns the error of a failed read of nearby.head. If the table has no row, the
// database is being restored.
func HeadError(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return store.ErrRestored
	}
	return ReadError(err)
}

// Identity identifies the cluster, its timeline, and the database of a connection. An epoch is
// made of these and of the counter in nearby.head. A standby has the epoch of its primary. A
// promotion, or a recovery to a point in time, begins a new timeline.
type Identity struct {
	server   string
	Standby  bool   // the server was a standby; if it is promoted, its timeline changes
	encoding string // of the database
}

// IdentitySQL reads an Identity, for Scan.
const IdentitySQL = `
SELECT (pg_control_system()).system_identifier::text || '/' || d.oid::text || '/' ||
       CASE WHEN pg_is_in_recovery() THEN (pg_control_checkpoint()).timeline_id
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END::text,
       pg_is_in_recovery(), pg_encoding_to_char(d.encoding)
  FROM pg_database d WHERE d.datname = current_database()`

// Scan reads the row of IdentitySQL.
func (id *Identity) Scan(row pgx.Row) error {
	return row.Scan(&id.server, &id.Standby, &id.encoding)
}

const identityKey = "nearby.identity"

// Identify returns the Identity of a connection. It asks the server only once, unless the
// server is a standby.
func Identify(ctx context.Context, conn *pgx.Conn) (Identity, error) {
	known := conn.PgConn().CustomData()
	if id, ok := known[identityKey].(Identity); ok && !id.Standby {
		return id, nil
	}
	var id Identity
	if err := id.Scan(conn.QueryRow(ctx, IdentitySQL)); err != nil {
		return id, err
	}
	known[identityKey] = id
	return id, nil
}

// Epoch returns the epoch of a database whose head has a counter.
func (id Identity) Epoch(counter int64) store.Epoch {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", id.server, counter))
	return store.Epoch(hex.EncodeToString(sum[:8]))
}

// ReadPosition returns the newest commit. It asks for the Identity after it has read the head:
// if a standby is promoted between the two, the position gets the epoch of the new history. It
// fails with store.ErrRestored if the database is being restored, or is not released.
func ReadPosition(ctx context.Context, conn *pgx.Conn) (store.CommitID, error) {
	var seq, counter int64
	var usable bool
	if err := conn.QueryRow(ctx, `SELECT seq, epoch, `+Released+` FROM nearby.head`).Scan(&seq, &counter, &usable); err != nil {
		return store.CommitID{}, HeadError(err)
	}
	if !usable {
		return store.CommitID{}, store.ErrRestored
	}
	id, err := Identify(ctx, conn)
	return store.CommitID{Epoch: id.Epoch(counter), Seq: store.Seq(seq)}, err
}
