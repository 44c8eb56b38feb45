package collection

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"nearby/item"
	"nearby/store"
	"nearby/table"
)

// itemState is what an item is after the changes of a group so far.
type itemState struct {
	exists  bool
	before  table.Place // in the table before the group
	change  int32       // its latest place in the group's changes; -1: none
	seq     uint64      // 0: written by this group
	created int64
	updated int64
	target  *item.Target  // of merges: what the properties are after the latest change; nil: not read
	reading table.Reading // of the properties after the latest change
}

// Group is what the writer commits at once.
type Group struct {
	Requests []*Request
	Changes  []store.Change
	Seq      uint64 // of the commit
	Doubt    error  // the commit was made, and the next start may not find it

	items   []itemState      // of each id that the group has met
	byID    map[string]int32 // the place of an id in items
	itemOf  []int32          // for each change its place in items
	growth  int              // how many items the collection has more after the group
	bytes   int              // of the properties of all changes
	reader  table.Reader     // of these
	keyed   []*Request       // have a key, and no write that was refused
	stamped bool             // the changes' items have their sequence numbers
}

// NewGroup returns an empty group with room for n changes.
func NewGroup(n int) *Group {
	return &Group{
		Changes: make([]store.Change, 0, n), itemOf: make([]int32, 0, n),
		items: make([]itemState, 0, n), byID: make(map[string]int32, n),
	}
}

// item returns the place of an id in items. When a group meets an id for the first time,
// item looks it up in the table.
func (g *Group) item(t *table.Table, hash table.Hash, id string) int32 {
	if at, ok := g.byID[id]; ok {
		return at
	}
	s := itemState{change: -1, before: t.Find(hash, id)}
	if s.before.Exists {
		old := t.At(s.before)
		s.exists, s.seq, s.created, s.updated = true, old.Seq, old.Created, old.Updated
	}
	at := int32(len(g.items))
	g.items, g.byID[id] = append(g.items, s), at
	return at
}

// add appends a change of the item at a place in items.
func (g *Group) add(ch *store.Change, at int32) {
	g.items[at].change = int32(len(g.Changes))
	g.Changes, g.itemOf = append(g.Changes, *ch), append(g.itemOf, at)
}

// Has reports whether the group is about the item with an id.
func (g *Group) Has(id string) bool {
	_, has := g.byID[id]
	return has
}

// Meets reports whether both groups are about the same item.
func (g *Group) Meets(other *Group) bool {
	for id := range g.byID {
		if other.Has(id) {
			return true
		}
	}
	return false
}

// Stamp says that the changes carry their versions, and that the group belongs to the commit seq.
func (g *Group) Stamp(seq uint64) { g.Seq, g.stamped = seq, true }

// Refused reports whether a write was refused, or skipped, because of the state of its item.
func (g *Group) Refused() bool {
	for _, req := range g.Requests {
		for i := range req.Results {
			if req.Results[i].Skipped {
				return true
			}
			if err := req.Results[i].Err; errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists) || errors.Is(err, ErrPrecondition) {
				return true
			}
		}
	}
	return false
}

// Answer gives a group's requests their results.
func (g *Group) Answer(err error) {
	for _, req := range g.Requests {
		for i := range req.Results {
			if res := &req.Results[i]; res.Err == nil && !res.Skipped {
				res.Seq = g.Seq
			}
		}
		req.Answer(err)
	}
}

// Admit checks the writes of a request against the newest state, and adds those that are not
// refused to the group.
func (w *Writer) Admit(g *Group, req *Request) {
	if req.Key != nil && slices.ContainsFunc(g.keyed, func(r *Request) bool { return r.Key.Key == req.Key.Key }) {
		req.Answer(ErrKeyInUse)
		return
	}
	g.Requests = append(g.Requests, req)
	now := time.Now().UnixMilli()
	var hashes [16]table.Hash
	for i := range req.Writes {
		if i%len(hashes) == 0 {
			for j := range req.Writes[i:min(i+len(hashes), len(req.Writes))] {
				hashes[j] = table.HashOf(req.Writes[i+j].Item.ID)
				w.fetched += w.table.Fetch(hashes[j])
			}
		}
		one, res := &req.Writes[i], &req.Results[i]
		if req.strict && i > 0 && req.Results[i-1].Err != nil {
			res.ID, res.Err = one.Item.ID, ErrNotTried
			continue
		}
		it := one.Item
		hash := hashes[i%len(hashes)]
		if it.ID == "" && one.Action != Delete {
			it.ID = item.NewID()
			hash = table.HashOf(it.ID)
		}
		res.ID = it.ID
		if res.Err = one.check(&it); res.Err != nil {
			continue
		}
		at := g.item(w.table, hash, it.ID)
		p := &g.items[at]
		switch {
		case one.Action == Insert && p.exists:
			res.Err = Refuse(ErrExists, "item %q exists already", it.ID)
		case (one.IfExists || one.IfSeq != nil) && !p.exists:
			res.Err = Refuse(ErrPrecondition, "item %q does not exist", it.ID)
		case one.IfSeq != nil && (p.seq == 0 || !slices.Contains(one.IfSeq, p.seq)):
			res.Err = Refuse(ErrPrecondition, "item %q was changed since", it.ID)
		case !one.IfUnmodified.IsZero() && p.exists && !Unmodified(p.updated, one.IfUnmodified, time.Now()):
			res.Err = Refuse(ErrPrecondition, "item %q was written after that time", it.ID)
		case one.IfAbsent && p.exists:
			res.Err = Refuse(ErrPrecondition, "item %q exists", it.ID)
		case p.exists && p.seq != 0 && slices.Contains(one.IfNotSeq, p.seq):
			res.Err = Refuse(ErrPrecondition, "item %q is in that version", it.ID)
		case (one.Action == Delete || one.Action == Patch) && !p.exists:
			res.Err = Refuse(ErrNotFound, "item %q does not exist", it.ID)
		case one.NoPosition && !p.exists:
			res.Err = Refuse(ErrNotFound, "%w", &item.FieldError{Field: "geometry", Reason: "is missing, and there is no item with this id that has a position"})
		case one.Action == Keep && p.exists:
			res.Skipped = true
		case !p.exists && w.table.Snapshot().Len()+g.growth >= w.opt.MaxItems:
			res.Err = Refuse(ErrFull, "the collection holds %d items, which is the most that it may hold", w.opt.MaxItems)
		case !p.exists && w.memoryFull():
			res.Err = Refuse(ErrMemory, "the server has too little memory left to add items")
		}
		if one.Action.merges() && res.Err == nil {
			res.Err = w.merge(g, p, one, &it)
		}
		if p.exists && res.Err == nil && !res.Skipped && one.Action != Delete && w.memoryFull() && w.grows(&it) {
			res.Err = Refuse(ErrMemory, "the server has too little memory left to make items larger")
		}
		if res.Err == nil && !res.Skipped && one.Action != Delete {
			res.Err = w.read(g, p, it.Properties)
		}
		if res.Err != nil || res.Skipped {
			continue
		}
		ch := store.Change{Op: store.PutItem, Collection: w.name, Item: it}
		if one.Action == Delete {
			ch.Op = store.DeleteItem
			p.exists = false
			g.growth--
		} else {
			if !p.exists {
				p.created = now
				g.growth++
				res.Created = true
			}
			p.exists = true
			p.updated = max(now, p.created, p.updated) // also after the clock was set back
			ch.Item.Created, ch.Item.Updated = p.created, p.updated
			res.Times.Created, res.Times.Updated = ch.Item.Created, ch.Item.Updated
		}
		if p.change < 0 { // a shared store checks that this version is still the newest
			ch.Expects, ch.Expected = true, store.Seq(p.seq)
		}
		if !one.Action.merges() {
			p.target = nil
		}
		p.seq = 0
		g.bytes += len(ch.Item.Properties)
		g.add(&ch, at)
		if one.Action.merges() {
			res.Merged = &g.Changes[p.change].Item
		}
	}
	if req.Key != nil && !slices.ContainsFunc(req.Results, func(r Result) bool { return r.Err != nil }) {
		g.keyed = append(g.keyed, req)
	}
}

// final yields the last change of each id.
func (g *Group) final(yield func(table.Replacement) bool) {
	for i := range g.Changes {
		ch, p := &g.Changes[i], &g.items[g.itemOf[i]]
		if int(p.change) != i {
			continue
		}
		if !g.stamped {
			ch.Item.Seq = g.Seq
		}
		if !yield(table.Replacement{Place: p.before, Item: &ch.Item, Delete: ch.Op == store.DeleteItem, Reading: p.reading}) {
			return
		}
	}
}

// seal finishes a group before its commit. It marks the results that a later write of the
// group replaces, and returns the receipts of the requests with keys.
func (g *Group) seal(collection string) (receipts []store.Receipt, err error) {
	n := int32(0) // changes are in the order of the results that are no errors
	for _, req := range g.Requests {
		for i := range req.Results {
			if res := &req.Results[i]; res.Err == nil && !res.Skipped {
				res.Replaced = g.items[g.itemOf[n]].change != n
				n++
			}
		}
	}
	for _, req := range g.keyed {
		receipt := store.Receipt{Collection: collection, Key: req.Key.Key}
		if receipt.Outcome, err = req.outcome(); err != nil {
			return nil, err
		}
		receipts = append(receipts, receipt)
	}
	return receipts, nil
}

// latest returns the position and the properties of an item in its newest version, which may be
// one of the same group; nothing if it does not exist.
func (w *Writer) latest(g *Group, p *itemState) (lon, lat float64, properties []byte) {
	switch {
	case !p.exists:
		return 0, 0, nil
	case p.change >= 0:
		last := &g.Changes[p.change].Item
		return last.Lon, last.Lat, last.Properties
	}
	last := w.table.At(p.before)
	return last.Lon, last.Lat, last.Properties
}

// read checks the values of an item that is to be written, and keeps what was read of them.
func (w *Writer) read(g *Group, p *itemState, properties []byte) error {
	var before []byte
	if p.exists {
		if _, _, before = w.latest(g, p); bytes.Equal(before, properties) { // as when it moves
			return nil
		}
	}
	reading, err := w.table.Read(&g.reader, properties, before)
	if err == nil {
		p.reading = reading
	}
	return err
}

// merge applies a patch to the newest version of its item, which may be one of the same
// group. If another replica has written a newer version, the store refuses the commit, and
// the patch is merged again.
func (w *Writer) merge(g *Group, p *itemState, one *Write, it *item.Item) error {
	lon, lat, old := w.latest(g, p)
	if one.NoPosition {
		it.Lon, it.Lat = lon, lat
	}
	if it.Properties = old; len(one.Item.Properties) == 0 {
		return nil
	}
	// If a group merges into one item several times, its properties are parsed once. For an
	// item that comes once the parsed form is not kept: it needs much more memory.
	target := p.target
	p.target = nil
	if target == nil {
		target = item.NewTarget(old)
	}
	merged, err := target.Merge(one.Item.Properties)
	if err != nil {
		return err
	}
	switch {
	case string(merged) == "null" || string(merged) == "{}":
		merged = nil
	case merged[0] != '{':
		return &item.FieldError{Field: "properties", Got: item.Shorten(string(merged[:min(len(merged), 100)])), Reason: "must be a JSON object"}
	case len(merged) > item.MaxPropertiesBytes:
		return &item.FieldError{Field: "properties", Reason: fmt.Sprintf("must have at most %d bytes, would have %d when merged", item.MaxPropertiesBytes, len(merged))}
	}
	it.Properties = merged
	if p.change >= 0 {
		p.target = target
	}
	return nil
}

// check validates one write by itself.
func (w *Write) check(it *item.Item) error {
	if w.Action == Delete {
		return item.CheckStoredID(it.ID)
	}
	if err := item.CheckID(it.ID); err != nil {
		return err
	}
	if w.NoPosition {
		if !w.Action.merges() {
			return &item.FieldError{Field: "geometry", Reason: "is missing, must be a Point"}
		}
	} else if err := item.CheckPosition(it.Lon, it.Lat); err != nil {
		return err
	}
	it.Lon, it.Lat = it.Lon+0, it.Lat+0 // -0 is stored as 0
	if len(it.Properties) > item.MaxPropertiesBytes {
		return &item.FieldError{Field: "properties", Reason: fmt.Sprintf("must have at most %d bytes, has %d", item.MaxPropertiesBytes, len(it.Properties))}
	}
	return nil
}

func (w *Writer) memoryFull() bool { return w.opt.MemoryFull != nil && w.opt.MemoryFull() }

// grows reports whether an item has more properties than the newest snapshot has of it.
func (w *Writer) grows(it *item.Item) bool {
	old, _ := w.table.Snapshot().Get(it.ID)
	return len(it.Properties) > len(old.Properties)
}
