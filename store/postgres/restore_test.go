package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
	"nearby/store/storetest"
)

// A row of nearby.head that was put back, in whatever way and with whatever is in it, is
// not the one that was written: the store is not used until it is released, and then it
// is another history.
func TestHeadThatWasPutBack(t *testing.T) {
	t.Parallel()
	const again = `CREATE TEMP TABLE dump AS TABLE nearby.head`
	for name, statements := range map[string][]string{
		"deleted and inserted past the triggers": {again, `SET session_replication_role = replica`, `DELETE FROM nearby.head`, `INSERT INTO nearby.head TABLE dump`},
		"truncated and filled with the triggers off": {
			again, `ALTER TABLE nearby.head DISABLE TRIGGER ALL`, `TRUNCATE nearby.head`, `INSERT INTO nearby.head TABLE dump`, `ALTER TABLE nearby.head ENABLE TRIGGER ALL`,
		},
		"in one transaction": {`BEGIN`, again, `SET LOCAL session_replication_role = replica`, `TRUNCATE nearby.head`, `INSERT INTO nearby.head TABLE dump`, `COMMIT`},
		"another table": {
			again, `CREATE TABLE nearby.other (LIKE nearby.head INCLUDING ALL) WITH (fillfactor = 10)`, `INSERT INTO nearby.other TABLE dump`,
			`DROP TABLE nearby.head`, `ALTER TABLE nearby.other RENAME TO head`,
			`CREATE TRIGGER sign_head AFTER UPDATE ON nearby.head FOR EACH ROW
			     WHEN (NEW.written_by IS DISTINCT FROM NEW.xmin OR NEW.written_by IS NOT DISTINCT FROM OLD.written_by) EXECUTE FUNCTION nearby.sign_head()`,
			`CREATE TRIGGER keep_head BEFORE INSERT OR DELETE OR TRUNCATE ON nearby.head FOR EACH STATEMENT EXECUTE FUNCTION nearby.keep_head()`,
		},
		"another table without triggers yet": {
			again, `CREATE TABLE nearby.other (LIKE nearby.head INCLUDING ALL)`, `INSERT INTO nearby.other TABLE dump`,
			`DROP TABLE nearby.head`, `ALTER TABLE nearby.other RENAME TO head`,
		},
		"older": {
			again, `UPDATE dump SET seq = seq - 1`, `SET session_replication_role = replica`,
			`DELETE FROM nearby.items WHERE id = 'b'`, `DELETE FROM nearby.head`, `INSERT INTO nearby.head TABLE dump`,
		},
		"not yet": {`SET session_replication_role = replica`, `DELETE FROM nearby.head`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			url := pgtest.Database(t)
			s := openStore(t, url, postgres.Options{AwayTimeout: patience})
			commit(t, s, define("c"), put("c", "a", 1))
			commit(t, s, put("c", "b", 2))
			before, err := s.Head(ctx)
			if err != nil {
				t.Fatal(err)
			}
			c := newCopy(t, s)
			ended := c.follow(t, s)
			conn := connect(t, url)
			run(t, conn, statements...)

			if pos, err := s.Head(ctx); !errors.Is(err, store.ErrRestored) {
				t.Errorf("the head is %v, %v", pos, err)
			}
			if v, err := s.View(ctx); !errors.Is(err, store.ErrRestored) {
				t.Errorf("a view: %v", err)
				_ = v.Close()
			}
			for _, ch := range []store.Change{put("c", "new", 3), del("c", "a"), del("c", "none"), put("none", "a", 1), define("d")} {
				if seq, err := s.Commit(ctx, []store.Change{ch}); !errors.Is(err, store.ErrRestored) {
					t.Errorf("a commit of %+v: %d, %v", ch, seq, err)
				}
			}
			for end := time.Now().Add(patience); !errors.Is(s.Fault(), store.ErrRestored); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("what is followed is away for %v", s.Fault())
				}
			}
			if _, err := postgres.Open(ctx, url, postgres.Options{}); !errors.Is(err, store.ErrRestored) {
				t.Errorf("opening it: %v", err)
			}
			if err := s.Tend(ctx); err != nil && !errors.Is(err, store.ErrUnavailable) && name != "not yet" {
				t.Logf("tending it: %v", err)
			}
			select {
			case err := <-ended:
				t.Fatalf("following it ended: %v", err)
			default:
			}
			if name == "not yet" || name == "another table without triggers yet" {
				if _, err := conn.Exec(ctx, `SELECT nearby.release()`); !isState(err, "NB006") {
					t.Errorf("releasing what is not whole: %v", err)
				}
				return
			}
			other := connect(t, url)
			if _, err := other.Exec(ctx, `UPDATE nearby.items SET lon = 9`); !isState(err, "NB006") {
				t.Errorf("another program's update: %v", err)
			}
			run(t, other, `SELECT nearby.release()`)
			after, err := s.Head(ctx)
			if err != nil || after.Epoch == before.Epoch {
				t.Fatalf("after the release the head is %v, %v; before it was %v", after, err, before)
			}
			select {
			case err := <-ended:
				if !errors.Is(err, store.ErrForked) {
					t.Errorf("following the former history ended with %v", err)
				}
			case <-time.After(patience):
				t.Fatal("the former history is followed")
			}
			c = newCopy(t, s)
			c.follow(t, s)
			commitSoon(t, s, put("c", "new", 3)) // when it is followed
			run(t, other, `UPDATE nearby.items SET lon = 9 WHERE id = 'a'`)
			c.equals(t, s)
			want := map[bool]int{false: 3, true: 2}[name == "older"]
			if content, _ := storetest.Read(t, s, 1); len(content["c"]) != want || content["c"]["a"].Lon != 9 {
				t.Errorf("it holds %v", content["c"])
			}
		})
	}
}

// headPutBack puts the row of the head back, as a backup does.
const headPutBack = `SET session_replication_role = replica; CREATE TEMP TABLE dump AS TABLE nearby.head; DELETE FROM nearby.head;
	INSERT INTO nearby.head TABLE dump; RESET session_replication_role`

// A server that only reads says what hinders it from starting, and what is to be done.
func TestReaderSaysWhyItWaits(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, x := range map[string]struct{ statements, says string }{
		"no tables":      {`DROP SCHEMA nearby CASCADE`, "start one that may write"},
		"older tables":   {`DELETE FROM nearby.migrations WHERE version_id > 3`, "have version 3, and this server, which only reads, needs version"},
		"no versions":    {`DELETE FROM nearby.migrations`, "have version 0"},
		"not released":   {headPutBack, "releases it"},
		"half of it":     {`SET session_replication_role = replica; DELETE FROM nearby.head`, "releases it"},
		"a table is not": {`DROP TABLE nearby.head`, "releases it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.Database(t)
			commit(t, openStore(t, url, postgres.Options{}), define("c"))
			run(t, connect(t, url), strings.Split(x.statements, ";")...)
			_, err := postgres.Open(ctx, url, postgres.Options{ReadOnly: true})
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(store.Reason(err), x.says) {
				t.Errorf("%v, for: %s", err, store.Reason(err))
			}
		})
	}
}

// commitSoon makes a commit that is refused until the store can be used again.
func commitSoon(t *testing.T, s *postgres.Store, change store.Change) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		_, err := s.Commit(context.Background(), []store.Change{change})
		if err == nil {
			return
		}
		if !errors.Is(err, store.ErrUnavailable) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// A table that was put back alone, whichever, with the rows that it had, is noticed as
// the head is.
func TestTableThatWasPutBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	commit(t, s, define("c"), put("c", "a", 1))
	conn := connect(t, url)
	rows, err := conn.Query(ctx, `SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'nearby'::regnamespace AND c.relkind = 'r' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 11 {
		t.Fatalf("%q, %v", tables, err)
	}
	for _, table := range tables {
		run(t, conn, `BEGIN`, `ALTER TABLE nearby.`+table+` RENAME TO aside`, `CREATE TABLE nearby.`+table+` (LIKE nearby.aside INCLUDING ALL)`,
			`INSERT INTO nearby.`+table+` OVERRIDING SYSTEM VALUE TABLE nearby.aside`, `COMMIT`)
		if pos, err := s.Head(ctx); !errors.Is(err, store.ErrRestored) {
			t.Errorf("%s: the head is %v, %v", table, pos, err)
		}
		if v, err := s.View(ctx); !errors.Is(err, store.ErrRestored) {
			t.Errorf("%s: a view: %v", table, err)
			_ = v.Close()
		}
		if seq, err := s.Commit(ctx, []store.Change{put("c", "b", 1)}); !errors.Is(err, store.ErrRestored) {
			t.Errorf("%s: a commit: %d, %v", table, seq, err)
		}
		if _, err := postgres.Open(ctx, url, postgres.Options{}); !errors.Is(err, store.ErrRestored) {
			t.Errorf("%s: opening it: %v", table, err)
		}
		if table != "items" { // it has no triggers now
			if _, err := conn.Exec(ctx, `UPDATE nearby.items SET lon = 9`); !isState(err, "NB006") {
				t.Errorf("%s: another program's update: %v", table, err)
			}
		}
		run(t, conn, `BEGIN`, `DROP TABLE nearby.`+table, `ALTER TABLE nearby.aside RENAME TO `+table, `COMMIT`)
		commitSoon(t, s, put("c", "a", 1)) // it is as it was
	}
	run(t, conn, `TRUNCATE nearby.receipts`, `VACUUM FULL nearby.items`, `CLUSTER nearby.tombstones USING tombstones_pkey`, `REINDEX SCHEMA nearby`)
	if _, err := s.Head(ctx); err != nil {
		t.Errorf("none was put back: %v", err)
	}
	run(t, conn, `ALTER TABLE nearby.replicas RENAME TO aside`, `CREATE TABLE nearby.replicas (LIKE nearby.aside INCLUDING ALL)`, `SELECT nearby.release()`)
	if _, err := s.Head(ctx); err != nil {
		t.Errorf("it is released: %v", err)
	}
}

// What is done to the table of the head and to its row without putting it back leaves
// the store in use.
func TestHeadThatStays(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	commit(t, s, define("c"), put("c", "a", 1))
	conn := connect(t, url)
	const write = `UPDATE nearby.items SET lon = lon + 1`
	for i, statements := range [][]string{
		{`VACUUM FULL nearby.head`},
		{`VACUUM (FREEZE) nearby.head`},
		{`VACUUM (FULL, FREEZE)`},
		{`UPDATE nearby.head SET epoch = epoch + 1`},
		{`BEGIN`, `SAVEPOINT s`, write, `SET CONSTRAINTS ALL IMMEDIATE`, `COMMIT`},
		{`BEGIN`, `SAVEPOINT s`, write, `SET CONSTRAINTS ALL IMMEDIATE`, `SET CONSTRAINTS ALL DEFERRED`, `RELEASE s`, write, `COMMIT`},
		{`BEGIN`, write, `SET CONSTRAINTS ALL IMMEDIATE`, `SAVEPOINT s`, write, `ROLLBACK TO s`, `COMMIT`},
		{`DO $$ BEGIN UPDATE nearby.items SET lon = lon + 1; SET CONSTRAINTS ALL IMMEDIATE; EXCEPTION WHEN division_by_zero THEN NULL; END $$`},
		{`BEGIN`, `SAVEPOINT s`, `SELECT nearby.release()`, `COMMIT`},
		{`SELECT nearby.release()`, `SELECT nearby.release()`},
		{`BEGIN`, `SELECT nearby.release()`, `SELECT nearby.release()`, `COMMIT`},
	} {
		run(t, conn, statements...)
		if _, err := s.Head(ctx); err != nil {
			t.Errorf("after %q: %v", statements, err)
		}
		commit(t, s, put("c", fmt.Sprint("b", i), 1))
	}
	for _, sql := range []string{`DELETE FROM nearby.head`, `TRUNCATE nearby.head`, `INSERT INTO nearby.head (one, seq, epoch, floor) VALUES (false, 0, 0, 0)`} {
		if _, err := conn.Exec(ctx, sql); !isState(err, "NB006") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// A database in which an index, a key or a trigger is missing, for a restore that was cut
// short, is not released.
func TestReleaseOfWhatIsNotWhole(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.Database(t)
	openStore(t, url, postgres.Options{})
	conn := connect(t, url)
	rows, err := conn.Query(ctx, `
SELECT format('ALTER TABLE nearby.%I DROP CONSTRAINT %I', c.relname, k.conname) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE k.connamespace = 'nearby'::regnamespace AND k.contype IN ('p', 'u')
UNION ALL
SELECT format('DROP INDEX nearby.%I', c.relname) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = 'nearby'::regnamespace AND NOT i.indisunique
UNION ALL
SELECT format('%s nearby.%I %s %I', v.verb, c.relname, v.what, t.tgname) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid,
       (VALUES ('ALTER TABLE', 'DISABLE TRIGGER')) v (verb, what) WHERE c.relnamespace = 'nearby'::regnamespace AND NOT t.tgisinternal
UNION ALL
SELECT format('DROP TRIGGER %I ON nearby.%I', t.tgname, c.relname) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'nearby'::regnamespace AND NOT t.tgisinternal`)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for rows.Next() {
		var sql string
		if err := rows.Scan(&sql); err != nil {
			t.Fatal(err)
		}
		all = append(all, sql)
	}
	if err := rows.Err(); err != nil || len(all) < 30 {
		t.Fatalf("%d statements, %v", len(all), err)
	}
	for _, sql := range all {
		run(t, conn, `BEGIN`, sql)
		if _, err := conn.Exec(ctx, `SELECT nearby.release()`); !isState(err, "NB006") {
			t.Errorf("after %s: %v", sql, err)
		}
		run(t, conn, `ROLLBACK`)
	}
	run(t, conn, `SELECT nearby.release()`)
}

// What other programs have in the schema, or had, does not matter for the release, and
// stands in for nothing of nearby's own.
func TestReleaseBesideOthers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	commit(t, s, define("c"), put("c", "a", 1))
	conn := connect(t, url)
	run(t, conn, `CREATE TABLE nearby.keyless (a int)`, `CREATE TABLE nearby.theirs (a int PRIMARY KEY)`,
		`CREATE INDEX their_index ON nearby.items (lon)`,
		`CREATE FUNCTION public.theirs() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
		`CREATE TRIGGER their_trigger AFTER INSERT ON nearby.items FOR EACH ROW EXECUTE FUNCTION public.theirs()`,
		`SELECT nearby.release()`)
	// A server that starts makes note of nothing that is theirs.
	again := openStore(t, url, postgres.Options{})
	_ = again.Close()
	for _, sql := range []string{
		`DROP INDEX nearby.items_seq`, `DROP TRIGGER rows_updated ON nearby.items`, `ALTER TABLE nearby.items DROP CONSTRAINT items_pkey`,
		`ALTER INDEX nearby.items_seq RENAME TO another; CREATE INDEX items_seq ON nearby.theirs (a)`,
	} {
		run(t, conn, `BEGIN`, sql)
		if _, err := conn.Exec(ctx, `SELECT nearby.release()`); !isState(err, "NB006") {
			t.Errorf("after %s: %v", sql, err)
		}
		run(t, conn, `ROLLBACK`)
	}
	run(t, conn, `DROP INDEX nearby.their_index`, `SELECT nearby.release()`, `DROP TRIGGER their_trigger ON nearby.items`, `SELECT nearby.release()`,
		`DROP TABLE nearby.theirs`, `SELECT nearby.release()`, `ALTER TABLE nearby.keyless ADD PRIMARY KEY (a)`, `SELECT nearby.release()`)
	if _, err := s.Head(ctx); err != nil {
		t.Error(err)
	}
}

// isState reports whether an error is one of the database's with a code.
func isState(err error, code string) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.Code == code
}

// An older state of the database that is put back is another history, also if it is
// the same server that has it, and has already more commits again.
func TestRestore(t *testing.T) {
	cluster := pgtest.Start(t, pgtest.NoFsync())
	proxy := pgtest.StartProxy(t, cluster.Address())
	s := openStore(t, proxy.URL(cluster.URL()), postgres.Options{AwayTimeout: awayTimeout})
	commit(t, s, define("c"), put("c", "a", 0))
	backup := cluster.Backup()
	commit(t, s, put("c", "lost", 1))
	c := newCopy(t, s)
	ended := c.follow(t, s)
	commit(t, s, put("c", "lost too", 1))
	c.until(t, "the commit comes", func() bool { return len(c.content["c"]) == 3 })
	for number1(t, cluster.URL(), `SELECT count(*) FROM nearby.replicas`) == 0 {
		time.Sleep(10 * time.Millisecond) // until it has noted how far it is
	}
	cluster.Stop(pgtest.Fast)
	proxy.Cut()
	cluster.Restore(backup)
	// Somebody else brings it beyond where it was before the store is back.
	other := openStore(t, cluster.URL(), postgres.Options{AwayTimeout: awayTimeout})
	for i := range 10 {
		commit(t, other, put("c", fmt.Sprint("other", i), 1))
	}
	proxy.Heal()
	select {
	case err := <-ended:
		if !errors.Is(err, store.ErrForked) {
			t.Errorf("Follow ended: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("Follow goes on in another history")
	}
	again := newCopy(t, s)
	again.follow(t, s)
	again.until(t, "it is followed", func() bool { return !again.at.IsZero() })
	commit(t, s, put("c", "new", 1))
	again.equals(t, s)
	if again.pos.Epoch == c.pos.Epoch {
		t.Errorf("both histories are %s", c.pos.Epoch)
	}
}

// The writer notices, too, before it adds to the other history, where nobody follows.
func TestRestoreUnderWriter(t *testing.T) {
	cluster := pgtest.Start(t, pgtest.NoFsync())
	s := openStore(t, cluster.URL(), postgres.Options{AwayTimeout: awayTimeout})
	commit(t, s, define("c"))
	before, err := s.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	backup := cluster.Backup()
	commit(t, s, put("c", "lost", 1))
	cluster.Stop(pgtest.Fast)
	cluster.Restore(backup)
	commit(t, s, put("c", "new", 1))
	after, err := s.Head(context.Background())
	if err != nil || after.Epoch == before.Epoch || after.Seq != before.Seq+1 {
		t.Errorf("the head was %+v, and is %+v, %v", before, after, err)
	}
}
