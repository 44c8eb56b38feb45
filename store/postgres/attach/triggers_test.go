package attach_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"nearby/store/postgres/attach"
	"nearby/store/postgres/pgtest"
)

// A transaction with one snapshot, that began before the copy, say, does not fail for
// nearby's sake, and what it did appears.
func TestAttachedRepeatableRead(t *testing.T) {
	t.Parallel()
	u := newUser(t, pgtest.Database(t))
	u.do(shopsTable)
	u.do(`CREATE TABLE other (a int)`)
	u.fill(1, 100)
	old := newUser(t, u.url)
	old.do(`BEGIN ISOLATION LEVEL SERIALIZABLE`)
	old.do(`SELECT count(*) FROM other`) // takes the snapshot, and no lock of shops
	u.attach(byTrigger)
	r := newReplica(t, u.url)
	u.do(`UPDATE shops SET name = 'meanwhile' WHERE id > 50`)
	old.do(`DELETE FROM shops WHERE id <= 20`)
	old.do(`UPDATE shops SET id = id + 1000 WHERE id BETWEEN 21 AND 30`)
	old.do(`INSERT INTO shops (id, lng, lat) VALUES (2001, 1, 1)`)
	old.do(`COMMIT`)
	r.await("shops", u.wanted(shopsQuery))
}

// Whatever is wrong with nearby, programs that write the table do not notice; what
// was missed is noted and comes when that is over.
func TestAttachedTriggersFailSoftly(t *testing.T) {
	t.Parallel()
	u := newShops(t, 100)
	u.attach(byTrigger)
	r := newReplica(t, u.url)
	write := func(i int) {
		t.Helper()
		u.do(`INSERT INTO shops (id, lng, lat) VALUES ($1, 1, 1)`, 1000+i)
		u.do(`UPDATE shops SET lng = 3 WHERE id = $1`, 10+i)
		u.do(`UPDATE shops SET id = id + 2000 WHERE id = $1`, 20+i)
		u.do(`DELETE FROM shops WHERE id = $1`, 30+i)
	}
	u.do(`ALTER TABLE nearby.items ADD CONSTRAINT fault CHECK (lon <> 3)`)
	write(0)
	u.do(`ALTER TABLE nearby.items DROP CONSTRAINT fault`)
	r.await("shops", u.wanted(shopsQuery))

	u.do(`ALTER TABLE shops RENAME COLUMN size TO extent`) // a column is gone
	write(1)
	await(t, "the error is listed", func() bool {
		list, err := attach.List(context.Background(), u.url)
		return err == nil && len(list) == 1 && strings.Contains(list[0].Problem, `"size"`)
	})
	for i := range 50 {
		u.do(`UPDATE shops SET lat = $1`, i)
	}
	await(t, "what is noted does not grow", func() bool { return u.value(`SELECT count(*) FROM nearby.attached_later`) == 1 })
	u.do(`ALTER TABLE shops RENAME COLUMN extent TO size`)
	r.await("shops", u.wanted(shopsQuery))

	u.do(`ALTER TABLE nearby.attached_later RENAME TO gone`)
	u.do(`ALTER TABLE nearby.items RENAME TO gone2`)
	write(2)
	u.do(`TRUNCATE shops`)
	u.do(`ALTER TABLE nearby.gone2 RENAME TO items`)
	u.do(`ALTER TABLE nearby.gone RENAME TO attached_later`)
	if done := u.attach(byTrigger); done.Changed == 0 || done.Rows != 0 {
		t.Errorf("attached again: %+v", done)
	}
	r.await("shops", contents{})
}

// What triggers do not see, since somebody has disabled them, a sweep finds.
func TestAttachedTriggersAreSwept(t *testing.T) {
	t.Parallel()
	u := newShops(t, 100)
	a := byTrigger
	a.Sweep = time.Second
	u.attach(a)
	r := newReplica(t, u.url)
	u.do(`ALTER TABLE shops DISABLE TRIGGER USER`)
	u.do(`DELETE FROM shops WHERE id < 50; UPDATE shops SET name = 'x'`)
	u.fill(1000, 1010)
	if list, err := attach.List(context.Background(), u.url); err != nil || !strings.Contains(list[0].Problem, "disabled") {
		t.Errorf("disabled triggers: %+v, %v", list, err)
	}
	r.await("shops", u.wanted(shopsQuery))
}
