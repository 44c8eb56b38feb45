package attach_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"nearby/store/postgres/attach"
	"nearby/store/postgres/pgtest"
)

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
	_, err := attach.Attach(context.Background(), u.url, complete(attach.Attachment{Table: "rated", Follow: attach.FollowTrigger}), func(int64, int64) {})
	if err == nil || !strings.Contains(err.Error(), "view") || !strings.Contains(err.Error(), "--follow poll") {
		t.Errorf("a view with triggers: %v", err)
	}
	u.attach(attach.Attachment{Table: "rated", Follow: attach.FollowPoll, Sweep: time.Second, Properties: []string{"name", "stars"}})
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
	for _, follow := range []string{attach.FollowTrigger, attach.FollowPoll} {
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
			a := attach.Attachment{
				Table: `"Sch'ema.x"."my ""table"" $new %s"`, ID: "Id $$", Lon: "Lon", Lat: "la't", Collection: "odd", Follow: follow,
				Properties: []string{"na me", `a"b`, "$collection", "%d"},
				Column:     "changed", Interval: 100 * time.Millisecond, Overlap: time.Minute, Sweep: time.Second,
				Definition: []byte(`{"index":{"kind":"auto"}}`),
			}
			if follow == attach.FollowTrigger {
				a.Column, a.Interval, a.Overlap, a.Sweep = "", 0, 0, 0
			}
			if _, err := attach.Attach(context.Background(), u.url, a, func(int64, int64) {}); err != nil {
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
			if err := attach.Detach(context.Background(), u.url, "odd", false); err != nil {
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
	u.attach(attach.Attachment{Table: "wide", Follow: attach.FollowTrigger})
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

// Points of PostGIS are read as they lie on the Earth.
func TestAttachedGeometry(t *testing.T) {
	t.Parallel()
	for _, follow := range []string{attach.FollowTrigger, attach.FollowPoll} {
		t.Run(follow, func(t *testing.T) {
			t.Parallel()
			u := newUser(t, pgtest.Database(t))
			a := attach.Attachment{Table: "stops", Geom: "at", Follow: follow, Properties: []string{"name"}}
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
