package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"nearby/catalog"
	"nearby/collection"
	"nearby/store"
	"nearby/value"
)

// adding makes an edit that adds a queryable.
func adding(name string) catalog.Edit {
	return func(old catalog.Defined) (collection.Definition, error) {
		def := old.Definition
		def.Queryables = def.Queryables.With(value.Untyped(name))
		return def, nil
	}
}

// Of edits made at once, in one copy or several, each is made of what the others have
// made.
func TestDefineTogether(t *testing.T) { onEach(t, defineTogether) }

func defineTogether(t *testing.T, open opener) {
	c := open(t, 3, collection.Options{})
	const writers, each = 6, 5
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				made, err := c.all[w%3].Define(context.Background(), "c", adding(fmt.Sprint(w, "-", i)))
				if err != nil || made.Collection == nil || made.Version.Seq == 0 {
					t.Errorf("%+v, %v", made, err)
				}
			}
		})
	}
	all.Wait()
	c.agree()
	for i := range c.all {
		s := c.get(i, "c").Snapshot()
		if n := len(s.Definition().Queryables); n != writers*each {
			t.Errorf("copy %d has %d queryables of %d: %v", i, n, writers*each, s.Definition().Queryables)
		}
		if s.Defined() != c.get(0, "c").Snapshot().Defined() {
			t.Errorf("copy %d has the definition of commit %d", i, s.Defined())
		}
	}
}

// An edit that refuses changes nothing, and what it says is handed on.
func TestDefineRefused(t *testing.T) { onEach(t, defineRefused) }

func defineRefused(t *testing.T, open opener) {
	ctx := context.Background()
	c := open(t, 2, collection.Options{})
	errNo := errors.New("no")
	asked := catalog.Defined{}
	no := func(old catalog.Defined) (collection.Definition, error) { asked = old; return old.Definition, errNo }
	noDrop := func(old catalog.Defined) error { asked = old; return errNo }
	for _, exists := range []bool{false, true} {
		if exists {
			c.make(collection.Definition{Name: "c", Title: "T"})
		}
		for _, cat := range c.all {
			if _, err := cat.Define(ctx, "c", no); !errors.Is(err, errNo) || (asked.Version.Seq != 0) != exists || (asked.Title == "T") != exists {
				t.Errorf("%v, asked about %+v", err, asked)
			}
			if err := cat.DropIf(ctx, "c", noDrop); !errors.Is(err, errNo) || (asked.Version.Seq != 0) != exists {
				t.Errorf("%v, asked about %+v", err, asked)
			}
			if _, err := cat.Get("c"); (err == nil) != exists {
				t.Errorf("after a refusal: %v", err)
			}
		}
	}
	yes := func(catalog.Defined) error { return nil }
	if err := c.all[1].DropIf(ctx, "c", yes); err != nil {
		t.Error(err)
	}
	if err := c.all[1].DropIf(ctx, "c", yes); !errors.Is(err, collection.ErrNotFound) {
		t.Errorf("dropping nothing: %v", err)
	}
	c.agree()
}

// A definition that a copy cannot read does not keep it from making another. A
// collection that it cannot read at all is not overwritten, and can be dropped.
func TestDefineOverUnreadable(t *testing.T) {
	ctx := context.Background()
	c := openCopies(t, 2, collection.Options{})
	c.make(collection.Definition{Name: "c", Title: "T"})
	write(t, c.get(0, "c"), upsert("a", 1, 1, `{}`))
	unreadable := func(name string) {
		t.Helper()
		seq, err := c.store.Commit(ctx, []store.Change{{Op: store.PutCollection, Collection: name, Definition: []byte(`{"index":{"kind":"of tomorrow"}}`)}})
		if err != nil {
			t.Fatal(err)
		}
		c.after(c.get(0, "c").Epoch(), uint64(seq))
	}
	unreadable("c")
	if _, err := c.all[1].Define(ctx, "c", adding("x")); err != nil {
		t.Error(err)
	}
	c.agree()
	for i := range c.all {
		if s := c.get(i, "c").Snapshot(); s.Definition().Title != "T" || len(s.Definition().Queryables) != 1 || s.Len() != 1 {
			t.Errorf("copy %d: %+v with %d items", i, s.Definition(), s.Len())
		}
	}
	unreadable("d")
	if _, err := c.all[0].Define(ctx, "d", adding("x")); !errors.Is(err, collection.ErrContended) {
		t.Errorf("a collection that cannot be read: %v", err)
	}
	if err := c.all[0].Drop(ctx, "d"); err != nil {
		t.Error(err)
	}
	if _, err := c.all[0].Define(ctx, "d", adding("x")); err != nil {
		t.Error(err)
	}
	c.agree()
}
