package attach_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"nearby/store/postgres/attach"
)

// A table that is gone leaves its collection as it was, and is listed so; when it is
// there again polling goes on.
func TestAttachedTableIsDropped(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, a attach.Attachment) {
		u := newShops(t, 10)
		u.attach(a)
		r := newReplica(t, u.url)
		was := u.wanted(shopsQuery)
		u.do(`DROP TABLE shops`)
		await(t, "it is listed", func() bool {
			list, err := attach.List(context.Background(), u.url)
			return err == nil && list[0].Problem == "the table is gone"
		})
		r.await("shops", was)
		u.do(shopsTable)
		u.fill(5, 20)
		if a.Follow == attach.FollowPoll {
			r.await("shops", u.wanted(shopsQuery))
		}
		if err := attach.Detach(context.Background(), u.url, "shops", false); err != nil {
			t.Fatal(err)
		}
		await(t, "the collection is gone", func() bool { return r.shown("shops") == nil })
		u.attach(a)
		r.await("shops", u.wanted(shopsQuery))
	})
}

// Detached, a table has no traces of nearby, and its collection is gone or an ordinary
// one.
func TestDetach(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, a attach.Attachment) {
		ctx := context.Background()
		u := newShops(t, 10)
		u.attach(a)
		r := newReplica(t, u.url)
		was := u.wanted(shopsQuery)
		if err := attach.Detach(ctx, u.url, "shops", true); err != nil {
			t.Fatal(err)
		}
		u.do(`TRUNCATE shops`)
		await(t, "it has no source", func() bool { return !strings.Contains(r.definition("shops"), "source") })
		r.await("shops", was)
		if n := u.value(`SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'shops'::regclass) + (SELECT count(*) FROM pg_proc WHERE proname LIKE 'attached%')
			+ (SELECT count(*) FROM nearby.attachments) + (SELECT count(*) FROM nearby.attached_later)`); n != 0 {
			t.Errorf("%d traces", n)
		}
		if err := attach.Detach(ctx, u.url, "shops", false); !errors.Is(err, attach.ErrNotAttached) {
			t.Errorf("detached twice: %v", err)
		}
	})
}
