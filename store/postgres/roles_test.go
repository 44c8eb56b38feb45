package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/attach"
	"nearby/store/postgres/pgtest"
)

// documentedRoles are a database "places" and the roles that docs/operations.md has,
// with the privileges that it gives them and no others.
type documentedRoles struct {
	t     *testing.T
	c     *pgtest.Cluster
	owner string   // of the tables
	all   []string // sorted
}

var createdRole = regexp.MustCompile(`^CREATE ROLE (\w+)`)
var grantedRole = regexp.MustCompile(`(?s)^(?:GRANT|ALTER DEFAULT PRIVILEGES) .* TO (\w+)$`)

// newDocumentedRoles runs the document's statements in their order. The owner makes
// the tables and lets fill write, before the first statement that is about them.
func newDocumentedRoles(t *testing.T, fill func(*postgres.Store)) *documentedRoles {
	t.Helper()
	c := pgtest.Start(t, pgtest.NoFsync())
	c.Resume() // it is a cluster of our own, or the test is skipped: roles are to be made
	d := &documentedRoles{t: t, c: c}
	names := map[string]bool{}
	made := false
	for _, statement := range documented(t, "operations.md") {
		if m := createdRole.FindStringSubmatch(statement); m != nil {
			d.owner, names[m[1]] = m[1], true
			c.Exec(statement)
			continue
		}
		if strings.HasPrefix(statement, "CREATE DATABASE") {
			c.Exec(statement)
			continue
		}
		if m := grantedRole.FindStringSubmatch(statement); m != nil && !names[m[1]] {
			names[m[1]] = true
			c.Exec("CREATE ROLE " + m[1] + " LOGIN")
		}
		if strings.Contains(statement, "IN SCHEMA") && !made { // the tables have to be there
			s := openStore(t, d.url(d.owner), postgres.Options{})
			fill(s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			made = true
		}
		run(t, d.connect("postgres"), statement)
	}
	d.all = slices.Sorted(maps.Keys(names))
	return d
}

func (d *documentedRoles) url(role string) string {
	return (&url.URL{Scheme: "postgres", User: url.User(role), Host: d.c.Address(), Path: "places", RawQuery: "sslmode=disable"}).String()
}

func (d *documentedRoles) connect(role string) *pgx.Conn { return connect(d.t, d.url(role)) }

// rows returns the values of a query's only column, as the superuser sees them.
func (d *documentedRoles) rows(sql string) []string {
	d.t.Helper()
	rows, err := d.connect("postgres").Query(context.Background(), sql)
	if err != nil {
		d.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

// calls are calls of the schema's functions that are no triggers, with NULL for
// every argument.
func (d *documentedRoles) calls() []string {
	return d.rows(`SELECT CASE p.prokind WHEN 'p' THEN 'CALL ' ELSE 'SELECT ' END || p.oid::regproc || '(' ||
	       coalesce((SELECT string_agg('NULL::' || format_type(a.type, NULL), ', ' ORDER BY a.n) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY a (type, n)), '') || ')'
	  FROM pg_proc p WHERE p.pronamespace = 'nearby'::regnamespace AND p.prorettype <> 'trigger'::regtype`)
}

// triggerFunctions are the schema's.
func (d *documentedRoles) triggerFunctions() []string {
	return d.rows(`SELECT p.oid::regproc::text FROM pg_proc p WHERE p.pronamespace = 'nearby'::regnamespace AND p.prorettype = 'trigger'::regtype`)
}

// tables are the schema's.
func (d *documentedRoles) tables() []string {
	return d.rows(`SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'nearby'::regnamespace AND c.relkind = 'r' ORDER BY 1`)
}

// borrowed are scripts that let a table of one's own call a trigger function of the
// schema.
func borrowed(function string) (scripts []string) {
	for _, event := range []struct{ when, rows, act string }{
		{"BEFORE INSERT", "", `INSERT INTO mine (collection, id) VALUES ('fleet', 'a')`},
		{"AFTER INSERT", "REFERENCING NEW TABLE AS new_rows", `INSERT INTO mine (collection, id) VALUES ('fleet', 'a')`},
		{"AFTER UPDATE", "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows", `UPDATE mine SET id = 'x'`},
		{"AFTER DELETE", "REFERENCING OLD TABLE AS old_rows", `DELETE FROM mine`},
		{"AFTER TRUNCATE", "", `TRUNCATE mine`},
	} {
		each := "STATEMENT"
		if strings.HasPrefix(event.when, "BEFORE") {
			each = "ROW"
		}
		scripts = append(scripts, fmt.Sprintf(`CREATE TEMP TABLE mine (collection text, id text, lon float8, lat float8, properties json,
	created timestamptz, updated timestamptz, seq bigint, bad text, emptied boolean, numbering boolean, name text, definition json, born bigint, dropped boolean, swept bigint, at timestamptz);
INSERT INTO mine (collection, id) VALUES ('fleet', 'a'), ('fleet', 'b');
CREATE TRIGGER t %s ON mine %s FOR EACH %s EXECUTE FUNCTION %s(); %s; SET CONSTRAINTS ALL IMMEDIATE`,
			event.when, event.rows, each, function, event.act))
	}
	return scripts
}

// attempt runs a script in a transaction that is left open, and reports its error.
func attempt(t *testing.T, conn *pgx.Conn, script string) error {
	t.Helper()
	run(t, conn, "BEGIN")
	_, err := conn.Exec(context.Background(), script, pgx.QueryExecModeSimpleProtocol)
	return err
}

// Whoever logs in as a documented role, nothing that the role is not for can be done,
// and what it may write is noticed, whatever it has set.
func TestRoles(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDocumentedRoles(t, func(s *postgres.Store) {
		commit(t, s, define("fleet"), define("depot"), put("fleet", "a", 1), put("fleet", "b", 2), put("depot", "c", 3))
	})
	if want := []string{"app", d.owner, "other", "reader"}; !slices.Equal(d.all, slices.Sorted(slices.Values(want))) {
		t.Fatalf("the document has the roles %q, and the test cases for %q", d.all, want)
	}
	run(t, d.connect("postgres"), `CREATE TABLE public.shops (id text PRIMARY KEY, lng float8, lat float8); INSERT INTO shops VALUES ('s', 1, 2);
		GRANT ALL ON public.shops TO other; GRANT SELECT, UPDATE, TRIGGER ON public.shops TO `+d.owner+`;
		CREATE SCHEMA streets; GRANT USAGE ON SCHEMA streets TO app, `+d.owner)
	for _, table := range []string{"kiosks", "booths"} {
		run(t, d.connect("postgres"), `CREATE TABLE streets.`+table+` (id text PRIMARY KEY, lng float8, lat float8, at timestamptz); GRANT SELECT ON streets.`+table+` TO app, `+d.owner)
		if _, err := attach.Attach(ctx, d.url(d.owner), attach.Attachment{
			Collection: table, Table: "streets." + table, ID: "id", Lon: "lng", Lat: "lat", Follow: attach.FollowPoll, Column: "at",
			Interval: 100 * time.Millisecond, Overlap: time.Second, Sweep: time.Second, Definition: []byte(`{}`),
		}, func(int64, int64) {}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := attach.Attach(ctx, d.url(d.owner), attach.Attachment{
		Collection: "shops", Table: "shops", ID: "id", Lon: "lng", Lat: "lat", Follow: attach.FollowTrigger, Definition: []byte(`{}`),
	}, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	var log lines
	s := openStore(t, d.url("app"), postgres.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	c := newCopy(t, s)
	c.follow(t, s)
	writable := func(after string) {
		t.Helper()
		limited, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if _, err := s.Commit(limited, []store.Change{put("depot", "c", 3)}); err != nil {
			t.Errorf("after %s nothing can be written: %v", after, err)
		}
	}
	all := func() string { return c.ids("fleet") + "/" + c.ids("depot") + "/" + c.ids("shops") }
	before := all()

	// What is refused, leaves nothing behind, even while the transaction is open. A role
	// tries one script after the other on one connection, which forgets what the last one set.
	sessions := map[string]*pgx.Conn{}
	refused := func(role, script string) {
		t.Helper()
		conn := sessions[role]
		if conn == nil {
			conn = d.connect(role)
			sessions[role] = conn
		}
		if err := attempt(t, conn, script); err == nil {
			t.Errorf("%s may do: %s", role, script)
			writable(role + "'s " + script)
			_, _ = conn.Exec(ctx, "COMMIT")
		}
		run(t, conn, "ROLLBACK", "DISCARD ALL")
	}
	ddl := []string{`CREATE TABLE nearby.mine (n int)`, `ALTER TABLE nearby.items DISABLE TRIGGER ALL`, `ALTER TABLE nearby.items ADD n int`, `DROP TABLE nearby.receipts`,
		`CREATE FUNCTION nearby.f() RETURNS int LANGUAGE sql AS 'SELECT 1'`, `DROP SCHEMA nearby CASCADE`, `ALTER TABLE nearby.items OWNER TO CURRENT_USER`,
		`CREATE RULE r AS ON INSERT TO nearby.items DO INSTEAD NOTHING`, `SET session_replication_role = replica`,
		`CREATE TRIGGER t AFTER INSERT ON nearby.items EXECUTE FUNCTION suppress_redundant_updates_trigger()`}
	for _, role := range []string{"reader", "other", "app"} {
		for _, script := range ddl {
			refused(role, script)
		}
		for _, f := range d.triggerFunctions() {
			for _, script := range borrowed(f) {
				refused(role, script)
			}
		}
		for _, table := range d.tables() {
			switch {
			case role == "reader":
				for _, script := range []string{`INSERT INTO %s DEFAULT VALUES`, `DELETE FROM %s`, `LOCK TABLE %s IN SHARE MODE`} {
					refused(role, fmt.Sprintf(script, table))
				}
			case role == "other" && table != "nearby.items":
				for _, script := range []string{`TABLE %s`, `INSERT INTO %s DEFAULT VALUES`, `DELETE FROM %s`, `LOCK TABLE %s IN ACCESS SHARE MODE`} {
					refused(role, fmt.Sprintf(script, table))
				}
			}
			refused(role, "TRUNCATE "+table)
		}
		if role != "app" {
			for _, call := range d.calls() {
				refused(role, call)
			}
		}
	}
	for _, role := range []string{"app", d.owner} {
		for _, set := range settings {
			for _, script := range []string{`UPDATE nearby.collections SET definition = '{"title":"x"}'`, `DELETE FROM nearby.collections`, `UPDATE nearby.collections SET dropped = true`} {
				refused(role, set+script)
			}
		}
	}
	// A server's role takes part in polling. Which table is polled, by whomever, and which
	// version the tables have, it does not say, nor what is in a table that is yet to come.
	run(t, d.connect(d.owner), `CREATE TABLE nearby.future (n int)`)
	for _, script := range []string{
		`INSERT INTO nearby.attachments (collection, relation, id_column, lon_column, lat_column, properties, follow, change_column, every, overlap, copied, next_poll)
			VALUES ('fleet', 'public.secret', 'id', 'lng', 'lat', '{note}', 'poll', 'at', '1s', '1s', true, now())`,
		`UPDATE nearby.attachments SET relation = 'public.secret'`, `UPDATE nearby.attachments SET properties = '{note}'`, `UPDATE nearby.attachments SET lon_column = 'note'`,
		`UPDATE nearby.attachments SET change_column = 'note'`, `UPDATE nearby.attachments SET copied = true`, `UPDATE nearby.attachments SET every = '1ms'`,
		`DELETE FROM nearby.attachments`, `INSERT INTO nearby.migrations (version_id, is_applied) VALUES (999, true)`, `UPDATE nearby.migrations SET version_id = 999`,
		`DELETE FROM nearby.migrations`, `INSERT INTO nearby.head DEFAULT VALUES`, `DELETE FROM nearby.head`, `INSERT INTO nearby.pending DEFAULT VALUES`,
		`UPDATE nearby.receipts SET seq = 0`, `INSERT INTO nearby.future VALUES (1)`, `SELECT nextval('nearby.marks')`,
	} {
		refused("app", script)
	}
	run(t, d.connect(d.owner), `DROP TABLE nearby.future`)
	run(t, d.connect("postgres"), `INSERT INTO streets.kiosks VALUES ('k', 1, 2, now())`)
	await(t, "the table is polled", func() bool {
		return number1(t, d.url("postgres"), `SELECT count(*) FROM nearby.items i, nearby.attachments a WHERE i.collection = 'kiosks' AND i.id = 'k' AND a.collection = 'kiosks' AND a.error IS NULL AND a.last IS NOT NULL`) == 1
	})
	lostPrivileges(t, d, s, &log)
	if err := s.Tend(ctx); err != nil {
		t.Errorf("tending: %v", err)
	}
	for _, set := range settings {
		// A server's role may commit, and not take the attached collection from its table.
		refused("app", set+strings.ReplaceAll(dropByCommit, "NAME", "shops"))
		refused("app", set+`SELECT nearby.define('shops', NULL)`)
	}
	// The owner may call all of them: then they do nothing to what is not nearby's.
	for _, f := range d.triggerFunctions() {
		for _, script := range borrowed(f) {
			conn := connect(t, d.url(d.owner))
			_ = attempt(t, conn, script)
			_, _ = conn.Exec(ctx, "COMMIT")
			_ = conn.Close(ctx)
		}
	}
	// What the refusals are measured by: the script drops a collection that shows no table.
	run(t, d.connect("app"), "BEGIN", strings.Split(dropByCommit, ";\n")[0], strings.ReplaceAll(strings.Split(dropByCommit, ";\n")[1], "NAME", "depot"), "ROLLBACK")
	writable("all that")
	c.equals(t, s)
	if got := all(); got != before {
		t.Errorf("the items are %s, and were %s", got, before)
	}

	// Nobody's types and operators are taken for PostgreSQL's own.
	run(t, d.connect("postgres"), `CREATE SCHEMA others AUTHORIZATION other`)
	for i, script := range impostors {
		conn := connect(t, d.url("other"))
		run(t, conn, "BEGIN")
		if _, err := conn.Exec(ctx, script, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", script, err)
		}
		id := fmt.Sprint("named", i)
		_, err := conn.Exec(ctx, strings.ReplaceAll(`INSERT INTO nearby.items (collection, id, lon, lat, properties) VALUES ('fleet', 'ID', '1e300', 1, '{"a":1,"a":2}')`, "ID", id), pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Errorf("%s: %v", script, err)
		}
		_, _ = conn.Exec(ctx, "COMMIT")
		_ = conn.Close(ctx)
		if got := number1(t, d.url("postgres"), `SELECT count(*) FROM nearby.items WHERE id = '`+id+`' AND bad LIKE 'lon must be a number%' AND properties::text = '{"a": 2}'`); got != 1 {
			t.Errorf("%s: the row is not marked as a bad one", script)
		}
	}
	run(t, d.connect("postgres"), `DROP SCHEMA others CASCADE`, `DELETE FROM nearby.items WHERE id LIKE 'named%'`)

	// What a role may write is noticed, or refused.
	n := 0
	for _, role := range []string{"other", "app", d.owner, "postgres"} {
		for _, set := range settings {
			n++
			id := fmt.Sprint(n)
			for _, script := range []string{
				`INSERT INTO nearby.items (collection, id, lon, lat, seq) VALUES ('fleet', 'ID', 1, 1, 9223372036854775000)`,
				`INSERT INTO nearby.items (collection, id, lon, lat, properties) VALUES ('fleet', 'xID', 'NaN', 1, '[]')`,
				`UPDATE nearby.items SET lon = lon + 1 WHERE id = 'a'`,
				`UPDATE nearby.items SET lon = lon + 1, seq = 9223372036854775000 WHERE id = 'ID'`,
				`UPDATE nearby.items SET seq = seq - 1, properties = to_json(set_config('nearby.mark', '7', false)) WHERE id = 'ID' RETURNING set_config('nearby.mark', '', false)`,
				`BEGIN; INSERT INTO nearby.items (collection, id, lon, lat) VALUES ('fleet', 'yID', 1, 1); SET CONSTRAINTS ALL IMMEDIATE; UPDATE nearby.items SET lon = 2, seq = 1 WHERE id = 'yID'; COMMIT`,
				`UPDATE public.shops SET lng = lng + 1`,
				`DELETE FROM nearby.items WHERE id IN ('ID', 'yID')`,
			} {
				if strings.Contains(script, "shops") && role == d.owner {
					continue
				}
				conn := connect(t, d.url(role))
				script = set + strings.ReplaceAll(script, "ID", id)
				_, err := conn.Exec(ctx, script, pgx.QueryExecModeSimpleProtocol)
				if set == "" && err != nil && !strings.Contains(script, "set_config") && (role != "app" || !strings.Contains(script, "shops")) {
					t.Errorf("%s: %s: %v", role, script, err)
				}
				_ = conn.Close(ctx)
				if c.equals(t, s); t.Failed() {
					t.Fatalf("%s was not noticed, by %s (%v)", script, role, err)
				}
			}
		}
	}
	head, err := s.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := number1(t, d.url("postgres"), `SELECT count(*) FROM nearby.items WHERE seq IS NULL OR seq > `+fmt.Sprint(head.Seq)); got != 0 {
		t.Errorf("%d rows have no number, or one that was not given out", got)
	}
	await(t, "the attached table is as its collection", func() bool {
		return number1(t, d.url("postgres"), `SELECT count(*) FROM public.shops s JOIN nearby.items i ON i.collection = 'shops' AND i.id = s.id AND i.lon = s.lng`) == 1
	})
}

// lostPrivileges takes privileges from the role of a server, one at a time: it says which table
// it cannot read, goes on with others, and with that one when it has the privilege again.
func lostPrivileges(t *testing.T, d *documentedRoles, s *postgres.Store, log *lines) {
	t.Helper()
	psql := d.connect("postgres")
	shown := func(id string) int {
		return number1(t, d.url("postgres"), `SELECT count(*) FROM nearby.items WHERE collection IN ('kiosks', 'booths') AND id = '`+id+`'`)
	}
	for i, x := range []struct {
		take, give string
		others     bool // are read meanwhile
		listed     bool // the trouble is a table's own
	}{
		{`REVOKE SELECT ON streets.kiosks FROM app`, `GRANT SELECT ON streets.kiosks TO app`, true, true},
		{`REVOKE SELECT ON streets.kiosks FROM app; GRANT SELECT (id, lng, at) ON streets.kiosks TO app`, `GRANT SELECT ON streets.kiosks TO app`, true, true},
		{`REVOKE SELECT ON streets.kiosks FROM app; REVOKE DELETE ON nearby.attached_later FROM app`, `GRANT SELECT ON streets.kiosks TO app; GRANT DELETE ON nearby.attached_later TO app`, true, true},
		{`REVOKE USAGE ON SCHEMA streets FROM app`, `GRANT USAGE ON SCHEMA streets TO app`, false, true},
		{`REVOKE TEMPORARY ON DATABASE places FROM PUBLIC; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '% compares'`, `GRANT TEMPORARY ON DATABASE places TO PUBLIC`, false, true},
		{`REVOKE UPDATE (holder) ON nearby.attachments FROM app`, `GRANT UPDATE (holder) ON nearby.attachments TO app`, false, false},
		{`REVOKE SELECT ON nearby.attached_later FROM app`, `GRANT SELECT ON nearby.attached_later TO app`, false, false},
	} {
		id := fmt.Sprint("lost", i)
		log.reset()
		run(t, psql, x.take, `INSERT INTO streets.kiosks VALUES ('`+id+`', 1, 2, now())`, `INSERT INTO streets.booths VALUES ('`+id+`', 1, 2, now())`)
		await(t, "after "+x.take+" the server says so", func() bool {
			return store.Reason(s.Behind()) != "" && (!x.listed || log.has("an attached table cannot be read"))
		})
		if x.others {
			await(t, "after "+x.take+" another table is read", func() bool { return shown(id) == 1 })
		}
		if x.listed {
			all, err := attach.List(context.Background(), d.url("app"))
			if err != nil || len(all) < 2 || !slices.ContainsFunc(all, func(a attach.State) bool { return a.Collection == "kiosks" && a.Problem != "" }) {
				t.Errorf("after %s they are listed as %+v, %v", x.take, all, err)
			}
		}
		run(t, psql, x.give)
		await(t, "after "+x.give+" both tables are read", func() bool { return shown(id) == 2 && s.Behind() == nil })
	}
}

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
	for what, err := range map[string]error{"attached": err, "detached": attach.Detach(ctx, at("app", "old"), "shops", false)} {
		if err == nil || !strings.Contains(err.Error(), "a table is "+what+" as owner, the owner of nearby's tables") {
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

// settings are what a session might have set before it writes.
var settings = []string{
	"", "SET nearby.writer = 'on';", "SET nearby.attaching = 'on';", "SET nearby.writer = 'on'; SET nearby.attaching = 'on';",
	"SET nearby.mark = 'on';", "SET nearby.mark = '1';", "SET nearby.mark = '1/attach';", "SET nearby.mark = 'numbering';",
	"SET search_path = pg_temp, public; SET nearby.writer = 'on';",
}

// impostors are what a role may make under the names of PostgreSQL's own types and
// operators, for its own session to find before them.
var impostors = []string{
	`CREATE TYPE pg_temp.float8 AS ENUM ('0', '-180', '180', '-90', '90');
	 CREATE FUNCTION pg_temp.wide(v pg_temp.float8) RETURNS pg_catalog.float8 LANGUAGE sql IMMUTABLE AS $$ SELECT CASE v::text WHEN '0' THEN 0 ELSE (sign(v::text::numeric) || 'e308')::pg_catalog.float8 END $$;
	 CREATE CAST (pg_temp.float8 AS pg_catalog.float8) WITH FUNCTION pg_temp.wide AS IMPLICIT`,
	`CREATE DOMAIN pg_temp.jsonb AS pg_catalog.json`,
	`CREATE DOMAIN pg_temp.json AS pg_catalog.json CHECK (value IS NULL); CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (length(value) < 2)`,
	`CREATE FUNCTION others.yes(a float8, b float8) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
	 CREATE OPERATOR others.<= (LEFTARG = float8, RIGHTARG = float8, FUNCTION = others.yes);
	 CREATE OPERATOR others.>= (LEFTARG = float8, RIGHTARG = float8, FUNCTION = others.yes);
	 SET search_path = others, pg_catalog`,
	`CREATE FUNCTION others.nothing(a float8, b float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT 0::float8';
	 CREATE OPERATOR others.+ (LEFTARG = float8, RIGHTARG = float8, FUNCTION = others.nothing);
	 SET search_path = others, pg_catalog`,
	`CREATE FUNCTION others.same(a text, b text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
	 CREATE OPERATOR others.= (LEFTARG = text, RIGHTARG = text, FUNCTION = others.same);
	 SET search_path = others, pg_catalog`,
}

// dropByCommit calls nearby.commit as a server does, for a writer that it registers.
const dropByCommit = `
INSERT INTO nearby.writers (writer, fence, batch, seq) VALUES ('00000000-0000-0000-0000-000000000001', 1, 0, 0);
SELECT nearby.commit('00000000-0000-0000-0000-000000000001', 1, 1, 1, '{}', ARRAY['NAME'], ARRAY[NULL]::text[], ARRAY[false],
	'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')`

// A program that has numbered its rows before its transaction ends holds up everybody.
// It is not let idle.
func TestNumberedEarly(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{CommitTimeout: patience})
	commit(t, s, define("c"), put("c", "a", 1))
	psql := connect(t, url)
	run(t, psql, `BEGIN`, `UPDATE nearby.items SET lon = 2 WHERE id = 'a'`, `SET CONSTRAINTS ALL IMMEDIATE`)
	deadline := time.Now().Add(patience)
	for {
		_, err := s.Commit(context.Background(), []store.Change{put("c", "b", 1)})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing can be written beside an idle transaction: %v", err)
		}
	}
	if err := psql.Ping(context.Background()); err == nil {
		t.Error("the idle program still has its connection")
	}
}

// A program that does not let itself be ended is named, with its role.
func TestWhoHoldsTheHead(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	lines := make(chan string, 1000)
	s := openStore(t, url, postgres.Options{CommitTimeout: patience, Log: slog.New(slog.NewTextHandler(lineWriter(lines), nil))})
	commit(t, s, define("c"), put("c", "a", 1))
	psql := connect(t, url)
	run(t, psql, `BEGIN`, `UPDATE nearby.items SET lon = 2 WHERE id = 'a'`, `SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL idle_in_transaction_session_timeout = 0`)
	done := make(chan error, 1)
	go func() {
		_, err := s.Commit(context.Background(), []store.Change{put("c", "b", 1)})
		done <- err
	}()
	want := fmt.Sprintf(`msg="a transaction of another program holds up all writes" process=%d role=%s`, psql.PgConn().PID(), psql.Config().User)
	for named := false; !named; {
		select {
		case line := <-lines:
			named = strings.Contains(line, want)
		case err := <-done:
			t.Fatalf("the commit ended (%v), and the log has not said %q", err, want)
		}
	}
	run(t, psql, `ROLLBACK`)
	if err := <-done; err != nil {
		t.Errorf("a commit, when nobody holds it up any more: %v", err)
	}
}

// A commit that does not get the head in its time is not made, whatever that time is. It
// and the store itself say why, in words for everybody, until it has passed.
func TestHeldUpIsNotMade(t *testing.T) {
	t.Parallel()
	for _, limit := range []time.Duration{200 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second, 4900 * time.Millisecond} {
		t.Run(limit.String(), func(t *testing.T) {
			t.Parallel()
			url := pgtest.Database(t)
			s := openStore(t, url, postgres.Options{CommitTimeout: limit})
			commit(t, s, define("c"), put("c", "a", 1))
			psql := connect(t, url)
			run(t, psql, `BEGIN`, `UPDATE nearby.items SET lon = 2 WHERE id = 'a'`, `SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL idle_in_transaction_session_timeout = 0`)
			for i := range 2 {
				began := time.Now()
				_, err := s.Commit(context.Background(), []store.Change{put("c", "b", 1)})
				if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUncertain) {
					t.Fatalf("commit %d: %v after %v", i, err, time.Since(began))
				}
				if why := store.Reason(err); !strings.Contains(why, "holds up all writes") || strings.Contains(why, psql.Config().User) || strings.Contains(why, "SELECT") {
					t.Errorf("commit %d: %q", i, why)
				}
				if fault := s.Fault(); store.Reason(fault) != store.Reason(err) {
					t.Errorf("commit %d: the store has the fault %v, the commit failed with %v", i, fault, err)
				}
			}
			run(t, psql, `ROLLBACK`)
			for end := time.Now().Add(patience); s.Fault() != nil; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("nobody holds it up, and the store says %v", s.Fault())
				}
			}
			var made int
			if err := psql.QueryRow(context.Background(), `SELECT count(*) FROM nearby.items WHERE id = 'b'`).Scan(&made); err != nil || made > 0 {
				t.Errorf("what was not made is there %d times: %v", made, err)
			}
			commit(t, s, put("c", "b", 1))
		})
	}
}

// lines is a log that is written while a test reads it.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

func (l *lines) has(words string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), words)
}

// lineWriter passes on what is written, as far as there is room.
type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	select {
	case w <- string(b):
	default:
	}
	return len(b), nil
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
