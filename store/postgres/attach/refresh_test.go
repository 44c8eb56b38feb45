package attach_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"nearby/store/postgres"
	"nearby/store/postgres/attach"
	"nearby/store/postgres/pgtest"
)

// A row whose transaction took longer than the overlap is missed by polling, as are
// deletions; the sweep finds them. This is what the guarantee says, no more.
func TestAttachedLateCommits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		overlap, sweep time.Duration
	}{{"later than the overlap", 100 * time.Millisecond, 0}, {"within the overlap", time.Minute, 0}, {"with a sweep", 100 * time.Millisecond, time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := newUser(t, pgtest.Database(t))
			late := newUser(t, u.url)
			u.do(shopsTable)
			u.fill(1, 10)
			a := byPolling(c.sweep)
			a.Interval, a.Overlap = 100*time.Millisecond, c.overlap
			u.attach(a)
			r := newReplica(t, u.url)
			late.do(`BEGIN`)
			late.do(`INSERT INTO shops (id, lng, lat, updated_at) VALUES (501, 1, 1, now())`)
			// Others go on, until the late one's time is behind by more than the short overlap.
			u.do(`INSERT INTO shops (id, lng, lat, updated_at) VALUES (502, 2, 2, clock_timestamp() + '300 ms')`)
			time.Sleep(300 * time.Millisecond) // times that are yet to come do not count
			u.do(`INSERT INTO shops (id, lng, lat, updated_at) VALUES (503, 2, 2, clock_timestamp())`)
			await(t, "the quick rows", func() bool { shown := r.shown("shops"); return shown["502"] != "" && shown["503"] != "" })
			late.do(`COMMIT`)
			u.do(`DELETE FROM shops WHERE id = 5`)
			if c.sweep > 0 {
				r.await("shops", u.wanted(shopsQuery))
				return
			}
			polled := r.Stats().Polls
			await(t, "ten polls", func() bool { return r.Stats().Polls >= polled+10 })
			u.do(`INSERT INTO shops (id, lng, lat) VALUES (504, 3, 3)`)
			await(t, "a later row", func() bool { return r.shown("shops")["504"] != "" })
			shown := r.shown("shops")
			if found := shown["501"] != ""; found != (c.overlap == time.Minute) {
				t.Errorf("the late row was found: %v", found)
			}
			if shown["5"] == "" {
				t.Error("without a sweep the deletion was found: the test shows nothing")
			}
		})
	}
}

// Times that are yet to come do not hide what comes before them.
func TestAttachedTimesToCome(t *testing.T) {
	t.Parallel()
	u := newUser(t, pgtest.Database(t))
	u.do(shopsTable)
	u.do(`INSERT INTO shops (id, lng, lat, updated_at) VALUES (1, 1, 1, now() + '10 years'), (2, 1, 1, 'infinity')`)
	u.attach(byPolling(0))
	r := newReplica(t, u.url)
	u.do(`INSERT INTO shops (id, lng, lat) VALUES (3, 1, 1)`)
	r.await("shops", u.wanted(shopsQuery))
	u.do(`UPDATE shops SET lat = 2 WHERE id = 2`)
	r.await("shops", u.wanted(shopsQuery))
}

// Of several replicas one at a time asks the tables; each takes over.
func TestAttachedOnePolls(t *testing.T) {
	t.Parallel()
	u := newShops(t, 10)
	a := byPolling(0)
	a.Interval = 500 * time.Millisecond
	u.attach(a)
	begun := time.Now()
	one, err := postgres.Open(context.Background(), u.url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	two := newReplica(t, u.url)
	polls := func() uint64 { return one.Stats().Polls + two.Stats().Polls }
	await(t, "six polls", func() bool { return polls() >= 6 })
	if most := uint64(time.Since(begun)/a.Interval) + 1; polls() > most {
		t.Errorf("%d polls, at most %d are due", polls(), most)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	u.fill(11, 20)
	two.await("shops", u.wanted(shopsQuery))
}

// Who compares the table asks; the others do not, whatever is due, and it is named to who
// would detach the table.
func TestAttachedLock(t *testing.T) {
	t.Parallel()
	u := newShops(t, 10)
	u.attach(byPolling(0))
	u.do(`SELECT pg_advisory_lock(-7)`)
	u.do(`UPDATE nearby.attachments SET holder = pg_backend_pid(), ticket = -7`)
	r := newReplica(t, u.url)
	u.fill(11, 20)
	await(t, "it is due", func() bool {
		return u.value(`SELECT count(*) FROM nearby.attachments WHERE next_poll < now() - interval '1 s'`) == 1
	})
	if n := r.Stats().Polls; n > 0 {
		t.Errorf("%d polls without the lock", n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := attach.Detach(ctx, u.url, "shops", false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("detaching what is compared: %v", err)
	}
	u.do(`SELECT pg_advisory_unlock_all()`)
	r.await("shops", u.wanted(shopsQuery))
}

// No lock that a role without privileges can take keeps a table from being compared, also
// not the one that was seen to be held.
func TestStrangersHoldNoPoll(t *testing.T) {
	t.Parallel()
	u := newShops(t, 10)
	u.attach(byPolling(0))
	r := newReplica(t, u.url)
	r.await("shops", u.wanted(shopsQuery))
	stranger := newUser(t, u.url)
	ticket := u.value(`SELECT ticket FROM nearby.attachments`)
	stranger.do(fmt.Sprintf(`SELECT pg_advisory_lock(1635021923, n), pg_advisory_lock(n), pg_advisory_lock(%d) FROM generate_series(0, 100) n`, ticket))
	u.fill(11, 20)
	r.await("shops", u.wanted(shopsQuery))
	// The process that held it is gone, and the stranger has taken it over.
	u.do(`SELECT pg_advisory_lock(800)`)
	u.do(`UPDATE nearby.attachments SET holder = pg_backend_pid(), ticket = 800`)
	u.do(`SELECT pg_advisory_unlock(800)`)
	stranger.do(`SELECT pg_advisory_lock(800)`)
	u.fill(21, 30)
	r.await("shops", u.wanted(shopsQuery))
	if err := attach.Detach(context.Background(), u.url, "shops", false); err != nil {
		t.Error(err)
	}
}
