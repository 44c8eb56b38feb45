package attach_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres/attach"
	"nearby/store/postgres/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// soon is how long a test waits for what has to come, on a machine that is busy.
const soon = 2 * time.Minute

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

// run does one statement after the other, without parameters.
func (u *user) run(statements ...string) {
	u.t.Helper()
	for _, sql := range statements {
		u.do(sql)
	}
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

func (u *user) attach(a attach.Attachment) attach.Result {
	u.t.Helper()
	done, err := attach.Attach(context.Background(), u.url, complete(a), func(int64, int64) {})
	if err != nil {
		u.t.Fatal(err)
	}
	return done
}

// complete fills in what most tests do not care about.
func complete(a attach.Attachment) attach.Attachment {
	if a.Collection == "" {
		a.Collection = "shops"
	}
	if a.ID == "" {
		a.ID = "id"
	}
	if a.Lon == "" && a.Geom == "" {
		a.Lon, a.Lat = "lng", "lat"
	}
	if a.Follow == attach.FollowPoll {
		a.Column = "updated_at"
		if a.Interval == 0 {
			a.Interval, a.Overlap = 100*time.Millisecond, 30*time.Second
		}
	}
	a.Definition = []byte(`{"title":"Shops","index":{"kind":"auto"},"created":1,"updated":1}`)
	return a
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
func bothWays(t *testing.T, test func(t *testing.T, a attach.Attachment)) {
	for _, a := range []attach.Attachment{
		{Table: "shops", Follow: attach.FollowTrigger, Properties: shopsProperties},
		{Table: "shops", Follow: attach.FollowPoll, Sweep: 500 * time.Millisecond, Properties: shopsProperties},
	} {
		t.Run(a.Follow, func(t *testing.T) {
			t.Parallel()
			test(t, a)
		})
	}
}

var byTrigger = attach.Attachment{Table: "shops", Follow: attach.FollowTrigger, Properties: shopsProperties}

func byPolling(sweep time.Duration) attach.Attachment {
	return attach.Attachment{Table: "shops", Follow: attach.FollowPoll, Sweep: sweep, Properties: shopsProperties}
}
