package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres"
	"nearby/store/postgres/pgtest"
	"nearby/store/storetest"
)

// Bad rows take the place of what was there, for followers and views alike, and
// hinder nothing.
func TestBadRows(t *testing.T) {
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	bad := []string{
		`lon = NULL`, `lat = NULL`, `lon = 'NaN'`, `lat = 'NaN'`, `lon = 'Infinity'`, `lat = '-Infinity'`, `lon = 180.0000001`, `lat = -90.0000001`,
		`properties = '[1]'`, `properties = '"text"'`, `properties = json_build_object('x', repeat('x', 65536))`,
		// What could not be put back as it is served.
		`properties = (repeat('{"a":', 33) || '1' || repeat('}', 33))::json`, `properties = ('{"a":' || repeat('[', 32) || repeat(']', 32) || '}')::json`,
		`properties = ('{"a":[1,' || repeat('[{"b":', 16) || '2' || repeat('}]', 16) || ',3]}')::json`,
		`id = ''`, `id = '.'`, `id = '..'`, `id = E'a\nb'`, `id = E'\x7f'`, `id = U&'\0085'`, `id = U&'a\009f'`, `id = repeat('x', 257)`, `id = repeat('é', 129)`,
	}
	changes := []store.Change{define("c")}
	for i := range bad {
		changes = append(changes, put("c", fmt.Sprint(i), 1))
	}
	commit(t, s, append(changes, put("c", "good", 1))...)
	c := newCopy(t, s)
	c.follow(t, s)
	psql := connect(t, url)
	const deepest = `repeat('{"a":', 31) || '["x"]' || repeat('}', 31)`
	run(t, psql, `UPDATE nearby.items SET properties = (`+deepest+`)::json, created = '-infinity', updated = 'infinity' WHERE id = 'good'`)
	for i, set := range bad {
		run(t, psql, fmt.Sprintf(`UPDATE nearby.items SET %s WHERE id = '%d'`, set, i))
	}
	c.equals(t, s)
	if got := c.ids("c"); got != "good" {
		t.Errorf("the items are %s", got)
	}
	if _, err := item.CompactProperties(c.content["c"]["good"].Properties); err != nil {
		t.Errorf("what is served could not be put back: %v", err)
	}
	if last := time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC).UnixMilli(); c.content["c"]["good"].Updated != last {
		t.Errorf("the row was updated at %d, and no year has five digits in RFC 3339", c.content["c"]["good"].Updated)
	}
	if n := s.Stats().SkippedRows; n != uint64(len(bad)) {
		t.Errorf("%d rows were skipped, want %d", n, len(bad))
	}
	ctx := context.Background()
	v, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	digests, err := v.(store.DigestView).Digests(ctx, "c")
	if err != nil || len(digests) != 1 || digests[store.Cell(1, .5)].Items != 1 {
		t.Errorf("the digests are %v, %v", digests, err)
	}
	if err := v.(store.DigestView).Cells(ctx, "c", []uint16{store.Cell(1, .5)}, func(it *item.Item) error {
		if it.ID != "good" {
			t.Errorf("a cell has %q", it.ID)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	// It is as if they were not there.
	onNothing := put("c", "0", 3)
	onNothing.Expects = true
	commit(t, s, onNothing)
	run(t, psql, `UPDATE nearby.items SET lon = 4, lat = 4 WHERE id = '1'`)
	c.equals(t, s)
	if got := c.ids("c"); got != "0 1 good" {
		t.Errorf("the items are %s", got)
	}
}

// What is no item is none however it came into the table, and by whichever way it is read.
func TestBadRowsPastTheTriggers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	commit(t, s, define("c"), put("c", "good", 1))
	c := newCopy(t, s)
	c.follow(t, s)
	psql := connect(t, url)
	run(t, psql, `SET session_replication_role = replica`)
	bad := []string{`'[1]'`, `'"text"'`, `'1'`, `'true'`, `'null'`, `json_build_object('x', repeat('x', 65536))`, `json_build_array(repeat('x', 65536))`}
	for i, properties := range bad {
		run(t, psql, fmt.Sprintf(`INSERT INTO nearby.items (collection, id, lon, lat, properties, created, updated, seq) SELECT 'c', 'b%d', 1, 0.5, %s, now(), now(), seq + 1 FROM nearby.head`, i, properties))
		commit(t, s, put("c", "good", 1)) // which has that number, too, so that it is followed
	}
	c.equals(t, s)
	if got := c.ids("c"); got != "good" {
		t.Errorf("what follows has %s", got)
	}
	if content, _ := storetest.Read(t, s, 2); len(content["c"]) != 1 {
		t.Errorf("it is read as %q", slices.Sorted(maps.Keys(content["c"])))
	}
	v, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for i, properties := range bad {
		if it, found, err := v.Get(ctx, "c", fmt.Sprint("b", i)); found || err != nil {
			t.Errorf("%s is an item: %s, %v", properties, it.Properties, err)
		}
	}
	if err := v.(store.DigestView).Cells(ctx, "c", []uint16{store.Cell(1, .5)}, func(it *item.Item) error {
		if it.ID != "good" {
			t.Errorf("a cell has %q with %.20s", it.ID, it.Properties)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	// To put its item puts it right. A trigger would have taken null for no properties: that
	// is an item then, for which the put comes too late.
	for i, properties := range bad {
		onNothing := put("c", fmt.Sprint("b", i), 3)
		onNothing.Expects = true
		_, err := s.Commit(ctx, []store.Change{onNothing})
		if stale := errors.As(err, new(*store.StaleError)); stale != (properties == `'null'`) || err != nil && !stale {
			t.Errorf("putting an item in the place of %s: %v", properties, err)
		}
	}
	c.equals(t, s)
	if got := c.ids("c"); got != "b0 b1 b2 b3 b4 b5 b6 good" {
		t.Errorf("when they were put the items are %s", got)
	}
}

// A row past the triggers is compared like any other, whatever its numbers are.
func TestDigestsOfAnyNumber(t *testing.T) {
	ctx := context.Background()
	url := pgtest.Database(t)
	s := openStore(t, url, postgres.Options{})
	commit(t, s, define("c"), put("c", "good", 1))
	numbers := []string{"'1e308'", "'-1e308'", "'Infinity'", "'-Infinity'", "'NaN'", "NULL", "181", "5e-324"}
	psql := connect(t, url)
	run(t, psql, `SET session_replication_role = replica`)
	for i, lon := range numbers {
		for j, lat := range numbers {
			run(t, psql, fmt.Sprintf(`INSERT INTO nearby.items (collection, id, lon, lat, created, updated, seq) SELECT 'c', '%d %d', %s, %s, now(), now(), seq FROM nearby.head`, i, j, lon, lat))
		}
	}
	v, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	digests, err := v.(store.DigestView).Digests(ctx, "c")
	if err != nil {
		t.Fatal(err)
	}
	items := 0
	for _, d := range digests {
		items += d.Items
	}
	if want := 1 + len(numbers)*len(numbers); items != want {
		t.Errorf("%d rows were compared, want %d", items, want)
	}
	var found []string
	if err := v.(store.DigestView).Cells(ctx, "c", slices.Sorted(maps.Keys(digests)), func(it *item.Item) error {
		found = append(found, strings.Clone(it.ID))
		return nil
	}); err != nil || sorted(found) != "7 7 good" {
		t.Errorf("the items of all cells are %q, %v", sorted(found), err)
	}
}
