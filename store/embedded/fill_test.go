package embedded

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"nearby/item"
	"nearby/store"
)

// TestFill: the folder gets everything that was put, or stays as it was.
func TestFill(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	root := t.TempDir()
	dir := filepath.Join(root, "new", "store")
	put := func(f store.Filling) error {
		return f.Put(ctx, []store.Change{
			{Op: store.PutCollection, Collection: "c", Definition: []byte(`{"a":  1}`)},
			{Op: store.PutItem, Collection: "c", Item: item.Item{ID: "a", Lon: 1, Lat: 2, Properties: []byte(`{"b":  1.0}`), Created: 3, Updated: 4}},
		})
	}
	failed := errors.New("it failed")
	if err := Fill(ctx, dir, Options{}, func(f store.Filling) error { return errors.Join(put(f), failed) }); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	// A process that was killed leaves a folder beside it.
	if err := os.MkdirAll(filepath.Join(dir+".restoring", "rest"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Fill(ctx, dir, Options{}, put); err != nil {
		t.Fatal(err)
	}
	s := opened(t, dir, Options{})
	f := filling{s}
	list, err := f.Collections(ctx)
	if err != nil || len(list) != 1 || string(list[0].Definition) != `{"a":  1}` {
		t.Errorf("%+v, %v", list, err)
	}
	n := 0
	if err := f.Items(ctx, "c", func(it *item.Item) error {
		if n++; it.ID != "a" || it.Lon != 1 || it.Lat != 2 || string(it.Properties) != `{"b":  1.0}` || it.Created != 3 || it.Updated != 4 {
			t.Errorf("%+v", it)
		}
		return nil
	}); err != nil || n != 1 {
		t.Errorf("%d items, %v", n, err)
	}
	closed(t, s)
	if err := Fill(ctx, dir, Options{}, put); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a folder that is used: %v", err)
	}
	other := filepath.Join(root, "other")
	if err := Fill(ctx, other, Options{}, func(f store.Filling) error { defer cancel(); return put(f) }); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v is left", entries, err)
	}
}
