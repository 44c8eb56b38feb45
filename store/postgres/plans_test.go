package postgres_test

import (
	"context"
	"testing"

	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

// TestPlansAreNotCompiled: a function that forbids a way of reading makes that way seem to
// cost 10^10, at which PostgreSQL compiles the plan, unless it is told not to: 35 ms for a
// transaction of another program that took less than one.
func TestPlansAreNotCompiled(t *testing.T) {
	url := pgtest.Database(t)
	openStore(t, url, postgres.Options{})
	rows, err := connect(t, url).Query(context.Background(), `SELECT p.proname, 'jit=off' = ANY (p.proconfig)
		FROM pg_proc p WHERE p.pronamespace = 'nearby'::regnamespace AND p.proconfig::text ~ 'enable_[a-z]+=off'`)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for rows.Next() {
		var name string
		var off bool
		if err := rows.Scan(&name, &off); err != nil {
			t.Fatal(err)
		}
		found++
		if !off {
			t.Errorf("plans of nearby.%s are compiled", name)
		}
	}
	if err := rows.Err(); err != nil || found == 0 {
		t.Errorf("%d functions, %v", found, err)
	}
}
