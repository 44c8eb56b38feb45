// Package attach shows tables of other programs as collections: it replicates them to
// nearby.items.
//
// Attach writes the attachment to nearby.attachments and copies all rows. After that,
// changes of the table reach the collection in one of two ways. With FollowTrigger,
// triggers on the table write them to nearby.items, in the transactions that change the
// table. If a trigger cannot do that, it writes the row's id to nearby.attached_later. With
// FollowPoll, a Refresher asks the table for rows whose time of change is new.
//
// Each server has a Refresher. It polls, compares the rows whose ids are in
// nearby.attached_later, and compares all rows from time to time. For each table, the
// Refresher that has the lock of the table does the work. The state of the work is in
// nearby.attachments, so that another Refresher can continue.
//
// Attach and the Refresher compare in the same way (compare.go): one statement makes a
// temporary table of the rows that differ, and these rows are copied in chunks. What is
// written to nearby.items gets its number like the rows of any other program. So this
// package knows nothing of commits and followers. Package postgres knows only that a
// Refresher has to run.
package attach

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres/database"
)

// Result is what an Attach has done.
type Result struct {
	Table     string // with its schema
	Guarantee string
	Again     bool     // the table was attached already, with the same settings
	Changed   int64    // rows that were copied to the collection or deleted from it
	Rows      int64    // of the collection, bad ones included
	Bad       int64    // rows that are not valid items and are not served
	BadRows   []BadRow // the first of them
	Unnamed   int64    // rows that are not copied: their id is NULL, or longer than 1024 bytes
	// Owner is the role that owns the table, and Role the role that attached it. Both are
	// empty if they are the same role.
	Owner, Role string
}

// BadRow is a row that is not a valid item.
type BadRow struct{ ID, Reason string }

const shownBadRows = 10

// Errors of attachments.
var (
	// ErrNotAttached: the collection does not exist, or shows no table.
	ErrNotAttached = errors.New("the collection shows no table")
	// ErrTaken: the name belongs to another collection or attachment.
	ErrTaken = errors.New("the name is taken")
)

const (
	// Attach waits up to heldLimit for open transactions that hold rows, and tries again after
	// every heldPause.
	heldLimit = time.Minute
	heldPause = 200 * time.Millisecond
)

// Attach makes a collection of a table and copies it. If Attach was interrupted, it can be
// repeated. If the table is attached already, Attach compares all rows. It calls progress
// with how many of the rows that differ are copied, and how many there are.
func Attach(ctx context.Context, url string, a Attachment, progress func(done, total int64)) (Result, error) {
	var done Result
	err := withTables(ctx, url, (*database.Database).Prepare, func(conn *pgx.Conn) error {
		if err := database.CheckOwner(ctx, conn, "attach the table"); err != nil {
			return err
		}
		t, err := findTable(ctx, conn, &a)
		if err != nil {
			return err
		}
		if err := t.checkTrust(a.TrustOwner); err != nil {
			return err
		}
		done.Table, done.Guarantee = t.name, a.Guarantee()
		if t.owner != t.role {
			done.Owner, done.Role = t.owner, t.role
		}
		number, again, err := install(ctx, conn, &a, t)
		if err != nil {
			return err
		}
		done.Again = again
		if err := awaitLock(ctx, conn, number); err != nil {
			return err
		}
		if done.Changed, err = firstCopy(ctx, conn, &a, t, progress); err != nil {
			return err
		}
		return done.count(ctx, conn, &a, t)
	})
	return done, err
}

// firstCopy compares all rows and copies those that differ. Then it records that the
// collection has all rows. Rows that change meanwhile are found by the first poll, or by
// the triggers, which exist already.
func firstCopy(ctx context.Context, conn *pgx.Conn, a *Attachment, t *table, progress func(done, total int64)) (changed int64, err error) {
	var last *string
	if a.Follow == FollowPoll {
		if last, err = newest(ctx, conn, t, nil, a); err != nil {
			return 0, err
		}
	}
	var sc scope
	for end := time.Now().Add(heldLimit); ; {
		total, err := findDifferences(ctx, conn, a, t, sc)
		if err != nil {
			return changed, err
		}
		held, err := copyDifferences(ctx, conn, a, t, total, progress)
		if err != nil {
			return changed, err
		}
		changed += total - int64(len(held))
		if len(held) == 0 {
			break
		}
		if time.Now().After(end) {
			return changed, fmt.Errorf("%d rows of %s are held by open transactions, such as %q: attach the table again when they have ended", len(held), t.name, held[0])
		}
		if err := pause(ctx, heldPause); err != nil {
			return changed, err
		}
		sc, progress = scope{ids: held}, func(int64, int64) {}
	}
	if err := dropDifferences(ctx, conn); err != nil {
		return changed, err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return changed, database.ReadError(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, `UPDATE nearby.attachments SET copied = true, last = $2, error = NULL, next_poll = now() + every, next_sweep = now() + sweep WHERE collection = $1`, a.Collection, last); err != nil {
		return changed, err
	}
	if _, err := tx.Exec(ctx, `SELECT nearby.define(c.name, jsonb_set(c.definition::jsonb, '{source,guarantee}', to_jsonb($2::text)))
  FROM nearby.collections c WHERE c.name = $1 AND NOT c.dropped AND c.definition #>> '{source,guarantee}' IS DISTINCT FROM $2::text`, a.Collection, a.Guarantee()); err != nil {
		return changed, err
	}
	return changed, tx.Commit(ctx)
}

// count counts the rows of the collection for the result.
func (done *Result) count(ctx context.Context, conn *pgx.Conn, a *Attachment, t *table) error {
	const of = `FROM nearby.items i JOIN nearby.collections c ON c.name = i.collection AND i.seq >= c.born WHERE i.collection = $1`
	if err := conn.QueryRow(ctx, `SELECT count(*), count(i.bad) `+of, a.Collection).Scan(&done.Rows, &done.Bad); err != nil {
		return database.ReadError(err)
	}
	if done.Bad > 0 {
		rows, err := conn.Query(ctx, `SELECT i.id, i.bad `+of+` AND i.bad IS NOT NULL ORDER BY i.id LIMIT $2::int`, a.Collection, int32(shownBadRows))
		if err != nil {
			return database.ReadError(err)
		}
		if done.BadRows, err = pgx.CollectRows(rows, pgx.RowToStructByPos[BadRow]); err != nil {
			return database.ReadError(err)
		}
	}
	return database.ReadError(conn.QueryRow(ctx, "SELECT count(*) FROM "+t.name+" s WHERE ("+t.usable()+") IS NOT TRUE").Scan(&done.Unnamed))
}
