package attach_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres/attach"
	"nearby/store/postgres/pgtest"
)

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
		a    attach.Attachment
		says string
	}{
		{attach.Attachment{Table: "shop", Follow: "trigger"}, "there is no such table"},
		{attach.Attachment{Table: "no.shops", Follow: "trigger"}, "there is no such table"},
		{attach.Attachment{Table: `"shops`, Follow: "trigger"}, "there is no such table"},
		{attach.Attachment{Table: "a.b.c.d", Follow: "trigger"}, "there is no such table"},
		{attach.Attachment{Table: "shops_pkey", Follow: "trigger"}, "neither a table nor a view"},
		{attach.Attachment{Table: "nearby.items", Follow: "trigger"}, "nearby's own"},
		{attach.Attachment{Table: "pg_stats", Follow: "trigger"}, "is a view"},
		{attach.Attachment{Table: "parts", Follow: "trigger"}, "partitions"},
		{attach.Attachment{Table: "part", Follow: "trigger"}, "partitions"},
		{attach.Attachment{Table: "shops", Follow: "trigger", Lon: "lon", Lat: "lat"}, `no column "lon" (the longitude); its columns are "id" integer, "lng" double precision`},
		{attach.Attachment{Table: "shops", Follow: "trigger", ID: "ident"}, `no column "ident" (the id)`},
		{attach.Attachment{Table: "shops", Follow: "trigger", ID: "name"}, `"name" is not the primary key and has no unique index`},
		{attach.Attachment{Table: "shops", Follow: "trigger", Properties: []string{"colour"}}, `no column "colour"`},
		{attach.Attachment{Table: "shops", Follow: "trigger", Properties: []string{"name", "NAME"}}, "twice"},
		{attach.Attachment{Table: "shops", Follow: "trigger", Geom: "name"}, `"name" (the geometry) is of type text, must be geometry`},
		{attach.Attachment{Table: "names", Follow: "poll"}, `"lng" (the longitude) is of type text, must be float4, float8`},
		{attach.Attachment{Table: "twice", Follow: "poll"}, `it has "twice" more than once`},
	} {
		a := complete(c.a)
		_, err := attach.Attach(context.Background(), u.url, a, func(int64, int64) {})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s by %s: %v, want: %s", a.Table, a.Follow, err, c.says)
		}
	}
	a := complete(byPolling(0))
	a.Column = "name"
	if _, err := attach.Attach(context.Background(), u.url, a, func(int64, int64) {}); err == nil || !strings.Contains(err.Error(), "must be timestamptz, timestamp") {
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
	try := func(a attach.Attachment) string {
		t.Helper()
		_, err := attach.Attach(context.Background(), url, complete(a), func(int64, int64) {})
		return fmt.Sprint(err)
	}
	for _, step := range []struct {
		a            attach.Attachment
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

// Whose code would run as a superuser is asked for before any of it runs; where nearby is
// none, the owner is named.
func TestAttachNamesWhomItTrusts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := pgtest.Start(t, pgtest.NoFsync())
	c.Resume()
	for _, statement := range []string{`CREATE ROLE server LOGIN`, `CREATE ROLE vendor LOGIN`, `CREATE DATABASE places OWNER server`} {
		c.Exec(statement)
	}
	at := func(role string) string {
		return (&url.URL{Scheme: "postgres", User: url.User(role), Host: c.Address(), Path: "places", RawQuery: "sslmode=disable"}).String()
	}
	newUser(t, at("postgres")).run(`CREATE SCHEMA vendor AUTHORIZATION vendor`, `CREATE TABLE public.mine (id text PRIMARY KEY, lng float8, lat float8, at timestamptz)`,
		`ALTER TABLE public.mine OWNER TO server`)
	newUser(t, at("vendor")).run(
		`CREATE TABLE vendor.ran (who text)`, `GRANT ALL ON vendor.ran TO PUBLIC`, `GRANT USAGE ON SCHEMA vendor TO PUBLIC`,
		`CREATE FUNCTION vendor.spy(v float8) RETURNS float8 LANGUAGE plpgsql AS 'BEGIN INSERT INTO vendor.ran VALUES (current_user); RETURN v; END'`,
		`CREATE VIEW vendor.places AS SELECT 'a' AS id, vendor.spy(1) AS lng, 2::float8 AS lat, now() AS at`, `GRANT SELECT ON vendor.places TO PUBLIC`)
	for _, step := range []struct{ role, table, trust, fails, owner string }{
		{"postgres", "vendor.places", "", "vendor.places belongs to the role vendor, which could run code through it as postgres", ""},
		{"postgres", "vendor.places", "server", "belongs to the role vendor, not to server", ""},
		{"server", "vendor.places", "postgres", "belongs to the role vendor, not to postgres", ""},
		{"server", "mine", "", "", ""},
		{"server", "vendor.places", "", "", "vendor"},
	} {
		done, err := attach.Attach(ctx, at(step.role), attach.Attachment{
			Collection: strings.ReplaceAll(step.table, ".", "-"), Table: step.table, ID: "id", Lon: "lng", Lat: "lat", Follow: attach.FollowPoll, Column: "at",
			Interval: time.Hour, Definition: []byte(`{}`), TrustOwner: step.trust,
		}, func(int64, int64) {})
		if (err == nil) != (step.fails == "") || err != nil && !strings.Contains(err.Error(), step.fails) || done.Owner != step.owner {
			t.Errorf("%+v: %+v, %v", step, done, err)
		}
		if got := newUser(t, at("postgres")).value(`SELECT count(*) FROM vendor.ran WHERE who <> 'server'`); got != 0 {
			t.Errorf("%+v: the view's function ran as a superuser", step)
		}
		if step.fails != "" && step.role == "postgres" { // it was the first to make the tables
			newUser(t, at("postgres")).run(`DROP SCHEMA nearby CASCADE`)
		}
	}
}
