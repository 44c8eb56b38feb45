package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"nearby/store/postgres"
	"nearby/store/postgres/attach"
	"nearby/store/postgres/pgtest"
)

// makeOld makes the tables of version 4.
func makeOld(t *testing.T, url string) {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDB(*config)
	defer func() { _ = db.Close() }()
	old, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("database/migrations"), goose.WithTableName("nearby.migrations"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.UpTo(context.Background(), 4); err != nil {
		t.Fatal(err)
	}
}

// Nobody without a privilege keeps a server from starting; who does is named.
func TestNobodyHoldsUpAStart(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := pgtest.Start(t, pgtest.NoFsync())
	c.Resume()
	for _, statement := range []string{`CREATE ROLE owner LOGIN`, `CREATE ROLE stranger LOGIN`, `CREATE ROLE app LOGIN`, `CREATE DATABASE old OWNER owner`, `CREATE DATABASE places OWNER owner`} {
		c.Exec(statement)
	}
	at := func(role, database string) string {
		return (&url.URL{Scheme: "postgres", User: url.User(role), Host: c.Address(), Path: database, RawQuery: "sslmode=disable"}).String()
	}
	run(t, connect(t, at("owner", "old")), `CREATE SCHEMA nearby`)
	makeOld(t, at("owner", "old"))
	run(t, connect(t, at("owner", "old")), `GRANT USAGE ON SCHEMA nearby TO app`, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA nearby TO app`)
	var brief postgres.Options
	brief.MigrationWait(200 * time.Millisecond)
	fails := func(role, database string, says ...string) {
		t.Helper()
		s, err := postgres.Open(ctx, at(role, database), brief)
		if err == nil {
			_ = s.Close()
			t.Fatalf("%s opened %s", role, database)
		}
		for _, text := range says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s on %s: %q does not say %q", role, database, err, text)
			}
		}
	}
	open := func(role, database string) {
		t.Helper()
		s, err := postgres.Open(ctx, at(role, database), brief)
		if err != nil {
			t.Fatalf("%s on %s: %v", role, database, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	const lock = `SELECT pg_advisory_lock(x'6e6561726279'::bigint)`
	stranger, otherStranger := connect(t, at("stranger", "old")), connect(t, at("stranger", "places"))
	run(t, stranger, lock)
	run(t, otherStranger, lock)
	// Before there are tables there is no better lock.
	fails("owner", "places", fmt.Sprintf("process %d, of the role stranger", otherStranger.PgConn().PID()), "pg_terminate_backend")
	run(t, otherStranger, `SELECT pg_advisory_unlock_all()`)
	open("owner", "places")
	run(t, otherStranger, lock)
	open("owner", "places")
	// Old tables are changed by their owner, and by nobody else.
	fails("app", "old", "start one server of this version as owner,", "the role app may not")
	if _, err := stranger.Exec(ctx, `LOCK TABLE nearby.migrations`); err == nil {
		t.Error("a stranger may lock a table")
	}
	owner := connect(t, at("owner", "old"))
	run(t, owner, `BEGIN`, `LOCK TABLE nearby.migrations IN SHARE UPDATE EXCLUSIVE MODE`)
	fails("owner", "old", fmt.Sprintf("process %d, of the role owner", owner.PgConn().PID()))
	run(t, owner, `ROLLBACK`)
	open("owner", "old")
	open("app", "old")

	_, err := attach.Attach(ctx, at("app", "old"), attach.Attachment{
		Collection: "shops", Table: "shops", ID: "id", Lon: "lng", Lat: "lat", Follow: attach.FollowTrigger, Definition: []byte(`{}`),
	}, func(int64, int64) {})
	for what, err := range map[string]error{"attach": err, "detach": attach.Detach(ctx, at("app", "old"), "shops", false)} {
		if err == nil || !strings.Contains(err.Error(), what+" the table as owner, the owner of nearby's tables") {
			t.Errorf("%s as app: %v", what, err)
		}
	}
}

// Who was given all tables of version 4 keeps what a server needs, and no more of those
// that say what servers do.
func TestOldGrants(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.NoFsync())
	c.Resume()
	c.Exec(`CREATE ROLE app LOGIN`)
	c.Exec(`CREATE SCHEMA nearby`)
	makeOld(t, c.URL())
	c.Exec(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA nearby TO app`)
	openStore(t, c.URL(), postgres.Options{})
	for sql, want := range map[string]bool{
		`has_any_column_privilege('app', 'nearby.attachments', 'INSERT')`:            false,
		`has_table_privilege('app', 'nearby.attachments', 'UPDATE, DELETE')`:         false,
		`has_column_privilege('app', 'nearby.attachments', 'relation', 'UPDATE')`:    false,
		`has_column_privilege('app', 'nearby.attachments', 'next_poll', 'UPDATE')`:   true,
		`has_table_privilege('app', 'nearby.attachments', 'SELECT')`:                 true,
		`has_table_privilege('app', 'nearby.migrations', 'INSERT, UPDATE, DELETE')`:  false,
		`has_table_privilege('app', 'nearby.migrations', 'SELECT')`:                  true,
		`has_table_privilege('app', 'nearby.items', 'INSERT')`:                       true,
		`has_function_privilege('app', to_regproc('nearby.sweep')::oid, 'EXECUTE')`:  true,
		`has_function_privilege('app', to_regproc('nearby.define')::oid, 'EXECUTE')`: false,
	} {
		if got := number1(t, c.URL(), `SELECT (`+sql+`)::int`) == 1; got != want {
			t.Errorf("%s is %v, want %v", sql, got, want)
		}
	}
}

// Whatever migrations and attachments add to the schema, PUBLIC has nothing in it, and
// no function finds what it names by the path of who calls it.
func TestSchemaIsClosed(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	openStore(t, url, postgres.Options{})
	psql := connect(t, url)
	run(t, psql, `CREATE TABLE shops (id text PRIMARY KEY, lng float8, lat float8)`)
	if _, err := attach.Attach(context.Background(), url, attach.Attachment{
		Collection: "shops", Table: "shops", ID: "id", Lon: "lng", Lat: "lat", Follow: attach.FollowTrigger, Definition: []byte(`{}`),
	}, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	for what, sql := range map[string]string{
		"PUBLIC may call": `SELECT p.oid::regprocedure::text FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
			WHERE p.pronamespace = 'nearby'::regnamespace AND a.grantee = 0`,
		"PUBLIC has a privilege for": `SELECT c.oid::regclass::text FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'nearby'::regnamespace AND a.grantee = 0`,
		"PUBLIC may use":             `SELECT 'the schema' FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'nearby' AND a.grantee = 0`,
		"the path is the caller's in": `SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'nearby'::regnamespace
			AND NOT coalesce(p.proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp']
			AND NOT (p.proname = 'take_row' AND NOT p.prosecdef)`, // it runs for each row, and names all schemas
	} {
		rows, err := psql.Query(context.Background(), sql)
		if err != nil {
			t.Fatal(err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			t.Errorf("%s %s", what, name)
		}
	}
}

// What another role makes under the names of PostgreSQL's own functions is not called, in
// a schema that is in everybody's path.
func TestNobodysFunctionIsCalled(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	address := pgtest.Database(t)
	psql := connect(t, address)
	run(t, psql, `CREATE TABLE ran (what text); CREATE TABLE "Shops" (id text PRIMARY KEY, lng float8, lat float8, at timestamptz DEFAULT now()); INSERT INTO "Shops" VALUES ('a', 1, 2)`)
	run(t, psql, `CREATE FUNCTION public.unnest(a text[]) RETURNS SETOF text LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.ran VALUES (''unnest''); RETURN QUERY SELECT pg_catalog.unnest(a); END'`)
	run(t, psql, `CREATE FUNCTION public.to_jsonb(a text) RETURNS jsonb LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.ran VALUES (''to_jsonb''); RETURN pg_catalog.to_jsonb(a); END'`)
	run(t, psql, `CREATE FUNCTION public.cardinality(a text[]) RETURNS int LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.ran VALUES (''cardinality''); RETURN pg_catalog.cardinality(a); END'`)
	run(t, psql, `CREATE FUNCTION public.above(a float8, b int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.ran VALUES (''>=''); RETURN a OPERATOR(pg_catalog.>=) b; END'`)
	run(t, psql, `CREATE OPERATOR public.>= (LEFTARG = float8, RIGHTARG = int, FUNCTION = public.above)`)
	s := openStore(t, address, postgres.Options{})
	commit(t, s, define("c"), put("c", "a", 1), put("c", "b", 1))
	commit(t, s, del("c", "a"))
	run(t, psql, `INSERT INTO nearby.items (collection, id, lon, lat) VALUES ('c', 'others', 1, 1); UPDATE nearby.items SET id = 'x' WHERE id = 'others'`)
	for i, a := range []attach.Attachment{{Follow: attach.FollowTrigger}, {Follow: attach.FollowPoll, Column: "at", Interval: 100 * time.Millisecond, Sweep: time.Second}} {
		a.Collection, a.Table, a.ID, a.Lon, a.Lat, a.Definition = fmt.Sprint("shops", i), "Shops", "id", "lng", "lat", []byte(`{}`)
		if _, err := attach.Attach(ctx, address, a, func(int64, int64) {}); err != nil {
			t.Fatal(err)
		}
	}
	run(t, psql, `INSERT INTO "Shops" VALUES ('b', 1, 2); UPDATE "Shops" SET lat = 3, at = now()`)
	await(t, "the table is polled", func() bool {
		return number1(t, address, `SELECT count(*) FROM nearby.items WHERE collection LIKE 'shops_' AND lat = 3`) == 4
	})
	if err := s.Tend(ctx); err != nil {
		t.Error(err)
	}
	newCopy(t, s)
	rows, err := psql.Query(ctx, `SELECT DISTINCT what FROM ran`)
	if err != nil {
		t.Fatal(err)
	}
	if called, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(called) > 0 {
		t.Errorf("called was %q, %v", called, err)
	}
}

// A role that is named like the schema has its own tables put into it by PostgreSQL. That
// is said, with what to do, and doing it is enough.
func TestRoleNamedLikeTheSchema(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := pgtest.Start(t, pgtest.NoFsync())
	c.Resume()
	c.Exec(`CREATE ROLE nearby LOGIN`)
	c.Exec(`CREATE DATABASE places OWNER nearby`)
	at := (&url.URL{Scheme: "postgres", User: url.User("nearby"), Host: c.Address(), Path: "places", RawQuery: "sslmode=disable"}).String()
	started := func() string {
		t.Helper()
		var log bytes.Buffer
		s := openStore(t, at, postgres.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return log.String()
	}
	shops := func() (attach.Result, error) {
		return attach.Attach(ctx, at, attach.Attachment{
			Collection: "shops", Table: "shops", ID: "id", Lon: "lng", Lat: "lat", Follow: attach.FollowTrigger, Definition: []byte(`{}`),
		}, func(int64, int64) {})
	}
	started()
	run(t, connect(t, at), `CREATE TABLE shops (id text PRIMARY KEY, lng float8, lat float8)`)
	if log := started(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "tables=[shops]") || !strings.Contains(log, "ALTER ROLE nearby SET search_path = public") {
		t.Errorf("a start says %q", log)
	}
	_, err := shops()
	if err == nil {
		t.Fatal("a table in nearby's schema was attached")
	}
	advice := regexp.MustCompile(`ALTER (TABLE nearby\.shops SET SCHEMA public|ROLE nearby SET search_path = public)`).FindAllString(err.Error(), -1)
	if len(advice) != 2 {
		t.Fatalf("attaching says %v", err)
	}
	for _, statement := range advice {
		run(t, connect(t, c.URL()[:strings.LastIndex(c.URL(), "/")]+"/places?sslmode=disable"), `GRANT CREATE ON SCHEMA public TO nearby`)
		run(t, connect(t, at), statement)
	}
	if log := started(); strings.Contains(log, "level=WARN") {
		t.Errorf("after the advice was taken a start says %q", log)
	}
	run(t, connect(t, at), `CREATE TABLE nearby.shops (n int)`) // the one in the schema is not what a bare name means
	if done, err := shops(); err != nil || done.Table != "public.shops" {
		t.Errorf("after the advice was taken: %+v, %v", done, err)
	}
	if _, err := attach.Attach(ctx, at, attach.Attachment{
		Collection: "items", Table: "nearby.items", ID: "id", Lon: "lon", Lat: "lat", Follow: attach.FollowTrigger, Definition: []byte(`{}`),
	}, func(int64, int64) {}); err == nil || !strings.Contains(err.Error(), "a table of nearby's own") {
		t.Errorf("attaching nearby's own table: %v", err)
	}
}
