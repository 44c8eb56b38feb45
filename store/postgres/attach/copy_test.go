package attach_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"nearby/store/postgres/attach"
)

// A large table is copied in chunks, and a copy that was interrupted is gone on with.
func TestAttachedCopyIsInterrupted(t *testing.T) {
	t.Parallel()
	const rows = 100_000
	for _, a := range []attach.Attachment{byTrigger, byPolling(0)} {
		t.Run(a.Follow, func(t *testing.T) {
			t.Parallel()
			u := newShops(t, rows)
			r := newReplica(t, u.url)
			ctx, cancel := context.WithCancel(context.Background())
			calls := 0
			_, err := attach.Attach(ctx, u.url, complete(a), func(done, total int64) {
				if total != rows {
					t.Errorf("progress: %d of %d", done, total)
				}
				if calls++; calls == 7 {
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("interrupted: %v", err)
			}
			await(t, "half a copy promises nothing", func() bool { return strings.Contains(r.definition("shops"), "None yet") })
			list, err := attach.List(context.Background(), u.url)
			if err != nil || len(list) != 1 || list[0].Copied {
				t.Errorf("listed after the interruption: %+v, %v", list, err)
			}
			u.do(`DELETE FROM shops WHERE id % 10 = 3`) // meanwhile
			if n := u.value(`SELECT count(*) FROM nearby.items`); n > 7*5000 {
				t.Errorf("%d rows in 7 chunks", n)
			}
			left := int64(0)
			done := mustAttach(t, u, a, func(_, total int64) { left = total })
			if !done.Again || done.Rows != rows*9/10 || left > rows-7*5000 {
				t.Errorf("gone on: %+v, %d rows were left", done, left)
			}
			r.await("shops", u.wanted(shopsQuery))
			await(t, "the guarantee", func() bool { return strings.Contains(r.definition("shops"), done.Guarantee) })
		})
	}
}

func mustAttach(t *testing.T, u *user, a attach.Attachment, progress func(done, total int64)) attach.Result {
	t.Helper()
	done, err := attach.Attach(context.Background(), u.url, complete(a), progress)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// While a table is copied an open transaction may hold rows of it: nobody waits for
// it but the end of the copy.
func TestAttachedRowsAreHeld(t *testing.T) {
	t.Parallel()
	u := newShops(t, 12_000)
	holder := newUser(t, u.url)
	reached, attached := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		first := true
		_, err := attach.Attach(context.Background(), u.url, complete(byTrigger), func(done, total int64) {
			if first { // the triggers are there
				first = false
				reached <- struct{}{}
				<-reached
			}
		})
		attached <- err
	}()
	<-reached
	holder.do(`BEGIN`)
	holder.do(`UPDATE shops SET name = 'held' WHERE id BETWEEN 8000 AND 8100`)
	holder.do(`DELETE FROM shops WHERE id BETWEEN 9000 AND 9100`)
	reached <- struct{}{}
	await(t, "all other rows", func() bool { return u.value(`SELECT count(*) FROM nearby.items WHERE seq IS NOT NULL`) >= 12_000-202 })
	select {
	case err := <-attached:
		t.Fatalf("the copy ended before the transaction: %v", err)
	default:
	}
	holder.do(`ROLLBACK`)
	if err := <-attached; err != nil {
		t.Fatal(err)
	}
	newReplica(t, u.url).await("shops", u.wanted(shopsQuery))
}

// What is deleted is deleted in the version that was compared: a row that has come
// back meanwhile stays.
func TestAttachedRowComesBack(t *testing.T) {
	t.Parallel()
	u := newShops(t, 10)
	u.attach(byTrigger)
	u.do(`BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM shops WHERE id = 5; COMMIT`) // past the triggers
	back := newUser(t, u.url)
	back.do(`BEGIN`)
	back.do(`INSERT INTO shops (id, lng, lat, name) VALUES (5, 5, 5, 'back')`)
	attached := make(chan error, 1)
	go func() {
		_, err := attach.Attach(context.Background(), u.url, complete(byTrigger), func(int64, int64) {})
		attached <- err
	}()
	await(t, "the deletion waits", func() bool {
		return u.value(`SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DELETE FROM nearby.items%'`) == 1
	})
	back.do(`COMMIT`)
	if err := <-attached; err != nil {
		t.Fatal(err)
	}
	newReplica(t, u.url).await("shops", u.wanted(shopsQuery))
}
