package storetest

import (
	"fmt"
	"maps"

	"nearby/item"
	"nearby/store"
)

// content has all collections, by name.
type content map[string]*collection

type collection struct {
	definition    []byte
	items         map[string]item.Item
	born, defined uint64
	shown         bool // a view may show it, so it must not be changed
}

// check returns an error if a batch is not valid. It changes nothing.
func (c content) check(changes []store.Change, receipts []store.Receipt) error {
	made := map[string]bool{} // false: dropped
	exists := func(name string) error {
		there, ok := made[name]
		if !ok {
			there = c[name] != nil
		}
		if !there {
			return fmt.Errorf("%w: %q", store.ErrNoCollection, name)
		}
		return nil
	}
	for i := range changes {
		ch := &changes[i]
		if ch.Op == store.PutCollection {
			made[ch.Collection] = true
		} else if err := exists(ch.Collection); err != nil {
			return err
		}
		if ch.Op == store.DropCollection {
			made[ch.Collection] = false
		}
	}
	for i := range receipts {
		if err := exists(receipts[i].Collection); err != nil {
			return err
		}
	}
	return nil
}

// show returns a copy of the content for a view. change does not change it.
func (c content) show() content {
	for _, col := range c {
		col.shown = true
	}
	return maps.Clone(c)
}

// change applies a change that check has allowed. The change has memory of its own, and its
// Item.Seq is set.
func (c content) change(ch *store.Change) {
	col := c[ch.Collection]
	if col != nil && col.shown && ch.Op != store.DropCollection {
		col = &collection{definition: col.definition, items: maps.Clone(col.items), born: col.born, defined: col.defined}
		c[ch.Collection] = col
	}
	switch ch.Op {
	case store.PutItem:
		col.items[ch.Item.ID] = ch.Item
	case store.DeleteItem:
		delete(col.items, ch.Item.ID)
	case store.PutCollection:
		if col == nil {
			col = &collection{items: map[string]item.Item{}, born: ch.Item.Seq}
			c[ch.Collection] = col
		}
		col.definition, col.defined = ch.Definition, ch.Item.Seq
	case store.DropCollection:
		delete(c, ch.Collection)
	}
}
