package postgres_test

import (
	"context"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

// documented returns the statements in the SQL blocks of a document.
func documented(t *testing.T, page string) (statements []string) {
	t.Helper()
	b, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	for _, rest := range strings.Split(string(b), "\n```sql\n")[1:] {
		block, _, _ := strings.Cut(rest, "\n```")
		for statement := range strings.SplitSeq(block, ";\n") {
			statements = append(statements, strings.TrimSuffix(statement, ";"))
		}
	}
	if len(statements) == 0 {
		t.Fatalf("%s has no SQL", page)
	}
	return statements
}

// The documents' SQL runs as it stands, and the privileges in it are enough: for who
// owns the tables, for a role that changes none, for one that only reads, and for
// another program.
func TestDocumentedSQL(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := pgtest.Start(t, pgtest.NoFsync())
	c.Resume() // it is a cluster of our own, or the test is skipped: roles are to be made
	at := func(user, database string) string {
		return (&url.URL{Scheme: "postgres", User: url.User(user), Host: c.Address(), Path: database, RawQuery: "sslmode=disable"}).String()
	}
	run := func(user, database, statement string) {
		t.Helper()
		conn, err := pgx.Connect(ctx, at(user, database))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(ctx) }()
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Errorf("%v in %s", err, statement)
		}
	}
	open := func(user string, readOnly bool) *postgres.Store {
		t.Helper()
		s, err := postgres.Open(ctx, at(user, "places"), postgres.Options{ReadOnly: readOnly})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	put := func(s *postgres.Store, id string) {
		t.Helper()
		_, err := s.Commit(ctx, []store.Change{
			{Op: store.PutItem, Collection: "fleet", Item: item.Item{ID: id, Lon: 1, Lat: 2}},
		}, store.Receipt{Collection: "fleet", Key: id})
		if err != nil {
			t.Error(err)
		}
	}
	closeStore := func(s *postgres.Store) {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}

	for _, role := range []string{"app", "reader", "other"} {
		c.Exec("CREATE ROLE " + role + " LOGIN")
	}
	made := false
	for _, statement := range documented(t, "operations.md") {
		switch {
		case strings.HasPrefix(statement, "CREATE ROLE"), strings.HasPrefix(statement, "CREATE DATABASE"):
			run("postgres", "postgres", statement)
			continue
		case strings.Contains(statement, "ALL TABLES") && !made: // they have to be there
			s := open("nearby_server", false)
			if _, err := s.Commit(ctx, []store.Change{{Op: store.PutCollection, Collection: "fleet", Definition: []byte(`{}`)}}); err != nil {
				t.Fatal(err)
			}
			put(s, "of the owner")
			closeStore(s)
			made = true
		}
		run("postgres", "places", statement)
	}
	for _, statement := range documented(t, "consistency.md") {
		run("other", "places", statement)
	}

	s := open("app", false)
	put(s, "of app")
	if err := s.Tend(ctx); err != nil {
		t.Error(err)
	}
	closeStore(s)

	s = open("reader", true)
	defer closeStore(s)
	if _, found, err := s.Receipt(ctx, "fleet", "of app"); err != nil || !found {
		t.Errorf("a reader finds a receipt: %v, %v", found, err)
	}
	v, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	ids := map[string]bool{}
	if err := v.Items(ctx, "fleet", 1, func(_ int, it *item.Item) error {
		ids[strings.Clone(it.ID)] = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"of the owner", "of app", "van-9"} {
		if !ids[id] {
			t.Errorf("%q is missing from %v", id, ids)
		}
	}
}
