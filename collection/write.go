package collection

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"nearby/index"
	"nearby/item"
	"nearby/store"
)

// Op is what a Write does.
type Op uint8

const (
	Upsert Op = iota + 1 // insert or replace
	Insert               // ErrExists if the id is taken
	Delete               // ErrNotFound if there is no such item
)

// Write is one change that a caller asks for.
type Write struct {
	Op   Op
	Item item.Item // Delete needs only the ID. An empty ID is made up (not for Delete).
	// IfSeq, when not 0, demands that the item exists in this version;
	// ErrPrecondition otherwise.
	IfSeq uint64
	// IfExists demands that the item exists; ErrPrecondition otherwise.
	IfExists bool
	// IfAbsent demands that it does not; ErrPrecondition otherwise.
	IfAbsent bool
}

// Result is the outcome of one Write.
type Result struct {
	ID      string
	Created bool   // a new item; false: replaced or deleted
	Seq     uint64 // the item's new version
	Times   struct{ Created, Updated int64 }
	Err     error // why this write was refused; the others of its request stand
}

// request is what one caller hands to the writer. The writer sets err and the
// results before it closes done.
type request struct {
	writes  []Write
	results []Result
	run     func() error // instead of writes: run by the writer between groups
	err     error
	done    chan struct{}
}

// Write makes changes durable and visible and returns one result for each, in
// order. Refused writes do not hinder the others. An error means that none was
// applied, except store.ErrUncertain and a context that ended while waiting:
// then they may have been. The caller must not change writes until it returns;
// if the context ended, never.
func (c *Collection) Write(ctx context.Context, writes []Write) ([]Result, error) {
	wait, err := c.Begin(writes)
	if err != nil {
		return nil, err
	}
	return wait(ctx)
}

// Begin is Write in two steps: it queues the changes, and wait, to be called once,
// gives their outcome. Changes are made in the order in which they were begun, so
// that a caller may begin the next while the writer is busy with the last.
func (c *Collection) Begin(writes []Write) (wait func(context.Context) ([]Result, error), err error) {
	if len(writes) == 0 {
		return func(context.Context) ([]Result, error) { return nil, nil }, nil
	}
	select {
	case <-c.stopped:
		return nil, ErrClosed
	default:
	}
	req := &request{writes: writes, results: make([]Result, len(writes)), done: make(chan struct{})}
	select {
	case c.queue <- req:
	default:
		return nil, ErrBusy
	}
	return func(ctx context.Context) ([]Result, error) {
		if err := c.await(ctx, req); err != nil {
			return nil, err
		}
		return req.results, nil
	}, nil
}

// await waits for the outcome of a request.
func (c *Collection) await(ctx context.Context, req *request) error {
	select {
	case <-req.done:
		return req.err
	case <-c.stopped:
		// The writer may have answered as it stopped.
		select {
		case <-req.done:
			return req.err
		default:
			return ErrClosed
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pending is the state of an id inside the group that is being formed.
type pending struct {
	id      string
	exists  bool
	stored  bool // the snapshot before the group has it, as ref
	ref     index.Ref
	hash    uint32 // of the id
	change  int32  // its latest place in the group's changes; -1: none
	seq     uint64 // 0: written by this group
	created int64
}

// group is what the writer commits at once.
type group struct {
	requests []*request
	changes  []store.Change
	ids      []int32 // for each change the place of its id in touched
	touched  []pending
	places   places // of ids in touched
	items    int    // by how many the collection grows
	seq      uint64 // of the commit
	fetched  uint32 // means nothing
}

// newGroup returns a group with room for n changes.
func newGroup(n int) *group {
	return &group{
		changes: make([]store.Change, 0, n), ids: make([]int32, 0, n),
		touched: make([]pending, 0, n), places: newPlaces(n),
	}
}

// touch returns the place in touched of an id, which is looked up in the newest
// snapshot when the group meets it first.
func (g *group) touch(tip *Snapshot, hash uint32, id string) int32 {
	if at, ok := g.places.find(g.touched, id); ok {
		return at
	}
	p := pending{id: id, change: -1, hash: hash}
	if p.ref, p.stored = tip.ids.lookup(&tip.records, p.hash, id); p.stored {
		old := tip.records.item(p.ref)
		p.exists, p.seq, p.created = true, old.Seq, old.Created
	}
	at := int32(len(g.touched))
	g.touched = append(g.touched, p)
	g.places.add(g.touched)
	return at
}

// landing is a durable group on its way into memory.
type landing struct {
	*group
	next  *Snapshot // complete but for the index
	edit  edit
	moves []index.Change
	freed []index.Ref
	done  chan struct{} // closed when the index, or err, is there
	index index.Index
	err   error
}

// run is the writer: it forms groups, commits them and publishes snapshots until
// the collection is closed. While the index takes in one group, the next is
// formed and committed; it is answered after the one before it, for what it was
// checked against must be visible by then.
func (c *Collection) run() {
	defer close(c.stopped)
	var under *landing
	var done chan struct{}
	settle := func() {
		if under != nil {
			c.finish(under)
			under, done = nil, nil
		}
	}
	for {
		select {
		case req := <-c.queue:
			g := c.gather(req)
			err := c.commit(g)
			settle()
			if under = c.apply(g, err); under != nil {
				done = under.done
			}
		case <-done:
			settle()
		case req := <-c.control:
			settle()
			req.err = req.run()
			close(req.done)
		case <-c.closing:
			settle()
			c.drain()
			return
		}
	}
}

// gather forms a group of the first request and those that wait.
func (c *Collection) gather(first *request) *group {
	g := newGroup(len(first.writes))
	c.admit(g, first)
	yielded := false
	for len(g.changes) < c.opt.MaxGroup {
		select {
		case next := <-c.queue:
			c.admit(g, next)
			yielded = false
		default:
			if yielded {
				return g
			}
			runtime.Gosched() // those about to queue a request share the sync
			yielded = true
		}
	}
	return g
}

// drain answers what is queued when the collection closes: accepted requests
// are finished.
func (c *Collection) drain() {
	for {
		select {
		case req := <-c.queue:
			g := c.gather(req)
			if l := c.apply(g, c.commit(g)); l != nil {
				c.finish(l)
			}
		default:
			return
		}
	}
}

// admit checks a request's writes against the newest state and adds the changes
// that follow to the group.
func (c *Collection) admit(g *group, req *request) {
	g.requests = append(g.requests, req)
	now := time.Now().UnixMilli()
	var hashes [16]uint32
	for i := range req.writes {
		if i%len(hashes) == 0 {
			for j := range req.writes[i:min(i+len(hashes), len(req.writes))] {
				hashes[j] = hashID(req.writes[i+j].Item.ID)
				g.fetched += c.tip.ids.fetch(hashes[j])
			}
		}
		w, res := &req.writes[i], &req.results[i]
		it := w.Item
		hash := hashes[i%len(hashes)]
		if it.ID == "" && w.Op != Delete {
			it.ID = item.NewID()
			hash = hashID(it.ID)
		}
		res.ID = it.ID
		if res.Err = c.check(w, &it); res.Err != nil {
			continue
		}
		at := g.touch(c.tip, hash, it.ID)
		p := &g.touched[at]
		switch {
		case w.Op == Insert && p.exists:
			res.Err = fmt.Errorf("%w: %q", ErrExists, it.ID)
		case w.IfAbsent && p.exists:
			res.Err = fmt.Errorf("%w: the item %q exists", ErrPrecondition, it.ID)
		case (w.IfExists || w.IfSeq != 0) && !p.exists:
			res.Err = fmt.Errorf("%w: there is no item %q", ErrPrecondition, it.ID)
		case w.IfSeq != 0 && w.IfSeq != p.seq:
			res.Err = fmt.Errorf("%w: the item %q was changed since", ErrPrecondition, it.ID)
		case w.Op == Delete && !p.exists:
			res.Err = fmt.Errorf("%w: item %q", ErrNotFound, it.ID)
		case !p.exists && c.tip.Len()+g.items >= c.opt.MaxItems:
			res.Err = fmt.Errorf("%w: it holds %d items", ErrFull, c.opt.MaxItems)
		}
		if res.Err != nil {
			continue
		}
		ch := store.Change{Op: store.PutItem, Collection: c.name, Item: it}
		if w.Op == Delete {
			ch.Op = store.DeleteItem
			p.exists = false
			g.items--
		} else {
			if !p.exists {
				p.created = now
				g.items++
				res.Created = true
			}
			p.exists = true
			ch.Item.Created, ch.Item.Updated = p.created, max(now, p.created)
			res.Times.Created, res.Times.Updated = ch.Item.Created, ch.Item.Updated
		}
		p.seq = 0
		p.change = int32(len(g.changes))
		g.changes, g.ids = append(g.changes, ch), append(g.ids, at)
	}
}

// check validates one write by itself.
func (c *Collection) check(w *Write, it *item.Item) error {
	if err := item.CheckID(it.ID); err != nil {
		return err
	}
	if w.Op == Delete {
		return nil
	}
	if err := item.CheckPosition(it.Lon, it.Lat); err != nil {
		return err
	}
	it.Lon, it.Lat = it.Lon+0, it.Lat+0 // -0 is stored as 0
	if len(it.Properties) > item.MaxPropertiesBytes {
		return &item.FieldError{Field: "properties", Reason: fmt.Sprintf("must have at most %d bytes, has %d", item.MaxPropertiesBytes, len(it.Properties))}
	}
	return nil
}

// commit makes a group durable.
func (c *Collection) commit(g *group) error {
	if len(g.changes) == 0 {
		return nil
	}
	if c.failed != nil {
		return c.failed
	}
	// The commit is not tied to a caller's patience: others share it.
	ctx, cancel := context.WithTimeout(context.Background(), c.opt.CommitTimeout)
	defer cancel()
	seq, err := c.store.Commit(ctx, g.changes)
	if err != nil {
		if errors.Is(err, store.ErrUncertain) {
			// What is in memory may no longer be what is stored.
			c.failed = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		c.log.Error("commit failed", "collection", c.name, "changes", len(g.changes), "error", err)
		return err
	}
	g.seq = uint64(seq)
	return nil
}

// answer gives a group's requests their results.
func (g *group) answer(err error) {
	for _, req := range g.requests {
		req.err = err
		for i := range req.results {
			if req.results[i].Err == nil {
				req.results[i].Seq = g.seq
			}
		}
		close(req.done)
	}
}

// overlapFrom is the number of changes from which the index takes them in beside
// the writer; a few are done before another goroutine has begun.
const overlapFrom = 256

// apply makes the next tip from a committed group, err being the outcome of its
// commit. If that leaves something to wait for, the caller must finish what is
// returned before it applies another group; else the group is answered.
func (c *Collection) apply(g *group, err error) *landing {
	if err == nil && len(g.changes) > 0 {
		err = c.failed // since the commit
	}
	if err != nil || len(g.changes) == 0 {
		g.answer(err)
		return nil
	}
	l := &landing{group: g, done: make(chan struct{})}
	if l.err = c.applyTables(l); l.err != nil || len(l.moves) < overlapFrom {
		l.reindex()
		c.finish(l)
		return nil
	}
	go l.reindex()
	return l
}

// reindex makes the index of the next snapshot.
func (l *landing) reindex() {
	if l.err == nil && len(l.moves) > 0 {
		l.index, l.err = l.next.index.Apply(l.moves, &l.next.records)
	}
	close(l.done)
}

// finish waits for the index, publishes the next snapshot and answers the group.
func (c *Collection) finish(l *landing) {
	<-l.done
	if l.err != nil {
		// The store has it, memory refused it: only a defect can do that.
		c.log.Error("a durable commit could not be applied; the collection takes no writes until restart",
			"collection", c.name, "seq", l.seq, "error", l.err)
		c.failed = fmt.Errorf("%w: a durable commit could not be applied", store.ErrUnavailable)
		l.answer(c.failed)
		return
	}
	if l.index != nil {
		l.next.index = l.index
	}
	c.rebuild.note(l.moves)
	c.free(l.edit, l.next, l.freed)
	c.compact(l.edit, l.next)
	c.publish(l.next)
	c.reconsider()
	l.answer(nil)
}

// applyTables makes the next tip of the present one and a group: all of it but
// the index. Only the last change of each id counts.
func (c *Collection) applyTables(l *landing) error {
	e, g := newEdit(), l.group
	next := c.tip.next(g.seq)
	next.records.where = next.records.where.own()
	next.ids.buckets = next.ids.buckets.own()
	for i := range next.columns {
		next.columns[i].values = next.columns[i].values.own()
	}
	l.edit, l.next = e, next
	l.moves = make([]index.Change, 0, len(g.changes))
	added := make([]entry, 0, max(0, g.items))
	for i := range g.changes {
		ch, p := &g.changes[i], &g.touched[g.ids[i]]
		it := &ch.Item
		if int(p.change) != i {
			continue
		}
		ref := p.ref
		if ch.Op == store.DeleteItem {
			if !p.stored { // inserted and deleted in this group
				continue
			}
			old := next.records.item(ref)
			l.moves = append(l.moves, index.Change{Op: index.Delete, Ref: ref, Old: index.Position{Lon: old.Lon, Lat: old.Lat}})
			l.freed = append(l.freed, ref)
			next.ids.remove(e, &next.records, it.ID)
			continue
		}
		it.Seq = g.seq
		loc := c.arena.append(it)
		next.records.chunks = c.arena.chunks
		to := index.Position{Lon: it.Lon, Lat: it.Lat}
		if p.stored {
			old := next.records.item(ref)
			c.arena.kill(next.records.location(ref))
			next.records.locate(e, ref, loc)
			if from := (index.Position{Lon: old.Lon, Lat: old.Lat}); from != to {
				l.moves = append(l.moves, index.Change{Op: index.Move, Ref: ref, Old: from, New: to})
			}
		} else {
			ref = c.refs.take()
			next.records.locate(e, ref, loc)
			added = append(added, entry{p.hash, ref})
			l.moves = append(l.moves, index.Change{Op: index.Insert, Ref: ref, New: to})
		}
		next.extend(to)
		if err := next.setColumns(e, ref, it.Properties); err != nil {
			return err
		}
	}
	next.ids.add(e, &next.records, added)
	c.tip = next
	return nil
}

// setColumns puts an item's queryable values into the columns.
func (s *Snapshot) setColumns(e edit, ref index.Ref, properties []byte) error {
	columns := s.columns
	for i := range columns {
		if columns[i].values.at(uint32(ref)) != 0 {
			columns[i].values.set(e, uint32(ref), 0)
		}
	}
	return extract(properties, s.def.Queryables, func(i int, key []byte) {
		columns[i].values.set(e, uint32(ref), columns[i].dict.number(key))
	})
}

// free gives back the records and refs of deleted items. While an index is being
// built beside, it may still name them, so they wait.
func (c *Collection) free(e edit, next *Snapshot, freed []index.Ref) {
	c.grave = append(c.grave, freed...)
	if c.rebuild.active() {
		return
	}
	for _, ref := range c.grave {
		c.arena.kill(next.records.location(ref))
		next.records.locate(e, ref, 0)
		c.refs.give(ref)
	}
	c.grave = c.grave[:0]
}

// compact empties one chunk whose records are mostly dead, if there is one.
func (c *Collection) compact(e edit, next *Snapshot) {
	if c.rebuild.active() {
		return // deleted items keep their records until it is done
	}
	chunk := c.arena.sparse(0)
	if chunk < 0 {
		return
	}
	data := c.arena.chunks[chunk][:chunkHead+c.arena.filled[chunk]]
	for off := chunkHead; off < len(data); {
		it := decodeRecord(data, off)
		loc := uint64(chunk)<<32 | uint64(off)
		next.records.chunks = c.arena.chunks
		if ref, ok := next.ids.find(&next.records, it.ID()); ok && next.records.location(ref) == loc {
			moved := it.Copy()
			next.records.locate(e, ref, c.arena.append(&moved))
		}
		off += recordLen(data[off:])
	}
	c.arena.drop(chunk)
	next.records.chunks = c.arena.chunks
}

// refPool hands out item numbers, used ones first.
type refPool struct {
	used []index.Ref
	next index.Ref
}

func (p *refPool) take() index.Ref {
	if n := len(p.used); n > 0 {
		ref := p.used[n-1]
		p.used = p.used[:n-1]
		return ref
	}
	ref := p.next
	p.next++
	return ref
}

func (p *refPool) give(ref index.Ref) { p.used = append(p.used, ref) }
