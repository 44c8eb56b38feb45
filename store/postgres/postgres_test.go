package postgres_test

import (
	"cmp"
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
	"nearby/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// databases gives each folder of a suite a database.
type databases struct {
	t    *testing.T
	mu   sync.Mutex
	urls map[string]string
}

func (d *databases) open(dir string) (*postgres.Store, error) {
	d.mu.Lock()
	url, ok := d.urls[dir]
	if !ok {
		url = pgtest.Database(d.t)
		d.urls[dir] = url
	}
	d.mu.Unlock()
	return postgres.Open(context.Background(), url, postgres.Options{})
}

func TestContract(t *testing.T) {
	d := &databases{t: t, urls: map[string]string{}}
	storetest.Run(t, func(dir string) (store.Store, error) { return d.open(dir) })
}

func TestSharedContract(t *testing.T) {
	d := &databases{t: t, urls: map[string]string{}}
	storetest.RunShared(t, func(dir string) (store.Shared, error) { return d.open(dir) })
}

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
