package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

const soon = patience // what is waited for comes by then

// user is somebody who has tables in a database.
type user struct {
	*pgx.Conn
	t   testing.TB
	url string
}

func newUser(t testing.TB, url string) *user {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &user{conn, t, url}
}

func (u *user) do(sql string, args ...any) {
	u.t.Helper()
	if _, err := u.Exec(context.Background(), sql, args...); err != nil {
		u.t.Fatalf("%s: %v", sql, err)
	}
}

// script does what is written in statements that semicolons divide.
func (u *user) script(text string) {
	u.t.Helper()
	for statement := range strings.SplitSeq(text, ";") {
		u.do(statement)
	}
}

func (u *user) value(sql string, args ...any) (v int64) {
	u.t.Helper()
	if err := u.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		u.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// contents are the items of a collection, each in a line, by id.
type contents map[string]string

func asLine(lon, lat float64, properties string) string {
	return fmt.Sprintf("%v %v %s", lon, lat, properties)
}

// wanted reads what a table should show: the oracle. The query gives id, lon, lat and
// properties as jsonb, of the good rows.
func (u *user) wanted(query string) contents {
	u.t.Helper()
	rows, err := u.Query(context.Background(), "SELECT id::text, lon::float8, lat::float8, coalesce(properties::text, '') FROM ("+query+") q (id, lon, lat, properties)")
	if err != nil {
		u.t.Fatal(err)
	}
	all := contents{}
	for rows.Next() {
		var id, properties string
		var lon, lat float64
		if err := rows.Scan(&id, &lon, &lat, &properties); err != nil {
			u.t.Fatal(err)
		}
		all[id] = asLine(lon, lat, properties)
	}
	if err := rows.Err(); err != nil {
		u.t.Fatal(err)
	}
	return all
}

func (u *user) attach(a postgres.Attachment) postgres.Attached {
	u.t.Helper()
	done, err := postgres.Attach(context.Background(), u.url, complete(a), func(int64, int64) {})
	if err != nil {
		u.t.Fatal(err)
	}
	return done
}

// complete fills in what most tests do not care about.
func complete(a postgres.Attachment) postgres.Attachment {
	if a.Collection == "" {
		a.Collection = "shops"
	}
	if a.ID == "" {
		a.ID = "id"
	}
	if a.Lon == "" && a.Geom == "" {
		a.Lon, a.Lat = "lng", "lat"
	}
	if a.Follow == postgres.FollowPoll {
		a.Column = "updated_at"
		if a.Interval == 0 {
			a.Interval, a.Overlap = 100*time.Millisecond, 30*time.Second
		}
	}
	a.Definition = []byte(`{"title":"Shops","index":{"kind":"auto"},"created":1,"updated":1}`)
	return a
}

// replica follows a database as a server does.
type replica struct {
	*postgres.Store
	t       testing.TB
	mu      sync.Mutex
	seen    map[string]contents
	defined map[string]string
	steps   []map[string]contents // what was shown after each step, if kept
	keep    bool
}

func newReplica(t testing.TB, url string) *replica {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	st, err := postgres.Open(ctx, url, postgres.Options{PollInterval: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{Store: st, t: t}
	v, err := st.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	pos := v.Position()
	r.seen, r.defined = read(t, v)
	ended := make(chan error, 1)
	go func() { ended <- st.Follow(ctx, pos, r.take) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Follow ended: %v", err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func read(t testing.TB, v store.View) (map[string]contents, map[string]string) {
	t.Helper()
	defer func() { _ = v.Close() }()
	ctx := context.Background()
	all, err := v.Collections(ctx)
	if err != nil {
		t.Fatal(err)
	}
	seen, defined := map[string]contents{}, map[string]string{}
	for _, c := range all {
		rows := contents{}
		if err := v.Items(ctx, c.Name, 1, func(_ int, it *item.Item) error {
			rows[strings.Clone(it.ID)] = asLine(it.Lon, it.Lat, string(it.Properties))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		seen[c.Name], defined[c.Name] = rows, string(c.Definition)
	}
	return seen, defined
}

func (r *replica) take(step *store.Step) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range step.Changes {
		ch := &step.Changes[i]
		switch ch.Op {
		case store.PutCollection:
			if r.seen[ch.Collection] == nil {
				r.seen[ch.Collection] = contents{}
			}
			r.defined[ch.Collection] = string(ch.Definition)
		case store.DropCollection:
			delete(r.seen, ch.Collection)
		case store.PutItem:
			r.seen[ch.Collection][strings.Clone(ch.Item.ID)] = asLine(ch.Item.Lon, ch.Item.Lat, string(ch.Item.Properties))
		case store.DeleteItem:
			delete(r.seen[ch.Collection], ch.Item.ID)
		}
	}
	if r.keep && !step.More {
		shown := map[string]contents{}
		for name, rows := range r.seen {
			shown[name] = maps.Clone(rows)
		}
		r.steps = append(r.steps, shown)
	}
	return nil
}

func (r *replica) shown(collection string) contents {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.seen[collection])
}

func (r *replica) definition(collection string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.defined[collection]
}

// keepSteps begins to keep what is shown after each step.
func (r *replica) keepSteps() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep = true
}

// await waits for the replica to show what is wanted, by following and by a view.
func (r *replica) await(collection string, want contents) {
	r.t.Helper()
	for end := time.Now().Add(soon); ; time.Sleep(5 * time.Millisecond) {
		got := r.shown(collection)
		if maps.Equal(got, want) {
			break
		}
		if time.Now().After(end) {
			r.t.Fatalf("followed: %s", difference(got, want))
		}
	}
	v, err := r.View(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	if seen, _ := read(r.t, v); !maps.Equal(seen[collection], want) {
		r.t.Fatalf("view: %s", difference(seen[collection], want))
	}
}

func difference(got, want contents) string {
	var all []string
	for id, line := range want {
		if got[id] != line {
			all = append(all, fmt.Sprintf("%q: got %q, want %q", id, got[id], line))
		}
	}
	for id, line := range got {
		if _, ok := want[id]; !ok {
			all = append(all, fmt.Sprintf("%q: got %q, want nothing", id, line))
		}
	}
	slices.Sort(all)
	n := len(all)
	return fmt.Sprintf("%d of %d rows differ:\n%s", n, len(want), strings.Join(all[:min(n, 10)], "\n"))
}

func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not in time", what)
		}
	}
}

const (
	shopsTable = `CREATE TABLE shops (id int PRIMARY KEY, lng float8, lat float8, name text, category text, size numeric, tags jsonb,
		updated_at timestamptz NOT NULL DEFAULT clock_timestamp())`
	shopsQuery = `SELECT id, lng, lat, jsonb_build_object('name', name, 'category', category, 'size', size, 'tags', tags) FROM shops
		WHERE lng BETWEEN -180 AND 180 AND lat BETWEEN -90 AND 90`
)

var shopsProperties = []string{"name", "category", "size", "tags"}

func (u *user) fill(from, to int) {
	u.t.Helper()
	u.do(`INSERT INTO shops (id, lng, lat, name, category, size, tags)
SELECT i, i % 360 - 180, i % 180 - 90, 'shop ' || i, CASE i % 3 WHEN 0 THEN 'food' WHEN 1 THEN 'Küche "x"' END, i * 1.5, jsonb_build_array(i, NULL)
  FROM generate_series($1::int, $2::int) i`, from, to)
}

// newShops makes the table with so many rows in a database of its own.
func newShops(t testing.TB, rows int) *user {
	t.Helper()
	u := newUser(t, pgtest.Database(t))
	u.do(shopsTable)
	u.fill(1, rows)
	return u
}

// bothWays runs a test for each way to follow a table.
func bothWays(t *testing.T, test func(t *testing.T, a postgres.Attachment)) {
	for _, a := range []postgres.Attachment{
		{Table: "shops", Follow: postgres.FollowTrigger, Properties: shopsProperties},
		{Table: "shops", Follow: postgres.FollowPoll, Sweep: 500 * time.Millisecond, Properties: shopsProperties},
	} {
		t.Run(a.Follow, func(t *testing.T) {
			t.Parallel()
			test(t, a)
		})
	}
}

// A collection shows what its table has, however that is changed.
func TestAttachedTableIsShown(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, a postgres.Attachment) {
		u := newShops(t, 200)
		before := newReplica(t, u.url) // one that sees the first copy
		done := u.attach(a)
		if done.Table != "public.shops" || done.Changed != 200 || done.Rows != 200 || done.Bad != 0 || done.Again {
			t.Errorf("attached: %+v", done)
		}
		after := newReplica(t, u.url)
		check := func() {
			t.Helper()
			want := u.wanted(shopsQuery)
			before.await("shops", want)
			after.await("shops", want)
		}
		check()
		if d := after.definition("shops"); !strings.Contains(d, done.Guarantee) || !strings.Contains(d, `"Shops"`) {
			t.Errorf("the definition is %s", d)
		}
		for _, sql := range []string{
			`INSERT INTO shops (id, lng, lat, name) VALUES (1001, 7, 50, 'new'), (1002, -180, 90, NULL)`,
			`UPDATE shops SET name = 'renamed', updated_at = clock_timestamp() WHERE id < 20`,
			`UPDATE shops SET lng = -lng, size = NULL, updated_at = clock_timestamp() WHERE id BETWEEN 10 AND 30`,
			`DELETE FROM shops WHERE id % 7 = 0`,
			`UPDATE shops SET id = id + 5000, updated_at = clock_timestamp() WHERE id % 5 = 0`, // another key
			`BEGIN; DELETE FROM shops WHERE id = 2; INSERT INTO shops (id, lng, lat) VALUES (2, 2, 2); UPDATE shops SET lat = 3 WHERE id = 2; COMMIT`,
			`BEGIN; INSERT INTO shops (id, lng, lat) VALUES (3001, 2, 2); DELETE FROM shops WHERE id = 3001; COMMIT`,
			`INSERT INTO shops (id, lng, lat, name) VALUES (3, 1, 1, 'upserted') ON CONFLICT (id) DO UPDATE SET name = excluded.name, updated_at = clock_timestamp()`,
			`UPDATE shops SET lat = lat WHERE false`,
			`DELETE FROM shops WHERE false`,
			`BEGIN; DELETE FROM shops; ROLLBACK`,
			`TRUNCATE shops`,
			`INSERT INTO shops (id, lng, lat, name) VALUES (9, 9, 9, 'nine')`,
			`BEGIN; INSERT INTO shops (id, lng, lat) VALUES (10, 2, 2); TRUNCATE shops; INSERT INTO shops (id, lng, lat) VALUES (11, 2, 2); COMMIT`,
		} {
			u.do(sql)
			check()
		}
	})
}

// What a trigger writes through appears with the transaction that it belongs to, and
// what does not matter to the collection is no commit of its.
func TestAttachedTransactionsAreWhole(t *testing.T) {
	t.Parallel()
	u := newShops(t, 100)
	u.attach(postgres.Attachment{Table: "shops", Follow: postgres.FollowTrigger, Properties: []string{"name"}})
	head := func() int64 { return u.value(`SELECT seq FROM nearby.head`) }
	at := head()
	u.do(`UPDATE shops SET updated_at = now(), size = 3`)
	u.do(`UPDATE shops SET name = name || '' WHERE id < 50`)
	if now := head(); now != at {
		t.Errorf("changes that are not shown made %d commits", now-at)
	}
	u.do(`UPDATE shops SET lat = -1`)
	r := newReplica(t, u.url)
	r.keepSteps()
	at = head()
	const moves = 60
	for i := range moves { // the same to all rows, in several statements
		u.do(fmt.Sprintf(`BEGIN; UPDATE shops SET lat = %[1]d WHERE id %% 2 = 0; UPDATE shops SET lat = %[1]d WHERE id %% 2 = 1; COMMIT`, i))
	}
	if now := head(); now != at+moves {
		t.Errorf("%d transactions made %d commits", moves, now-at)
	}
	r.await("shops", u.wanted(`SELECT id, lng, lat, jsonb_build_object('name', name) FROM shops`))
	last := -1.0
	r.mu.Lock()
	steps := r.steps
	r.mu.Unlock()
	for _, shown := range steps {
		lats := map[string]bool{}
		for _, line := range shown["shops"] {
			lats[strings.Fields(line)[1]] = true
		}
		if len(lats) != 1 {
			t.Fatalf("half a transaction is shown: %v", lats)
		}
		for lat := range lats {
			v, err := strconv.ParseFloat(lat, 64)
			if err != nil || v < last {
				t.Fatalf("%v is shown after %v", lat, last)
			}
			last = v
		}
	}
	if last != moves-1 {
		t.Errorf("the last state that was shown is %v", last)
	}
}

// Rows that are no items are kept as bad ones, of which the collection shows none,
// and hinder nobody.
func TestAttachedBadRows(t *testing.T) {
	t.Parallel()
	bad := `INSERT INTO shops (id, lng, lat, name, size, doc) VALUES
		('a', NULL, 1, 'no lon', 1, '{}'), ('b', 'NaN', 1, 'NaN', 1, '{}'), ('c', 181, 1, 'east', 1, '{}'), ('d', 1, -90.5, 'south', 1, '{}'),
		('e', 1, 'Infinity', 'far', 1, '{}'), ('f', 1, 1, 'NUL', 1, '{"a":"\u0000"}'), (NULL, 1, 1, 'no id', 1, '{}'),
		(repeat('x', 300), 1, 1, 'long id', 1, '{}'), (repeat('y', 9000), 1, 1, 'far too long an id', 1, '{}'), (E'g\x07', 1, 1, 'control', 1, '{}'),
		('..', 1, 1, 'dots', 1, '{}'), ('', 1, 1, 'empty', 1, '{}'), ('h', 1, 1, repeat('z', 70000), 1, '{}'), ('i', 1, 1, 'deep', 'NaN', '{"n":1e400000}')`
	good := `INSERT INTO shops (id, lng, lat, name, size, doc) VALUES ('ok', -0.0, 0.1, 'good', 1.50, '{"b":1,"a":[1.0]}'), ('ok "2"', 180, 90, '', NULL, NULL)`
	want := `SELECT id, lng, lat, jsonb_build_object('name', name, 'size', size, 'doc', doc) FROM shops WHERE id LIKE 'ok%'`
	bothWays(t, func(t *testing.T, a postgres.Attachment) {
		u := newUser(t, pgtest.Database(t))
		u.do(`CREATE TABLE shops (id text UNIQUE, lng numeric, lat float8, name text, size numeric, doc json, updated_at timestamptz DEFAULT clock_timestamp())`)
		if a.Follow == postgres.FollowPoll { // in an index there is no room for it
			u.do(`ALTER TABLE shops DROP CONSTRAINT shops_id_key`)
		}
		bad := strings.Replace(bad, "9000", map[string]string{postgres.FollowTrigger: "2000", postgres.FollowPoll: "9000"}[a.Follow], 1)
		a.Properties = []string{"name", "size", "doc"}
		u.do(bad)
		u.do(good)
		done := u.attach(a)
		const badRows = 12
		if done.Bad != badRows || done.Rows != badRows+2 || done.Unnamed != 2 || len(done.BadRows) != 10 {
			t.Errorf("attached: %+v", done)
		}
		r := newReplica(t, u.url)
		r.await("shops", u.wanted(want))
		u.do(`DELETE FROM shops`)
		r.await("shops", contents{})
		await(t, "the bad rows are gone", func() bool { return u.value(`SELECT count(*) FROM nearby.items`) == 0 })
		u.do(`BEGIN; ` + bad + `; ` + good + `; COMMIT`)
		r.await("shops", u.wanted(want))
		await(t, "the bad rows are kept", func() bool { return u.value(`SELECT count(*) FROM nearby.items WHERE bad IS NOT NULL`) == badRows })
		u.do(`UPDATE shops SET lng = 5, lat = 5, id = 'ok ' || name, doc = NULL, updated_at = clock_timestamp() WHERE id IN ('a', 'e', 'f')`) // they become good
		r.await("shops", u.wanted(want))
		if n := u.value(`SELECT count(*) FROM nearby.attached_later`); n > 0 {
			t.Errorf("%d rows had to be noted for later", n)
		}
	})
}

// Many who write and roll back at once, in all ways, while the table is copied and
// after: in the end the collection is the table.
func TestAttachedConcurrentWriters(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, a postgres.Attachment) {
		u := newShops(t, 20_000)
		r := newReplica(t, u.url)
		stop := make(chan struct{})
		var writers sync.WaitGroup
		var failed sync.Map
		for w := range 4 {
			conn := newUser(t, u.url)
			writers.Go(func() {
				rnd := rand.New(rand.NewPCG(1, uint64(w)))
				for {
					select {
					case <-stop:
						return
					default:
					}
					if err := someTransaction(conn, rnd); err != nil {
						failed.Store(err.Error(), true)
					}
				}
			})
		}
		u.attach(a)
		time.Sleep(time.Second) // of work, not for a condition
		swept := r.Stats().Sweeps
		if a.Sweep > 0 {
			await(t, "sweeps beside the writers", func() bool { return r.Stats().Sweeps >= swept+5 })
		}
		close(stop)
		writers.Wait()
		failed.Range(func(err, _ any) bool { t.Error(err); return true })
		want := u.wanted(shopsQuery)
		if a.Follow == postgres.FollowTrigger {
			await(t, "noted rows", func() bool { return u.value(`SELECT count(*) FROM nearby.attached_later`) == 0 })
			// No sweep is to make good what is wrong.
			u.do(`UPDATE nearby.attachments SET sweep = NULL, next_sweep = NULL`)
			a.Sweep = 0
			if done := u.attach(a); done.Changed != 0 || !done.Again {
				t.Errorf("comparing all rows found %+v", done)
			}
		}
		r.await("shops", want)
	}
	bothWays(t, test)
	t.Run("trigger and sweeps", func(t *testing.T) {
		t.Parallel()
		a := byTrigger
		a.Sweep = 50 * time.Millisecond
		test(t, a)
	})
}

// someTransaction makes some changes and rolls back every third time. A deadlock of
// its own with another is no fault of nearby's.
func someTransaction(u *user, rnd *rand.Rand) error {
	ctx := context.Background()
	level := pgx.ReadCommitted
	if rnd.IntN(4) == 0 {
		level = pgx.RepeatableRead
	}
	tx, err := u.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	at := rnd.IntN(20_000)
	for range 1 + rnd.IntN(3) { // rows in ascending order
		at += 1 + rnd.IntN(40)
		to := at + rnd.IntN(20)
		var sql string
		switch rnd.IntN(5) {
		case 0:
			sql = `INSERT INTO shops (id, lng, lat, name) SELECT i, 1, 2, 'fresh' FROM generate_series($1::int, $2::int) i ON CONFLICT DO NOTHING`
		case 1:
			sql = `DELETE FROM shops WHERE id IN (SELECT id FROM shops WHERE id BETWEEN $1 AND $2 ORDER BY id FOR UPDATE)`
		case 2:
			sql = `UPDATE shops s SET id = -s.id, updated_at = clock_timestamp() FROM (SELECT id FROM shops WHERE id BETWEEN $1 AND $2 ORDER BY id FOR UPDATE) o
				WHERE s.id = o.id AND NOT EXISTS (SELECT FROM shops n WHERE n.id = -s.id)`
		default:
			sql = `UPDATE shops s SET lat = random() * 90, updated_at = clock_timestamp() FROM (SELECT id FROM shops WHERE id BETWEEN $1 AND $2 ORDER BY id FOR UPDATE) o WHERE s.id = o.id`
		}
		at = to
		if _, err := tx.Exec(ctx, sql, at-20, to); err != nil {
			var pe *pgconn.PgError
			if errors.As(err, &pe) && (pe.Code == "40001" || pe.Code == "40P01" || pe.Code == "23505") && pe.SchemaName != "nearby" && !strings.Contains(pe.Where, "nearby.") {
				return nil
			}
			return err
		}
	}
	if rnd.IntN(3) == 0 {
		return nil
	}
	return tx.Commit(ctx)
}
