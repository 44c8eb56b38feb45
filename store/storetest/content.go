package storetest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"strings"
	"sync"
	"testing"

	"nearby/item"
	"nearby/store"
)

// Content has all items of all collections, by the name of the collection and the id.
type Content map[string]map[string]item.Item

// Read reads all items of a store from a new view, and returns the position of the view.
func Read(t testing.TB, s store.Store, parts int) (Content, store.CommitID) {
	t.Helper()
	v, err := s.View(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	return ReadView(t, v, parts), v.At()
}

// ReadView reads all items from a view.
func ReadView(t testing.TB, v store.View, parts int) Content {
	t.Helper()
	content, err := readView(v, parts)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func readView(v store.View, parts int) (Content, error) {
	ctx := context.Background()
	all, err := v.Collections(ctx)
	if err != nil {
		return nil, err
	}
	content := Content{}
	for i, c := range all {
		if i > 0 && c.Name <= all[i-1].Name {
			return nil, fmt.Errorf("collection %q came after %q", c.Name, all[i-1].Name)
		}
		items := map[string]item.Item{}
		var mu sync.Mutex
		err := v.Items(ctx, c.Name, parts, func(part int, it *item.Item) error {
			mu.Lock()
			defer mu.Unlock()
			if part < 0 || part >= parts {
				return fmt.Errorf("%s: part %d of %d", c.Name, part, parts)
			}
			if _, twice := items[it.ID]; twice {
				return fmt.Errorf("%s: %q came twice", c.Name, it.ID)
			}
			own := detached(it)
			items[own.ID] = own
			return nil
		})
		if err != nil {
			return nil, err
		}
		content[c.Name] = items
	}
	return content, nil
}

// detached returns a copy of an item with memory of its own.
func detached(it *item.Item) item.Item {
	own := *it
	own.ID, own.Properties = strings.Clone(it.ID), bytes.Clone(it.Properties)
	return own
}

// Equal fails the test if two contents differ.
func Equal(t testing.TB, got, want Content) {
	t.Helper()
	if err := got.differs(want); err != nil {
		t.Fatal(err)
	}
}

// differs returns an error that names the first difference from the wanted content, or nil.
func (c Content) differs(want Content) error {
	if len(c) != len(want) {
		return fmt.Errorf("%d collections, want %d", len(c), len(want))
	}
	for name, items := range want {
		if len(c[name]) != len(items) {
			return fmt.Errorf("%s: %d items, want %d", name, len(c[name]), len(items))
		}
		for id, w := range items {
			if g, ok := c[name][id]; !ok || !same(&g, &w) {
				return fmt.Errorf("%s: %q is %+v, want %+v", name, id, g, w)
			}
		}
	}
	return nil
}

// same reports whether two items are equal, bit for bit.
func same(a, b *item.Item) bool {
	return math.Float64bits(a.Lon) == math.Float64bits(b.Lon) && math.Float64bits(a.Lat) == math.Float64bits(b.Lat) &&
		a.ID == b.ID && bytes.Equal(a.Properties, b.Properties) &&
		a.Created == b.Created && a.Updated == b.Updated && a.Seq == b.Seq
}

func (c Content) clone() Content {
	own := make(Content, len(c))
	for name, items := range c {
		own[name] = maps.Clone(items) // the items' memory is never written to
	}
	return own
}

func define(name string) store.Change {
	return store.Change{Op: store.PutCollection, Collection: name, Definition: []byte(`{"of":"` + name + `"}`)}
}

func put(collection, id string, lon float64) store.Change {
	return store.Change{Op: store.PutItem, Collection: collection, Item: item.Item{
		ID: id, Lon: lon, Lat: -lon / 2, Properties: []byte(`{"id":"` + id + `"}`), Created: 5, Updated: int64(lon),
	}}
}

func del(collection, id string) store.Change {
	return store.Change{Op: store.DeleteItem, Collection: collection, Item: item.Item{ID: id}}
}

func drop(collection string) store.Change {
	return store.Change{Op: store.DropCollection, Collection: collection}
}

// payload returns a JSON object of n bytes, or nil if n is 0.
func payload(n int) []byte {
	if n == 0 {
		return nil
	}
	const frame = `{"p":""}`
	return []byte(`{"p":"` + strings.Repeat("p", n-len(frame)) + `"}`)
}

// apply applies the changes of a commit.
func (c Content) apply(seq store.Seq, changes []store.Change) {
	for i := range changes {
		ch := changes[i]
		ch.Item.Seq = uint64(seq)
		if err := c.change(&ch); err != nil {
			panic(err) // the test itself has made a wrong batch
		}
	}
}

// change applies one change. Its Item.Seq is set already.
func (c Content) change(ch *store.Change) error {
	items, exists := c[ch.Collection]
	switch ch.Op {
	case store.PutCollection:
		if !exists {
			c[ch.Collection] = map[string]item.Item{}
		}
	case store.DropCollection:
		delete(c, ch.Collection)
	case store.PutItem:
		if !exists {
			return fmt.Errorf("%q is put into %q, which does not exist", ch.Item.ID, ch.Collection)
		}
		own := detached(&ch.Item)
		items[own.ID] = own
	case store.DeleteItem:
		delete(items, ch.Item.ID)
	default:
		return fmt.Errorf("unknown operation %d", ch.Op)
	}
	return nil
}
