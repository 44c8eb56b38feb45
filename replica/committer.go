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

// committer is the collection.Committer of a collection whose store others write, too. What
// is visible comes from following the store alone, one's own commits included, so that every
// copy goes through the same states. A group is checked against the newest state here; that
// this is the newest state of all is checked by the store, and if it is not, the group is
// checked anew.
type committer struct {
	*collection.Writer
	generation *Generation
	shared     store.Shared
	inFlight   []*inFlight // in the order of their requests
	backlog    backlog
	alarm      *time.Timer
}

// newCommitter returns what collection.New needs for a collection of a generation.
func newCommitter(gen *Generation, shared store.Shared) func(*collection.Writer) collection.Committer {
	return func(w *collection.Writer) collection.Committer {
		return &committer{Writer: w, generation: gen, shared: shared, alarm: time.NewTimer(time.Hour)}
	}
}

// of returns the committer of a collection of a generation that follows a store.
func of(col *collection.Collection) *committer { return col.Committer().(*committer) }

// inFlight is a group that is being committed, or that was and is not visible yet. Several
// may be in flight at a time if they have no item in common: the changes of an item are
// made in the order in which they came.
type inFlight struct {
	*collection.Group
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

// awaitApplied lets the group go on when every commit up to seq is visible here.
func (c *committer) awaitApplied(f *inFlight, state commitState, seq uint64) {
	reached, leave := c.generation.waiters.enter(seq, c.generation.applied.Load)
	f.leave = leave
	c.onTurn(f, state, reached)
}

// submit commits a group that was checked. A group in flight that came before and has an item
// in common has to end first. If the state here speaks against a write, the newest state of
// all copies is waited for. In both cases the group is checked anew.
func (c *committer) submit(f *inFlight) {
	if before := c.before(f); before != nil {
		c.onTurn(f, blocked, before.over)
		return
	}
	if len(f.Changes) == 0 && (f.sure || !f.Refused()) {
		c.conclude(f, nil)
		return
	}
	if f.tries > maxTries {
		c.conclude(f, collection.ErrContended)
		return
	}
	f.done = make(chan struct{})
	if f.sure || !f.Refused() {
		go func() {
			defer close(f.done)
			f.err = c.Commit(f.Group)
		}()
		c.onTurn(f, committing, f.done)
		return
	}
	go func() {
		defer close(f.done)
		f.Seq, f.err = c.newest()
	}()
	f.asked = true
	c.onTurn(f, committing, f.done)
}

// newest asks the store for the head of the history that is followed.
func (c *committer) newest() (uint64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Options().CommitTimeout)
	defer cancel()
	head, err := c.shared.Head(ctx)
	if err == nil && head.Epoch != c.generation.epoch {
		err = errAnew
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
		c.again(f, f.Requests)
	}
	if b := &c.backlog; b.held != nil && len(b.items) == 0 && b.flushing == nil {
		req := b.held
		b.held = nil
		c.take(c.Gather(req))
	}
}

// again checks requests anew. The group that they make keeps the place in flight of the one
// before.
func (c *committer) again(f *inFlight, requests []*collection.Request) {
	f.Group, f.err = c.Again(requests), nil
	c.submit(f)
}

// committed goes on with a group when its commit has ended, or the head was told.
func (c *committer) committed(f *inFlight) {
	var stale *store.StaleError
	var taken *store.RepeatedError
	switch asked := f.asked; {
	case f.err == nil && asked:
		f.asked, f.sure = false, true
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

// split puts each request in flight by itself, so that the one that cannot be made now does
// not hinder the others.
func (c *committer) split(f *inFlight) {
	at := slices.Index(c.inFlight, f)
	each := make([]*inFlight, len(f.Requests))
	for i := range each {
		each[i] = &inFlight{Group: c.NewGroup(0), begun: f.begun, over: make(chan struct{})}
	}
	requests := f.Requests
	c.inFlight = slices.Replace(c.inFlight, at, at+1, each...)
	close(f.over)
	for i, one := range each {
		c.again(one, requests[i:i+1])
	}
}

// abandon answers what waits when the collection ends before its time.
func (c *committer) abandon(why *ending) {
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
		def := c.Tip().Definition()
		if d.define != nil {
			def = *d.define
		}
		if _, err := c.Redefine(d.seq, d.defined, def); err != nil {
			return err
		}
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
