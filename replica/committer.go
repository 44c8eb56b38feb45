package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nearby/collection"
	"nearby/store"
)

// committer is the collection.Committer for a store that others write, too. A commit becomes
// visible only when the store delivers it, also if it is this replica's own; so all replicas
// go through the same states. A group is checked against the newest state of this replica.
// The store checks that no other replica has written a newer one; if one has, the group is
// checked again.
type committer struct {
	*collection.Writer
	generation *Generation
	shared     store.Shared
	inFlight   []*inFlight // in the order of their requests
	backlog    backlog
	alarm      *time.Timer
}

// of returns the committer of a collection of a generation that follows a store.
func of(col *collection.Collection) *committer { return col.Committer().(*committer) }

// inFlight is a group whose commit has begun and is not visible yet. Several groups may be in
// flight at a time if they have no item in common, so the changes of one item are made in
// their order.
type inFlight struct {
	*collection.Group
	begun time.Time
	tries int           // how often it was checked again
	state commitState   // what it waits for
	leave func()        // stops waiting for a commit to be visible; nil: it does not wait
	done  chan struct{} // closed when the store has answered: the commit, or the question for its head
	err   error         // of that
	sure  bool          // the group was checked against a state that is newer than its requests
	over  chan struct{} // closed when it has ended
}

type commitState uint8

const (
	committing commitState = iota + 1 // for the commit to end
	asking                            // for the store to say what its head is
	arriving                          // for what was committed to become visible
	behindHead                        // for a newer state to become visible, against which it is checked again
	blocked                           // for another group in flight, with an item in common, to end
)

// Bounds of a collection's groups in flight.
const (
	maxInFlight = 4
	// maxTries bounds how often a group is checked again because others changed the
	// same items.
	maxTries = 16
)

// ending says why a collection's writer is to end before its time.
type ending struct {
	successor *Generation // where to find what was committed
	err       error       // of writes that wait
}

// end ends a collection's writer at once, and waits for it.
func end(col *collection.Collection, why ending) {
	c := of(col)
	c.Do(func() { c.abandon(&why) })
	<-c.Stopped()
}

// Ready is part of collection.Committer.
func (c *committer) Ready() bool {
	return len(c.inFlight) < maxInFlight && c.backlog.held == nil && !c.Hidden()
}

// Idle is part of collection.Committer.
func (c *committer) Idle() bool {
	return len(c.inFlight) == 0 && c.backlog.held == nil && len(c.backlog.items) == 0
}

// Settle is part of collection.Committer.
func (c *committer) Settle() {}

// Take is part of collection.Committer.
func (c *committer) Take(req *collection.Request) {
	switch {
	case c.mayWriteBack(req):
		c.writeBack(req)
	case len(c.backlog.items) > 0:
		c.backlog.held = req
	default:
		c.take(c.Gather(req))
	}
}

// take begins the commit of a group that was checked.
func (c *committer) take(g *collection.Group) {
	f := &inFlight{Group: g, begun: time.Now(), over: make(chan struct{})}
	c.inFlight = append(c.inFlight, f)
	c.submit(f)
}

// onTurn lets the group go on when turn is closed.
func (c *committer) onTurn(f *inFlight, state commitState, turn <-chan struct{}) {
	f.state = state
	go func() {
		select {
		case <-turn:
			c.Do(func() { c.resume(f) })
		case <-c.Stopped():
		}
	}()
}

// ask lets the group go on when the store has answered it.
func (c *committer) ask(f *inFlight, state commitState, call func()) {
	f.done = make(chan struct{})
	go func() {
		defer close(f.done)
		call()
	}()
	c.onTurn(f, state, f.done)
}

// awaitApplied lets the group go on when every commit up to seq is visible here.
func (c *committer) awaitApplied(f *inFlight, state commitState, seq uint64) {
	reached, leave := c.generation.waiters.enter(seq, c.generation.applied.Load)
	f.leave = leave
	c.onTurn(f, state, reached)
}

// submit commits a group that was checked. There are two cases in which it waits first, and
// the group is checked again: an earlier group in flight has an item in common, or a write
// was refused because of the state here, which may not be the newest of all replicas.
func (c *committer) submit(f *inFlight) {
	switch before := c.before(f); {
	case before != nil:
		c.onTurn(f, blocked, before.over)
	case !f.sure && f.Refused():
		c.ask(f, asking, func() { f.Seq, f.err = c.head() })
	case len(f.Changes) == 0:
		c.conclude(f, nil)
	default:
		c.ask(f, committing, func() { f.err = c.Commit(f.Group) })
	}
}

// head asks the store for the head of the history that is followed.
func (c *committer) head() (uint64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Options().CommitTimeout)
	defer cancel()
	head, err := c.shared.Head(ctx)
	if err == nil && head.Epoch != c.generation.epoch {
		err = errOtherHistory
	}
	return uint64(head.Seq), err
}

// before returns the last group in flight that came before this one and has an item in
// common with it.
func (c *committer) before(f *inFlight) *inFlight {
	at := slices.Index(c.inFlight, f)
	for _, other := range slices.Backward(c.inFlight[:at]) {
		if f.Meets(other.Group) {
			return other
		}
	}
	return nil
}

// conclude ends a group in flight.
func (c *committer) conclude(f *inFlight, err error) {
	f.Answer(err)
	close(f.over)
	c.inFlight = slices.DeleteFunc(c.inFlight, func(o *inFlight) bool { return o == f })
}

// resume goes on with a group in flight whose turn has come.
func (c *committer) resume(f *inFlight) {
	if f.leave != nil {
		f.leave()
		f.leave = nil
	}
	switch flush := f == c.backlog.flushing; {
	case flush && f.state == committing:
		c.flushCommitted(f)
	case flush:
		if err := c.flushArrived(); err != nil {
			c.fail(err)
		}
	case f.state == committing || f.state == asking:
		c.answered(f)
	case f.state == arriving:
		c.conclude(f, nil)
	default:
		c.again(f, f.Requests)
	}
	if b := &c.backlog; b.held != nil && len(b.items) == 0 && b.flushing == nil {
		req := b.held
		b.held = nil
		c.take(c.Gather(req))
	}
}

// again checks requests again. Their new group takes the place of the old one among those in
// flight.
func (c *committer) again(f *inFlight, requests []*collection.Request) {
	f.Group, f.err = c.Again(requests), nil
	c.submit(f)
}

// answered goes on with a group when its commit has ended, or when the store has said what
// its head is.
func (c *committer) answered(f *inFlight) {
	var stale *store.StaleError
	var taken *store.RepeatedError
	switch {
	case f.err == nil && f.state == asking:
		f.sure = true
		c.awaitApplied(f, behindHead, f.Seq)
	case f.err == nil:
		c.awaitApplied(f, arriving, f.Seq)
	case errors.As(f.err, &stale):
		f.tries++
		f.sure = false
		if f.tries > maxTries {
			c.conclude(f, collection.ErrContended)
			return
		}
		c.awaitApplied(f, behindHead, uint64(stale.Head))
	case errors.As(f.err, &taken):
		f.Group, f.err = c.Without(f.Group, taken), nil
		c.submit(f)
	case errors.Is(f.err, store.ErrLocked) && len(f.Requests) > 1:
		c.split(f)
	default:
		c.conclude(f, f.err)
	}
}

// split makes a group of each request, so that one request that cannot be made now does not
// hinder the others.
func (c *committer) split(f *inFlight) {
	at := slices.Index(c.inFlight, f)
	each := make([]*inFlight, len(f.Requests))
	for i := range each {
		each[i] = &inFlight{Group: collection.NewGroup(0), begun: f.begun, over: make(chan struct{})}
	}
	requests := f.Requests
	c.inFlight = slices.Replace(c.inFlight, at, at+1, each...)
	close(f.over)
	for i, one := range each {
		c.again(one, requests[i:i+1])
	}
}

// abandon answers all requests and ends the writer.
func (c *committer) abandon(why *ending) {
	all := c.inFlight
	if f := c.backlog.flushing; f != nil {
		all = append(all, f)
	}
	for _, f := range all {
		if f.leave != nil {
			f.leave()
		}
		if f.state == committing || f.state == asking {
			<-f.done // it has a deadline of its own
		}
		switch next := why.successor; {
		case f.err != nil || f.state != committing && f.state != arriving: // it was not committed
			f.Answer(why.of(f.err))
		case next != nil && (next.epoch != c.generation.epoch || next.applied.Load() < f.Seq):
			f.Answer(fmt.Errorf("%w: the store's history was replaced", store.ErrUncertain))
		default:
			f.Answer(nil)
		}
	}
	if req := c.backlog.held; req != nil {
		req.Answer(why.of(nil))
	}
	c.End(why.of(nil))
}

// errOtherHistory refuses a write that was checked against another history.
var errOtherHistory error = &store.UnavailableError{Reason: "the collections are being read again from the database; writes are taken again in a moment"}

// of returns the error for a write whose commit had the error err, or was not begun.
func (e *ending) of(err error) error {
	var stale *store.StaleError
	switch {
	case errors.Is(err, store.ErrUncertain):
		return err
	case e.err != nil:
		return e.err
	case err == nil || errors.As(err, &stale):
		return errOtherHistory
	}
	return err
}

// fail notes that this replica may differ from the store. takeIn then refuses the next step,
// and the follower reads everything again.
func (c *committer) fail(err error) {
	c.Fail(fmt.Errorf("collection %q: what the store has could not be taken in: %w", c.Name(), err))
}

// takeIn takes in a delivery.
func (c *committer) takeIn(d *delivery) error {
	if err := c.Failed(); err != nil {
		return err
	}
	c.Hide()
	if d.defined != 0 {
		def := c.Newest().Definition()
		if d.define != nil {
			def = *d.define
		}
		c.Redefine(d.seq, d.defined, def)
	}
	if len(d.changes) > 0 {
		if err := c.TakeIn(d.seq, d.changes, c.backlog.holds); err != nil {
			c.fail(err)
			return c.Failed()
		}
	}
	if d.show {
		c.Show(d.seq)
	}
	return nil
}
