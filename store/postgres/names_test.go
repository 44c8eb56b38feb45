package postgres_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

// An operator sees in pg_stat_activity which program a connection is of, and what it is for.
func TestConnectionsHaveNames(t *testing.T) {
	t.Parallel()
	for program, of := range map[string]string{"nearby": "", "nearby v1.2.3": "application_name=nearby%20v1.2.3"} {
		url := pgtest.Database(t)
		psql := connect(t, url)
		separator := "?"
		if strings.Contains(url, "?") {
			separator = "&"
		}
		s := openStore(t, url+separator+of, postgres.Options{})
		commit(t, s, define("c"))
		newCopy(t, s).follow(t, s)
		want := []string{program + " compares", program + " follows", program + " listens", program + " reads", program + " writes"}
		var names []string
		for end := time.Now().Add(patience); !slices.Equal(names, want); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the connections are %q, want %q", names, want)
			}
			rows, err := psql.Query(context.Background(), `SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY 1`)
			if err != nil {
				t.Fatal(err)
			}
			names, err = pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
