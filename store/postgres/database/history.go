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

// Released is the condition, in SQL, that the row of nearby.head was written here. A row
// that a backup brought was written by another transaction than the one that it names:
// until nearby.release was called the rest of the backup may be missing. The condition is
// not met either where a table is not the one that the row names: it was restored alone
// (nearby.tables).
const Released = `coalesce(written_by = xmin AND tables = ARRAY['nearby.attached_later'::regclass, 'nearby.attachments'::regclass,
 'nearby.collections'::regclass, 'nearby.head'::regclass, 'nearby.items'::regclass, 'nearby.migrations'::regclass, 'nearby.pending'::regclass,
 'nearby.receipts'::regclass, 'nearby.replicas'::regclass, 'nearby.tombstones'::regclass, 'nearby.writers'::regclass]::oid[], false)`

// HeadError is the error of reading the head. Where it has no row, it is about to be
// restored.
func HeadError(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return store.ErrRestored
	}
	return ReadError(err)
}

// Identity is what the server of a connection contributes to the epoch. An epoch names
// the cluster, its timeline, the database in it and the counter in nearby.head. A
// standby has the epoch of its primary. The timeline is another one after a promotion
// and after a recovery to a point in time.
type Identity struct {
	server   string
	Standby  bool // the timeline may change under the connection
	encoding string
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

// Identify asks a connection's server who it is, once if that cannot change.
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

// Epoch is the epoch of a server whose head has a counter.
func (id Identity) Epoch(counter int64) store.Epoch {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", id.server, counter))
	return store.Epoch(hex.EncodeToString(sum[:8]))
}

// ReadPosition reads the head. The server is asked who it is after that: a standby
// that was promoted meanwhile is another history.
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
