package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"nearby/store"
)

// How an attached table is followed.
const (
	FollowTrigger = "trigger"
	FollowPoll    = "poll"
)

// Attachment says how a table or view of the database is shown as a collection, which
// then can be written in no other way.
type Attachment struct {
	Collection string
	Table      string // as SQL writes it, perhaps with a schema
	ID         string // the column of the id, of any type that has a text form
	Lon, Lat   string // the columns of the position, of number types
	Geom       string // in their place: a column of points of PostGIS
	// Properties are the columns that become properties, in this order; nil: all
	// others.
	Properties []string

	Follow   string        // FollowTrigger or FollowPoll
	Column   string        // poll: the column with the time of the last change
	Interval time.Duration // poll: between questions for new times of change
	Overlap  time.Duration // poll: how far they go back behind the newest time that was seen
	Sweep    time.Duration // between comparisons of all rows; 0: none

	// Definition is the collection's, a JSON object, without its source.
	Definition []byte

	// TrustOwner names the role that owns the table, where a superuser attaches what
	// is another role's.
	TrustOwner string
}

// Guarantee says what readers of the collection may rely on.
func (a *Attachment) Guarantee() string {
	var s string
	if a.Follow == FollowTrigger {
		s = "Every change that is committed to the table appears, deletions included, whole transactions at once and in the order of their commits; " +
			"of transactions at REPEATABLE READ or SERIALIZABLE each row appears about a second later."
	} else {
		s = fmt.Sprintf("Changes that set %s appear within about %s. Deletions, rows whose transaction took longer than %s, and changes that leave %s as it is appear ",
			a.Column, a.Interval, a.Overlap, a.Column)
		if a.Sweep == 0 {
			return s + "never."
		}
		return s + fmt.Sprintf("within about %s.", a.Sweep)
	}
	if a.Sweep > 0 {
		s += fmt.Sprintf(" All rows are compared every %s.", a.Sweep)
	}
	return s
}

const guaranteeWhileCopying = "None yet: the table is being copied for the first time, and rows are missing."

// Attached is what an Attach has done.
type Attached struct {
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
	// ErrAttached: the name belongs to another collection, or attachment.
	ErrAttached = errors.New("the name is taken")
)

const (
	// attachedChunkLimit bounds a chunk, tableLockLimit how long one tries to get a
	// table's lock, and heldLimit how long open transactions that hold rows are waited
	// for, looking every heldPause.
	attachedChunkLimit = 2 * time.Minute
	tableLockLimit     = time.Minute
	heldLimit          = time.Minute
	heldPause          = 200 * time.Millisecond
)

// copying is for what compares and copies attached tables. The settings are what the
// text form of values depends on.
var copying = role{
	"application_name":                    "compares",
	"default_transaction_isolation":       "read committed",
	"default_transaction_read_only":       "off",
	"idle_in_transaction_session_timeout": millis(10 * time.Second),
	"statement_timeout":                   millis(time.Hour),
	"DateStyle":                           "ISO, YMD",
	"IntervalStyle":                       "postgres",
	"bytea_output":                        "hex",
	"extra_float_digits":                  "1",
}

const schemasKey = "nearby.schemas"

// connectCopying opens a connection whose statements are not prepared, for they are
// about tables that come and go.
func (s *Store) connectCopying(ctx context.Context) (*pgx.Conn, error) {
	config := s.withOwnPath(copying)
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, unavailable(err)
	}
	// Tables are looked for where other programs of the role find theirs.
	var schemas []string
	if err := conn.QueryRow(ctx, `SELECT ARRAY (SELECT quote_ident(s) FROM pg_catalog.unnest(current_schemas(true)) WITH ORDINALITY s (s, n) WHERE s <> 'nearby' ORDER BY n)`).Scan(&schemas); err != nil {
		hangUp(conn)
		return nil, readError(err)
	}
	conn.PgConn().CustomData()[schemasKey] = schemas
	if _, err := conn.Exec(ctx, `SELECT pg_catalog.set_config('search_path', $1::text, false)`, everyRole["search_path"]); err != nil {
		hangUp(conn)
		return nil, readError(err)
	}
	return conn, nil
}

// withDatabase lets do use a database that has nearby's tables.
func withDatabase(ctx context.Context, url string, do func(*pgx.Conn) error) error {
	return withTables(ctx, url, (*Store).prepare, do)
}

// prepareWhole is prepare that takes a restored database, too, if all is there but the
// release.
func (s *Store) prepareWhole(ctx context.Context) error {
	unreleased := s.prepare(ctx)
	if !errors.Is(unreleased, store.ErrRestored) {
		return unreleased
	}
	conn, err := s.connect(ctx, writing)
	if err != nil {
		return err
	}
	defer hangUp(conn)
	if err := checkVersion(ctx, conn); err != nil {
		return err
	}
	var lost *string
	if err := conn.QueryRow(ctx, `SELECT nearby.lost() FROM nearby.head`).Scan(&lost); err != nil {
		return headError(err)
	}
	if lost != nil {
		return fmt.Errorf("%w: %s", unreleased, *lost)
	}
	return nil
}

// withTables lets do use a database that prepare has found to be in order.
func withTables(ctx context.Context, url string, prepare func(*Store, context.Context) error, do func(*pgx.Conn) error) error {
	config, err := parse(url)
	if err != nil {
		return err
	}
	s := &Store{opt: Options{}.withDefaults(), config: config}
	if err := prepare(s, ctx); err != nil {
		return err
	}
	if s.opt.ReadOnly {
		return fmt.Errorf("%w: the database is a standby", store.ErrReadOnly)
	}
	conn, err := s.connectCopying(ctx)
	if err != nil {
		return err
	}
	defer hangUp(conn)
	return do(conn)
}

// Attach makes a collection of a table and copies it. Interrupted, it can be repeated;
// of a table that is attached it compares all rows. ctx bounds it all; progress is
// told how many of the rows that differ are copied.
func Attach(ctx context.Context, url string, a Attachment, progress func(done, total int64)) (Attached, error) {
	var done Attached
	err := withDatabase(ctx, url, func(conn *pgx.Conn) error {
		if err := checkOwner(ctx, conn, "a table is attached"); err != nil {
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
		if err := lockAttached(ctx, conn, number); err != nil {
			return err
		}
		if done.Changed, err = firstCopy(ctx, conn, &a, t, progress); err != nil {
			return err
		}
		return done.count(ctx, conn, &a, t)
	})
	return done, err
}

// isCode reports whether an error of the database has one of these codes.
func isCode(err error, codes ...string) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && slices.Contains(codes, pe.Code)
}

func interval(d time.Duration) string { return fmt.Sprintf("%d microseconds", d.Microseconds()) }

// optional is NULL for nothing.
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

const attachmentColumns = `collection, relation, id_column, coalesce(lon_column, ''), coalesce(lat_column, ''), coalesce(geom_column, ''), properties,
       follow, coalesce(change_column, ''), (1e6 * extract(epoch FROM coalesce(every, '0')))::bigint,
       (1e6 * extract(epoch FROM coalesce(overlap, '0')))::bigint, (1e6 * extract(epoch FROM coalesce(sweep, '0')))::bigint`

// scanAttachment reads attachmentColumns and more.
func scanAttachment(row pgx.Row, a *Attachment, more ...any) error {
	var every, overlap, sweep int64
	err := row.Scan(append([]any{
		&a.Collection, &a.Table, &a.ID, &a.Lon, &a.Lat, &a.Geom, &a.Properties, &a.Follow, &a.Column, &every, &overlap, &sweep,
	}, more...)...)
	a.Interval, a.Overlap, a.Sweep = time.Duration(every)*time.Microsecond, time.Duration(overlap)*time.Microsecond, time.Duration(sweep)*time.Microsecond
	return err
}

// same reports whether two attachments are the same but for the definition.
func (a *Attachment) same(b *Attachment) bool {
	x, y := *a, *b
	x.Properties, y.Properties, x.Definition, y.Definition = nil, nil, nil, nil
	x.TrustOwner, y.TrustOwner = "", ""
	return fmt.Sprint(x) == fmt.Sprint(y) && slices.Equal(a.Properties, b.Properties)
}

// install writes down the attachment and makes collection and triggers, or finds them.
func install(ctx context.Context, conn *pgx.Conn, a *Attachment, t *attachedTable) (number int32, again bool, err error) {
	var is Attachment
	err = scanAttachment(conn.QueryRow(ctx, `SELECT `+attachmentColumns+`, number FROM nearby.attachments WHERE collection = $1`, a.Collection), &is, &number)
	switch {
	case err == nil && is.same(a):
		return number, true, nil
	case err == nil:
		return 0, false, fmt.Errorf("%w: collection %s shows %s, and otherwise: detach it first", ErrAttached, a.Collection, is.Table)
	case !errors.Is(err, pgx.ErrNoRows):
		return 0, false, readError(err)
	}
	if a.Follow == FollowTrigger && !t.mayTrigger {
		return 0, false, fmt.Errorf("the role %[1]s lacks a privilege: GRANT TRIGGER ON %[2]s TO %[1]s; --follow poll does without", t.role, t.name)
	}
	if !t.unique {
		var id string
		err := conn.QueryRow(ctx, "SELECT r.id FROM ("+t.rows(t.name, "")+") r GROUP BY r.id HAVING count(*) > 1 LIMIT 1").Scan(&id)
		if err == nil {
			return 0, false, fmt.Errorf("%s: the column %s is no id: it has %q more than once", t.name, t.key, id)
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return 0, false, readError(err)
		}
	}
	err = patiently(ctx, func() (err error) {
		number, err = installOnce(ctx, conn, a, t)
		return err
	})
	return number, false, err
}

// patiently tries again while a lock of a table is not to be had. In between those
// who wait behind the attempt go on.
func patiently(ctx context.Context, do func() error) error {
	for end := time.Now().Add(tableLockLimit); ; {
		err := do()
		var busy *comparedError
		if !errors.As(err, &busy) && !isCode(err, "55P03", "40P01") {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("the table is in use: %w", err)
		}
		if err := pause(ctx, time.Second, nil); err != nil {
			return err
		}
	}
}

// hurry keeps a transaction that wants a table's lock from holding up those behind it
// for long.
func hurry(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '200ms'`)
	return readError(err)
}

func installOnce(ctx context.Context, conn *pgx.Conn, a *Attachment, t *attachedTable) (number int32, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return 0, readError(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := hurry(ctx, tx); err != nil {
		return 0, err
	}
	var taken bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM nearby.collections WHERE name = $1 AND NOT dropped)`, a.Collection).Scan(&taken); err != nil {
		return 0, readError(err)
	}
	if taken {
		return 0, fmt.Errorf("%w: there is a collection %s, which shows no table", ErrAttached, a.Collection)
	}
	err = tx.QueryRow(ctx, `INSERT INTO nearby.attachments
       (collection, relation, id_column, lon_column, lat_column, geom_column, properties, follow, change_column, every, overlap, sweep)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::interval, $11::text::interval, $12::text::interval) RETURNING number`,
		a.Collection, a.Table, a.ID, optional(a.Lon), optional(a.Lat), optional(a.Geom), a.Properties,
		a.Follow, optional(a.Column), optionalInterval(a.Interval), interval(a.Overlap), optionalInterval(a.Sweep)).Scan(&number)
	if isCode(err, "23505") {
		return 0, fmt.Errorf("%w: collection %s is being attached", ErrAttached, a.Collection)
	}
	if err != nil {
		return 0, readError(err)
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
	// At the end, for it locks the head.
	if _, err := tx.Exec(ctx, `SELECT nearby.define($1, $2::text::jsonb || jsonb_build_object('source',
	       jsonb_build_object('table', $3::text, 'follow', $4::text, 'guarantee', $5::text)))`,
		a.Collection, string(a.Definition), t.name, a.Follow, guaranteeWhileCopying); err != nil {
		return 0, err
	}
	return number, tx.Commit(ctx)
}

// firstCopy compares and copies all rows, and ends the time in which rows are missing.
// What changes meanwhile is polled for, or seen by the triggers, which are there.
func firstCopy(ctx context.Context, conn *pgx.Conn, a *Attachment, t *attachedTable, progress func(done, total int64)) (changed int64, err error) {
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
		if err := pause(ctx, heldPause, nil); err != nil {
			return changed, err
		}
		sc, progress = scope{ids: held}, func(int64, int64) {}
	}
	if err := forget(ctx, conn); err != nil {
		return changed, err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return changed, readError(err)
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
func (done *Attached) count(ctx context.Context, conn *pgx.Conn, a *Attachment, t *attachedTable) error {
	const of = `FROM nearby.items i JOIN nearby.collections c ON c.name = i.collection AND i.seq >= c.born WHERE i.collection = $1`
	if err := conn.QueryRow(ctx, `SELECT count(*), count(i.bad) `+of, a.Collection).Scan(&done.Rows, &done.Bad); err != nil {
		return readError(err)
	}
	if done.Bad > 0 {
		rows, err := conn.Query(ctx, `SELECT i.id, i.bad `+of+` AND i.bad IS NOT NULL ORDER BY i.id LIMIT $2::int`, a.Collection, int32(shownBadRows))
		if err != nil {
			return readError(err)
		}
		if done.BadRows, err = pgx.CollectRows(rows, pgx.RowToStructByPos[BadRow]); err != nil {
			return readError(err)
		}
	}
	return readError(conn.QueryRow(ctx, "SELECT count(*) FROM "+t.name+" s WHERE ("+t.usable()+") IS NOT TRUE").Scan(&done.Unnamed))
}

// Detach ends an attachment: the table is as it was before. The collection is dropped
// or, with keep, stays as one that can be written.
func Detach(ctx context.Context, url, collection string, keep bool) error {
	return withTables(ctx, url, (*Store).prepareWhole, func(conn *pgx.Conn) error {
		if err := checkOwner(ctx, conn, "a table is detached"); err != nil {
			return err
		}
		var number int32
		err := conn.QueryRow(ctx, `SELECT number FROM nearby.attachments WHERE collection = $1`, collection).Scan(&number)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("%w: %s", ErrNotAttached, collection)
		}
		if err != nil {
			return readError(err)
		}
		return patiently(ctx, func() error { return detachOnce(ctx, conn, collection, number, keep) })
	})
}

func detachOnce(ctx context.Context, conn *pgx.Conn, collection string, number int32, keep bool) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return readError(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := hurry(ctx, tx); err != nil {
		return err
	}
	if err := compared(ctx, tx, number); err != nil {
		return err
	}
	for _, statement := range []string{
		fmt.Sprintf(`DROP FUNCTION IF EXISTS nearby.attached_%d() CASCADE`, number), // with its triggers
		`DELETE FROM nearby.attached_later WHERE collection = ` + literal(collection),
		`DELETE FROM nearby.attachments WHERE collection = ` + literal(collection),
	} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	define := `SELECT nearby.define($1, NULL)`
	if keep {
		define = `SELECT nearby.define(c.name, c.definition::jsonb - 'source') FROM nearby.collections c WHERE c.name = $1 AND NOT c.dropped`
	}
	if _, err := tx.Exec(ctx, define, collection); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// AttachmentState is an attachment and how it is getting on.
type AttachmentState struct {
	Attachment
	Copied  bool   // the first copy is finished
	Waiting int64  // rows that triggers could not write through and that are not compared yet
	Problem string // what is wrong with it; "" if nothing is known
}

// Attachments lists all attachments of a database by their collections.
func Attachments(ctx context.Context, url string) ([]AttachmentState, error) {
	var all []AttachmentState
	err := withDatabase(ctx, url, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT `+attachmentColumns+`, copied,
       (SELECT count(*) FROM nearby.attached_later l WHERE l.collection = a.collection),
       CASE WHEN shown IS NULL THEN 'the table is gone'
            WHEN follow = 'trigger' AND 4 > (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = shown
                 AND t.tgfoid = to_regproc('nearby.attached_' || number) AND t.tgenabled IN ('O', 'A')) THEN 'triggers are missing or disabled'
            ELSE coalesce(error, '') END
  FROM nearby.attachments a LEFT JOIN LATERAL (SELECT r.oid FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace
    WHERE format('%I.%I', n.nspname, r.relname) = a.relation) r (shown) ON true ORDER BY collection`)
		if err != nil {
			return readError(err)
		}
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s AttachmentState, err error) {
			err = scanAttachment(row, &s.Attachment, &s.Copied, &s.Waiting, &s.Problem)
			return s, err
		})
		return readError(err)
	})
	return all, err
}
