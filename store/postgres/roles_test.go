package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

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
