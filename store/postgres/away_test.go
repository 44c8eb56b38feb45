package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

// awayTimeout is what a store has that is not told otherwise. Tests that take the database
// away have it, and allow for a refusal.
const awayTimeout = 2 * time.Second

// A database that cannot be had: who writes and who operates learn why in the same words,
// without address, role or SQL, also where nobody writes.
func TestAwayInWords(t *testing.T) {
	cluster := pgtest.Start(t, pgtest.NoFsync())
	proxy := pgtest.StartProxy(t, cluster.Address())
	s := openStore(t, proxy.URL(cluster.URL()), postgres.Options{CommitTimeout: 2 * time.Second, AwayTimeout: 500 * time.Millisecond})
	commit(t, s, define("c"))
	newCopy(t, s).follow(t, s)
	admin := connect(t, cluster.URL())
	var role, database string
	if err := admin.QueryRow(context.Background(), `SELECT current_user, current_database()`).Scan(&role, &database); err != nil {
		t.Fatal(err)
	}
	inWords := func(when string, err error) string {
		t.Helper()
		why := store.Reason(err)
		if why == "" {
			t.Errorf("%s: no reason in %v", when, err)
		}
		for _, secret := range []string{role, database, "127.0.0.1", "localhost", cluster.Address(), "SQLSTATE", "SELECT", "dial", "store", "postgres", "/"} {
			if strings.Contains(why, secret) {
				t.Errorf("%s: %q is in %q", when, secret, why)
			}
		}
		return why
	}
	for name, fault := range map[string]func(){"cut": proxy.Cut, "half-open": proxy.HalfOpen} {
		fault()
		for end := time.Now().Add(patience); s.Fault() == nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: the store is without fault", name)
			}
		}
		inWords(name+", nobody writes", s.Fault())
		for i := range 3 {
			_, err := s.Commit(context.Background(), []store.Change{put("c", "b", 1)})
			if errors.Is(err, store.ErrUncertain) { // it was on its way
				continue
			}
			if why, fault := inWords(name, err), s.Fault(); store.Reason(fault) != why {
				t.Errorf("%s: commit %d fails with %q, the store says %v", name, i, why, fault)
			}
		}
		if _, err := s.Head(context.Background()); err != nil {
			inWords(name+", asked for what is newest", err)
		}
		proxy.Heal()
		for end := time.Now().Add(patience); s.Fault() != nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: the database is back, and the store says %v", name, s.Fault())
			}
		}
		commit(t, s, put("c", "a", 2))
	}
}

// A database that is away: commits say so soon, reading and following go on when it
// is back, and nothing that was acknowledged is lost.
func TestAway(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.NoFsync())
	proxy := pgtest.StartProxy(t, cluster.Address())
	opened := func(timeout time.Duration) *postgres.Store {
		return openStore(t, proxy.URL(cluster.URL()), postgres.Options{CommitTimeout: timeout, AwayTimeout: awayTimeout})
	}
	s, longer, unused := opened(4*time.Second), opened(8*time.Second), opened(time.Hour)
	commit(t, s, define("c"), put("c", "a", 0))
	commit(t, unused, put("c", "a", 0))
	c := newCopy(t, s)
	ended := c.follow(t, s)
	for name, fault := range map[string]func(){
		"cut":       proxy.Cut,
		"half-open": proxy.HalfOpen,
	} {
		time.Sleep(time.Second) // a connection that was not used for longer is tried before a commit is sent over it
		commit(t, s, put("c", "a", 0))
		commit(t, longer, put("c", "a", 0))
		fault()
		// What became of a commit that was sent is asked for as long as the store was told,
		// by one that began later and ends earlier, too.
		later := make(chan error, 1)
		go func() {
			_, err := longer.Commit(context.Background(), []store.Change{put("c", "longer", 1)})
			later <- err
		}()
		time.Sleep(200 * time.Millisecond)
		_, err := s.Commit(context.Background(), []store.Change{put("c", "b", 1)})
		// Where nothing says that it is away, the first commit may be on its way.
		if errors.Is(err, store.ErrUncertain) == errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: the first commit: %v", name, err)
		}
		select {
		case err := <-later:
			if errors.Is(err, store.ErrUncertain) {
				t.Errorf("%s: a commit that may take 4 s ended after one that may take 8 s", name)
			}
		default:
			t.Logf("%s: the one that ended later: %v", name, <-later)
		}
		// One that was not sent is refused long before.
		for _, s := range []*postgres.Store{s, unused} {
			for range 3 {
				refused := make(chan error, 1)
				go func() {
					_, err := s.Commit(context.Background(), []store.Change{put("c", "b", 1)})
					refused <- err
				}()
				select {
				case err := <-refused:
					if !errors.Is(err, store.ErrUnavailable) {
						t.Errorf("%s: a commit: %v", name, err)
					}
				case <-time.After(patience):
					proxy.Heal() // or closing waits for it
					t.Fatalf("%s: a commit is not refused after %v", name, patience)
				}
			}
		}
		if _, err := s.Head(context.Background()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: the head: %v", name, err)
		}
		deadline := time.Now().Add(patience)
		for s.Stats().Connected {
			if time.Now().After(deadline) {
				t.Fatalf("%s: Follow does not notice", name)
			}
			time.Sleep(10 * time.Millisecond)
		}
		proxy.Heal()
		for _, s := range []*postgres.Store{s, longer, unused} {
			commitSoon(t, s, put("c", name, 2)) // healed
		}
		c.until(t, name+": following goes on", func() bool { return c.content["c"][name].Lon == 2 })
		select {
		case err := <-ended:
			t.Fatalf("%s: Follow ended: %v", name, err)
		default:
		}
	}
	if s.Stats().Unresolved > 2 {
		t.Errorf("%+v", s.Stats())
	}
	c.equals(t, s)
}
