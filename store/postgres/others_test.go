package postgres_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
	"nearby/store/storetest"
)

// patience is how long a test waits for what has to come, on a machine that is busy.
const patience = 2 * time.Minute

// openStore opens a store that is closed when the test ends. Unless it is told otherwise, a
// database that takes its time is not one that is away: the machine may be busy.
func openStore(t testing.TB, url string, opt postgres.Options) *postgres.Store {
	t.Helper()
	opt.AwayTimeout = cmp.Or(opt.AwayTimeout, patience)
	s, err := postgres.Open(context.Background(), url, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

// connect is another program's connection.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// run executes statements one after the other, without parameters.
func run(t testing.TB, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// await waits until a condition holds.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not in time", what)
		}
	}
}

func define(name string) store.Change {
	return store.Change{Op: store.PutCollection, Collection: name, Definition: []byte(`{}`)}
}

func put(collection, id string, lon float64) store.Change {
	return store.Change{Op: store.PutItem, Collection: collection, Item: item.Item{ID: id, Lon: lon, Lat: lon / 2, Created: 1, Updated: 2}}
}

func del(collection, id string) store.Change {
	return store.Change{Op: store.DeleteItem, Collection: collection, Item: item.Item{ID: id}}
}

func commit(t testing.TB, s store.Store, changes ...store.Change) store.Seq {
	t.Helper()
	seq, err := s.Commit(context.Background(), changes)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// copied is a follower's copy of a store.
type copied struct {
	mu      sync.Mutex
	content storetest.Content
	pos     store.Position
	at      time.Time
	steps   int
	changed chan struct{} // closed and replaced with each step
}

// newCopy reads a view.
func newCopy(t testing.TB, s store.Store) *copied {
	t.Helper()
	content, pos := storetest.Read(t, s, 1)
	return &copied{content: content, pos: pos, changed: make(chan struct{})}
}

// take applies a step.
func (c *copied) take(step *store.Step) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if step.View != nil {
		if err := step.View.Close(); err != nil {
			return err
		}
	}
	for _, ch := range step.Changes {
		switch ch.Op {
		case store.PutCollection:
			if c.content[ch.Collection] == nil {
				c.content[ch.Collection] = map[string]item.Item{}
			}
		case store.DropCollection:
			delete(c.content, ch.Collection)
		case store.PutItem:
			it := ch.Item
			it.ID, it.Properties = strings.Clone(it.ID), bytes.Clone(it.Properties)
			if c.content[ch.Collection] == nil {
				return fmt.Errorf("%q is put into %q, which does not exist", it.ID, ch.Collection)
			}
			c.content[ch.Collection][it.ID] = it
		case store.DeleteItem:
			delete(c.content[ch.Collection], ch.Item.ID)
		}
	}
	if !step.More {
		c.pos.Seq, c.at = step.Seq, step.At
		c.steps++
		close(c.changed)
		c.changed = make(chan struct{})
	}
	return nil
}

// follow keeps the copy up to date until the test, or the store, ends. The channel
// has what Follow returned.
func (c *copied) follow(t testing.TB, s store.Store) <-chan error {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended <- s.Follow(ctx, c.pos, c.take)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return ended
}

// until waits until a condition holds after a step.
func (c *copied) until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		c.mu.Lock()
		ok, changed := holds(), c.changed
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			c.mu.Lock()
			defer c.mu.Unlock()
			t.Fatalf("%s: not so after %v; the copy is at %+v", what, patience, c.pos)
		}
	}
}

// equals waits until the copy is at the head, and compares it with a view.
func (c *copied) equals(t testing.TB, s *postgres.Store) {
	t.Helper()
	head, err := s.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	c.until(t, fmt.Sprintf("following to %d", head.Seq), func() bool { return c.pos.Seq >= head.Seq })
	content, _ := storetest.Read(t, s, 2)
	c.mu.Lock()
	defer c.mu.Unlock()
	storetest.Equal(t, c.content, content)
}

// ids are the items of a collection.
func (c *copied) ids(collection string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for id := range maps.Keys(c.content[collection]) {
		all = append(all, id)
	}
	return sorted(all)
}

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

// Bad rows take the place of what was there, for followers and views alike, and
// hinder nothing.
func TestBadRows(t *testing.T) {
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	bad := []string{
		`lon = NULL`, `lat = NULL`, `lon = 'NaN'`, `lat = 'NaN'`, `lon = 'Infinity'`, `lat = '-Infinity'`, `lon = 180.0000001`, `lat = -90.0000001`,
		`properties = '[1]'`, `properties = '"text"'`, `properties = json_build_object('x', repeat('x', 65536))`,
		// What could not be put back as it is served.
		`properties = (repeat('{"a":', 33) || '1' || repeat('}', 33))::json`, `properties = ('{"a":' || repeat('[', 32) || repeat(']', 32) || '}')::json`,
		`properties = ('{"a":[1,' || repeat('[{"b":', 16) || '2' || repeat('}]', 16) || ',3]}')::json`,
		`id = ''`, `id = '.'`, `id = '..'`, `id = E'a\nb'`, `id = E'\x7f'`, `id = U&'\0085'`, `id = U&'a\009f'`, `id = repeat('x', 257)`, `id = repeat('é', 129)`,
	}
	changes := []store.Change{define("c")}
	for i := range bad {
		changes = append(changes, put("c", fmt.Sprint(i), 1))
	}
	commit(t, s, append(changes, put("c", "good", 1))...)
	c := newCopy(t, s)
	c.follow(t, s)
	psql := connect(t, url)
	const deepest = `repeat('{"a":', 31) || '["x"]' || repeat('}', 31)`
	run(t, psql, `UPDATE nearby.items SET properties = (`+deepest+`)::json, created = '-infinity', updated = 'infinity' WHERE id = 'good'`)
	for i, set := range bad {
		run(t, psql, fmt.Sprintf(`UPDATE nearby.items SET %s WHERE id = '%d'`, set, i))
	}
	c.equals(t, s)
	if got := c.ids("c"); got != "good" {
		t.Errorf("the items are %s", got)
	}
	if _, err := item.CompactProperties(c.content["c"]["good"].Properties); err != nil {
		t.Errorf("what is served could not be put back: %v", err)
	}
	if last := time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC).UnixMilli(); c.content["c"]["good"].Updated != last {
		t.Errorf("the row was updated at %d, and no year has five digits in RFC 3339", c.content["c"]["good"].Updated)
	}
	if n := s.Stats().SkippedRows; n != uint64(len(bad)) {
		t.Errorf("%d rows were skipped, want %d", n, len(bad))
	}
	ctx := context.Background()
	v, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	digests, err := v.(store.Digester).Digests(ctx, "c")
	if err != nil || len(digests) != 1 || digests[store.Cell(1, .5)].Items != 1 {
		t.Errorf("the digests are %v, %v", digests, err)
	}
	if err := v.(store.Digester).Cells(ctx, "c", []uint16{store.Cell(1, .5)}, func(it *item.Item) error {
		if it.ID != "good" {
			t.Errorf("a cell has %q", it.ID)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	// It is as if they were not there.
	onNothing := put("c", "0", 3)
	onNothing.Expects = true
	commit(t, s, onNothing)
	run(t, psql, `UPDATE nearby.items SET lon = 4, lat = 4 WHERE id = '1'`)
	c.equals(t, s)
	if got := c.ids("c"); got != "0 1 good" {
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
	digests, err := v.(store.Digester).Digests(ctx, "c")
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

// What is no item is none however it came into the table, and by whichever way it is read.
func TestBadRowsPastTheTriggers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	commit(t, s, define("c"), put("c", "good", 1))
	c := newCopy(t, s)
	c.follow(t, s)
	psql := connect(t, url)
	run(t, psql, `SET session_replication_role = replica`)
	bad := []string{`'[1]'`, `'"text"'`, `'1'`, `'true'`, `'null'`, `json_build_object('x', repeat('x', 65536))`, `json_build_array(repeat('x', 65536))`}
	for i, properties := range bad {
		run(t, psql, fmt.Sprintf(`INSERT INTO nearby.items (collection, id, lon, lat, properties, created, updated, seq) SELECT 'c', 'b%d', 1, 0.5, %s, now(), now(), seq + 1 FROM nearby.head`, i, properties))
		commit(t, s, put("c", "good", 1)) // which has that number, too, so that it is followed
	}
	c.equals(t, s)
	if got := c.ids("c"); got != "good" {
		t.Errorf("what follows has %s", got)
	}
	if content, _ := storetest.Read(t, s, 2); len(content["c"]) != 1 {
		t.Errorf("it is read as %q", slices.Sorted(maps.Keys(content["c"])))
	}
	v, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for i, properties := range bad {
		if it, found, err := v.Get(ctx, "c", fmt.Sprint("b", i)); found || err != nil {
			t.Errorf("%s is an item: %s, %v", properties, it.Properties, err)
		}
	}
	if err := v.(store.Digester).Cells(ctx, "c", []uint16{store.Cell(1, .5)}, func(it *item.Item) error {
		if it.ID != "good" {
			t.Errorf("a cell has %q with %.20s", it.ID, it.Properties)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	// To put its item puts it right. A trigger would have taken null for no properties: that
	// is an item then, for which the put comes too late.
	for i, properties := range bad {
		onNothing := put("c", fmt.Sprint("b", i), 3)
		onNothing.Expects = true
		_, err := s.Commit(ctx, []store.Change{onNothing})
		if stale := errors.As(err, new(*store.StaleError)); stale != (properties == `'null'`) || err != nil && !stale {
			t.Errorf("putting an item in the place of %s: %v", properties, err)
		}
	}
	c.equals(t, s)
	if got := c.ids("c"); got != "b0 b1 b2 b3 b4 b5 b6 good" {
		t.Errorf("when they were put the items are %s", got)
	}
}

// A row past the triggers is compared like any other, whatever its numbers are.
func TestDigestsOfAnyNumber(t *testing.T) {
	ctx := context.Background()
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	commit(t, s, define("c"), put("c", "good", 1))
	numbers := []string{"'1e308'", "'-1e308'", "'Infinity'", "'-Infinity'", "'NaN'", "NULL", "181", "5e-324"}
	psql := connect(t, url)
	run(t, psql, `SET session_replication_role = replica`)
	for i, lon := range numbers {
		for j, lat := range numbers {
			run(t, psql, fmt.Sprintf(`INSERT INTO nearby.items (collection, id, lon, lat, created, updated, seq) SELECT 'c', '%d %d', %s, %s, now(), now(), seq FROM nearby.head`, i, j, lon, lat))
		}
	}
	v, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	digests, err := v.(store.Digester).Digests(ctx, "c")
	if err != nil {
		t.Fatal(err)
	}
	items := 0
	for _, d := range digests {
		items += d.Items
	}
	if want := 1 + len(numbers)*len(numbers); items != want {
		t.Errorf("%d rows were compared, want %d", items, want)
	}
	var found []string
	if err := v.(store.Digester).Cells(ctx, "c", slices.Sorted(maps.Keys(digests)), func(it *item.Item) error {
		found = append(found, strings.Clone(it.ID))
		return nil
	}); err != nil || sorted(found) != "7 7 good" {
		t.Errorf("the items of all cells are %q, %v", sorted(found), err)
	}
}
