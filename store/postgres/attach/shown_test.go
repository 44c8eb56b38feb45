package attach_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"nearby/store/postgres/attach"
	"nearby/store/postgres/pgtest"
)

// A collection shows what its table has, however that is changed.
func TestAttachedTableIsShown(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, a attach.Attachment) {
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
	u.attach(attach.Attachment{Table: "shops", Follow: attach.FollowTrigger, Properties: []string{"name"}})
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
	bothWays(t, func(t *testing.T, a attach.Attachment) {
		u := newUser(t, pgtest.Database(t))
		u.do(`CREATE TABLE shops (id text UNIQUE, lng numeric, lat float8, name text, size numeric, doc json, updated_at timestamptz DEFAULT clock_timestamp())`)
		if a.Follow == attach.FollowPoll { // in an index there is no room for it
			u.do(`ALTER TABLE shops DROP CONSTRAINT shops_id_key`)
		}
		bad := strings.Replace(bad, "9000", map[string]string{attach.FollowTrigger: "2000", attach.FollowPoll: "9000"}[a.Follow], 1)
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
	test := func(t *testing.T, a attach.Attachment) {
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
		if a.Follow == attach.FollowTrigger {
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
