package collection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nearby/store"
)

// This file is the writer of a collection whose store others write, too. It differs
// from run in one thing: what is visible comes from following the store alone, one's
// own commits included, so that every copy goes through the same states. A group is
// checked against the newest state here; that this is the newest state of all is
// checked by the store, and if it is not, the group is checked anew.

// flight is a group on its way through the store and back.
type flight struct {
	*group
	begun time.Time
	tries int           // how often it was checked anew
	done  chan struct{} // closed when the commit has ended, in seq or err
	err   error
	ready <-chan struct{} // not nil: closed when the world has come as far as the group waits for
	leave func()
	again bool // what it waits for is the state to be checked against
	sure  bool // that state is as new as the requests
}

// channels are what to wait for: the end of the commit, or that the world has come
// far enough. The zero flight waits for nothing.
func (f *flight) channels() (committed, ready <-chan struct{}) {
	switch {
	case f == nil:
		return nil, nil
	case f.ready == nil:
		return f.done, nil
	}
	return nil, f.ready
}

// maxArriving bounds the groups that are durable and not yet visible while the next
// one is made durable.
const maxArriving = 2

// maxTries bounds how often a group is checked anew because others changed the
// same items.
const maxTries = 16

var errContended = fmt.Errorf("%w: others change the same items all the time", ErrBusy)

// ending says why a collection's writer is to end before its time.
type ending struct {
	successor *world // where to find what was committed
	err       error  // of writes that wait
}

// end ends the writer at once, and waits for it.
func (c *Collection) end(why ending) {
	if c.why.CompareAndSwap(nil, &why) {
		close(c.ending)
	}
	<-c.stopped
}

// runShared is the writer.
func (c *Collection) runShared() {
	defer close(c.stopped)
	var f *flight
	var arriving []*flight // committed and not yet visible, in order
	p := &c.backlog
	closing := c.closing
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		queue := c.queue
		if f != nil || p.held != nil || c.partial || len(arriving) == maxArriving {
			queue = nil
		}
		committed, ready := f.channels()
		var visible <-chan struct{}
		if len(arriving) > 0 {
			visible = arriving[0].ready
		}
		flushed, settled := p.flight.channels()
		var due <-chan time.Time
		if p.flight == nil && !p.due.IsZero() {
			wait := time.Until(p.due)
			if !p.failing && (closing == nil || p.held != nil) {
				wait = 0
			}
			alarm.Reset(wait)
			due = alarm.C
		}
		if p.held != nil && f == nil && len(p.items) == 0 && p.flight == nil {
			f = c.depart(c.gather(p.held), 0, arriving)
			p.held = nil
			continue
		}
		if closing == nil && f == nil && len(arriving) == 0 && p.held == nil && len(p.items) == 0 && len(c.queue) == 0 {
			return
		}
		select {
		case req := <-queue:
			switch {
			case c.failed == nil && c.writesBack(c.tip) && req.unconditional():
				c.writeBack(req)
			case len(p.items) > 0:
				p.held = req
			default:
				f = c.depart(c.gather(req), 0, arriving)
			}
		case <-committed:
			if f = c.landed(f); f != nil && f.ready != nil && !f.again {
				arriving, f = append(arriving, f), nil
			}
		case <-ready:
			f = c.arrived(f)
		case <-visible:
			arriving[0].leave()
			arriving[0].answer(nil)
			arriving = slices.Delete(arriving, 0, 1)
		case <-due:
			c.flush()
		case <-flushed:
			c.flushLanded()
		case <-settled:
			if err := c.flushArrived(); err != nil {
				c.fail(err)
			}
		case d := <-c.deliveries:
			d.err = c.take(d)
			close(d.done)
		case req := <-c.control:
			req.err = req.run()
			close(req.done)
		case <-closing:
			closing = nil
		case <-c.ending:
			c.abandon(append(arriving, f, p.flight), c.why.Load())
			return
		}
	}
}

// depart commits a group that was checked. If the state here speaks against a write,
// it is the state of all copies that has to: it is waited for, and the group checked
// anew.
//
// So it is if the group changes what one that is not yet visible has changed.
func (c *Collection) depart(g *group, tries int, arriving []*flight) *flight {
	if before := g.overlaps(arriving); before != nil {
		f := &flight{group: g, begun: time.Now(), tries: tries, again: true, done: make(chan struct{})}
		f.ready, f.leave = c.world.waiters.enter(before.seq, c.world.applied.Load)
		close(f.done)
		return f
	}
	switch {
	case !g.refused():
		return c.launch(g, tries)
	case tries > maxTries:
		g.answer(errContended)
		return nil
	}
	f := &flight{group: g, begun: time.Now(), tries: tries, done: make(chan struct{}), again: true, sure: true}
	go func() {
		defer close(f.done)
		ctx, cancel := context.WithTimeout(context.Background(), c.opt.CommitTimeout)
		defer cancel()
		head, err := c.opt.Store.(store.Shared).Head(ctx)
		if err == nil && head.Epoch != c.world.epoch {
			err = fmt.Errorf("%w: the collections are about to be read anew", store.ErrUnavailable)
		}
		f.seq, f.err = uint64(head.Seq), err
	}()
	return f
}

// overlaps returns the last of the groups that has an item in common with g.
func (g *group) overlaps(arriving []*flight) *flight {
	for _, before := range slices.Backward(arriving) {
		for i := range g.touched {
			if _, both := before.places.find(before.touched, g.touched[i].id); both {
				return before
			}
		}
	}
	return nil
}

// refused reports whether a write was refused for the state of its item.
func (g *group) refused() bool {
	for _, req := range g.requests {
		for i := range req.results {
			if err := req.results[i].Err; errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists) || errors.Is(err, ErrPrecondition) {
				return true
			}
		}
	}
	return false
}

// launch commits a group beside the writer.
func (c *Collection) launch(g *group, tries int) *flight {
	if len(g.changes) == 0 {
		g.answer(nil)
		return nil
	}
	f := &flight{group: g, begun: time.Now(), tries: tries, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.err = c.commit(g)
	}()
	return f
}

// landed goes on with a group whose commit has ended.
func (c *Collection) landed(f *flight) *flight {
	var stale *store.StaleError
	var taken *store.RepeatedError
	switch {
	case f.err == nil: // it, or what it is to be checked against, has to become visible
		f.ready, f.leave = c.world.waiters.enter(f.seq, c.world.applied.Load)
		return f
	case errors.As(f.err, &stale) && f.tries < maxTries:
		f.ready, f.leave = c.world.waiters.enter(uint64(stale.Head), c.world.applied.Load)
		f.again = true
		return f
	case errors.As(f.err, &stale):
		f.answer(errContended)
		return nil
	case errors.As(f.err, &taken):
		return c.launch(c.without(f.group, taken), f.tries)
	}
	f.answer(f.err)
	return nil
}

// arrived goes on with a group for which the world has come far enough.
func (c *Collection) arrived(f *flight) *flight {
	f.leave()
	if !f.again {
		f.answer(nil)
		return nil
	}
	g := newGroup(len(f.changes))
	for _, req := range f.requests {
		clear(req.results)
		c.admit(g, req)
	}
	if !f.sure && g.refused() {
		return c.depart(g, f.tries+1, nil) // what arrives comes before the newest state
	}
	return c.launch(g, f.tries+1)
}

// abandon answers what waits when the collection ends before its time.
func (c *Collection) abandon(under []*flight, why *ending) {
	for _, one := range under {
		if one == nil {
			continue
		}
		<-one.done // a commit has a deadline of its own
		if one.leave != nil {
			one.leave()
		}
		switch next := why.successor; {
		case one.err != nil || one.again:
			one.answer(why.of(one.err))
		case next != nil && (next.epoch != c.world.epoch || next.applied.Load() < one.seq):
			one.answer(fmt.Errorf("%w: the store's history was replaced", store.ErrUncertain))
		default:
			one.answer(nil)
		}
	}
	if req := c.backlog.held; req != nil {
		req.err = why.of(nil)
		close(req.done)
	}
	for {
		select {
		case req := <-c.queue:
			req.err = why.of(nil)
			close(req.done)
		default:
			return
		}
	}
}

// of is the error of a write that was not made.
func (e *ending) of(err error) error {
	var stale *store.StaleError
	switch {
	case e.err != nil:
		return e.err
	case err == nil || errors.As(err, &stale):
		return fmt.Errorf("%w: the collections are being read anew", store.ErrUnavailable)
	}
	return err
}

// fail notes that this copy may differ from the store. The next step that comes in
// says so to whoever delivers it, and everything is read anew.
func (c *Collection) fail(err error) {
	if c.failed == nil {
		c.failed = fmt.Errorf("collection %q: what the store has could not be taken in: %w", c.name, err)
	}
}

// take takes in a delivery.
func (c *Collection) take(d *delivery) error {
	if c.failed != nil {
		return c.failed
	}
	c.partial = true
	if d.define != nil {
		if _, err := c.redefine(d.seq, *d.define); err != nil {
			return err
		}
	}
	if len(d.changes) > 0 {
		if err := c.takeChanges(d); err != nil {
			c.fail(err)
			return c.failed
		}
	}
	if d.show {
		c.partial = false
		c.publish(c.tip.next(d.seq))
		c.reconsider()
	}
	return nil
}

// takeChanges makes the next tip of the present one and changes that the store has
// made.
func (c *Collection) takeChanges(d *delivery) error {
	g := newGroup(len(d.changes))
	g.seq, g.stamped = d.seq, true
	for i := range d.changes {
		ch := &d.changes[i]
		if !c.backlog.holds(ch) { // else something newer is visible here already
			g.append(ch, g.touch(c.tip, hashID(ch.Item.ID), ch.Item.ID))
		}
	}
	if len(g.changes) == 0 {
		return nil
	}
	l := &landing{group: g, done: make(chan struct{})}
	if err := c.applyTables(l); err != nil {
		return err
	}
	l.reindex()
	return c.land(l)
}

// append adds a change that was made already, whatever the state before it was.
func (g *group) append(ch *store.Change, at int32) {
	p := &g.touched[at]
	switch {
	case ch.Op == store.DeleteItem && p.exists:
		p.exists = false
		g.items--
	case ch.Op == store.PutItem && !p.exists:
		p.exists = true
		g.items++
	}
	p.change = int32(len(g.changes))
	g.changes, g.ids = append(g.changes, *ch), append(g.ids, at)
}
