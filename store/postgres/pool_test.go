package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

// Reads that fail share one connection with each other: who has given it back does not
// look at it any more. It is the race detector that sees who does.
func TestFailedReadsShareAConnection(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{Readers: 1, AwayTimeout: patience})
	commit(t, s, define("c"))
	run(t, connect(t, url), `SET session_replication_role = replica`, `DELETE FROM nearby.head`)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 50 {
				if v, err := s.View(ctx); !errors.Is(err, store.ErrRestored) {
					t.Errorf("a view: %v, %v", v, err)
				}
				if pos, err := s.Head(ctx); !errors.Is(err, store.ErrRestored) {
					t.Errorf("the head is %v, %v", pos, err)
				}
			}
		})
	}
	readers.Wait()
}
