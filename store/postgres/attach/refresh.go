package attach

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/time/rate"

	"nearby/store/postgres/database"
)

// A Refresher keeps the collections of attached tables up to date, except for what triggers do.
type Refresher struct {
	db     *database.Database
	log    *slog.Logger
	failed rate.Sometimes // limits the message that no table can be asked
	unread unread

	polls, sweeps, rows atomic.Uint64
}

// NewRefresher returns a Refresher of the tables that are attached in a database.
func NewRefresher(db *database.Database, log *slog.Logger) *Refresher {
	return &Refresher{db: db, log: log, failed: rate.Sometimes{Interval: 10 * time.Second}}
}

// Stats has what a Refresher has done.
type Stats struct {
	Polls  uint64 // how often a table was asked for changes
	Sweeps uint64 // comparisons of all rows of a table
	Rows   uint64 // rows that were found to differ
}

// Stats returns the counters as they are now.
func (r *Refresher) Stats() Stats { return Stats{r.polls.Load(), r.sweeps.Load(), r.rows.Load()} }

const (
	// tick is the longest pause between two rounds. The shortest is a fiftieth of it.
	tick = time.Second
	// retryAfter: after an error the next poll, the next sweep and the next comparison of
	// noted rows come after this time, or after their intervals if those are shorter.
	retryAfter = 5 * time.Second
	// laterRows is how many noted ids are compared at once. If more wait, all rows are
	// compared.
	laterRows = 5000
)

const dueSQL = `
SELECT a.number, a.collection, coalesce(a.error, ''), a.follow = 'poll' AND a.next_poll <= now(), coalesce(a.next_sweep <= now(), false),
       coalesce(a.next_poll <= now(), true) AND EXISTS (SELECT FROM nearby.attached_later l WHERE l.collection = a.collection)
  FROM nearby.attachments a
 WHERE a.copied AND ($1::int IS NULL OR a.number = $1::int) AND EXISTS (SELECT FROM nearby.head WHERE ` + database.Released + `)
 ORDER BY a.number`

// due is an attachment, and the work that is due for it.
type due struct {
	number             int32
	collection         string
	problem            string // the last error of a server that asked the table; "": the last one succeeded
	poll, sweep, later bool   // later: there are noted rows
}

func (d *due) any() bool { return d.poll || d.sweep || d.later }

// Run keeps the collections up to date until ctx ends.
func (r *Refresher) Run(ctx context.Context) {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			database.HangUp(conn)
		}
	}()
	for ctx.Err() == nil {
		next, err := r.round(ctx, &conn)
		if err != nil && ctx.Err() == nil {
			r.unread.none(err)
			r.failed.Do(func() { r.log.Warn("attached tables cannot be asked", "error", err) })
			if conn != nil {
				database.HangUp(conn) // with its lock
				conn = nil
			}
			next = tick
		}
		_ = pause(ctx, next)
	}
}

// round does what is due for all attachments, and returns how long to wait for the next round.
func (r *Refresher) round(ctx context.Context, conn **pgx.Conn) (time.Duration, error) {
	if *conn == nil {
		c, err := connect(ctx, r.db)
		if err != nil {
			return 0, err
		}
		*conn = c
	}
	all, err := readDue(ctx, *conn, nil)
	if err != nil {
		return 0, err
	}
	r.unread.note(all, r.log)
	for _, d := range all {
		if !d.any() {
			continue
		}
		// An error of one attachment must not stop the work for the others.
		if failed := r.refresh(ctx, *conn, d.number); failed != nil {
			err = errors.Join(err, fmt.Errorf("collection %s: %w", d.collection, failed))
			if ctx.Err() != nil || (*conn).IsClosed() {
				break
			}
		}
	}
	if err != nil {
		return 0, err
	}
	var next *float64
	err = (*conn).QueryRow(ctx, `SELECT extract(epoch FROM min(least(CASE WHEN follow = 'poll' THEN next_poll END, next_sweep)) - now())::float8 FROM nearby.attachments WHERE copied`).Scan(&next)
	if err != nil || next == nil {
		return tick, database.ReadError(err)
	}
	return min(max(time.Duration(*next*float64(time.Second)), tick/50), tick), nil
}

// readDue returns what is due for the attachment with a number, or for all.
func readDue(ctx context.Context, conn *pgx.Conn, number *int32) ([]due, error) {
	rows, err := conn.Query(ctx, dueSQL, number)
	if err != nil {
		return nil, database.ReadError(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d due, err error) {
		err = row.Scan(&d.number, &d.collection, &d.problem, &d.poll, &d.sweep, &d.later)
		return d, err
	})
	return all, database.ReadError(err)
}

// refresh takes an attachment's lock, if it is free, and does what is due. It writes the
// outcome, and when the next work is due, to nearby.attachments.
func (r *Refresher) refresh(ctx context.Context, conn *pgx.Conn, number int32) (err error) {
	ticket, ok, err := tryLock(ctx, conn, number)
	if err != nil || !ok {
		return err
	}
	defer func() { err = errors.Join(err, unlock(ctx, conn, ticket)) }()
	// Another replica may have done the work before this one got the lock.
	now, err := readDue(ctx, conn, &number)
	if err != nil || len(now) == 0 || !now[0].any() {
		return err
	}
	d := now[0]
	var a Attachment
	var last *string
	err = scanAttachment(conn.QueryRow(ctx, `SELECT `+attachmentColumns+`, last FROM nearby.attachments WHERE number = $1`, number), &a, &last)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // detached
	}
	if err != nil {
		return database.ReadError(err)
	}
	failed := r.compare(ctx, conn, &a, d, &last)
	if ctx.Err() != nil || conn.IsClosed() {
		return errors.Join(failed, ctx.Err())
	}
	var reason *string
	if failed != nil {
		reason = optional(failed.Error()) // all servers read it there
	}
	_, err = conn.Exec(ctx, `UPDATE nearby.attachments SET last = $2, error = $3::text,
       next_poll = now() + CASE WHEN $3::text IS NULL THEN every ELSE least(every, $5::text::interval) END,
       next_sweep = CASE WHEN NOT $4::boolean THEN next_sweep WHEN $3::text IS NULL THEN now() + sweep ELSE now() + least(sweep, $5::text::interval) END
 WHERE number = $1`,
		number, last, reason, d.sweep, interval(retryAfter))
	if err != nil || failed == nil {
		return database.ReadError(err)
	}
	// The noted ids must not pile up while they cannot be compared. So they are replaced by
	// one row without an id, which stands for all rows.
	_, err = conn.Exec(ctx, `WITH gone AS (DELETE FROM nearby.attached_later WHERE collection = $1 RETURNING id)
INSERT INTO nearby.attached_later (collection) SELECT $1 FROM gone LIMIT 1`, a.Collection)
	return database.ReadError(err)
}

// compare does the comparisons that are due for one attachment. last is the newest time of
// change that was seen; compare updates it.
func (r *Refresher) compare(ctx context.Context, conn *pgx.Conn, a *Attachment, d due, last **string) error {
	name := a.Table
	t, err := findTable(ctx, conn, a)
	if err != nil {
		return err
	}
	if t.name != name {
		return fmt.Errorf("%s: %w", name, errNoTable)
	}
	if d.later {
		if err := r.compareNoted(ctx, conn, a, t, &d); err != nil {
			return err
		}
	}
	if !d.poll && !d.sweep {
		return dropDifferences(ctx, conn)
	}
	sc := scope{since: *last}
	if d.sweep {
		sc = scope{}
	}
	newer := *last
	if a.Follow == FollowPoll {
		// This comes before the rows are read, so that no later change is left out.
		if newer, err = newest(ctx, conn, t, *last, a); err != nil {
			return err
		}
	}
	total, err := findDifferences(ctx, conn, a, t, sc)
	if err != nil {
		return err
	}
	if _, err := copyDifferences(ctx, conn, a, t, total, func(int64, int64) {}); err != nil {
		return err
	}
	*last = newer
	if d.sweep {
		r.sweeps.Add(1)
	} else {
		r.polls.Add(1)
	}
	r.rows.Add(uint64(total))
	return dropDifferences(ctx, conn)
}

// compareNoted compares the rows whose ids triggers have noted. If too many are noted, or a
// row without an id, which stands for all, it compares all rows; a sweep is then not due any
// more.
func (r *Refresher) compareNoted(ctx context.Context, conn *pgx.Conn, a *Attachment, t *table, d *due) error {
	var numbers []int64
	var ids []string
	var all bool
	err := conn.QueryRow(ctx, `SELECT array_agg(l.n), coalesce(array_agg(DISTINCT l.id) FILTER (WHERE l.id IS NOT NULL), '{}'), count(*) > $2::int OR bool_or(l.id IS NULL)
  FROM (SELECT n, id FROM nearby.attached_later WHERE collection = $1 ORDER BY n LIMIT $2::int + 1) l HAVING count(*) > 0`, a.Collection, int32(laterRows)).Scan(&numbers, &ids, &all)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return database.ReadError(err)
	}
	sc := scope{ids: ids}
	if all {
		// The comparison below covers everything that was noted before it.
		if err := conn.QueryRow(ctx, `SELECT array_agg(n) FROM nearby.attached_later WHERE collection = $1`, a.Collection).Scan(&numbers); err != nil {
			return database.ReadError(err)
		}
		sc = scope{}
	}
	total, err := findDifferences(ctx, conn, a, t, sc)
	if err != nil {
		return err
	}
	held, err := copyDifferences(ctx, conn, a, t, total, func(int64, int64) {})
	if err != nil {
		return err
	}
	r.rows.Add(uint64(total) - uint64(len(held)))
	if all {
		if d.sweep {
			r.sweeps.Add(1)
		}
		d.sweep = false
	}
	// Rows that open transactions hold are noted again.
	_, err = conn.Exec(ctx, `WITH done AS (DELETE FROM nearby.attached_later WHERE n = ANY ($1::bigint[]))
INSERT INTO nearby.attached_later (collection, id) SELECT $2, h FROM unnest($3::text[]) h`, numbers, a.Collection, held)
	return database.ReadError(err)
}

// newest returns the greatest time of change in the table, but not a time in the future. last
// is the newest time that was seen before; rows that are older, by more than the overlap, are
// not read. If there are no others, newest returns last.
func newest(ctx context.Context, conn *pgx.Conn, t *table, last *string, a *Attachment) (*string, error) {
	sql, args := fmt.Sprintf(`SELECT least(max(s.%s), now()::%s)::text FROM %s s`, t.change, t.changes, t.name), []any{}
	if last != nil {
		sql += fmt.Sprintf(" WHERE s.%[1]s > $1::text::%[2]s - $2::text::interval", t.change, t.changes)
		args = []any{*last, interval(a.Overlap)}
	}
	var found *string
	if err := conn.QueryRow(ctx, sql, args...).Scan(&found); err != nil {
		return nil, fmt.Errorf("reading the newest change of %s: %w", t.name, err)
	}
	if found == nil {
		return last, nil
	}
	return found, nil
}
