package collection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nearby/store"
	"nearby/table"
)

// This file is the writer of a collection whose store others write, too. It differs
// from run in one thing: what is visible comes from following the store alone, one's
// own commits included, so that every copy goes through the same states. A group is
// checked against the newest state here; that this is the newest state of all is
// checked by the store, and if it is not, the group is checked anew.

// inFlight is a group that is being committed, or that was and is not visible yet. Several
// may be in flight at a time if they have no item in common: the changes of an item are
// made in the order in which they came.
type inFlight struct {
	*group
	begun time.Time
	tries int           // how often it was checked anew
	state commitState   // of what is waited for
	leave func()        // ends a waiting for the generation before its time; nil: none
	done  chan struct{} // closed when the commit, if there was one, has ended
	err   error         // of the commit, or of asking for the head
	asked bool          // it is the head that was asked for
	sure  bool          // the state that it was checked against is as new as the requests
	over  chan struct{} // closed when it has ended
}

type commitState uint8

const (
	committing commitState = iota + 1 // for the commit to end, or the head to be told
	arriving                          // for what was committed to become visible
	behindHead                        // for a newer state to become visible, against which it is checked again
	blocked                           // for another group in flight, with an item in common, to end
)

// Bounds of a collection's groups in flight.
const (
	maxInFlight = 4
	// maxTries bounds how often a group is checked anew because others changed the
	// same items.
	maxTries = 16
)

// ending says why a collection's writer is to end before its time.
type ending struct {
	successor *generation // where to find what was committed
	err       error       // of writes that wait
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
	p := &c.backlog
	closing := c.closing
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		queue := c.queue
		if len(c.inFlight) >= maxInFlight || p.held != nil || c.partial {
			queue = nil
		}
		if p.held != nil && len(p.items) == 0 && p.flushing == nil {
			req := p.held
			p.held = nil
			c.take(c.gather(req))
			continue
		}
		if closing == nil && len(c.inFlight) == 0 && p.held == nil && len(p.items) == 0 && len(c.queue) == 0 {
			return
		}
		select {
		case req := <-queue:
			switch {
			case c.mayWriteBack(req):
				c.writeBack(req)
			case len(p.items) > 0:
				p.held = req
			default:
				c.take(c.gather(req))
			}
		case f := <-c.turns:
			c.resume(f)
		case <-c.due(alarm, closing == nil || p.held != nil):
			c.flush()
		case d := <-c.deliveries:
			d.err = c.takeIn(d)
			close(d.done)
		case req := <-c.control:
			req.err = req.run()
			close(req.done)
		case <-closing:
			closing = nil
		case <-c.ending:
			c.abandon(c.why.Load())
			return
		}
	}
}

// take begins the commit of a group that was checked.
func (c *Collection) take(g *group) {
	f := &inFlight{group: g, begun: time.Now(), over: make(chan struct{})}
	c.inFlight = append(c.inFlight, f)
	c.submit(f)
}

// onTurn lets the group go on when turn is closed.
func (c *Collection) onTurn(f *inFlight, state commitState, turn <-chan struct{}) {
	f.state = state
	go func() {
		select {
		case <-turn:
		case <-c.ending:
			return
		}
		select {
		case c.turns <- f:
		case <-c.ending:
		}
	}()
}

// awaitApplied lets the group go on when every commit up to seq is visible here.
func (c *Collection) awaitApplied(f *inFlight, state commitState, seq uint64) {
	reached, leave := c.generation.waiters.enter(seq, c.generation.applied.Load)
	f.leave = leave
	c.onTurn(f, state, reached)
}

// submit commits a group that was checked. A group in flight that came before and has an item
// in common has to end first. If the state here speaks against a write, the newest state of
// all copies is waited for. In both cases the group is checked anew.
func (c *Collection) submit(f *inFlight) {
	if before := c.before(f); before != nil {
		c.onTurn(f, blocked, before.over)
		return
	}
	if len(f.changes) == 0 && (f.sure || !f.refused()) {
		c.conclude(f, nil)
		return
	}
	if f.tries > maxTries {
		c.conclude(f, ErrContended)
		return
	}
	f.done = make(chan struct{})
	if f.sure || !f.refused() {
		go func() {
			defer close(f.done)
			f.err = c.commit(f.group)
		}()
		c.onTurn(f, committing, f.done)
		return
	}
	go func() {
		defer close(f.done)
		f.seq, f.err = c.newest()
	}()
	f.asked = true
	c.onTurn(f, committing, f.done)
}

// newest asks the store for the head of the history that is followed.
func (c *Collection) newest() (uint64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.opt.CommitTimeout)
	defer cancel()
	head, err := c.opt.Store.(store.Shared).Head(ctx)
	if err == nil && head.Epoch != c.generation.epoch {
		err = errAnew
	}
	return uint64(head.Seq), err
}

// before returns the last group in flight that came before this one and has an item in
// common with it.
func (c *Collection) before(f *inFlight) *inFlight {
	at := slices.Index(c.inFlight, f)
	for _, other := range slices.Backward(c.inFlight[:at]) {
		for i := range f.touched {
			if _, both := other.byID.find(other.touched, f.touched[i].id); both {
				return other
			}
		}
	}
	return nil
}

// refused reports whether a write was refused, or left out, for the state of its item.
func (g *group) refused() bool {
	for _, req := range g.requests {
		for i := range req.results {
			if req.results[i].Skipped {
				return true
			}
			if err := req.results[i].Err; errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists) || errors.Is(err, ErrPrecondition) {
				return true
			}
		}
	}
	return false
}

// conclude ends a group in flight.
func (c *Collection) conclude(f *inFlight, err error) {
	f.answer(err)
	close(f.over)
	c.inFlight = slices.DeleteFunc(c.inFlight, func(o *inFlight) bool { return o == f })
}

// resume goes on with a group in flight whose turn has come.
func (c *Collection) resume(f *inFlight) {
	if f.leave != nil {
		f.leave()
		f.leave = nil
	}
	flush := f == c.backlog.flushing
	switch {
	case f.state == committing && flush:
		c.flushCommitted(f)
	case f.state == arriving && flush:
		if err := c.flushArrived(); err != nil {
			c.fail(err)
		}
	case f.state == committing:
		c.committed(f)
	case f.state == arriving:
		c.conclude(f, nil)
	default:
		c.again(f, f.requests)
	}
}

// again checks requests anew. The group that they make keeps the place in flight of the one
// before.
func (c *Collection) again(f *inFlight, requests []*request) {
	g := newGroup(len(f.changes))
	for _, req := range requests {
		clear(req.results)
		c.admit(g, req)
	}
	f.group, f.err = g, nil
	c.submit(f)
}

// committed goes on with a group when its commit has ended, or the head was told.
func (c *Collection) committed(f *inFlight) {
	var stale *store.StaleError
	var taken *store.RepeatedError
	switch asked := f.asked; {
	case f.err == nil && asked:
		f.asked, f.sure = false, true
		c.awaitApplied(f, behindHead, f.seq)
	case f.err == nil:
		c.awaitApplied(f, arriving, f.seq)
	case errors.As(f.err, &stale):
		f.tries++
		f.sure = false
		if f.tries > maxTries {
			c.conclude(f, ErrContended)
			return
		}
		c.awaitApplied(f, behindHead, uint64(stale.Head))
	case errors.As(f.err, &taken):
		f.group, f.err = c.without(f.group, taken), nil
		c.submit(f)
	case errors.Is(f.err, store.ErrLocked) && len(f.requests) > 1:
		c.split(f)
	default:
		c.conclude(f, f.err)
	}
}

// split puts each request in flight by itself, so that the one that cannot be made now does
// not hinder the others.
func (c *Collection) split(f *inFlight) {
	at := slices.Index(c.inFlight, f)
	each := make([]*inFlight, len(f.requests))
	for i := range each {
		each[i] = &inFlight{group: newGroup(0), begun: f.begun, over: make(chan struct{})}
	}
	requests := f.requests
	c.inFlight = slices.Replace(c.inFlight, at, at+1, each...)
	close(f.over)
	for i, one := range each {
		c.again(one, requests[i:i+1])
	}
}

// abandon answers what waits when the collection ends before its time.
func (c *Collection) abandon(why *ending) {
	all := c.inFlight
	if f := c.backlog.flushing; f != nil {
		all = append(all, f)
	}
	for _, f := range all {
		if f.leave != nil {
			f.leave()
		}
		if f.state == committing {
			<-f.done // it has a deadline of its own
		}
		switch next := why.successor; {
		case f.err != nil || f.asked || f.state == behindHead || f.state == blocked:
			f.answer(why.of(f.err))
		case next != nil && (next.epoch != c.generation.epoch || next.applied.Load() < f.seq):
			f.answer(fmt.Errorf("%w: the store's history was replaced", store.ErrUncertain))
		default:
			f.answer(nil)
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

// errAnew: what a write rests on is from another history, or too old.
var errAnew error = &store.UnavailableError{Reason: "the collections are being read anew from the database; writes are taken again in a moment"}

// of is the error of a write that was not made, or of one of which that is not known.
func (e *ending) of(err error) error {
	var stale *store.StaleError
	switch {
	case errors.Is(err, store.ErrUncertain):
		return err
	case e.err != nil:
		return e.err
	case err == nil || errors.As(err, &stale):
		return errAnew
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

// takeIn takes in a delivery.
func (c *Collection) takeIn(d *delivery) error {
	if c.failed != nil {
		return c.failed
	}
	c.partial = true
	if d.defined != 0 {
		def := c.tip.def
		if d.define != nil {
			def = *d.define
		}
		if _, err := c.redefine(d.seq, d.defined, def); err != nil {
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
		c.publish(d.seq)
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
			g.append(ch, g.touch(c.table, table.HashOf(ch.Item.ID), ch.Item.ID))
		}
	}
	if len(g.changes) == 0 {
		return nil
	}
	return c.applyNow(g)
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
