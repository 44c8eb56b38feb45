package replica

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nearby/collection"
	"nearby/store"
	"nearby/table"
)

// Write-back: a write without conditions is visible and acknowledged at once. A little later
// it is made durable together with others, and of each item only the newest version. This is
// for items that move all the time, whose next position comes soon. If the process dies, the
// writes of the last LossWindow are lost. If the store is away for longer than that, no more
// writes are taken.
//
// Until a version is durable, this replica shows it in place of the store's, and the other
// replicas do not show it. In the end all agree: the version that was flushed last is the
// newest.

// flushGrace is how much longer than the delay a flush may take; after that no more writes
// are taken.
const flushGrace = time.Second

// maxFlush bounds the changes of one flush.
const maxFlush = 5000

// backlog has the writes of a collection that are visible and not yet durable. The zero value
// is empty.
type backlog struct {
	items    map[string]*unflushed
	made     uint64    // how many there were
	since    time.Time // when the oldest was made; zero: there are none
	due      time.Time // when the next flush is to begin; zero: none
	failing  bool      // the last flush failed
	left     bool      // the flush that is under way is not of all that there was
	flushed  []*unflushed
	flushing *inFlight
	held     *collection.Request // waits until the backlog is empty
}

// unflushed is an item with a version that is not durable.
type unflushed struct {
	change  store.Change // the newest
	version uint64       // counts all changes
	flying  uint64       // the version that is being flushed; 0: none
	behind  store.Change // what the store said meanwhile; Op 0: nothing
}

// holds reports whether a change that the store delivers is hidden by a version that is not
// durable. If so, holds keeps the change.
func (p *backlog) holds(ch *store.Change) bool {
	u, ok := p.items[ch.Item.ID]
	if ok {
		u.behind = ch.Clone()
	}
	return ok
}

// LossWindow is part of collection.Committer.
func (c *committer) LossWindow(s *collection.Snapshot) time.Duration {
	if !c.writesBack(s) {
		return 0
	}
	return c.Options().WriteBackDelay + flushGrace
}

func (c *committer) writesBack(s *collection.Snapshot) bool {
	policy := s.Definition().WritePolicy
	if policy == "" {
		policy = c.Options().WritePolicy
	}
	return policy == collection.WriteBack
}

// mayWriteBack reports whether a request is to be acknowledged before it is durable.
func (c *committer) mayWriteBack(req *collection.Request) bool {
	return c.Failed() == nil && c.writesBack(c.Newest()) && unconditional(req) &&
		len(c.backlog.items)+len(req.Writes) <= c.Options().MaxPending && !c.onItsWay(req)
}

// unconditional reports whether a request may be acknowledged before it is durable.
func unconditional(r *collection.Request) bool {
	return r.Key == nil && !slices.ContainsFunc(r.Writes, func(w collection.Write) bool {
		return w.Action != collection.Upsert || w.Conditional()
	})
}

// onItsWay reports whether a request is about an item of a group in flight. Such a request is
// not written back but committed after that group: the group may be checked again, and must
// not meet versions that the store does not have.
func (c *committer) onItsWay(req *collection.Request) bool {
	for _, f := range c.inFlight {
		for i := range req.Writes {
			if f.Has(req.Writes[i].Item.ID) {
				return true
			}
		}
	}
	return false
}

// late returns an error if the oldest write was not made durable in time.
func (p *backlog) late(now time.Time, c *committer) error {
	if !p.since.IsZero() && now.Sub(p.since) > c.Options().WriteBackDelay+flushGrace {
		return &store.UnavailableError{Reason: "writes that were acknowledged are not durable in time; writes are taken again when they are"}
	}
	return nil
}

// writeBack makes a request visible and answers it.
func (c *committer) writeBack(req *collection.Request) {
	now := time.Now()
	if err := c.backlog.late(now, c); err != nil {
		req.Answer(err)
		return
	}
	g := collection.NewGroup(len(req.Writes))
	g.Stamp(c.Newest().Seq())
	c.Admit(g, req)
	for i := range g.Changes {
		ch := &g.Changes[i]
		c.backlog.made++
		ch.Expects, ch.Expected, ch.Item.Seq = false, 0, table.Provisional+c.backlog.made
		c.backlog.put(ch, now, c.Options().WriteBackDelay)
	}
	c.SetPending(len(c.backlog.items))
	if err := c.Apply(g); err != nil {
		c.Fail(fmt.Errorf("collection %q: %w", c.Name(), err))
		req.Answer(collection.Uncertain(c.Failed())) // it is in the backlog
		return
	}
	c.Reconsider()
	for i := range req.Results {
		req.Results[i].Pending = req.Results[i].Err == nil
	}
	g.Answer(nil)
}

func (p *backlog) put(ch *store.Change, now time.Time, delay time.Duration) {
	u := p.items[ch.Item.ID]
	if u == nil {
		if p.items == nil {
			p.items = map[string]*unflushed{}
		}
		u = new(unflushed)
		p.items[strings.Clone(ch.Item.ID)] = u
	}
	u.change = ch.Clone()
	u.version++
	if p.since.IsZero() {
		p.since = now
	}
	if p.due.IsZero() {
		p.due = now.Add(delay)
	}
}

// Wake is part of collection.Committer. It begins a flush: it commits writes of the backlog, at
// most maxFlush.
func (c *committer) Wake() {
	p := &c.backlog
	p.due, p.left = time.Time{}, len(p.items) > maxFlush
	if p.left {
		p.due = time.Now()
	}
	g := collection.NewGroup(min(len(p.items), maxFlush))
	p.flushed = p.flushed[:0]
	for _, u := range p.items {
		if len(p.flushed) == maxFlush {
			break
		}
		ch := u.change
		ch.Item.Seq = 0
		g.Changes = append(g.Changes, ch)
		u.flying = u.version
		p.flushed = append(p.flushed, u)
	}
	if len(g.Changes) == 0 {
		return
	}
	f := &inFlight{Group: g, begun: time.Now()}
	p.flushing = f
	c.ask(f, committing, func() { f.err = c.Commit(g) })
}

// Alarm is part of collection.Committer. It delivers when a flush is to begin: at once if the
// collection is closing or a request waits for it.
func (c *committer) Alarm(closing bool) <-chan time.Time {
	p := &c.backlog
	if p.flushing != nil || p.due.IsZero() {
		return nil
	}
	wait := time.Until(p.due)
	if (closing || p.held != nil) && !p.failing {
		wait = 0
	}
	c.alarm.Reset(wait)
	return c.alarm.C
}

// flushCommitted goes on after the commit of a flush.
func (c *committer) flushCommitted(f *inFlight) {
	p := &c.backlog
	if p.failing = f.err != nil; !p.failing {
		c.awaitApplied(f, arriving, f.Seq)
		return
	}
	p.flushing = nil
	for _, u := range p.flushed {
		u.flying = 0
	}
	if errors.Is(f.err, store.ErrNoCollection) {
		return // dropped: the step that says so ends this
	}
	p.due = time.Now().Add(max(c.Options().WriteBackDelay, 100*time.Millisecond)) // and again
}

// flushArrived removes the writes that are durable from the backlog. Their items are from now
// on what the store says.
func (c *committer) flushArrived() error {
	p := &c.backlog
	f := p.flushing
	p.flushing = nil
	var changes []store.Change
	for _, u := range p.flushed {
		if u.flying != u.version { // written again meanwhile
			u.flying = 0
			continue
		}
		ch := u.change
		ch.Item.Seq = f.Seq
		if u.behind.Op != 0 && u.behind.Item.Seq >= f.Seq {
			ch = u.behind
		}
		delete(p.items, u.change.Item.ID)
		changes = append(changes, ch)
	}
	p.flushed = p.flushed[:0]
	c.SetPending(len(p.items))
	switch {
	case len(p.items) == 0:
		p.since, p.due = time.Time{}, time.Time{}
	case !p.left: // what is there came while the flush was under way, and set due
		p.since = f.begun
	}
	if err := c.Failed(); err != nil {
		return err
	}
	return c.TakeIn(f.Seq, changes, c.backlog.holds)
}

// handOver queues the writes that an ended collection had not made durable in the collection
// of the same name in the next generation.
func handOver(from, to *collection.Collection) {
	var writes []collection.Write
	for _, u := range of(from).backlog.items {
		writes = append(writes, collection.Write{Action: collection.Upsert, Item: u.change.Item})
	}
	if _, err := to.Begin(writes); err != nil {
		of(to).Options().Log.Error("acknowledged writes are lost: the queue is full", "collection", to.Name(), "writes", len(writes), "error", err)
	}
}
