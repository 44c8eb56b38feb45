package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
	"nearby/store/storetest"
)

// number is a size that the environment may raise.
func number(t testing.TB, name string, normal int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return normal
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// Followers miss nothing of what many transactions write at once that take their
// time: not those of other programs, nor those of stores. A follower that trusts a
// sequence does, on the same transactions: so the test can fail.
func TestFeedMissesNothing(t *testing.T) {
	rows := number(t, "NEARBY_TEST_FEED_ROWS", 20_000)
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	other := openStore(t, url, postgres.Options{})
	commit(t, s, define("c"))
	run(t, connect(t, url), `CREATE TABLE naive (number bigserial PRIMARY KEY, id text)`)
	c, o := newCopy(t, s), newCopy(t, other)
	c.follow(t, s)
	o.follow(t, other)

	// The naive follower, as many are written.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var naive int
	var follower sync.WaitGroup
	reading := connect(t, url)
	follower.Go(func() {
		last := int64(0)
		for done := false; !done; {
			done = ctx.Err() != nil // once more, at the end
			rows, err := reading.Query(context.Background(), `SELECT number FROM naive WHERE number > $1 ORDER BY number`, last)
			if err != nil {
				t.Error(err)
				return
			}
			for rows.Next() {
				if err := rows.Scan(&last); err != nil {
					t.Error(err)
				}
				naive++
			}
			if err := rows.Err(); err != nil {
				t.Error(err)
				return
			}
		}
	})

	seed := storetest.Seed(t)
	const writers = 16
	var made [2]atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		rng := rand.New(rand.NewPCG(seed, uint64(w)))
		psql := connect(t, url)
		wg.Go(func() {
			for n := 0; n < rows/2/writers; n++ {
				k := 1 + rng.IntN(3)
				_, err := psql.Exec(ctx, fmt.Sprintf(`BEGIN;
					INSERT INTO naive (id) SELECT i FROM generate_series(1, %[1]d) i;
					INSERT INTO nearby.items (collection, id, lon, lat) SELECT 'c', '%[2]d-%[3]d-' || i, 1, 1 FROM generate_series(1, %[1]d) i;
					SELECT pg_sleep(%[4]f); COMMIT`, k, w, n, rng.Float64()*.003))
				if err != nil {
					t.Error(err)
					return
				}
				made[0].Add(int64(k))
				made[1].Add(int64(k))
			}
		})
		wg.Go(func() {
			for n := 0; n < rows/2/writers; n++ {
				writer := []*postgres.Store{s, other}[w%2]
				if _, err := writer.Commit(ctx, []store.Change{put("c", fmt.Sprintf("own-%d-%d", w, n), 1)}); err != nil {
					t.Error(err)
					return
				}
				made[1].Add(1)
			}
		})
	}
	wg.Wait()
	cancel()
	follower.Wait()
	c.equals(t, s)
	o.equals(t, other)
	for _, copy := range []*copied{c, o} {
		if n := int64(len(copy.content["c"])); n != made[1].Load() {
			t.Errorf("the follower has %d of %d rows", n, made[1].Load())
		}
	}
	lost := made[0].Load() - int64(naive)
	t.Logf("of %d rows the naive follower has lost %d; of %d rows the followers have lost none; %+v", made[0].Load(), lost, made[1].Load(), s.Stats())
	if lost == 0 {
		t.Error("the naive follower has lost nothing: the test shows nothing")
	}
	if own := s.Stats().OwnSteps; own == 0 {
		t.Error("no step came from memory")
	}
}

// Commits that nobody tells of are found by looking.
func TestPollFinds(t *testing.T) {
	url := pgtest.Database(t)
	const poll = 100 * time.Millisecond
	s := openStore(t, url, postgres.Options{PollInterval: poll})
	commit(t, s, define("c"))
	psql := connect(t, url)
	// As where notifications are lost.
	run(t, psql, `CREATE FUNCTION pg_temp.mute() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
		EXECUTE replace(pg_get_functiondef('nearby.number_rows()'::regprocedure), 'PERFORM pg_notify(''nearby'', '''');', ''); END $$`, `SELECT pg_temp.mute()`)
	c := newCopy(t, s)
	c.follow(t, s)
	for i := range 5 {
		run(t, psql, fmt.Sprintf(`INSERT INTO nearby.items (collection, id, lon, lat) VALUES ('c', '%d', 1, 1)`, i))
		c.until(t, "the row comes", func() bool { return len(c.content["c"]) == i+1 })
	}
	// Steps without changes tell how fresh the copy is.
	steps, before := c.steps, time.Now()
	c.until(t, "steps come when nothing changes", func() bool { return c.steps >= steps+5 && c.at.After(before) })
}

// Losing the connection that listens, again and again, loses nothing.
func TestListeningIsLost(t *testing.T) {
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	commit(t, s, define("c"))
	c := newCopy(t, s)
	c.follow(t, s)
	psql, killer := connect(t, url), connect(t, url)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	killed := 0
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			var n int
			if err := killer.QueryRow(context.Background(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
				WHERE datname = current_database() AND application_name ~ '^nearby ' AND query ~ '^(LISTEN|SELECT 1$)'`).Scan(&n); err != nil {
				t.Error(err)
				return
			}
			killed += n
		}
	})
	rounds := number(t, "NEARBY_TEST_LISTEN_ROUNDS", 300)
	for i := range rounds {
		run(t, psql, fmt.Sprintf(`INSERT INTO nearby.items (collection, id, lon, lat) VALUES ('c', '%d', 1, 1)`, i))
	}
	close(stop)
	wg.Wait()
	c.equals(t, s)
	if n := len(c.content["c"]); n != rounds || killed == 0 {
		t.Errorf("%d rows of %d; %d connections were ended", n, rounds, killed)
	}
}

// A long transaction in another database of the cluster holds nothing up.
func TestOtherDatabase(t *testing.T) {
	cluster := pgtest.Start(t, pgtest.NoFsync())
	s := openStore(t, cluster.Database(), postgres.Options{})
	commit(t, s, define("c"))
	long := connect(t, cluster.Database())
	run(t, long, `CREATE TABLE t (n int)`, `BEGIN ISOLATION LEVEL REPEATABLE READ`, `INSERT INTO t VALUES (1)`)
	c := newCopy(t, s)
	c.follow(t, s)
	for i := range 100 {
		commit(t, s, put("c", fmt.Sprint(i), 1))
	}
	c.equals(t, s)
	run(t, long, `COMMIT`)
}

// Who is too far behind has to begin again, and is told so.
func TestGone(t *testing.T) {
	ctx := context.Background()
	url := pgtest.Database(t)
	opt := postgres.Options{MaxBacklog: 1000}
	opt.TombstonesFor(time.Nanosecond)
	s := openStore(t, url, opt)
	commit(t, s, define("c"))
	c := newCopy(t, s)
	var changes []store.Change
	for i := range 1001 {
		changes = append(changes, put("c", fmt.Sprint(i), 1))
	}
	commit(t, s, changes[:1000]...)
	behind := errors.New("it can be followed")
	can := func(*store.Step) error { return behind }
	if err := s.Follow(ctx, c.pos, can); !errors.Is(err, behind) {
		t.Errorf("1000 rows: %v", err)
	}
	commit(t, s, changes[1000])
	if err := s.Follow(ctx, c.pos, can); !errors.Is(err, store.ErrGone) {
		t.Errorf("1001 rows: %v", err)
	}
	// Deletions that are forgotten.
	c = newCopy(t, s)
	commit(t, s, del("c", "0"))
	commit(t, s, define("d"))
	if err := s.Follow(ctx, c.pos, can); !errors.Is(err, behind) {
		t.Errorf("with the tombstone: %v", err)
	}
	if err := s.Tend(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Follow(ctx, c.pos, can); !errors.Is(err, store.ErrGone) {
		t.Errorf("without the tombstone: %v", err)
	}
	if n := number1(t, url, `SELECT count(*) FROM nearby.tombstones`); n != 0 {
		t.Errorf("%d tombstones are left", n)
	}
	// A replica that follows keeps what it has not applied.
	c = newCopy(t, s)
	hold := make(chan struct{})
	followed := make(chan error, 1)
	first := make(chan struct{}, 1)
	go func() {
		followed <- s.Follow(ctx, c.pos, func(step *store.Step) error {
			if len(step.Changes) == 0 {
				select {
				case first <- struct{}{}:
				default:
				}
				return nil
			}
			<-hold
			return behind
		})
	}()
	<-first
	commit(t, s, del("c", "1"))
	if err := s.Tend(ctx); err != nil {
		t.Fatal(err)
	}
	if n := number1(t, url, `SELECT count(*) FROM nearby.tombstones`); n != 1 {
		t.Errorf("%d tombstones are left for the follower", n)
	}
	close(hold)
	if err := <-followed; !errors.Is(err, behind) {
		t.Error(err)
	}
}

// number1 is the one number that a query gives.
func number1(t testing.TB, url, sql string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// What a dropped collection leaves is swept away, and nothing else.
func TestSweep(t *testing.T) {
	ctx := context.Background()
	url := pgtest.Database(t)
	opt := postgres.Options{}
	opt.TombstonesFor(time.Nanosecond)
	s := openStore(t, url, opt)
	var changes []store.Change
	for i := range 6000 {
		changes = append(changes, put("c", fmt.Sprint(i), 1), put("d", fmt.Sprint(i), 1))
	}
	commit(t, s, append([]store.Change{define("c"), define("d"), define("e"), put("e", "stays", 1)}, changes...)...)
	dropped := store.Change{Op: store.DropCollection, Collection: "c"}
	commit(t, s, dropped, store.Change{Op: store.DropCollection, Collection: "d"})
	commit(t, s, define("c"), put("c", "1", 2), put("c", "new", 2))
	before, _ := storetest.Read(t, s, 1)
	if err := s.Tend(ctx); err != nil {
		t.Fatal(err)
	}
	after, _ := storetest.Read(t, s, 1)
	storetest.Equal(t, after, before)
	if n := number1(t, url, `SELECT count(*) FROM nearby.items`); n != 3 {
		t.Errorf("%d rows are left, want 3", n)
	}
	if n := number1(t, url, `SELECT count(*) FROM nearby.collections`); n != 2 {
		t.Errorf("%d collections are left, want 2", n)
	}
	commit(t, s, define("d"), put("d", "1", 1))
	if n := number1(t, url, `SELECT count(*) FROM nearby.tombstones`); n != 0 {
		t.Errorf("%d tombstones came of it", n)
	}
}

// Digests in the database are those of store.Hash and store.Cell.
func TestDigests(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, pgtest.Database(t), postgres.Options{})
	rng := rand.New(rand.NewPCG(storetest.Seed(t), 3))
	changes := []store.Change{define("c"), define("empty")}
	for i, p := range [][2]float64{{-180, -90}, {180, 90}, {-180, 90}, {180, -90}, {0, 0}, {math.Copysign(0, -1), 0}, {179.99999999999997, 89.99999999999999}, {11.25, 5.625}, {11.249999999999998, 5.624999999999999}} {
		ch := put("c", fmt.Sprint("edge", i), p[0])
		ch.Item.Lat = p[1]
		changes = append(changes, ch)
	}
	for i := range 4000 {
		ch := put("c", fmt.Sprint("é", i), rng.Float64()*360-180)
		ch.Item.Lat = rng.Float64()*180 - 90
		if rng.IntN(4) > 0 {
			ch.Item.Properties = fmt.Appendf(nil, `{ "n":%d, "\u00e9":"日本\n"}`, i)
		}
		changes = append(changes, ch)
	}
	commit(t, s, changes...)
	v, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	want := map[uint16]store.Digest{}
	in := map[uint16][]string{}
	var buf []byte
	if err := v.Items(ctx, "c", 1, func(_ int, it *item.Item) error {
		var hash uint64
		hash, buf = store.Hash(it, buf)
		cell := store.Cell(it.Lon, it.Lat)
		d := want[cell]
		d.Add(hash)
		want[cell] = d
		in[cell] = append(in[cell], string([]byte(it.ID)))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	got, err := v.(store.DigestView).Digests(ctx, "c")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) || len(want) < 500 {
		t.Errorf("%d cells, want %d", len(got), len(want))
	}
	for cell, w := range want {
		if got[cell] != w {
			t.Errorf("cell %d: %+v, want %+v", cell, got[cell], w)
		}
	}
	if d, err := v.(store.DigestView).Digests(ctx, "empty"); err != nil || len(d) != 0 {
		t.Errorf("of no items: %v, %v", d, err)
	}
	if _, err := v.(store.DigestView).Digests(ctx, "none"); !errors.Is(err, store.ErrNoCollection) {
		t.Errorf("of no collection: %v", err)
	}
	cells := []uint16{store.Cell(-180, -90), store.Cell(180, 90), store.Cell(0, 0)}
	var ids, wantIDs []string
	for _, cell := range cells {
		wantIDs = append(wantIDs, in[cell]...)
	}
	if err := v.(store.DigestView).Cells(ctx, "c", cells, func(it *item.Item) error {
		ids = append(ids, string([]byte(it.ID)))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if sorted(ids) != sorted(wantIDs) {
		t.Errorf("the cells have %v, want %v", ids, wantIDs)
	}
	if err := v.(store.DigestView).Cells(ctx, "c", nil, func(*item.Item) error { return errors.New("none was asked for") }); err != nil {
		t.Error(err)
	}
}
