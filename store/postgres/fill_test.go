package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
)

// putAll puts n items into a collection that it makes, in two batches.
func putAll(ctx context.Context, f store.Filling, name string, n int) error {
	changes := []store.Change{{Op: store.PutCollection, Collection: name, Definition: []byte(`{"a":  1}`)}}
	for i := range n {
		changes = append(changes, store.Change{Op: store.PutItem, Collection: name, Item: item.Item{
			ID: fmt.Sprint(i), Lon: float64(i), Lat: -0.5, Properties: []byte(`{"b":  1.0}`), Created: 1, Updated: 1000 + int64(i),
		}})
	}
	return errors.Join(f.Put(ctx, changes[:1+n/2]), f.Put(ctx, changes[1+n/2:]))
}

// TestFill: what is put is read back as it was, is seen by others all at once, also by who
// follows, and later commits follow on it.
func TestFill(t *testing.T) {
	ctx := t.Context()
	url := pgtest.Database(t)
	s, other := openStore(t, url, postgres.Options{}), openStore(t, url, postgres.Options{})
	// What was in an earlier collection of the name does not come back.
	if _, err := s.Commit(ctx, []store.Change{{Op: store.PutCollection, Collection: "c", Definition: []byte(`{}`)}, {Op: store.PutItem, Collection: "c", Item: item.Item{ID: "old"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(ctx, []store.Change{{Op: store.DropCollection, Collection: "c"}}); err != nil {
		t.Fatal(err)
	}
	before, err := other.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Fill(ctx, func(f store.Filling) error {
		if err := putAll(ctx, f, "c", 100); err != nil {
			return err
		}
		if head, err := other.Head(ctx); err != nil || head != before {
			t.Errorf("others see commit %v (%v) before the end, not %v", head, err, before)
		}
		list, err := f.Collections(ctx)
		if err != nil || len(list) != 1 || string(list[0].Definition) != `{"a":  1}` {
			t.Errorf("%+v, %v", list, err)
		}
		n := 0
		err = errors.Join(err, f.Items(ctx, "c", func(it *item.Item) error {
			if n++; it.Lat != -0.5 || string(it.Properties) != `{"b":  1.0}` || it.Created != 1 || it.Updated != 1000+int64(it.Lon) || fmt.Sprint(it.Lon) != it.ID {
				t.Errorf("%+v", it)
			}
			return nil
		}))
		if n != 100 {
			t.Errorf("%d items", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ended := errors.New("all of it has come")
	if err := other.Follow(ctx, before, func(step *store.Step) error {
		for _, ch := range step.Changes {
			if ch.Op == store.PutItem {
				found++
			}
		}
		if step.Seq > before.Seq && !step.More {
			return ended
		}
		return nil
	}); !errors.Is(err, ended) || found != 100 {
		t.Errorf("who follows gets %d items, %v", found, err)
	}
	seq, err := other.Commit(ctx, []store.Change{{Op: store.DeleteItem, Collection: "c", Item: item.Item{ID: "7"}}})
	if err != nil || seq <= before.Seq+2 {
		t.Errorf("a later commit is %d, %v", seq, err)
	}
	if err := s.Fill(ctx, func(store.Filling) error { return errors.New("it is called") }); !errors.Is(err, postgres.ErrNotEmpty) {
		t.Errorf("a store that has collections: %v", err)
	}
}

// TestFillFails: nothing is left, and the store can be used, and filled, after it.
func TestFillFails(t *testing.T) {
	ctx := t.Context()
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	before, err := s.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	failed := errors.New("it failed")
	cancelled, cancel := context.WithCancel(ctx)
	for what, fill := range map[string]func(store.Filling) error{
		"it fails":          func(f store.Filling) error { return errors.Join(putAll(ctx, f, "c", 10), failed) },
		"it is interrupted": func(f store.Filling) error { defer cancel(); return putAll(ctx, f, "c", 10) },
		"bad JSON": func(f store.Filling) error {
			return f.Put(ctx, []store.Change{{Op: store.PutCollection, Collection: "c", Definition: []byte(`{`)}})
		},
		"a missing collection": func(f store.Filling) error {
			return f.Put(ctx, []store.Change{{Op: store.PutItem, Collection: "none", Item: item.Item{ID: "a"}}})
		},
	} {
		use := ctx
		if what == "it is interrupted" {
			use = cancelled
		}
		if err := s.Fill(use, fill); err == nil {
			t.Errorf("%s, and there is no error", what)
		}
		if head, err := s.Head(ctx); err != nil || head != before {
			t.Errorf("%s: the head is %v, %v, not %v", what, head, err, before)
		}
	}
	if err := s.Fill(ctx, func(f store.Filling) error { return putAll(ctx, f, "c", 10) }); err != nil {
		t.Error(err)
	}
	readOnly := openStore(t, url, postgres.Options{ReadOnly: true})
	if err := readOnly.Fill(ctx, func(store.Filling) error { return nil }); !errors.Is(err, store.ErrReadOnly) {
		t.Error(err)
	}
}
