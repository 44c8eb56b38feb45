package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

// Stores that start at once on an empty database make its tables once.
func TestOpenAtOnce(t *testing.T) {
	address := pgtest.Database(t)
	var wg sync.WaitGroup
	stores := make([]*postgres.Store, 8)
	for i := range stores {
		wg.Go(func() {
			s, err := postgres.Open(context.Background(), address, postgres.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			stores[i] = s
			if _, err := s.Commit(context.Background(), []store.Change{define(fmt.Sprint("c", i))}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range stores {
		if s == nil {
			t.FailNow()
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := number1(t, address, `SELECT count(*) FROM nearby.collections`); n != len(stores) {
		t.Errorf("%d collections", n)
	}
}

// What cannot be opened says why, without the password.
func TestOpenRefused(t *testing.T) {
	address := pgtest.Database(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	const password = "geheim"
	u.User = url.UserPassword("nobody", password)
	nobody := u.String()
	u.Host = "127.0.0.1:1"
	nowhere := u.String()
	for _, bad := range []string{nobody, nowhere, "postgres://user:" + password + "@host:port/", "host=127.0.0.1 password=" + password + " port=x", "mysql://u:" + password + "@h/d"} {
		_, err := postgres.Open(context.Background(), bad, postgres.Options{})
		if err == nil || strings.Contains(err.Error(), password) {
			t.Errorf("opening %s: %v", bad, err)
		}
		// Only what may be there later is worth another attempt.
		if got, want := errors.Is(err, store.ErrUnavailable), bad == nowhere; got != want {
			t.Errorf("opening %s: unavailable %v, want %v: %v", bad, got, want, err)
		}
	}
	if _, err := postgres.Open(context.Background(), address, postgres.Options{ReadOnly: true}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("without tables, and not allowed to make them: %v", err)
	}
	s := openStore(t, address, postgres.Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, connect(t, address), `INSERT INTO nearby.migrations (version_id, is_applied) VALUES (1000, true)`)
	for _, readOnly := range []bool{false, true} {
		_, err := postgres.Open(context.Background(), address, postgres.Options{ReadOnly: readOnly})
		if err == nil || !strings.Contains(err.Error(), "version 1000") || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("tables of a later version, read only %v: %v", readOnly, err)
		}
	}
}

// A closed store leaves neither connections nor goroutines.
func TestCloseLeavesNothing(t *testing.T) {
	address := pgtest.Database(t)
	watching := connect(t, address)
	before := runtime.NumGoroutine()
	for range 3 {
		s, err := postgres.Open(context.Background(), address, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		commit(t, s, define("c"), put("c", "a", 1))
		c := newCopy(t, s)
		followed := make(chan error, 1)
		go func() { followed <- s.Follow(context.Background(), c.pos, c.take) }()
		s.Inspect()
		for range 3 {
			commit(t, s, put("c", "a", 1))
		}
		v, err := s.View(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		if err := <-followed; !errors.Is(err, store.ErrClosed) {
			t.Errorf("Follow ended: %v", err)
		}
		select {
		case err := <-closed:
			t.Errorf("it closed, %v, while a view was open", err)
		default:
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
	}
	deadline := time.Now().Add(patience)
	for {
		var n int
		if err := watching.QueryRow(context.Background(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		after := runtime.NumGoroutine()
		if n == 0 && after <= before {
			break
		}
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d connections, and %d goroutines more than before:\n%s", n, after-before, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := number1(t, address, `SELECT count(*) FROM nearby.replicas`); n != 0 {
		t.Errorf("%d replicas are waited for", n)
	}
}
