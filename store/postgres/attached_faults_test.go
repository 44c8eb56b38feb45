package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

var byTrigger = postgres.Attachment{Table: "shops", Follow: postgres.FollowTrigger, Properties: shopsProperties}

func byPolling(sweep time.Duration) postgres.Attachment {
	return postgres.Attachment{Table: "shops", Follow: postgres.FollowPoll, Sweep: sweep, Properties: shopsProperties}
}

// A large table is copied in chunks, and a copy that was interrupted is gone on with.
func TestAttachedCopyIsInterrupted(t *testing.T) {
	t.Parallel()
	const rows = 100_000
	for _, a := range []postgres.Attachment{byTrigger, byPolling(0)} {
		t.Run(a.Follow, func(t *testing.T) {
			t.Parallel()
			u := newShops(t, rows)
			r := newReplica(t, u.url)
			ctx, cancel := context.WithCancel(context.Background())
			calls := 0
			_, err := postgres.Attach(ctx, u.url, complete(a), func(done, total int64) {
				if total != rows {
					t.Errorf("progress: %d of %d", done, total)
				}
				if calls++; calls == 7 {
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("interrupted: %v", err)
			}
			await(t, "half a copy promises nothing", func() bool { return strings.Contains(r.definition("shops"), "None yet") })
			list, err := postgres.Attachments(context.Background(), u.url)
			if err != nil || len(list) != 1 || list[0].Copied {
				t.Errorf("listed after the interruption: %+v, %v", list, err)
			}
			u.do(`DELETE FROM shops WHERE id % 10 = 3`) // meanwhile
			if n := u.value(`SELECT count(*) FROM nearby.items`); n > 7*5000 {
				t.Errorf("%d rows in 7 chunks", n)
			}
			left := int64(0)
			done := mustAttach(t, u, a, func(_, total int64) { left = total })
			if !done.Again || done.Rows != rows*9/10 || left > rows-7*5000 {
				t.Errorf("gone on: %+v, %d rows were left", done, left)
			}
			r.await("shops", u.wanted(shopsQuery))
			await(t, "the guarantee", func() bool { return strings.Contains(r.definition("shops"), done.Guarantee) })
		})
	}
}

func mustAttach(t *testing.T, u *user, a postgres.Attachment, progress func(done, total int64)) postgres.Attached {
	t.Helper()
	done, err := postgres.Attach(context.Background(), u.url, complete(a), progress)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// While a table is copied an open transaction may hold rows of it: nobody waits for
// it but the end of the copy.
func TestAttachedRowsAreHeld(t *testing.T) {
	t.Parallel()
	u := newShops(t, 12_000)
	holder := newUser(t, u.url)
	reached, attached := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		first := true
		_, err := postgres.Attach(context.Background(), u.url, complete(byTrigger), func(done, total int64) {
			if first { // the triggers are there
				first = false
				reached <- struct{}{}
				<-reached
			}
		})
		attached <- err
	}()
	<-reached
	holder.do(`BEGIN`)
	holder.do(`UPDATE shops SET name = 'held' WHERE id BETWEEN 8000 AND 8100`)
	holder.do(`DELETE FROM shops WHERE id BETWEEN 9000 AND 9100`)
	reached <- struct{}{}
	await(t, "all other rows", func() bool { return u.value(`SELECT count(*) FROM nearby.items WHERE seq IS NOT NULL`) >= 12_000-202 })
	select {
	case err := <-attached:
		t.Fatalf("the copy ended before the transaction: %v", err)
	default:
	}
	holder.do(`ROLLBACK`)
	if err := <-attached; err != nil {
		t.Fatal(err)
	}
	newReplica(t, u.url).await("shops", u.wanted(shopsQuery))
}

// What is deleted is deleted in the version that was compared: a row that has come
// back meanwhile stays.
func TestAttachedRowComesBack(t *testing.T) {
	t.Parallel()
	u := newShops(t, 10)
	u.attach(byTrigger)
	u.do(`BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM shops WHERE id = 5; COMMIT`) // past the triggers
	back := newUser(t, u.url)
	back.do(`BEGIN`)
	back.do(`INSERT INTO shops (id, lng, lat, name) VALUES (5, 5, 5, 'back')`)
	attached := make(chan error, 1)
	go func() {
		_, err := postgres.Attach(context.Background(), u.url, complete(byTrigger), func(int64, int64) {})
		attached <- err
	}()
	await(t, "the deletion waits", func() bool {
		return u.value(`SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DELETE FROM nearby.items%'`) == 1
	})
	back.do(`COMMIT`)
	if err := <-attached; err != nil {
		t.Fatal(err)
	}
	newReplica(t, u.url).await("shops", u.wanted(shopsQuery))
}

// A view is polled; a join, here.
func TestAttachedView(t *testing.T) {
	t.Parallel()
	u := newUser(t, pgtest.Database(t))
	u.do(shopsTable)
	u.do(`CREATE TABLE ratings (shop int, stars int, at timestamptz DEFAULT clock_timestamp())`)
	u.fill(1, 500)
	u.do(`INSERT INTO ratings SELECT i, i % 5 FROM generate_series(1, 500) i`)
	u.do(`CREATE VIEW rated AS SELECT s.id::text || '!' AS id, s.lng, s.lat, s.name, r.stars, greatest(s.updated_at, r.at) AS updated_at
		FROM shops s JOIN ratings r ON r.shop = s.id WHERE r.stars > 0`)
	query := `SELECT id, lng, lat, jsonb_build_object('name', name, 'stars', stars) FROM rated`
	_, err := postgres.Attach(context.Background(), u.url, complete(postgres.Attachment{Table: "rated", Follow: postgres.FollowTrigger}), func(int64, int64) {})
	if err == nil || !strings.Contains(err.Error(), "view") || !strings.Contains(err.Error(), "--follow poll") {
		t.Errorf("a view with triggers: %v", err)
	}
	u.attach(postgres.Attachment{Table: "rated", Follow: postgres.FollowPoll, Sweep: time.Second, Properties: []string{"name", "stars"}})
	r := newReplica(t, u.url)
	r.await("shops", u.wanted(query))
	u.do(`UPDATE ratings SET stars = stars + 1, at = clock_timestamp() WHERE shop % 3 = 0`)
	r.await("shops", u.wanted(query))
	u.do(`UPDATE ratings SET stars = 0, at = clock_timestamp() WHERE shop % 4 = 0`) // no rows of the view any more
	r.await("shops", u.wanted(query))
}

// Names need not be such as one types without quotes, nor ids numbers.
func TestAttachedOddNames(t *testing.T) {
	t.Parallel()
	for _, follow := range []string{postgres.FollowTrigger, postgres.FollowPoll} {
		t.Run(follow, func(t *testing.T) {
			t.Parallel()
			u := newUser(t, pgtest.Database(t))
			u.do(`CREATE SCHEMA "Sch'ema.x"`)
			u.do(`CREATE TYPE mood AS ENUM ('sad', 'ok')`)
			u.do(`CREATE TABLE "Sch'ema.x"."my ""table"" $new %s" ("Id $$" uuid PRIMARY KEY DEFAULT gen_random_uuid(), "Lon" numeric(9,6), "la't" real,
				"na me" varchar(20), "a""b" mood, "$collection" date[], "%d" bytea, changed timestamp DEFAULT localtimestamp)`)
			fill := `INSERT INTO "Sch'ema.x"."my ""table"" $new %s" ("Lon", "la't", "na me", "a""b", "$collection", "%d")
				SELECT i, i / 2.0, 'x''' || i, 'ok', ARRAY['2020-01-02'::date], '\x0102' FROM generate_series(1, 90) i`
			u.do(fill)
			a := postgres.Attachment{
				Table: `"Sch'ema.x"."my ""table"" $new %s"`, ID: "Id $$", Lon: "Lon", Lat: "la't", Collection: "odd", Follow: follow,
				Properties: []string{"na me", `a"b`, "$collection", "%d"},
				Column:     "changed", Interval: 100 * time.Millisecond, Overlap: time.Minute, Sweep: time.Second,
				Definition: []byte(`{"index":{"kind":"auto"}}`),
			}
			if follow == postgres.FollowTrigger {
				a.Column, a.Interval, a.Overlap, a.Sweep = "", 0, 0, 0
			}
			if _, err := postgres.Attach(context.Background(), u.url, a, func(int64, int64) {}); err != nil {
				t.Fatal(err)
			}
			r := newReplica(t, u.url)
			query := `SELECT "Id $$", "Lon", "la't", jsonb_build_object('na me', "na me", 'a"b', "a""b", '$collection', "$collection", '%d', "%d") FROM "Sch'ema.x"."my ""table"" $new %s"`
			r.await("odd", u.wanted(query))
			u.do(`SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'; SET extra_float_digits = 0; SET bytea_output = 'escape'`) // whoever writes may have other settings
			u.do(fill)
			u.do(`UPDATE "Sch'ema.x"."my ""table"" $new %s" SET "Lon" = -"Lon", changed = localtimestamp`)
			u.do(`RESET ALL`)
			r.await("odd", u.wanted(query))
			if err := postgres.Detach(context.Background(), u.url, "odd", false); err != nil {
				t.Fatal(err)
			}
			if n := u.value(`SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text LIKE '%my%'`); n > 0 {
				t.Errorf("%d triggers stay", n)
			}
		})
	}
}

// All columns but those of id and position become properties where none are named,
// more than a function may have arguments, too; and types keep their forms.
func TestAttachedAllColumns(t *testing.T) {
	t.Parallel()
	u := newUser(t, pgtest.Database(t))
	columns, values := "", ""
	for i := range 150 {
		columns += fmt.Sprintf(", c%d int", i)
		values += fmt.Sprintf(", %d", i)
	}
	u.do(`CREATE TABLE wide (id bigint PRIMARY KEY, lng int, lat smallint, flag bool, amount numeric, doc json, at timestamptz` + columns + `)`)
	u.do(`INSERT INTO wide VALUES (9223372036854775807, 7, 50, true, 1.50, '{"b":[1,2.50],"a":null}', '2020-01-02 03:04:05+06'` + values + `)`)
	u.attach(postgres.Attachment{Table: "wide", Follow: postgres.FollowTrigger})
	r := newReplica(t, u.url)
	got := r.shown("shops")["9223372036854775807"]
	for _, want := range []string{"7 50 {", `"flag": true`, `"amount": 1.50`, `"doc": {"a": null, "b": [1, 2.50]}`, `"at": "2020-01-01T21:04:05+00:00"`, `"c149": 149`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if strings.Contains(got, `"lng"`) || strings.Contains(got, `"id"`) {
		t.Errorf("id or position is a property, too: %s", got)
	}
}

// A row whose transaction took longer than the overlap is missed by polling, as are
// deletions; the sweep finds them. This is what the guarantee says, no more.
func TestAttachedLateCommits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		overlap, sweep time.Duration
	}{{"later than the overlap", 100 * time.Millisecond, 0}, {"within the overlap", time.Minute, 0}, {"with a sweep", 100 * time.Millisecond, time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := newUser(t, pgtest.Database(t))
			late := newUser(t, u.url)
			u.do(shopsTable)
			u.fill(1, 10)
			a := byPolling(c.sweep)
			a.Interval, a.Overlap = 100*time.Millisecond, c.overlap
			u.attach(a)
			r := newReplica(t, u.url)
			late.do(`BEGIN`)
			late.do(`INSERT INTO shops (id, lng, lat, updated_at) VALUES (501, 1, 1, now())`)
			// Others go on, until the late one's time is behind by more than the short overlap.
			u.do(`INSERT INTO shops (id, lng, lat, updated_at) VALUES (502, 2, 2, clock_timestamp() + '300 ms')`)
			time.Sleep(300 * time.Millisecond) // times that are yet to come do not count
			u.do(`INSERT INTO shops (id, lng, lat, updated_at) VALUES (503, 2, 2, clock_timestamp())`)
			await(t, "the quick rows", func() bool { shown := r.shown("shops"); return shown["502"] != "" && shown["503"] != "" })
			late.do(`COMMIT`)
			u.do(`DELETE FROM shops WHERE id = 5`)
			if c.sweep > 0 {
				r.await("shops", u.wanted(shopsQuery))
				return
			}
			polled := r.Stats().Polls
			await(t, "ten polls", func() bool { return r.Stats().Polls >= polled+10 })
			u.do(`INSERT INTO shops (id, lng, lat) VALUES (504, 3, 3)`)
			await(t, "a later row", func() bool { return r.shown("shops")["504"] != "" })
			shown := r.shown("shops")
			if found := shown["501"] != ""; found != (c.overlap == time.Minute) {
				t.Errorf("the late row was found: %v", found)
			}
			if shown["5"] == "" {
				t.Error("without a sweep the deletion was found: the test shows nothing")
			}
		})
	}
}

// Times that are yet to come do not hide what comes before them.
func TestAttachedTimesToCome(t *testing.T) {
	t.Parallel()
	u := newUser(t, pgtest.Database(t))
	u.do(shopsTable)
	u.do(`INSERT INTO shops (id, lng, lat, updated_at) VALUES (1, 1, 1, now() + '10 years'), (2, 1, 1, 'infinity')`)
	u.attach(byPolling(0))
	r := newReplica(t, u.url)
	u.do(`INSERT INTO shops (id, lng, lat) VALUES (3, 1, 1)`)
	r.await("shops", u.wanted(shopsQuery))
	u.do(`UPDATE shops SET lat = 2 WHERE id = 2`)
	r.await("shops", u.wanted(shopsQuery))
}

// Of several replicas one at a time asks the tables; each takes over.
func TestAttachedOnePolls(t *testing.T) {
	t.Parallel()
	u := newShops(t, 10)
	a := byPolling(0)
	a.Interval = 500 * time.Millisecond
	u.attach(a)
	begun := time.Now()
	one, err := postgres.Open(context.Background(), u.url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	two := newReplica(t, u.url)
	polls := func() uint64 { return one.Stats().Polls + two.Stats().Polls }
	await(t, "six polls", func() bool { return polls() >= 6 })
	if most := uint64(time.Since(begun)/a.Interval) + 1; polls() > most {
		t.Errorf("%d polls, at most %d are due", polls(), most)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	u.fill(11, 20)
	two.await("shops", u.wanted(shopsQuery))
}

// Who compares the table asks; the others do not, whatever is due, and it is named to who
// would detach the table.
func TestAttachedLock(t *testing.T) {
	t.Parallel()
	u := newShops(t, 10)
	u.attach(byPolling(0))
	u.do(`SELECT pg_advisory_lock(-7)`)
	u.do(`UPDATE nearby.attachments SET holder = pg_backend_pid(), ticket = -7`)
	r := newReplica(t, u.url)
	u.fill(11, 20)
	await(t, "it is due", func() bool {
		return u.value(`SELECT count(*) FROM nearby.attachments WHERE next_poll < now() - interval '1 s'`) == 1
	})
	if n := r.Stats().Polls; n > 0 {
		t.Errorf("%d polls without the lock", n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := postgres.Detach(ctx, u.url, "shops", false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("detaching what is compared: %v", err)
	}
	u.do(`SELECT pg_advisory_unlock_all()`)
	r.await("shops", u.wanted(shopsQuery))
}

// No lock that a role without privileges can take keeps a table from being compared, also
// not the one that was seen to be held.
func TestStrangersHoldNoPoll(t *testing.T) {
	t.Parallel()
	u := newShops(t, 10)
	u.attach(byPolling(0))
	r := newReplica(t, u.url)
	r.await("shops", u.wanted(shopsQuery))
	stranger := connect(t, u.url)
	ticket := u.value(`SELECT ticket FROM nearby.attachments`)
	run(t, stranger, fmt.Sprintf(`SELECT pg_advisory_lock(1635021923, n), pg_advisory_lock(n), pg_advisory_lock(%d) FROM generate_series(0, 100) n`, ticket))
	u.fill(11, 20)
	r.await("shops", u.wanted(shopsQuery))
	// The process that held it is gone, and the stranger has taken it over.
	u.do(`SELECT pg_advisory_lock(800)`)
	u.do(`UPDATE nearby.attachments SET holder = pg_backend_pid(), ticket = 800`)
	u.do(`SELECT pg_advisory_unlock(800)`)
	run(t, stranger, `SELECT pg_advisory_lock(800)`)
	u.fill(21, 30)
	r.await("shops", u.wanted(shopsQuery))
	if err := postgres.Detach(context.Background(), u.url, "shops", false); err != nil {
		t.Error(err)
	}
}

// A transaction with one snapshot, that began before the copy, say, does not fail for
// nearby's sake, and what it did appears.
func TestAttachedRepeatableRead(t *testing.T) {
	t.Parallel()
	u := newUser(t, pgtest.Database(t))
	u.do(shopsTable)
	u.do(`CREATE TABLE other (a int)`)
	u.fill(1, 100)
	old := newUser(t, u.url)
	old.do(`BEGIN ISOLATION LEVEL SERIALIZABLE`)
	old.do(`SELECT count(*) FROM other`) // takes the snapshot, and no lock of shops
	u.attach(byTrigger)
	r := newReplica(t, u.url)
	u.do(`UPDATE shops SET name = 'meanwhile' WHERE id > 50`)
	old.do(`DELETE FROM shops WHERE id <= 20`)
	old.do(`UPDATE shops SET id = id + 1000 WHERE id BETWEEN 21 AND 30`)
	old.do(`INSERT INTO shops (id, lng, lat) VALUES (2001, 1, 1)`)
	old.do(`COMMIT`)
	r.await("shops", u.wanted(shopsQuery))
}

// Whatever is wrong with nearby, programs that write the table do not notice; what
// was missed is noted and comes when that is over.
func TestAttachedTriggersFailSoftly(t *testing.T) {
	t.Parallel()
	u := newShops(t, 100)
	u.attach(byTrigger)
	r := newReplica(t, u.url)
	write := func(i int) {
		t.Helper()
		u.do(`INSERT INTO shops (id, lng, lat) VALUES ($1, 1, 1)`, 1000+i)
		u.do(`UPDATE shops SET lng = 3 WHERE id = $1`, 10+i)
		u.do(`UPDATE shops SET id = id + 2000 WHERE id = $1`, 20+i)
		u.do(`DELETE FROM shops WHERE id = $1`, 30+i)
	}
	u.do(`ALTER TABLE nearby.items ADD CONSTRAINT fault CHECK (lon <> 3)`)
	write(0)
	u.do(`ALTER TABLE nearby.items DROP CONSTRAINT fault`)
	r.await("shops", u.wanted(shopsQuery))

	u.do(`ALTER TABLE shops RENAME COLUMN size TO extent`) // a column is gone
	write(1)
	await(t, "the error is listed", func() bool {
		list, err := postgres.Attachments(context.Background(), u.url)
		return err == nil && len(list) == 1 && strings.Contains(list[0].Problem, `"size"`)
	})
	for i := range 50 {
		u.do(`UPDATE shops SET lat = $1`, i)
	}
	await(t, "what is noted does not grow", func() bool { return u.value(`SELECT count(*) FROM nearby.attached_later`) == 1 })
	u.do(`ALTER TABLE shops RENAME COLUMN extent TO size`)
	r.await("shops", u.wanted(shopsQuery))

	u.do(`ALTER TABLE nearby.attached_later RENAME TO gone`)
	u.do(`ALTER TABLE nearby.items RENAME TO gone2`)
	write(2)
	u.do(`TRUNCATE shops`)
	u.do(`ALTER TABLE nearby.gone2 RENAME TO items`)
	u.do(`ALTER TABLE nearby.gone RENAME TO attached_later`)
	if done := u.attach(byTrigger); done.Changed == 0 || done.Rows != 0 {
		t.Errorf("attached again: %+v", done)
	}
	r.await("shops", contents{})
}

// putBack puts the row of the head back, as a backup does, and returns what makes it whole
// again where that takes more than the release.
var putBack = map[string]struct{ before, after string }{
	"the head": {`SET session_replication_role = replica; CREATE TEMP TABLE dump AS TABLE nearby.head; DELETE FROM nearby.head;
		INSERT INTO nearby.head TABLE dump; RESET session_replication_role`, ``},
	"the head, not yet": {`SET session_replication_role = replica; CREATE TEMP TABLE dump AS TABLE nearby.head; DELETE FROM nearby.head; RESET session_replication_role`,
		`SET session_replication_role = replica; INSERT INTO nearby.head TABLE dump; RESET session_replication_role`},
	"a table": {`ALTER TABLE nearby.tombstones RENAME TO aside; CREATE TABLE nearby.tombstones (LIKE nearby.aside INCLUDING ALL)`,
		`DROP TABLE nearby.tombstones; ALTER TABLE nearby.aside RENAME TO tombstones`},
}

// An attached table can be written between a restore and its release. All of it is there
// when it is released, also what no trigger saw.
func TestAttachedBeforeRelease(t *testing.T) {
	t.Parallel()
	for name, state := range putBack {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			u := newShops(t, 100)
			u.attach(byTrigger)
			u.script(state.before)
			u.fill(101, 110)
			u.do(`UPDATE shops SET lng = 3 WHERE id = 10`)
			u.do(`UPDATE shops SET id = id + 2000 WHERE id = 20`)
			u.do(`DELETE FROM shops WHERE id = 30`)
			run(t, u.Conn, `BEGIN ISOLATION LEVEL REPEATABLE READ`, `UPDATE shops SET lng = 4 WHERE id = 40`, `COMMIT`,
				`BEGIN`, `UPDATE shops SET lng = 5 WHERE id = 50`, `SAVEPOINT s`, `DELETE FROM shops WHERE id = 60`, `ROLLBACK TO s`, `SET CONSTRAINTS ALL IMMEDIATE`, `COMMIT`,
				`SET session_replication_role = replica`, `UPDATE shops SET lng = 7 WHERE id = 70`, `RESET session_replication_role`)
			for _, sql := range []string{
				`UPDATE nearby.items SET lon = 9`, `INSERT INTO nearby.items (collection, id, lon, lat) VALUES ('shops', 'x', 1, 1)`, `DELETE FROM nearby.items`, `TRUNCATE nearby.items`,
			} {
				run(t, u.Conn, `BEGIN`)
				if _, err := u.Exec(ctx, sql); !isState(err, "NB006") {
					t.Errorf("%s: %v", sql, err)
				}
				run(t, u.Conn, `ROLLBACK`)
			}
			u.script(state.after)
			u.do(`SELECT nearby.release()`)
			newReplica(t, u.url).await("shops", u.wanted(shopsQuery))
		})
	}
}

// A table can be detached between a restore and its release, when all of it is there.
func TestDetachBeforeRelease(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, a postgres.Attachment) {
		ctx := context.Background()
		u := newShops(t, 10)
		a.Collection = "kept"
		u.attach(a)
		a.Collection = "gone"
		u.attach(a)
		was := u.wanted(shopsQuery)
		head := u.value(`SELECT seq FROM nearby.head`)
		u.script(putBack["the head"].before)
		u.do(`ALTER INDEX nearby.items_seq RENAME TO aside`)
		if err := postgres.Detach(ctx, u.url, "kept", true); !errors.Is(err, store.ErrRestored) || !strings.Contains(err.Error(), "items_seq") {
			t.Errorf("half of it is there: %v", err)
		}
		u.do(`ALTER INDEX nearby.aside RENAME TO items_seq`)
		if err := postgres.Detach(ctx, u.url, "kept", true); err != nil {
			t.Fatal(err)
		}
		if err := postgres.Detach(ctx, u.url, "gone", false); err != nil {
			t.Fatal(err)
		}
		if _, err := postgres.Attach(ctx, u.url, complete(a), func(int64, int64) {}); !errors.Is(err, store.ErrRestored) {
			t.Errorf("a table is attached: %v", err)
		}
		u.do(`TRUNCATE shops`)
		if n := u.value(`SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'shops'::regclass) + (SELECT count(*) FROM nearby.attachments) + (SELECT count(*) FROM nearby.attached_later)`); n != 0 {
			t.Errorf("%d traces", n)
		}
		if n := u.value(`SELECT seq FROM nearby.head`); n != head {
			t.Errorf("the head was %d, is %d", head, n)
		}
		u.do(`SELECT nearby.release()`)
		r := newReplica(t, u.url)
		r.await("kept", was)
		if all := r.definition("gone") + r.definition("kept"); strings.Contains(all, "source") {
			t.Errorf("a collection has a source: %s", all)
		}
		commit(t, r.Store, put("kept", "new", 1))
	})
}

// The schema may be dropped with all that is in it: the table stays, and can be
// written.
func TestAttachedSchemaIsDropped(t *testing.T) {
	t.Parallel()
	u := newUser(t, pgtest.Database(t))
	u.do(shopsTable)
	u.attach(byTrigger)
	u.do(`DROP SCHEMA nearby CASCADE`)
	u.fill(1, 10)
	u.do(`DELETE FROM shops WHERE id < 5`)
	u.do(`TRUNCATE shops`)
}

// What triggers do not see, since somebody has disabled them, a sweep finds.
func TestAttachedTriggersAreSwept(t *testing.T) {
	t.Parallel()
	u := newShops(t, 100)
	a := byTrigger
	a.Sweep = time.Second
	u.attach(a)
	r := newReplica(t, u.url)
	u.do(`ALTER TABLE shops DISABLE TRIGGER USER`)
	u.do(`DELETE FROM shops WHERE id < 50; UPDATE shops SET name = 'x'`)
	u.fill(1000, 1010)
	if list, err := postgres.Attachments(context.Background(), u.url); err != nil || !strings.Contains(list[0].Problem, "disabled") {
		t.Errorf("disabled triggers: %+v, %v", list, err)
	}
	r.await("shops", u.wanted(shopsQuery))
}

// A table that is gone leaves its collection as it was, and is listed so; when it is
// there again polling goes on.
func TestAttachedTableIsDropped(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, a postgres.Attachment) {
		u := newShops(t, 10)
		u.attach(a)
		r := newReplica(t, u.url)
		was := u.wanted(shopsQuery)
		u.do(`DROP TABLE shops`)
		await(t, "it is listed", func() bool {
			list, err := postgres.Attachments(context.Background(), u.url)
			return err == nil && list[0].Problem == "the table is gone"
		})
		r.await("shops", was)
		u.do(shopsTable)
		u.fill(5, 20)
		if a.Follow == postgres.FollowPoll {
			r.await("shops", u.wanted(shopsQuery))
		}
		if err := postgres.Detach(context.Background(), u.url, "shops", false); err != nil {
			t.Fatal(err)
		}
		await(t, "the collection is gone", func() bool { return r.shown("shops") == nil })
		u.attach(a)
		r.await("shops", u.wanted(shopsQuery))
	})
}

// A name is attached once, and to what it was attached to.
func TestAttachTwice(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, a postgres.Attachment) {
		u := newShops(t, 10)
		u.attach(a)
		if done := u.attach(a); !done.Again || done.Changed != 0 || done.Rows != 10 {
			t.Errorf("attached twice: %+v", done)
		}
		other := a
		other.Properties = []string{"name"}
		_, err := postgres.Attach(context.Background(), u.url, complete(other), func(int64, int64) {})
		if !errors.Is(err, postgres.ErrAttached) {
			t.Errorf("attached otherwise: %v", err)
		}
		other.Collection = "second" // the same table, under another name
		u.attach(other)
		u.do(`SELECT nearby.define('ordinary', '{"index":{"kind":"auto"}}')`)
		other.Collection = "ordinary"
		if _, err := postgres.Attach(context.Background(), u.url, complete(other), func(int64, int64) {}); !errors.Is(err, postgres.ErrAttached) {
			t.Errorf("attached to a collection that is there: %v", err)
		}
		r := newReplica(t, u.url)
		u.do(`UPDATE shops SET name = 'both', updated_at = clock_timestamp()`)
		r.await("shops", u.wanted(shopsQuery))
		r.await("second", u.wanted(`SELECT id, lng, lat, jsonb_build_object('name', name) FROM shops`))
	})
}

// Who changes the definition, knowing an older one perhaps, changes nothing about the
// source, and cannot drop the collection.
func TestAttachedSourceIsKept(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	u := newShops(t, 10)
	u.attach(byTrigger)
	r := newReplica(t, u.url)
	definition := func() string {
		t.Helper()
		v, err := r.View(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_, defined := read(t, v)
		return defined["shops"]
	}
	put := func(definition string) {
		t.Helper()
		if _, err := r.Commit(ctx, []store.Change{{Op: store.PutCollection, Collection: "shops", Definition: []byte(definition)}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{`{"title":"other"}`, `{"title":"other","source":{"table":"another"}}`} {
		put(d)
		if d := definition(); !strings.Contains(d, `"other"`) || !strings.Contains(d, `"public.shops"`) || strings.Contains(d, "another") {
			t.Errorf("the definition became %s", d)
		}
	}
	if _, err := r.Commit(ctx, []store.Change{{Op: store.DropCollection, Collection: "shops"}}); !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), "detach") {
		t.Errorf("dropped: %v", err)
	}
	r.await("shops", u.wanted(shopsQuery))
	if err := postgres.Detach(ctx, u.url, "shops", true); err != nil {
		t.Fatal(err)
	}
	put(`{"title":"free","source":{"table":"public.shops"}}`)
	if d := definition(); !strings.Contains(d, `"free"`) || strings.Contains(d, "source") {
		t.Errorf("detached, the definition became %s", d)
	}
	if _, err := r.Commit(ctx, []store.Change{{Op: store.DropCollection, Collection: "shops"}}); err != nil {
		t.Errorf("dropped: %v", err)
	}
}

// Triggers are made when nobody writes the table; until then others write it.
func TestAttachedTableIsBusy(t *testing.T) {
	t.Parallel()
	u := newShops(t, 10)
	holder := newUser(t, u.url)
	holder.do(`BEGIN`)
	holder.do(`UPDATE shops SET name = 'open' WHERE id = 1`)
	attached := make(chan error, 1)
	go func() {
		_, err := postgres.Attach(context.Background(), u.url, complete(byTrigger), func(int64, int64) {})
		attached <- err
	}()
	waiting := func() bool {
		return u.value(`SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'CREATE TRIGGER%'`) == 1
	}
	await(t, "the triggers wait", waiting)
	u.do(`UPDATE shops SET name = 'between' WHERE id = 2`)
	await(t, "they are tried again", waiting)
	holder.do(`COMMIT`)
	if err := <-attached; err != nil {
		t.Fatal(err)
	}
	newReplica(t, u.url).await("shops", u.wanted(shopsQuery))
}

// Detached, a table has no traces of nearby, and its collection is gone or an ordinary
// one.
func TestDetach(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, a postgres.Attachment) {
		ctx := context.Background()
		u := newShops(t, 10)
		u.attach(a)
		r := newReplica(t, u.url)
		was := u.wanted(shopsQuery)
		if err := postgres.Detach(ctx, u.url, "shops", true); err != nil {
			t.Fatal(err)
		}
		u.do(`TRUNCATE shops`)
		await(t, "it has no source", func() bool { return !strings.Contains(r.definition("shops"), "source") })
		r.await("shops", was)
		if n := u.value(`SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'shops'::regclass) + (SELECT count(*) FROM pg_proc WHERE proname LIKE 'attached%')
			+ (SELECT count(*) FROM nearby.attachments) + (SELECT count(*) FROM nearby.attached_later)`); n != 0 {
			t.Errorf("%d traces", n)
		}
		if err := postgres.Detach(ctx, u.url, "shops", false); !errors.Is(err, postgres.ErrNotAttached) {
			t.Errorf("detached twice: %v", err)
		}
	})
}

// What cannot be attached is refused with the reason, and nothing is left behind.
func TestAttachIsRefused(t *testing.T) {
	t.Parallel()
	u := newUser(t, pgtest.Database(t))
	u.do(shopsTable)
	u.do(`CREATE TABLE names (id text, lng text, lat float8, "Name" text, at date, updated_at timestamptz)`)
	u.do(`INSERT INTO names (id, lng, lat, updated_at) VALUES ('twice', 1, 1, now()), ('twice', 2, 2, now())`)
	u.do(`CREATE TABLE parts (id int, lng float8, lat float8, PRIMARY KEY (id)) PARTITION BY RANGE (id)`)
	u.do(`CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (10)`)
	u.do(`CREATE VIEW twice AS SELECT id, 1.0 AS lng, lat, updated_at FROM names`)
	for _, c := range []struct {
		a    postgres.Attachment
		says string
	}{
		{postgres.Attachment{Table: "shop", Follow: "trigger"}, "there is no such table"},
		{postgres.Attachment{Table: "no.shops", Follow: "trigger"}, "there is no such table"},
		{postgres.Attachment{Table: `"shops`, Follow: "trigger"}, "there is no such table"},
		{postgres.Attachment{Table: "a.b.c.d", Follow: "trigger"}, "there is no such table"},
		{postgres.Attachment{Table: "shops_pkey", Follow: "trigger"}, "neither a table nor a view"},
		{postgres.Attachment{Table: "nearby.items", Follow: "trigger"}, "nearby's own"},
		{postgres.Attachment{Table: "pg_stats", Follow: "trigger"}, "is a view"},
		{postgres.Attachment{Table: "parts", Follow: "trigger"}, "partitions"},
		{postgres.Attachment{Table: "part", Follow: "trigger"}, "partitions"},
		{postgres.Attachment{Table: "shops", Follow: "trigger", Lon: "lon", Lat: "lat"}, `no column "lon" (the longitude); there are "id" integer, "lng" double precision`},
		{postgres.Attachment{Table: "shops", Follow: "trigger", ID: "ident"}, `no column "ident" (the id)`},
		{postgres.Attachment{Table: "shops", Follow: "trigger", ID: "name"}, `"name" is no primary key and has no unique index`},
		{postgres.Attachment{Table: "shops", Follow: "trigger", Properties: []string{"colour"}}, `no column "colour"`},
		{postgres.Attachment{Table: "shops", Follow: "trigger", Properties: []string{"name", "NAME"}}, "twice"},
		{postgres.Attachment{Table: "shops", Follow: "trigger", Geom: "name"}, `"name" (the geometry) is of type text, must be geometry`},
		{postgres.Attachment{Table: "names", Follow: "poll"}, `"lng" (the longitude) is of type text, must be float4, float8`},
		{postgres.Attachment{Table: "twice", Follow: "poll"}, `it has "twice" more than once`},
	} {
		a := complete(c.a)
		_, err := postgres.Attach(context.Background(), u.url, a, func(int64, int64) {})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s by %s: %v, want: %s", a.Table, a.Follow, err, c.says)
		}
	}
	a := complete(byPolling(0))
	a.Column = "name"
	if _, err := postgres.Attach(context.Background(), u.url, a, func(int64, int64) {}); err == nil || !strings.Contains(err.Error(), "must be timestamptz, timestamp") {
		t.Errorf("a column of names: %v", err)
	}
	if n := u.value(`SELECT (SELECT count(*) FROM nearby.attachments) + (SELECT count(*) FROM nearby.collections) + (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'shops'::regclass)`); n != 0 {
		t.Errorf("%d traces", n)
	}
}

// A role is told which privilege it lacks.
func TestAttachPrivileges(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.NoFsync())
	u := newUser(t, cluster.Database())
	u.do(shopsTable)
	u.fill(1, 10)
	u.do(`CREATE ROLE clerk LOGIN; GRANT CREATE ON DATABASE ` + pgx.Identifier{u.Config().Database}.Sanitize() + ` TO clerk`)
	u.do(`GRANT EXECUTE ON FUNCTION pg_control_system, pg_control_checkpoint, pg_walfile_name(pg_lsn), pg_current_wal_lsn TO clerk; GRANT pg_monitor TO clerk`)
	config := u.Config().Copy()
	url := strings.Replace(u.url, "//"+config.User, "//clerk", 1)
	try := func(a postgres.Attachment) string {
		t.Helper()
		_, err := postgres.Attach(context.Background(), url, complete(a), func(int64, int64) {})
		return fmt.Sprint(err)
	}
	for _, step := range []struct {
		a            postgres.Attachment
		says, grants string
	}{
		{byPolling(0), "GRANT SELECT (\"id\") ON public.shops TO clerk", `GRANT SELECT ON shops TO clerk`},
		{byPolling(0), "<nil>", ``},
		{byTrigger, "GRANT UPDATE ON public.shops TO clerk", `GRANT UPDATE ON shops TO clerk`},
		{byTrigger, "GRANT TRIGGER ON public.shops TO clerk", `GRANT TRIGGER ON shops TO clerk`},
		{byTrigger, "<nil>", ``},
	} {
		a := step.a
		a.Collection = a.Follow
		if got := try(a); !strings.Contains(got, step.says) {
			t.Errorf("by %s: %s, want: %s", a.Follow, got, step.says)
		}
		if step.grants != "" {
			u.do(step.grants)
		}
	}
	// Who writes the table needs to know nothing of nearby.
	u.do(`CREATE ROLE writer LOGIN; GRANT ALL ON shops TO writer`)
	w := newUser(t, strings.Replace(u.url, "//"+config.User, "//writer", 1))
	w.do(`UPDATE shops SET name = 'written'`)
	w.do(`DELETE FROM shops WHERE id = 3`)
	newReplica(t, url).await("trigger", u.wanted(shopsQuery))
}

// Points of PostGIS are read as they lie on the Earth.
func TestAttachedGeometry(t *testing.T) {
	t.Parallel()
	for _, follow := range []string{postgres.FollowTrigger, postgres.FollowPoll} {
		t.Run(follow, func(t *testing.T) {
			t.Parallel()
			u := newUser(t, pgtest.Database(t))
			a := postgres.Attachment{Table: "stops", Geom: "at", Follow: follow, Properties: []string{"name"}}
			if _, err := u.Exec(context.Background(), `CREATE SCHEMA gis; CREATE EXTENSION postgis SCHEMA gis`); err != nil {
				t.Skip("no PostGIS: ", err)
			}
			u.do(`CREATE TABLE stops (id int PRIMARY KEY, at gis.geometry, place gis.geography, name text, updated_at timestamptz DEFAULT clock_timestamp())`)
			fill := `INSERT INTO stops (id, at, name) SELECT $1::int * 10 + n, g, 'stop' FROM (VALUES (1, gis.ST_Point(7, 50, 4326)), (2, gis.ST_Point(-7, -50)),
				(3, gis.ST_Transform(gis.ST_Point(8, 51, 4326), 3857)), (4, gis.ST_GeomFromText('LINESTRING(0 0, 1 1)', 4326)), (5, NULL),
				(6, gis.ST_GeomFromText('POINT EMPTY', 4326)), (7, gis.ST_Point(200, 0, 4326)), (8, gis.ST_SetSRID(gis.ST_Point(1, 1), 999998))) v (n, g)`
			u.do(fill, 1)
			u.do(`UPDATE stops SET place = gis.ST_Point(id, 45, 4326)::gis.geography`)
			if done := u.attach(a); done.Bad != 5 || done.Rows != 8 {
				t.Errorf("attached: %+v", done)
			}
			a.Collection, a.Geom = "places", "place"
			u.attach(a)
			r := newReplica(t, u.url)
			check := func() {
				t.Helper()
				r.await("shops", u.wanted(`SELECT id, gis.ST_X(p), gis.ST_Y(p), jsonb_build_object('name', name) FROM (
					SELECT id, name, CASE WHEN gis.ST_SRID(at) = 3857 THEN gis.ST_Transform(at, 4326) ELSE at END AS p FROM stops WHERE id % 10 IN (1, 2, 3)) s`))
				r.await("places", u.wanted(`SELECT id, id, 45, jsonb_build_object('name', name) FROM stops WHERE place IS NOT NULL`))
			}
			check()
			u.do(fill, 2)
			u.do(`UPDATE stops SET place = gis.ST_Point(id, 45, 4326)::gis.geography, updated_at = clock_timestamp() WHERE id % 2 = 0`)
			check()
		})
	}
}
