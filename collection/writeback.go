package collection

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"nearby/store"
	"nearby/table"
)

// Write-back: a write without conditions is visible and acknowledged at once, and made
// durable with others a little later, the newest version of each item only. It is for
// what moves all the time and will be told again soon. What is lost when the process
// dies was acknowledged within the last LossWindow: if the store is away for longer,
// no more is taken.
//
// Until it is durable, a version hides what the store says of the item, here; in the
// other copies it is not to be seen. In the end the copies agree: the last one to be
// flushed is the newest for all.

// flushGrace is what a flush may take beyond the delay before no more writes are taken.
const flushGrace = time.Second

// maxFlush bounds the changes of one flush.
const maxFlush = 5000

// backlog is the writes of a collection that are visible and not yet durable. It
// belongs to the writer; the zero value is empty.
type backlog struct {
	items    map[string]*unflushed
	made     uint64    // how many there were
	since    time.Time // when the oldest was made; zero: there are none
	due      time.Time // when the next flush is to begin; zero: none
	failing  bool      // the last flush failed
	left     bool      // the flush that is under way is not of all that there was
	flushed  []*unflushed
	flushing *inFlight
	held     *request // waits until nothing is pending
}

// unflushed is an item with a version that is not durable.
type unflushed struct {
	change  store.Change // the newest
	version uint64       // counts all changes
	flying  uint64       // the version that is being flushed; 0: none
	behind  store.Change // what the store said meanwhile; Op 0: nothing
}

// holds reports whether what the store says of an item is to be hidden, and keeps it.
func (p *backlog) holds(ch *store.Change) bool {
	u, ok := p.items[ch.Item.ID]
	if ok {
		u.behind = ch.Clone()
	}
	return ok
}

// LossWindow is how long an acknowledged write may not yet be durable; 0 if it
// always is.
func (c *Collection) LossWindow() time.Duration {
	if !c.writesBack(c.Snapshot()) {
		return 0
	}
	return c.opt.WriteBackDelay + flushGrace
}

func (c *Collection) writesBack(s *Snapshot) bool {
	policy := s.def.WritePolicy
	if policy == "" {
		policy = c.opt.WritePolicy
	}
	return c.shared && policy == WriteBack
}

// mayWriteBack reports whether a request is to be acknowledged before it is durable.
func (c *Collection) mayWriteBack(req *request) bool {
	return c.failed == nil && c.writesBack(c.tip) && req.unconditional() &&
		len(c.backlog.items)+len(req.writes) <= c.opt.MaxPending && !c.onItsWay(req)
}

// unconditional reports whether a request may be acknowledged before it is durable.
func (r *request) unconditional() bool {
	for i := range r.writes {
		if w := &r.writes[i]; w.Op != Upsert || w.conditional() {
			return false
		}
	}
	return r.once == nil
}

// onItsWay reports whether a request is about an item of a group in flight. It goes the same
// way, behind it: what such a group is checked against anew must not have versions that the
// store does not know.
func (c *Collection) onItsWay(req *request) bool {
	for _, f := range c.inFlight {
		for i := range req.writes {
			if _, both := f.byID.find(f.touched, req.writes[i].Item.ID); both {
				return true
			}
		}
	}
	return false
}

// late says that nothing more can be taken: what was taken is not durable in time.
func (p *backlog) late(now time.Time, c *Collection) error {
	if !p.since.IsZero() && now.Sub(p.since) > c.opt.WriteBackDelay+flushGrace {
		return &store.UnavailableError{Reason: "writes that were acknowledged are not durable in time; writes are taken again when they are"}
	}
	return nil
}

// writeBack makes a request visible and answers it.
func (c *Collection) writeBack(req *request) {
	now := time.Now()
	if err := c.backlog.late(now, c); err != nil {
		req.err = err
		close(req.done)
		return
	}
	g := newGroup(len(req.writes))
	g.seq, g.stamped = c.tip.seq, true
	c.admit(g, req)
	for i := range g.changes {
		ch := &g.changes[i]
		c.backlog.made++
		ch.Expects, ch.Expected, ch.Item.Seq = false, 0, table.Provisional+c.backlog.made
		c.backlog.put(ch, now, c.opt.WriteBackDelay)
	}
	c.unflushed.Store(int64(len(c.backlog.items)))
	if len(g.changes) > 0 {
		if err := c.applyNow(g); err != nil {
			c.failed = fmt.Errorf("collection %q: %w", c.name, err)
			req.err = uncertain(c.failed) // it is in the backlog
			close(req.done)
			return
		}
		c.reconsider()
	}
	for i := range req.results {
		req.results[i].Pending = req.results[i].Err == nil
	}
	g.answer(nil)
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

// flush begins to make pending writes durable, as many as go at once.
func (c *Collection) flush() {
	p := &c.backlog
	p.due, p.left = time.Time{}, len(p.items) > maxFlush
	if p.left {
		p.due = time.Now()
	}
	g := newGroup(min(len(p.items), maxFlush))
	p.flushed = p.flushed[:0]
	for _, u := range p.items {
		if len(p.flushed) == maxFlush {
			break
		}
		ch := u.change
		ch.Item.Seq = 0
		g.changes = append(g.changes, ch)
		u.flying = u.version
		p.flushed = append(p.flushed, u)
	}
	if len(g.changes) == 0 {
		return
	}
	f := &inFlight{group: g, begun: time.Now(), done: make(chan struct{})}
	p.flushing = f
	go func() {
		defer close(f.done)
		f.err = c.commit(g)
	}()
	c.onTurn(f, committing, f.done)
}

// due is when a flush is to begin, which is at once if there is no time; nil: it is not.
func (c *Collection) due(alarm *time.Timer, hurry bool) <-chan time.Time {
	p := &c.backlog
	if p.flushing != nil || p.due.IsZero() {
		return nil
	}
	wait := time.Until(p.due)
	if hurry && !p.failing {
		wait = 0
	}
	alarm.Reset(wait)
	return alarm.C
}

// flushCommitted goes on after the commit of a flush.
func (c *Collection) flushCommitted(f *inFlight) {
	p := &c.backlog
	if p.failing = f.err != nil; !p.failing {
		c.awaitApplied(f, arriving, f.seq)
		return
	}
	p.flushing = nil
	for _, u := range p.flushed {
		u.flying = 0
	}
	if errors.Is(f.err, store.ErrNoCollection) {
		return // dropped: the step that says so ends this
	}
	p.due = time.Now().Add(max(c.opt.WriteBackDelay, 100*time.Millisecond)) // and again
}

// flushArrived takes what is durable out of what is pending: the item is now what the
// store says it is.
func (c *Collection) flushArrived() error {
	p := &c.backlog
	f := p.flushing
	p.flushing = nil
	d := &delivery{seq: f.seq}
	for _, u := range p.flushed {
		if u.flying != u.version { // written again meanwhile
			u.flying = 0
			continue
		}
		ch := u.change
		ch.Item.Seq = f.seq
		if u.behind.Op != 0 && u.behind.Item.Seq >= f.seq {
			ch = u.behind
		}
		delete(p.items, u.change.Item.ID)
		d.changes = append(d.changes, ch)
	}
	p.flushed = p.flushed[:0]
	c.unflushed.Store(int64(len(p.items)))
	switch {
	case len(p.items) == 0:
		p.since, p.due = time.Time{}, time.Time{}
	case !p.left: // what is there came while the flush was under way, and set due
		p.since = f.begun
	}
	if len(d.changes) == 0 || c.failed != nil {
		return c.failed
	}
	return c.takeChanges(d)
}

// leftovers are the changes that an ended collection had not made durable.
func (c *Collection) leftovers() []store.Change {
	var all []store.Change
	for _, u := range c.backlog.items {
		all = append(all, u.change)
	}
	return all
}

// adopt takes over what another collection of the same name, in another generation, had not
// made durable.
func (c *Collection) adopt(changes []store.Change) {
	writes := make([]Write, len(changes))
	for i := range changes {
		writes[i] = Write{Op: Upsert, Item: changes[i].Item}
	}
	req := &request{writes: writes, results: make([]Result, len(writes)), done: make(chan struct{})}
	select {
	case c.queue <- req:
	default:
		c.log.Error("acknowledged writes are lost: the queue is full", "collection", c.name, "writes", len(writes))
	}
}
