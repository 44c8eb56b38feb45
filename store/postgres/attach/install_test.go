package attach_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"nearby/store"
	"nearby/store/postgres/attach"
)

// A name is attached once, and to what it was attached to.
func TestAttachTwice(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, a attach.Attachment) {
		u := newShops(t, 10)
		u.attach(a)
		if done := u.attach(a); !done.Again || done.Changed != 0 || done.Rows != 10 {
			t.Errorf("attached twice: %+v", done)
		}
		other := a
		other.Properties = []string{"name"}
		_, err := attach.Attach(context.Background(), u.url, complete(other), func(int64, int64) {})
		if !errors.Is(err, attach.ErrTaken) {
			t.Errorf("attached otherwise: %v", err)
		}
		other.Collection = "second" // the same table, under another name
		u.attach(other)
		u.do(`SELECT nearby.define('ordinary', '{"index":{"kind":"auto"}}')`)
		other.Collection = "ordinary"
		if _, err := attach.Attach(context.Background(), u.url, complete(other), func(int64, int64) {}); !errors.Is(err, attach.ErrTaken) {
			t.Errorf("attached to a collection that is there: %v", err)
		}
		r := newReplica(t, u.url)
		u.do(`UPDATE shops SET name = 'both', updated_at = clock_timestamp()`)
		r.await("shops", u.wanted(shopsQuery))
		r.await("second", u.wanted(`SELECT id, lng, lat, jsonb_build_object('name', name) FROM shops`))
	})
}

// Who changes the definition, knowing an older one perhaps, changes nothing about the
// source, and cannot drop the collection.
func TestAttachedSourceIsKept(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	u := newShops(t, 10)
	u.attach(byTrigger)
	r := newReplica(t, u.url)
	definition := func() string {
		t.Helper()
		v, err := r.View(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_, defined := read(t, v)
		return defined["shops"]
	}
	put := func(definition string) {
		t.Helper()
		if _, err := r.Commit(ctx, []store.Change{{Op: store.PutCollection, Collection: "shops", Definition: []byte(definition)}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{`{"title":"other"}`, `{"title":"other","source":{"table":"another"}}`} {
		put(d)
		if d := definition(); !strings.Contains(d, `"other"`) || !strings.Contains(d, `"public.shops"`) || strings.Contains(d, "another") {
			t.Errorf("the definition became %s", d)
		}
	}
	if _, err := r.Commit(ctx, []store.Change{{Op: store.DropCollection, Collection: "shops"}}); !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), "detach") {
		t.Errorf("dropped: %v", err)
	}
	r.await("shops", u.wanted(shopsQuery))
	if err := attach.Detach(ctx, u.url, "shops", true); err != nil {
		t.Fatal(err)
	}
	put(`{"title":"free","source":{"table":"public.shops"}}`)
	if d := definition(); !strings.Contains(d, `"free"`) || strings.Contains(d, "source") {
		t.Errorf("detached, the definition became %s", d)
	}
	if _, err := r.Commit(ctx, []store.Change{{Op: store.DropCollection, Collection: "shops"}}); err != nil {
		t.Errorf("dropped: %v", err)
	}
}

// Triggers are made when nobody writes the table; until then others write it.
func TestAttachedTableIsBusy(t *testing.T) {
	t.Parallel()
	u := newShops(t, 10)
	holder := newUser(t, u.url)
	holder.do(`BEGIN`)
	holder.do(`UPDATE shops SET name = 'open' WHERE id = 1`)
	attached := make(chan error, 1)
	go func() {
		_, err := attach.Attach(context.Background(), u.url, complete(byTrigger), func(int64, int64) {})
		attached <- err
	}()
	waiting := func() bool {
		return u.value(`SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'CREATE TRIGGER%'`) == 1
	}
	await(t, "the triggers wait", waiting)
	u.do(`UPDATE shops SET name = 'between' WHERE id = 2`)
	await(t, "they are tried again", waiting)
	holder.do(`COMMIT`)
	if err := <-attached; err != nil {
		t.Fatal(err)
	}
	newReplica(t, u.url).await("shops", u.wanted(shopsQuery))
}
