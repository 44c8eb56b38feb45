package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres/pgtest"
)

// A table is attached while a server runs, found near a point, changed by its own
// programs, cannot be changed over HTTP, and is detached.
func TestAttach(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	database := pgtest.Database(t)
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(ctx) })
	do := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	do(`CREATE TABLE shops (id int PRIMARY KEY, name text, category text, lng float8, lat float8, updated_at timestamptz DEFAULT now());
		INSERT INTO shops VALUES (1, 'Bakery', 'food', 6.96, 50.94), (2, 'Books', 'print', 6.97, 50.93), (3, 'nowhere', 'food', NULL, 50), (4, 'Fish', 'food', 7.1, 51)`)
	s := startServer(t, t.TempDir(), "--store", database)
	client := newClient(t)
	attach := []string{
		"attach", "--store", database, "--table", "shops", "--id", "id", "--lon", "lng", "--lat", "lat", "--properties", "name,category",
		"--title", "Shops", "--queryables", "category", "--follow", "trigger",
	}
	r := runCLI(t, "", attach...)
	want := `public.shops is attached as collection shops
items:     3
guarantee: Every change that is committed to the table appears, deletions included, whole transactions at once and in the order of their commits; of transactions at REPEATABLE READ or SERIALIZABLE each row appears about a second later.
1 rows are no items and are left out until they are corrected:
    id "3": lon must be a number from -180 to 180
`
	if r.code != exitOK || r.stdout != want {
		t.Fatalf("attach: exit code %d, stderr %q, stdout\n%s", r.code, r.stderr, r.stdout)
	}
	if r := runCLI(t, "", attach...); r.code != exitOK || !strings.HasPrefix(r.stdout, "public.shops was attached as collection shops already: 0 rows") {
		t.Errorf("attached twice: exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
	shops := s.base + "/v1/collections/shops"
	// eventually asks until the answer has what is wanted.
	eventually := func(what, url string, done func(status int, answer string) bool) {
		t.Helper()
		for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			status, answer := call(client, http.MethodGet, url, "", "")
			if done(status, string(answer)) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %d %s", what, status, answer)
			}
		}
	}
	near := shops + "/nearby?lat=50.94&lon=6.96&k=1&category=food&consistency=strong"
	eventually("the nearest", near, func(_ int, a string) bool { return strings.Contains(a, `"Bakery"`) })
	do(`BEGIN; DELETE FROM shops WHERE id = 1; UPDATE shops SET lng = 6.9, lat = 50.9, name = 'somewhere' WHERE id = 3; COMMIT`)
	if _, answer := call(client, http.MethodGet, near, "", ""); !strings.Contains(string(answer), `"somewhere"`) {
		t.Errorf("after the commit, with consistency=strong: %s", answer)
	}
	status, answer := call(client, http.MethodGet, shops, "", "")
	if status != http.StatusOK || !strings.Contains(string(answer), `"source":{"table":"public.shops","follow":"trigger","guarantee":"Every change that is committed`) {
		t.Errorf("the collection: %d %s", status, answer)
	}

	// Over HTTP its items are read only; its definition is not, but for the source.
	for _, c := range []struct{ method, url, contentType, body string }{
		{http.MethodPut, shops + "/items/9", "application/geo+json", `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{}}`},
		{http.MethodDelete, shops + "/items/2", "", ""},
		{http.MethodDelete, shops, "", ""},
	} {
		if status, answer := call(client, c.method, c.url, c.contentType, c.body); status != http.StatusForbidden || !strings.Contains(string(answer), "public.shops") {
			t.Errorf("%s %s: %d %s", c.method, c.url, status, answer)
		}
	}
	for _, method := range []string{http.MethodPatch, http.MethodPut} {
		status, answer := call(client, method, shops, "application/json", `{"title":"All shops","index":{"kind":"geohash"},"queryables":["name"]}`)
		if status != http.StatusOK || !strings.Contains(string(answer), `"All shops"`) || !strings.Contains(string(answer), `"source":{"table":"public.shops"`) {
			t.Errorf("%s of the definition: %d %s", method, status, answer)
		}
	}

	r = runCLI(t, "", "attach", "--store", database, "--list")
	if r.code != exitOK || !strings.Contains(r.stdout, "shops       public.shops  trigger  never  ok") {
		t.Errorf("list: exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
	r = runCLI(t, "", "detach", "--store", database, "-c", "shops", "--keep")
	if r.code != exitOK || r.stdout != "detached; collection shops is kept, and can be written\n" {
		t.Errorf("detach: exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
	eventually("no source", shops+"?consistency=strong", func(_ int, a string) bool { return !strings.Contains(a, `"source"`) })
	if status, answer := call(client, http.MethodDelete, shops+"/items/2", "", ""); status != http.StatusNoContent {
		t.Errorf("writing what was kept: %d %s", status, answer)
	}

	// What belongs to others is attached by a superuser only if that is said.
	do(`DROP ROLE IF EXISTS vendor_of_test_attach`)
	do(`CREATE ROLE vendor_of_test_attach`)
	do(`CREATE TABLE stalls (id int PRIMARY KEY, lng float8, lat float8); ALTER TABLE stalls OWNER TO vendor_of_test_attach`)
	t.Cleanup(func() { do(`DROP TABLE stalls`); do(`DROP ROLE vendor_of_test_attach`) })
	stalls := []string{"attach", "--store", database, "--table", "stalls", "--id", "id", "--lon", "lng", "--lat", "lat", "--follow", "trigger"}
	if r := runCLI(t, "", stalls...); r.code != exitFailed || !strings.Contains(r.stderr, "--trust-owner vendor_of_test_attach") {
		t.Errorf("attaching another role's table: exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
	if r := runCLI(t, "", append(stalls, "--trust-owner", "vendor_of_test_attach")...); r.code != exitOK || !strings.Contains(r.stdout, "trusted:   the role vendor_of_test_attach, which owns public.stalls,") {
		t.Errorf("attaching with trust: exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
	if r := runCLI(t, "", "detach", "--store", database, "-c", "stalls"); r.code != exitOK {
		t.Errorf("detach: exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}

	// Polled, under another name, and gone in the end.
	r = runCLI(t, "", "attach", "--store", database, "--table", "shops", "--id", "id", "--lon", "lng", "--lat", "lat", "-c", "polled",
		"--follow", "poll", "--column", "updated_at", "--interval", "200ms", "--sweep", "1s")
	if r.code != exitOK || !strings.Contains(r.stdout, "guarantee: Changes that set updated_at appear within about 200ms. Deletions, rows whose transaction took longer than 30s,") {
		t.Fatalf("attach: exit code %d, stderr %q, stdout\n%s", r.code, r.stderr, r.stdout)
	}
	do(`DELETE FROM shops WHERE id = 4; INSERT INTO shops VALUES (5, 'polled', 'food', 6.96, 50.94)`)
	eventually("the polled row", s.base+"/v1/collections/polled/items", func(_ int, a string) bool {
		return strings.Contains(a, `"polled"`) && !strings.Contains(a, `"Fish"`)
	})
	if r := runCLI(t, "", "detach", "--store", database, "-c", "polled"); r.code != exitOK || r.stdout != "detached; collection polled is deleted\n" {
		t.Errorf("detach: exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
	eventually("gone", s.base+"/v1/collections/polled", func(status int, _ string) bool { return status == http.StatusNotFound })
	if r := runCLI(t, "", "attach", "--store", database, "--list"); r.stdout != "nothing is attached\n" {
		t.Errorf("list: %s", r.stdout)
	}
	if r := runCLI(t, "", "attach", "--store", database, "--table", "shops", "--id", "ident", "--lon", "lng", "--lat", "lat", "--follow", "trigger"); r.code != exitFailed ||
		!strings.Contains(r.stderr, `attaching shops: public.shops has no column "ident" (the id); its columns are "id" integer, "name" text`) {
		t.Errorf("a wrong column: exit code %d, %s", r.code, r.stderr)
	}
}
