package postgres

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/google/uuid"

	"nearby/store"
)

// batch has the arguments of nearby.commit for a group of commits. It has only the last
// change of each item, in the order of the primary key.
type batch struct {
	commits int

	need     []string  // collections that must exist before the batch
	defName  []string  // collections that the batch makes, redefines or drops
	defJSON  []*string // their new definitions; nil: dropped
	defFresh []bool    // the batch drops an existing collection of that name first

	putCollection, putID   []string
	putLon, putLat         []float64
	putProperties          []*string
	putCreated, putUpdated []time.Time
	putNth                 []int32 // the position of the commit in the group, from 1

	delCollection, delID []string
	delNth               []int32

	expectCollection, expectID []string // an empty id stands for the collection's definition
	expected                   []int64

	receiptName    []string
	receiptOutcome [][]byte
	receiptNth     []int32
}

const commitSQL = `SELECT last, epoch FROM nearby.commit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
  $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)`

func (b *batch) arguments(writer uuid.UUID, fence, number int64) []any {
	return []any{writer, fence, number, b.commits, b.need, b.defName, b.defJSON, b.defFresh,
		b.putCollection, b.putID, b.putLon, b.putLat, b.putProperties, b.putCreated, b.putUpdated, b.putNth,
		b.delCollection, b.delID, b.delNth, b.expectCollection, b.expectID, b.expected,
		b.receiptName, b.receiptOutcome, b.receiptNth}
}

// itemChange is a change of an item.
type itemChange struct {
	change *store.Change
	nth    int32 // the position of its commit in the group, from 1
	order  int32 // its position among all changes of the group, from 1
}

// collectionChange is what a batch does to a collection.
type collectionChange struct {
	exists     bool // after the changes so far
	changed    bool // made, redefined or dropped
	fresh      bool // dropped
	definition []byte
	since      int32 // the order of the last drop: earlier changes of items have no effect
}

// newBatch makes a batch of the commits of a group. It shares their memory.
func newBatch(group []*request) (*batch, error) {
	b := &batch{commits: len(group)}
	collections := map[string]*collectionChange{}
	var items []itemChange
	order := int32(0)
	for i, req := range group {
		nth := int32(i + 1)
		for j := range req.changes {
			ch := &req.changes[j]
			order++
			c := collections[ch.Collection]
			if c == nil {
				c = &collectionChange{exists: true}
				if ch.Op != store.PutCollection {
					b.need = append(b.need, ch.Collection)
				}
				collections[ch.Collection] = c
			}
			if !c.exists && ch.Op != store.PutCollection {
				return nil, fmt.Errorf("collection %q %w", ch.Collection, store.ErrNoCollection)
			}
			switch ch.Op {
			case store.PutCollection:
				c.exists, c.changed, c.definition = true, true, ch.Definition
			case store.DropCollection:
				c.exists, c.changed, c.fresh, c.since = false, true, true, order
			default:
				items = append(items, itemChange{ch, nth, order})
			}
			if ch.Expects {
				b.expectCollection = append(b.expectCollection, ch.Collection)
				b.expectID = append(b.expectID, ch.Item.ID)
				b.expected = append(b.expected, int64(ch.Expected))
			}
		}
		for j := range req.receipts {
			b.receiptName = append(b.receiptName, req.receipts[j].Name())
			if name := req.receipts[j].Collection; collections[name] == nil && !slices.Contains(b.need, name) {
				b.need = append(b.need, name)
			}
			b.receiptOutcome = append(b.receiptOutcome, req.receipts[j].Outcome)
			b.receiptNth = append(b.receiptNth, nth)
		}
	}
	for name, c := range collections {
		if c.changed {
			b.defName = append(b.defName, name)
			b.defFresh = append(b.defFresh, c.fresh)
			var text *string
			if c.exists {
				text = new(string)
				*text = string(c.definition)
			}
			b.defJSON = append(b.defJSON, text)
		}
	}
	slices.SortFunc(items, func(x, y itemChange) int {
		return cmp.Or(
			strings.Compare(x.change.Collection, y.change.Collection),
			strings.Compare(x.change.Item.ID, y.change.Item.ID),
			cmp.Compare(x.order, y.order))
	})
	for i := range items {
		it := &items[i]
		if i+1 < len(items) && items[i+1].change.Collection == it.change.Collection && items[i+1].change.Item.ID == it.change.Item.ID {
			continue
		}
		if it.order < collections[it.change.Collection].since {
			continue
		}
		b.add(it)
	}
	return b, nil
}

func (b *batch) add(it *itemChange) {
	ch := it.change
	if ch.Op == store.DeleteItem {
		b.delCollection = append(b.delCollection, ch.Collection)
		b.delID = append(b.delID, ch.Item.ID)
		b.delNth = append(b.delNth, it.nth)
		return
	}
	b.putCollection = append(b.putCollection, ch.Collection)
	b.putID = append(b.putID, ch.Item.ID)
	b.putLon = append(b.putLon, ch.Item.Lon)
	b.putLat = append(b.putLat, ch.Item.Lat)
	b.putCreated = append(b.putCreated, time.UnixMilli(ch.Item.Created))
	b.putUpdated = append(b.putUpdated, time.UnixMilli(ch.Item.Updated))
	b.putNth = append(b.putNth, it.nth)
	var text *string
	if p := ch.Item.Properties; len(p) > 0 {
		s := unsafe.String(unsafe.SliceData(p), len(p)) // Commit keeps p unchanged until the batch is made
		text = &s
	}
	b.putProperties = append(b.putProperties, text)
}

func (b *batch) rows() int { return len(b.putID) + len(b.delID) }
