package attach

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres/database"
)

// install makes the attachment, the collection and the triggers, and returns the number of
// the attachment. If the same attachment exists already, it changes nothing and again is true.
func install(ctx context.Context, conn *pgx.Conn, a *Attachment, t *table) (number int32, again bool, err error) {
	var is Attachment
	err = scanAttachment(conn.QueryRow(ctx, `SELECT `+attachmentColumns+`, number FROM nearby.attachments WHERE collection = $1`, a.Collection), &is, &number)
	switch {
	case err == nil && is.same(a):
		return number, true, nil
	case err == nil:
		return 0, false, fmt.Errorf("%w: collection %s shows %s with other settings: detach it first", ErrTaken, a.Collection, is.Table)
	case !errors.Is(err, pgx.ErrNoRows):
		return 0, false, database.ReadError(err)
	}
	if a.Follow == FollowTrigger && !t.mayTrigger {
		return 0, false, fmt.Errorf("the role %[1]s lacks a privilege: GRANT TRIGGER ON %[2]s TO %[1]s; or use --follow poll", t.role, t.name)
	}
	if !t.unique {
		var id string
		err := conn.QueryRow(ctx, "SELECT r.id FROM ("+t.rows(t.name, "")+") r GROUP BY r.id HAVING count(*) > 1 LIMIT 1").Scan(&id)
		if err == nil {
			return 0, false, fmt.Errorf("%s: the column %s cannot be the id: it has %q more than once", t.name, t.key, id)
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return 0, false, database.ReadError(err)
		}
	}
	err = retryLocked(ctx, func() (err error) {
		number, err = installOnce(ctx, conn, a, t)
		return err
	})
	return number, false, err
}

// tableLockLimit is how long retryLocked tries.
const tableLockLimit = time.Minute

// retryLocked calls do again, after pauses of a second, as long as do fails because another
// transaction holds a lock on the table. During the pauses, those who have waited behind do
// go on.
func retryLocked(ctx context.Context, do func() error) error {
	for end := time.Now().Add(tableLockLimit); ; {
		err := do()
		var busy *comparingError
		if !errors.As(err, &busy) && !database.IsCode(err, "55P03", "40P01") {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("the table is in use: %w", err)
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

// limitLockWait sets a short lock_timeout. Everybody who wants the table waits behind a
// transaction that waits for a lock on it.
func limitLockWait(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '200ms'`)
	return database.ReadError(err)
}

// installOnce makes the attachment in one transaction.
func installOnce(ctx context.Context, conn *pgx.Conn, a *Attachment, t *table) (number int32, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return 0, database.ReadError(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := limitLockWait(ctx, tx); err != nil {
		return 0, err
	}
	var taken bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM nearby.collections WHERE name = $1 AND NOT dropped)`, a.Collection).Scan(&taken); err != nil {
		return 0, database.ReadError(err)
	}
	if taken {
		return 0, fmt.Errorf("%w: there is a collection %s, which shows no table", ErrTaken, a.Collection)
	}
	err = tx.QueryRow(ctx, `INSERT INTO nearby.attachments
       (collection, relation, id_column, lon_column, lat_column, geom_column, properties, follow, change_column, every, overlap, sweep)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::interval, $11::text::interval, $12::text::interval) RETURNING number`,
		a.Collection, a.Table, a.ID, optional(a.Lon), optional(a.Lat), optional(a.Geom), a.Properties,
		a.Follow, optional(a.Column), optionalInterval(a.Interval), interval(a.Overlap), optionalInterval(a.Sweep)).Scan(&number)
	if database.IsCode(err, "23505") {
		return 0, fmt.Errorf("%w: collection %s is being attached", ErrTaken, a.Collection)
	}
	if err != nil {
		return 0, database.ReadError(err)
	}
	if t.point != "" {
		if _, err := tx.Exec(ctx, t.point); err != nil {
			return 0, err
		}
	}
	if a.Follow == FollowTrigger {
		for _, statement := range t.triggers(a.Collection, number) {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return 0, fmt.Errorf("making triggers on %s: %w", t.name, err)
			}
		}
	}
	// This comes last, because it locks the head.
	if _, err := tx.Exec(ctx, `SELECT nearby.define($1, $2::text::jsonb || jsonb_build_object('source',
	       jsonb_build_object('table', $3::text, 'follow', $4::text, 'guarantee', $5::text)))`,
		a.Collection, string(a.Definition), t.name, a.Follow, guaranteeWhileCopying); err != nil {
		return 0, err
	}
	return number, tx.Commit(ctx)
}

func interval(d time.Duration) string { return fmt.Sprintf("%d microseconds", d.Microseconds()) }

// optional returns nil, which is NULL in SQL, for "".
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func optionalInterval(d time.Duration) *string {
	if d == 0 {
		return nil
	}
	return optional(interval(d))
}
