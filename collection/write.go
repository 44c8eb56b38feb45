package collection

import (
	"context"
	"errors"
	"fmt"
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
	if len(writes) == 0 {
		return nil, nil
	}
	req := &request{writes: writes, results: make([]Result, len(writes)), done: make(chan struct{})}
	if err := c.submit(ctx, req); err != nil {
		return nil, err
	}
	return req.results, nil
}

// submit queues a request and waits for it.
func (c *Collection) submit(ctx context.Context, req *request) error {
	select {
	case <-c.stopped:
		return ErrClosed
	default:
	}
	select {
	case c.queue <- req:
	default:
		return ErrBusy
	}
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
	exists  bool
	seq     uint64 // 0: written by this group
	created int64
	change  int // its latest place in the group's changes; -1: none
}

// group is what the writer commits at once.
type group struct {
	requests []*request
	changes  []store.Change
	touched  map[string]*pending
	items    int
}

// run is the writer: it forms groups, commits them and publishes snapshots until
// the collection is closed.
func (c *Collection) run() {
	defer close(c.stopped)
	for {
		select {
		case req := <-c.queue:
			c.commit(c.gather(req))
		case req := <-c.control:
			req.err = req.run()
			close(req.done)
		case <-c.closing:
			c.drain()
			return
		}
	}
}

// gather forms a group of the first request and those that wait.
func (c *Collection) gather(first *request) *group {
	g := &group{touched: map[string]*pending{}}
	c.admit(g, first)
	for len(g.changes) < c.opt.MaxGroup {
		select {
		case next := <-c.queue:
			c.admit(g, next)
		default:
			return g
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
			c.commit(c.gather(req))
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
	for i := range req.writes {
		w, res := &req.writes[i], &req.results[i]
		it := w.Item
		if it.ID == "" && w.Op != Delete {
			it.ID = item.NewID()
		}
		res.ID = it.ID
		if res.Err = c.check(w, &it); res.Err != nil {
			continue
		}
		p := g.touched[it.ID]
		if p == nil {
			p = &pending{change: -1}
			if old, ok := c.tip.Get(it.ID); ok {
				p.exists, p.seq, p.created = true, old.Seq, old.Created
			}
			g.touched[it.ID] = p
		}
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
		p.change = len(g.changes)
		g.changes = append(g.changes, ch)
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

// commit makes a group durable, then visible, then answers its requests.
func (c *Collection) commit(g *group) {
	var err error
	if len(g.changes) > 0 {
		if c.failed != nil {
			err = c.failed
		} else {
			err = c.commitChanges(g)
		}
	}
	for _, req := range g.requests {
		req.err = err
		close(req.done)
	}
}

func (c *Collection) commitChanges(g *group) error {
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
	if err := c.apply(g, uint64(seq)); err != nil {
		// The store has it, memory refused it: only a defect can do that.
		c.log.Error("a durable commit could not be applied; the collection takes no writes until restart",
			"collection", c.name, "seq", seq, "error", err)
		c.failed = fmt.Errorf("%w: a durable commit could not be applied", store.ErrUnavailable)
		return c.failed
	}
	for _, req := range g.requests {
		for i := range req.results {
			if req.results[i].Err == nil {
				req.results[i].Seq = uint64(seq)
			}
		}
	}
	return nil
}

// apply makes the next snapshot from the tip and a committed group and
// publishes it. Only the last change of each id counts.
func (c *Collection) apply(g *group, seq uint64) error {
	e := new(edit)
	next := c.tip.next(seq)
	next.records.where = next.records.where.own()
	next.ids.buckets = next.ids.buckets.own()
	for i := range next.columns {
		next.columns[i].values = next.columns[i].values.own()
	}
	moves := make([]index.Change, 0, len(g.changes))
	var dropped []string
	var freed []index.Ref
	for i := range g.changes {
		ch := &g.changes[i]
		it := &ch.Item
		if g.touched[it.ID].change != i {
			continue
		}
		ref, exists := next.ids.find(&next.records, it.ID)
		if ch.Op == store.DeleteItem {
			if !exists { // inserted and deleted in this group
				continue
			}
			old := next.records.item(ref)
			moves = append(moves, index.Change{Op: index.Delete, Ref: ref, Old: index.Position{Lon: old.Lon, Lat: old.Lat}})
			dropped, freed = append(dropped, it.ID), append(freed, ref)
			continue
		}
		it.Seq = seq
		loc := c.arena.append(it)
		next.records.chunks = c.arena.chunks
		to := index.Position{Lon: it.Lon, Lat: it.Lat}
		if exists {
			old := next.records.item(ref)
			c.arena.kill(next.records.where.at(uint32(ref)))
			next.records.where.set(e, uint32(ref), loc)
			if from := (index.Position{Lon: old.Lon, Lat: old.Lat}); from != to {
				moves = append(moves, index.Change{Op: index.Move, Ref: ref, Old: from, New: to})
			}
		} else {
			ref = c.refs.take()
			next.records.where.set(e, uint32(ref), loc)
			next.ids.insert(e, &next.records, it.ID, ref)
			moves = append(moves, index.Change{Op: index.Insert, Ref: ref, New: to})
		}
		next.extend(to)
		if err := next.setColumns(e, ref, it.Properties); err != nil {
			return err
		}
	}
	if len(moves) > 0 {
		idx, err := next.index.Apply(moves, &next.records)
		if err != nil {
			return err
		}
		next.index = idx
	}
	for _, id := range dropped {
		next.ids.remove(e, &next.records, id)
	}
	c.rebuild.note(moves)
	c.free(e, next, freed)
	c.compact(e, next)
	c.publish(next)
	c.reconsider()
	return nil
}

// setColumns puts an item's queryable values into the columns.
func (s *Snapshot) setColumns(e *edit, ref index.Ref, properties []byte) error {
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
func (c *Collection) free(e *edit, next *Snapshot, freed []index.Ref) {
	c.grave = append(c.grave, freed...)
	if c.rebuild.active() {
		return
	}
	for _, ref := range c.grave {
		c.arena.kill(next.records.where.at(uint32(ref)))
		next.records.where.set(e, uint32(ref), 0)
		c.refs.give(ref)
	}
	c.grave = c.grave[:0]
}

// compact empties one chunk whose records are mostly dead, if there is one.
func (c *Collection) compact(e *edit, next *Snapshot) {
	if c.rebuild.active() {
		return // deleted items keep their records until it is done
	}
	chunk := c.arena.sparse(0)
	if chunk < 0 {
		return
	}
	data := c.arena.chunks[chunk][:c.arena.filled[chunk]]
	for off := 0; off < len(data); {
		it := decodeRecord(data[off:])
		loc := uint64(chunk)<<32 | uint64(off+1)
		next.records.chunks = c.arena.chunks
		if ref, ok := next.ids.find(&next.records, it.ID()); ok && next.records.where.at(uint32(ref)) == loc {
			moved := it.Copy()
			next.records.where.set(e, uint32(ref), c.arena.append(&moved))
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
