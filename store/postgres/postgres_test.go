package postgres_test

import (
	"context"
	"os"
	"sync"
	"testing"

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
