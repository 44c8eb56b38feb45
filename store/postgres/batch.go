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

// batch is a group of commits as nearby.commit takes it. Only the last change of
// each item is in it, in the order of the primary key.
type batch struct {
	commits int

	need     []string // collections that have to exist before
	defName  []string // collections that are another, or none, after it
	defJSON  []*string
	defFresh []bool // it was dropped before it was made

	putCollection, putID   []string
	putLon, putLat         []float64
	putProperties          []*string
	putCreated, putUpdated []time.Time
	putNth                 []int32 // which commit of the group, from 1

	delCollection, delID []string
	delNth               []int32

	expectCollection, expectID []string // no id: the collection's definition
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

// touch is a change of an item: the order-th change of the group.
type touch struct {
	change *store.Change
	nth    int32
	order  int32
}

// fate is what a batch does to a collection.
type fate struct {
	exists     bool
	changed    bool
	fresh      bool
	definition []byte
	since      int32 // changes of items before it were of a predecessor
}

// newBatch puts the commits of a group together. Their memory is shared.
func newBatch(group []*request) (*batch, error) {
	b := &batch{commits: len(group)}
	fates := map[string]*fate{}
	var touches []touch
	order := int32(0)
	for i, req := range group {
		nth := int32(i + 1)
		for j := range req.changes {
			ch := &req.changes[j]
			order++
			f := fates[ch.Collection]
			if f == nil {
				f = &fate{exists: true}
				if ch.Op != store.PutCollection {
					b.need = append(b.need, ch.Collection)
				}
				fates[ch.Collection] = f
			}
			if !f.exists && ch.Op != store.PutCollection {
				return nil, fmt.Errorf("collection %q %w", ch.Collection, store.ErrNoCollection)
			}
			switch ch.Op {
			case store.PutCollection:
				f.exists, f.changed, f.definition = true, true, ch.Definition
			case store.DropCollection:
				f.exists, f.changed, f.fresh, f.since = false, true, true, order
			default:
				touches = append(touches, touch{ch, nth, order})
			}
			if ch.Expects {
				b.expectCollection = append(b.expectCollection, ch.Collection)
				b.expectID = append(b.expectID, ch.Item.ID)
				b.expected = append(b.expected, int64(ch.Expected))
			}
		}
		for j := range req.receipts {
			b.receiptName = append(b.receiptName, req.receipts[j].Name())
			if name := req.receipts[j].Collection; fates[name] == nil && !slices.Contains(b.need, name) {
				b.need = append(b.need, name)
			}
			b.receiptOutcome = append(b.receiptOutcome, req.receipts[j].Outcome)
			b.receiptNth = append(b.receiptNth, nth)
		}
	}
	for name, f := range fates {
		if f.changed {
			b.defName = append(b.defName, name)
			b.defFresh = append(b.defFresh, f.fresh)
			var text *string
			if f.exists {
				text = new(string)
				*text = string(f.definition)
			}
			b.defJSON = append(b.defJSON, text)
		}
	}
	slices.SortFunc(touches, func(x, y touch) int {
		return cmp.Or(
			strings.Compare(x.change.Collection, y.change.Collection),
			strings.Compare(x.change.Item.ID, y.change.Item.ID),
			cmp.Compare(x.order, y.order))
	})
	for i := range touches {
		t := &touches[i]
		if i+1 < len(touches) && touches[i+1].change.Collection == t.change.Collection && touches[i+1].change.Item.ID == t.change.Item.ID {
			continue
		}
		if t.order < fates[t.change.Collection].since {
			continue
		}
		b.add(t)
	}
	return b, nil
}

func (b *batch) add(t *touch) {
	ch := t.change
	if ch.Op == store.DeleteItem {
		b.delCollection = append(b.delCollection, ch.Collection)
		b.delID = append(b.delID, ch.Item.ID)
		b.delNth = append(b.delNth, t.nth)
		return
	}
	b.putCollection = append(b.putCollection, ch.Collection)
	b.putID = append(b.putID, ch.Item.ID)
	b.putLon = append(b.putLon, ch.Item.Lon)
	b.putLat = append(b.putLat, ch.Item.Lat)
	b.putCreated = append(b.putCreated, time.UnixMilli(ch.Item.Created))
	b.putUpdated = append(b.putUpdated, time.UnixMilli(ch.Item.Updated))
	b.putNth = append(b.putNth, t.nth)
	var text *string
	if p := ch.Item.Properties; len(p) > 0 {
		s := unsafe.String(unsafe.SliceData(p), len(p)) // the caller waits for the batch
		text = &s
	}
	b.putProperties = append(b.putProperties, text)
}

func (b *batch) rows() int { return len(b.putID) + len(b.delID) }
