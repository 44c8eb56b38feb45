package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

// What other programs do with plain SQL reaches followers and views alike.
func TestOthersWrite(t *testing.T) {
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	commit(t, s, define("c"), define("d"), put("c", "ours", 1))
	c := newCopy(t, s)
	c.follow(t, s)
	psql := connect(t, url)
	const insert = `INSERT INTO nearby.items (collection, id, lon, lat, properties) VALUES `
	for _, step := range []struct {
		name, sql, c, d string
	}{
		{"insert", insert + `('c', 'a', 1, 2, '{"x": 1}'), ('d', 'b', 3, 4, NULL)`, "a ours", "b"},
		{"insert nothing", `INSERT INTO nearby.items (collection, id) SELECT 'none', 'x' WHERE false`, "a ours", "b"},
		{"update", `UPDATE nearby.items SET lon = 5 WHERE id = 'a'`, "a ours", "b"},
		{"rename", `UPDATE nearby.items SET id = 'z' WHERE id = 'a'`, "ours z", "b"},
		{"move", `UPDATE nearby.items SET collection = 'c' WHERE id = 'b'`, "b ours z", ""},
		{"swap", `BEGIN; UPDATE nearby.items SET id = 't' WHERE id = 'b'; UPDATE nearby.items SET id = 'b' WHERE id = 'z'; UPDATE nearby.items SET id = 'z' WHERE id = 't'; COMMIT`, "b ours z", ""},
		{"upsert", insert + `('c', 'z', 1, 2, NULL), ('c', 'y', 1, 2, NULL) ON CONFLICT (collection, id) DO UPDATE SET lat = excluded.lat`, "b ours y z", ""},
		{"delete and put back", `BEGIN; DELETE FROM nearby.items WHERE id = 'y'; ` + insert + `('c', 'y', 9, 9, NULL); COMMIT`, "b ours y z", ""},
		{"put and delete", `BEGIN; ` + insert + `('c', 'gone', 9, 9, NULL); DELETE FROM nearby.items WHERE id = 'gone'; COMMIT`, "b ours y z", ""},
		{"savepoint", `BEGIN; SAVEPOINT s; ` + insert + `('c', 'no', 9, 9, NULL); ROLLBACK TO s; ` + insert + `('c', 'yes', 9, 9, NULL); COMMIT`, "b ours y yes z", ""},
		{"rollback", `BEGIN; DELETE FROM nearby.items; ROLLBACK`, "b ours y yes z", ""},
		{"numbered early", `BEGIN; ` + insert + `('c', 'e', 9, 9, NULL); SET CONSTRAINTS ALL IMMEDIATE; ` + insert + `('c', 'f', 9, 9, NULL); COMMIT`, "b e f ours y yes z", ""},
		{"delete", `DELETE FROM nearby.items WHERE id <> 'ours'`, "ours", ""},
		{"empty", `TRUNCATE nearby.items`, "", ""},
		{"empty and fill", `BEGIN; ` + insert + `('c', 'before', 9, 9, NULL); TRUNCATE nearby.items; ` + insert + `('c', 'after', 9, 9, NULL), ('d', 'too', 1, 1, NULL); COMMIT`, "after", "too"},
		{"merge", `MERGE INTO nearby.items i USING (VALUES ('after'), ('new')) v (id) ON i.collection = 'c' AND i.id = v.id
			WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (collection, id, lon, lat) VALUES ('c', v.id, 1, 1)`, "new", "too"},
	} {
		before, err := s.Head(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := psql.Exec(context.Background(), step.sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		c.equals(t, s)
		if got := c.ids("c") + "/" + c.ids("d"); got != step.c+"/"+step.d {
			t.Errorf("%s: the items are %s, want %s/%s", step.name, got, step.c, step.d)
		}
		after, err := s.Head(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		moved := step.name != "insert nothing" && step.name != "rollback"
		if moved != (after.Seq > before.Seq) {
			t.Errorf("%s: the head went from %d to %d", step.name, before.Seq, after.Seq)
		}
	}
	if n := s.Stats().SkippedRows; n != 0 {
		t.Errorf("%d rows were skipped", n)
	}
}

// COPY, as programs load with.
func TestOthersCopy(t *testing.T) {
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	commit(t, s, define("c"))
	c := newCopy(t, s)
	c.follow(t, s)
	psql := connect(t, url)
	rows := make([][]any, 30_000)
	for i := range rows {
		rows[i] = []any{"c", fmt.Sprint(i), float64(i % 180), float64(i % 90)}
	}
	if _, err := psql.CopyFrom(context.Background(), pgx.Identifier{"nearby", "items"}, []string{"collection", "id", "lon", "lat"}, pgx.CopyFromRows(rows)); err != nil {
		t.Fatal(err)
	}
	c.equals(t, s)
	if n := len(c.content["c"]); n != len(rows) {
		t.Errorf("%d items, want %d", n, len(rows))
	}
}

// What is missing in a row is filled in, and what has several forms has one.
func TestOthersRows(t *testing.T) {
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	commit(t, s, define("c"))
	psql := connect(t, url)
	before := time.Now().UnixMilli()
	run(t, psql,
		`INSERT INTO nearby.items (collection, id, lon, lat, properties, seq) VALUES ('c', 'a', '-0', '-0', '{"b":1,  "b":2, "a":"\u00e9"}', 77)`,
		`INSERT INTO nearby.items (collection, id, lon, lat, properties) VALUES ('c', 'empty', 1, 1, '{ }'), ('c', 'null', 1, 1, 'null')`,
		`INSERT INTO nearby.items (collection, id, lon, lat, created, updated) VALUES ('c', 'times', 1, 1, '1969-12-31 23:59:59.9995Z', '2020-01-01Z')`)
	after := time.Now().UnixMilli()
	c := newCopy(t, s)
	items := c.content["c"]
	a := items["a"]
	if 1/a.Lon < 0 || 1/a.Lat < 0 || string(a.Properties) != `{"a": "é", "b": 2}` || a.Seq == 77 {
		t.Errorf("the row is %+v, with properties %s", a, a.Properties)
	}
	if a.Created < before || a.Created > after || a.Updated != a.Created {
		t.Errorf("written at %d and %d, between %d and %d", a.Created, a.Updated, before, after)
	}
	for _, id := range []string{"empty", "null"} {
		if p := items[id].Properties; p != nil {
			t.Errorf("%s has properties %q", id, p)
		}
	}
	if it := items["times"]; it.Created != -1 || it.Updated != 1_577_836_800_000 {
		t.Errorf("the times are %d and %d", it.Created, it.Updated)
	}
	run(t, psql, `UPDATE nearby.items SET lon = 2 WHERE id IN ('a', 'times')`)
	c = newCopy(t, s)
	if it := c.content["c"]["times"]; it.Created != -1 || it.Updated < before {
		t.Errorf("after an update the times are %d and %d", it.Created, it.Updated)
	}
	if it := c.content["c"]["a"]; it.Seq <= a.Seq {
		t.Errorf("an update left the version %d", it.Seq)
	}
}

// code is an error's of PostgreSQL.
func code(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return fmt.Sprint(err)
}

// What would leave followers without knowledge is refused.
func TestOthersRefused(t *testing.T) {
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	commit(t, s, define("c"), define("dropped"), put("c", "a", 1))
	commit(t, s, store.Change{Op: store.DropCollection, Collection: "dropped"})
	psql := connect(t, url)
	for sql, want := range map[string]string{
		`INSERT INTO nearby.items (collection, id, lon, lat) VALUES ('none', 'a', 1, 1)`:    "23503",
		`INSERT INTO nearby.items (collection, id, lon, lat) VALUES ('dropped', 'a', 1, 1)`: "23503",
		`UPDATE nearby.items SET collection = 'none'`:                                       "23503",
		`INSERT INTO nearby.collections (name) VALUES ('x')`:                                "42501",
		`DELETE FROM nearby.collections`:                                                    "42501",
		`TRUNCATE nearby.collections`:                                                       "42501",
	} {
		if _, err := psql.Exec(context.Background(), sql); code(err) != want {
			t.Errorf("%s: %v, want code %s", sql, err, want)
		}
	}
	c := newCopy(t, s)
	if got := c.ids("c"); got != "a" {
		t.Errorf("the items are %s", got)
	}
}

// A program that leaves a transaction open holds up nobody who does not want its
// rows, and those not for ever.
func TestOpenTransaction(t *testing.T) {
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	seq := commit(t, s, define("c"), put("c", "held", 1), put("c", "deleted", 1))
	c := newCopy(t, s)
	c.follow(t, s)
	psql := connect(t, url)
	run(t, psql, `BEGIN`, `UPDATE nearby.items SET lon = 2 WHERE id = 'held'`, `DELETE FROM nearby.items WHERE id = 'deleted'`,
		`INSERT INTO nearby.items (collection, id, lon, lat) VALUES ('c', 'new', 1, 1)`)
	before := s.Stats().Retries
	for i := range 20 {
		commit(t, s, put("c", fmt.Sprint(i), 1))
	}
	// It does not end, so who waits for it runs into a time-out of the database.
	if n := s.Stats().Retries - before; n > 0 {
		t.Errorf("20 commits beside an open transaction were held up %d times", n)
	}
	// The ones that want its rows are refused, and the others go on meanwhile: after each
	// of the tries that one of those has.
	refused := make(chan error, 3)
	for _, ch := range []store.Change{put("c", "held", 3), del("c", "deleted"), put("c", "new", 3)} {
		go func() {
			_, err := s.Commit(context.Background(), []store.Change{ch})
			refused <- err
		}()
	}
	beside := 0
	for range 3 {
		for ; len(refused) == 0; beside++ {
			commit(t, s, put("c", "beside", 1))
		}
		if err := <-refused; !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("a commit that wants a held row: %v", err)
		}
	}
	if beside < postgres.LockedTries {
		t.Errorf("while three commits that want held rows were tried %d times others made %d", postgres.LockedTries, beside)
	}
	// When it ends it counts, and what was refused was not done.
	run(t, psql, `COMMIT`)
	c.equals(t, s)
	it := c.content["c"]["held"]
	if _, deleted := c.content["c"]["deleted"]; it.Lon != 2 || store.Seq(it.Seq) <= seq || deleted || c.content["c"]["new"].Lon != 1 {
		t.Errorf("after the open transaction ended: %+v", c.content["c"])
	}
	// One that ends in time is waited for.
	run(t, psql, `BEGIN`, `UPDATE nearby.items SET lon = 5 WHERE id = 'held'`)
	ended := make(chan error, 1)
	time.AfterFunc(300*time.Millisecond, func() {
		_, err := psql.Exec(context.Background(), `COMMIT`)
		ended <- err
	})
	commit(t, s, put("c", "held", 6))
	if err := <-ended; err != nil {
		t.Error(err)
	}
	c.equals(t, s)
	if lon := c.content["c"]["held"].Lon; lon != 6 {
		t.Errorf("after both commits lon is %v", lon)
	}
}

func sorted(all []string) string {
	slices.Sort(all)
	return strings.Join(all, " ")
}

// A row whose number was not given out, written past the triggers, is as if it were not
// there, for followers, views and comparisons alike. To put its item puts it right.
func TestNumberNotGivenOut(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{MaxBacklog: 3})
	commit(t, s, define("c"), put("c", "good", 1))
	c := newCopy(t, s)
	ended := c.follow(t, s)
	numbers := []string{"9223372036854775807", "9223372036854775000", "4611686018427387904", "1000000", "-9223372036854775808", "0"}
	psql := connect(t, url)
	run(t, psql, `SET session_replication_role = replica`)
	for _, n := range numbers {
		run(t, psql, `INSERT INTO nearby.items (collection, id, lon, lat, created, updated, seq) VALUES ('c', 'n`+n+`', 1, 1, now(), now(), `+n+`)`)
	}
	for i := range 10 {
		commit(t, s, put("c", fmt.Sprint("after", i%2), float64(i)))
	}
	c.equals(t, s)
	if got := c.ids("c"); got != "after0 after1 good" {
		t.Errorf("the items are %s", got)
	}
	select {
	case err := <-ended:
		t.Fatalf("the follower ended: %v", err)
	default:
	}
	v, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	digests, err := v.(store.DigestView).Digests(ctx, "c")
	items := 0
	for _, d := range digests {
		items += d.Items
	}
	if err != nil || items != 3 {
		t.Errorf("the digests have %d items, %v", items, err)
	}
	for _, n := range numbers {
		if _, found, err := v.Get(ctx, "c", "n"+n); found || err != nil {
			t.Errorf("the row with the number %s is there: %v, %v", n, found, err)
		}
		onNothing := put("c", "n"+n, 3)
		onNothing.Expects = true
		commit(t, s, onNothing)
	}
	c.equals(t, s)
	if got := len(strings.Fields(c.ids("c"))); got != 3+len(numbers) {
		t.Errorf("when they were put there are %d items", got)
	}
}
