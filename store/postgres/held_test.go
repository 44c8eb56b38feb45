package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

// A program that has numbered its rows before its transaction ends holds up everybody.
// It is not let idle.
func TestNumberedEarly(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{CommitTimeout: patience})
	commit(t, s, define("c"), put("c", "a", 1))
	psql := connect(t, url)
	run(t, psql, `BEGIN`, `UPDATE nearby.items SET lon = 2 WHERE id = 'a'`, `SET CONSTRAINTS ALL IMMEDIATE`)
	deadline := time.Now().Add(patience)
	for {
		_, err := s.Commit(context.Background(), []store.Change{put("c", "b", 1)})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing can be written beside an idle transaction: %v", err)
		}
	}
	if err := psql.Ping(context.Background()); err == nil {
		t.Error("the idle program still has its connection")
	}
}

// A program that does not let itself be ended is named, with its role.
func TestWhoHoldsTheHead(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	lines := make(chan string, 1000)
	s := openStore(t, url, postgres.Options{CommitTimeout: patience, Log: slog.New(slog.NewTextHandler(lineWriter(lines), nil))})
	commit(t, s, define("c"), put("c", "a", 1))
	psql := connect(t, url)
	run(t, psql, `BEGIN`, `UPDATE nearby.items SET lon = 2 WHERE id = 'a'`, `SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL idle_in_transaction_session_timeout = 0`)
	done := make(chan error, 1)
	go func() {
		_, err := s.Commit(context.Background(), []store.Change{put("c", "b", 1)})
		done <- err
	}()
	want := fmt.Sprintf(`msg="a transaction of another program holds up all writes" process=%d role=%s`, psql.PgConn().PID(), psql.Config().User)
	for named := false; !named; {
		select {
		case line := <-lines:
			named = strings.Contains(line, want)
		case err := <-done:
			t.Fatalf("the commit ended (%v), and the log has not said %q", err, want)
		}
	}
	run(t, psql, `ROLLBACK`)
	if err := <-done; err != nil {
		t.Errorf("a commit, when nobody holds it up any more: %v", err)
	}
}

// A commit that does not get the head in its time is not made, whatever that time is. It
// and the store itself say why, in words for everybody, until it has passed.
func TestHeldUpIsNotMade(t *testing.T) {
	t.Parallel()
	for _, limit := range []time.Duration{200 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second, 4900 * time.Millisecond} {
		t.Run(limit.String(), func(t *testing.T) {
			t.Parallel()
			url := pgtest.Database(t)
			s := openStore(t, url, postgres.Options{CommitTimeout: limit})
			commit(t, s, define("c"), put("c", "a", 1))
			psql := connect(t, url)
			run(t, psql, `BEGIN`, `UPDATE nearby.items SET lon = 2 WHERE id = 'a'`, `SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL idle_in_transaction_session_timeout = 0`)
			for i := range 2 {
				began := time.Now()
				_, err := s.Commit(context.Background(), []store.Change{put("c", "b", 1)})
				if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUncertain) {
					t.Fatalf("commit %d: %v after %v", i, err, time.Since(began))
				}
				if why := store.Reason(err); !strings.Contains(why, "holds up all writes") || strings.Contains(why, psql.Config().User) || strings.Contains(why, "SELECT") {
					t.Errorf("commit %d: %q", i, why)
				}
				if fault := s.Fault(); store.Reason(fault) != store.Reason(err) {
					t.Errorf("commit %d: the store has the fault %v, the commit failed with %v", i, fault, err)
				}
			}
			run(t, psql, `ROLLBACK`)
			for end := time.Now().Add(patience); s.Fault() != nil; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("nobody holds it up, and the store says %v", s.Fault())
				}
			}
			var made int
			if err := psql.QueryRow(context.Background(), `SELECT count(*) FROM nearby.items WHERE id = 'b'`).Scan(&made); err != nil || made > 0 {
				t.Errorf("what was not made is there %d times: %v", made, err)
			}
			commit(t, s, put("c", "b", 1))
		})
	}
}
