// Package attach shows tables of other programs as collections: it replicates them to
// nearby.items.
//
// Attach writes down the attachment in nearby.attachments and copies all rows. After that,
// changes of the table reach the collection in one of two ways. With FollowTrigger,
// triggers on the table write them to nearby.items in the transactions that make them;
// where a trigger cannot do so, it notes the row's id in nearby.attached_later. With
// FollowPoll, the table is asked for rows whose time of change is new.
//
// A Refresher does what remains: it polls, compares the rows that were noted, and compares
// all rows from time to time. Each server has one. For each table, the one that has its lock
// does the work, and the state of the work is in nearby.attachments, so that another one
// can go on.
//
// All of them compare in the same way (compare.go): the database makes a table of the rows
// that differ, in one statement, and they are copied from it in chunks. What is
// written to nearby.items gets its number like the rows of any other program. So this
// package knows nothing of commits and of followers, and package postgres of attachments
// only that a Refresher has to run.
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
	Again     bool  // it was attached already, so and not otherwise
	Changed   int64 // rows that were copied or, where they were gone, deleted
	Rows      int64 // of the collection, bad ones included
	Bad       int64 // rows that are no items and are not served
	BadRows   []BadRow
	Unnamed   int64 // rows that are left out: their id is NULL, or longer than 1024 bytes
	// Owner is the role that owns the table, if it is not Role, which attached it.
	Owner, Role string
}

// BadRow is a row that is no item.
type BadRow struct{ ID, Reason string }

const shownBadRows = 10

// Errors of attachments.
var (
	// ErrNotAttached: a collection shows no table.
	ErrNotAttached = errors.New("the collection shows no table")
	// ErrTaken: the name belongs to another collection, or attachment.
	ErrTaken = errors.New("the name is taken")
)

const (
	// heldLimit is how long open transactions that hold rows are waited for, with a look
	// every heldPause.
	heldLimit = time.Minute
	heldPause = 200 * time.Millisecond
)

// Attach makes a collection of a table and copies it. Interrupted, it can be repeated;
// of a table that is attached it compares all rows. ctx bounds it all; progress is
// told how many of the rows that differ are copied.
func Attach(ctx context.Context, url string, a Attachment, progress func(done, total int64)) (Result, error) {
	var done Result
	err := withTables(ctx, url, (*database.Database).Prepare, func(conn *pgx.Conn) error {
		if err := database.CheckOwner(ctx, conn, "a table is attached"); err != nil {
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

// firstCopy compares and copies all rows, and ends the time in which rows are missing.
// What changes meanwhile is polled for, or seen by the triggers, which are there.
func firstCopy(ctx context.Context, conn *pgx.Conn, a *Attachment, t *table, progress func(done, total int64)) (changed int64, err error) {
	var last *string
	if a.Follow == FollowPoll {
		if last, err = newest(ctx, conn, t, nil, a); err != nil {
			return 0, err
		}
	}
	var sc scope
	for end := time.Now().Add(heldLimit); ; {
		total, err := differ(ctx, conn, a, t, sc)
		if err != nil {
			return changed, err
		}
		held, err := settle(ctx, conn, a, t, total, progress)
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
	if err := forget(ctx, conn); err != nil {
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

// count fills in what there is in the end.
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
