package attach_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres/attach"
	"nearby/store/postgres/database"
	"nearby/store/postgres/pgtest"
)

// putBack puts the row of the head back, as a backup does, and returns what makes it whole
// again where that takes more than the release.
var putBack = map[string]struct{ before, after string }{
	"the head": {`SET session_replication_role = replica; CREATE TEMP TABLE dump AS TABLE nearby.head; DELETE FROM nearby.head;
		INSERT INTO nearby.head TABLE dump; RESET session_replication_role`, ``},
	"the head, not yet": {`SET session_replication_role = replica; CREATE TEMP TABLE dump AS TABLE nearby.head; DELETE FROM nearby.head; RESET session_replication_role`,
		`SET session_replication_role = replica; INSERT INTO nearby.head TABLE dump; RESET session_replication_role`},
	"a table": {`ALTER TABLE nearby.tombstones RENAME TO aside; CREATE TABLE nearby.tombstones (LIKE nearby.aside INCLUDING ALL)`,
		`DROP TABLE nearby.tombstones; ALTER TABLE nearby.aside RENAME TO tombstones`},
}

// An attached table can be written between a restore and its release. All of it is there
// when it is released, also what no trigger saw.
func TestAttachedBeforeRelease(t *testing.T) {
	t.Parallel()
	for name, state := range putBack {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			u := newShops(t, 100)
			u.attach(byTrigger)
			u.script(state.before)
			u.fill(101, 110)
			u.do(`UPDATE shops SET lng = 3 WHERE id = 10`)
			u.do(`UPDATE shops SET id = id + 2000 WHERE id = 20`)
			u.do(`DELETE FROM shops WHERE id = 30`)
			u.run(`BEGIN ISOLATION LEVEL REPEATABLE READ`, `UPDATE shops SET lng = 4 WHERE id = 40`, `COMMIT`,
				`BEGIN`, `UPDATE shops SET lng = 5 WHERE id = 50`, `SAVEPOINT s`, `DELETE FROM shops WHERE id = 60`, `ROLLBACK TO s`, `SET CONSTRAINTS ALL IMMEDIATE`, `COMMIT`,
				`SET session_replication_role = replica`, `UPDATE shops SET lng = 7 WHERE id = 70`, `RESET session_replication_role`)
			for _, sql := range []string{
				`UPDATE nearby.items SET lon = 9`, `INSERT INTO nearby.items (collection, id, lon, lat) VALUES ('shops', 'x', 1, 1)`, `DELETE FROM nearby.items`, `TRUNCATE nearby.items`,
			} {
				u.run(`BEGIN`)
				if _, err := u.Exec(ctx, sql); !database.IsCode(err, "NB006") {
					t.Errorf("%s: %v", sql, err)
				}
				u.run(`ROLLBACK`)
			}
			u.script(state.after)
			u.do(`SELECT nearby.release()`)
			newReplica(t, u.url).await("shops", u.wanted(shopsQuery))
		})
	}
}

// A table can be detached between a restore and its release, when all of it is there.
func TestDetachBeforeRelease(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, a attach.Attachment) {
		ctx := context.Background()
		u := newShops(t, 10)
		a.Collection = "kept"
		u.attach(a)
		a.Collection = "gone"
		u.attach(a)
		was := u.wanted(shopsQuery)
		head := u.value(`SELECT seq FROM nearby.head`)
		u.script(putBack["the head"].before)
		u.do(`ALTER INDEX nearby.items_seq RENAME TO aside`)
		if err := attach.Detach(ctx, u.url, "kept", true); !errors.Is(err, store.ErrRestored) || !strings.Contains(err.Error(), "items_seq") {
			t.Errorf("half of it is there: %v", err)
		}
		u.do(`ALTER INDEX nearby.aside RENAME TO items_seq`)
		if err := attach.Detach(ctx, u.url, "kept", true); err != nil {
			t.Fatal(err)
		}
		if err := attach.Detach(ctx, u.url, "gone", false); err != nil {
			t.Fatal(err)
		}
		if _, err := attach.Attach(ctx, u.url, complete(a), func(int64, int64) {}); !errors.Is(err, store.ErrRestored) {
			t.Errorf("a table is attached: %v", err)
		}
		u.do(`TRUNCATE shops`)
		if n := u.value(`SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'shops'::regclass) + (SELECT count(*) FROM nearby.attachments) + (SELECT count(*) FROM nearby.attached_later)`); n != 0 {
			t.Errorf("%d traces", n)
		}
		if n := u.value(`SELECT seq FROM nearby.head`); n != head {
			t.Errorf("the head was %d, is %d", head, n)
		}
		u.do(`SELECT nearby.release()`)
		r := newReplica(t, u.url)
		r.await("kept", was)
		if all := r.definition("gone") + r.definition("kept"); strings.Contains(all, "source") {
			t.Errorf("a collection has a source: %s", all)
		}
		if _, err := r.Commit(ctx, []store.Change{{Op: store.PutItem, Collection: "kept", Item: item.Item{ID: "new", Lon: 1, Lat: 2}}}); err != nil {
			t.Error(err)
		}
	})
}

// The schema may be dropped with all that is in it: the table stays, and can be
// written.
func TestAttachedSchemaIsDropped(t *testing.T) {
	t.Parallel()
	u := newUser(t, pgtest.Database(t))
	u.do(shopsTable)
	u.attach(byTrigger)
	u.do(`DROP SCHEMA nearby CASCADE`)
	u.fill(1, 10)
	u.do(`DELETE FROM shops WHERE id < 5`)
	u.do(`TRUNCATE shops`)
}
