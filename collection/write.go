package collection

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"nearby/item"
	"nearby/store"
	"nearby/table"
)

// Op is what a Write does.
type Op uint8

const (
	Upsert Op = iota + 1 // insert or replace
	Insert               // ErrExists if the id is taken
	Keep                 // insert, or leave the item that is there as it is
	Merge                // insert, or merge into the item that is there
	Patch                // merge; ErrNotFound if there is no such item
	Delete               // ErrNotFound if there is no such item
)

// merges reports whether the properties of a write are a patch.
func (o Op) merges() bool { return o == Merge || o == Patch }

// Write is one change that a caller asks for.
type Write struct {
	Op   Op
	Item item.Item // Delete needs only the ID. An empty ID is made up (not for Delete).
	// The Properties of a Merge and a Patch are a JSON merge patch (RFC 7396) of those
	// that the item has when the write is made, by whomever they were written; null
	// clears them. NoPosition leaves it where it is: a Merge then needs an item, too.
	NoPosition bool
	// IfSeq, when not nil, demands that the item exists in one of these versions;
	// ErrPrecondition otherwise.
	IfSeq []uint64
	// IfNotSeq demands that the item is in none of these versions, or does not exist;
	// ErrPrecondition otherwise.
	IfNotSeq []uint64
	// IfExists demands that the item exists; ErrPrecondition otherwise.
	IfExists bool
	// IfAbsent demands that it does not; ErrPrecondition otherwise.
	IfAbsent bool
	// IfUnmodified, when not zero, demands that the item, if it exists, was not written
	// after this time of whole seconds; ErrPrecondition otherwise.
	IfUnmodified time.Time
}

// conditional reports whether a write depends on what there is.
func (w *Write) conditional() bool {
	return w.IfSeq != nil || w.IfNotSeq != nil || w.IfExists || w.IfAbsent || !w.IfUnmodified.IsZero()
}

// Unmodified reports whether what was last written at updated, in Unix milliseconds, was
// not written after since, a time of whole seconds. A time ahead of the clock is from
// before that was set back: other versions may be of the same second, and count as later.
func Unmodified(updated int64, since, now time.Time) bool {
	second := time.UnixMilli(updated).Unix()
	return second < since.Unix() || second == since.Unix() && updated <= now.UnixMilli()
}

// Result is the outcome of one Write.
type Result struct {
	ID      string
	Created bool   // a new item; false: replaced or deleted
	Skipped bool   // the item is there, and stays as it is
	Seq     uint64 // the item's new version
	// Merged is what a Merge or a Patch has made; nil if it was made before, by another
	// request with the same key.
	Merged *item.Item
	// Replaced: a later write of the same commit has replaced the version, which was
	// never to be seen. Seq names what took its place.
	Replaced bool
	Times    struct{ Created, Updated int64 }
	Pending  bool  // visible here, and durable within Collection.LossWindow
	Err      error // why this write was refused; the others of its request stand
}

// request is what one caller hands to the writer. The writer sets err and the
// results before it closes done.
type request struct {
	writes  []Write
	once    *IdempotencyKey // not nil: with a key
	strict  bool            // nothing is done after the first write that is refused
	results []Result
	run     func() error // instead of writes: run by the writer between groups
	err     error
	done    chan struct{}
}

// Write makes changes durable and visible and returns one result for each, in
// order. Refused writes do not hinder the others. An error means that none was
// applied, except store.ErrUncertain, as which counts a context that ended while
// waiting: then they may have been. The caller must not change writes until it returns;
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
	return c.begin(&request{writes: writes})
}

// BeginStrict is Begin for writes that end at the first one that is refused: those
// after it are not made, and have the error ErrNotTried.
func (c *Collection) BeginStrict(writes []Write) (wait func(context.Context) ([]Result, error), err error) {
	return c.begin(&request{writes: writes, strict: true})
}

// begin queues a request.
func (c *Collection) begin(req *request) (wait func(context.Context) ([]Result, error), err error) {
	if len(req.writes) == 0 {
		return func(context.Context) ([]Result, error) { return nil, nil }, nil
	}
	if src := c.Snapshot().def.Source; src != nil {
		return nil, fmt.Errorf("%w: collection %q shows the table %s", ErrReadOnly, c.name, src.Table)
	}
	select {
	case <-c.stopped:
		return nil, c.ended()
	default:
	}
	req.results, req.done = make([]Result, len(req.writes)), make(chan struct{})
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
			return c.ended()
		}
	case <-ctx.Done():
		return uncertain(ctx.Err())
	}
}

// uncertain is the error of what may have been made, and perhaps was.
func uncertain(err error) error {
	if errors.Is(err, store.ErrUnavailable) {
		return fmt.Errorf("%w: %v", store.ErrUncertain, err) //nolint:errorlint // that one says that nothing was applied
	}
	return fmt.Errorf("%w: %w", store.ErrUncertain, err)
}

// applying is a durable group on its way into memory.
type applying struct {
	*group
	step *table.Step
	done chan struct{} // closed when the step has its index, or failed
	err  error         // of Begin
}

// run is the writer: it forms groups, commits them and publishes snapshots until
// the collection is closed. While the index takes in one group, the next is
// formed and committed; it is answered after the one before it, for what it was
// checked against must be visible by then.
func (c *Collection) run() {
	defer close(c.stopped)
	var under *applying
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
			g, err := c.commitOnce(c.gather(req))
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

// maxGroupBytes bounds the properties of a group to which more is added. A merge counts with
// what it makes, which may be much more than what was sent: the next request waits for all of it.
const maxGroupBytes = 4 << 20

// gather forms a group of the first request and those that wait.
func (c *Collection) gather(first *request) *group {
	g := newGroup(len(first.writes))
	c.admit(g, first)
	yielded := false
	for len(g.changes) < c.opt.MaxGroup && g.bytes < maxGroupBytes {
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
			if l := c.apply(c.commitOnce(c.gather(req))); l != nil {
				c.finish(l)
			}
		default:
			return
		}
	}
}

// commitOnce makes a group durable, without the requests that were made before.
func (c *Collection) commitOnce(g *group) (*group, error) {
	for {
		err := c.commit(g)
		var taken *store.RepeatedError
		switch {
		case errors.As(err, &taken):
			g = c.without(g, taken)
		case errors.Is(err, store.ErrNoSpace) && g.mixed():
			g = c.deletions(g, err)
		default:
			return g, err
		}
	}
}

// onlyDeletes reports whether all that a request asks for is to delete.
func (r *request) onlyDeletes() bool {
	return !slices.ContainsFunc(r.writes, func(w Write) bool { return w.Op != Delete })
}

// mixed reports whether some requests of a group only delete, and others do not.
func (g *group) mixed() bool {
	deletes := 0
	for _, req := range g.requests {
		if req.onlyDeletes() {
			deletes++
		}
	}
	return deletes > 0 && deletes < len(g.requests)
}

// deletions answers the requests of a group for which there is no space, and makes a
// group of those that only delete, for which there may be.
func (c *Collection) deletions(g *group, full error) *group {
	rest := newGroup(len(g.changes))
	for _, req := range g.requests {
		if req.onlyDeletes() {
			clear(req.results)
			c.admit(rest, req)
			continue
		}
		req.err = full
		close(req.done)
	}
	return rest
}

// without answers the requests of a group whose keys are taken, and makes a group of
// the others.
func (c *Collection) without(g *group, taken *store.RepeatedError) *group {
	rest := newGroup(len(g.changes))
	for _, req := range g.requests {
		if req.once == nil || !slices.ContainsFunc(taken.Receipts, func(r store.Receipt) bool { return r.Key == req.once.Key }) {
			clear(req.results)
			c.admit(rest, req)
			continue
		}
		req.err = taken
		close(req.done)
	}
	if len(rest.requests) == len(g.requests) { // the store names keys that nobody has: only a defect can do that
		rest.answer(taken)
		rest = newGroup(0)
	}
	return rest
}

// restart is what an operator can do about a collection that takes no writes.
const restart = "the collection takes no more until the server is started anew"

// commit makes a group durable.
func (c *Collection) commit(g *group) error {
	if len(g.changes) == 0 {
		return nil
	}
	if c.failed != nil && !c.shared {
		return c.failed
	}
	// The commit is not tied to a caller's patience: others share it.
	ctx, cancel := context.WithTimeout(context.Background(), c.opt.CommitTimeout)
	defer cancel()
	if err := g.seal(); err != nil {
		return err
	}
	seq, err := c.store.Commit(ctx, g.changes, g.receipts...)
	if errors.As(err, new(*store.StaleError)) || errors.As(err, new(*store.RepeatedError)) {
		return err
	}
	if errors.Is(err, store.ErrReadOnly) {
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	if err != nil {
		if errors.Is(err, store.ErrUncertain) && !c.shared && !stands(seq, err) {
			// What is in memory may no longer be what is stored.
			c.failed = &store.UnavailableError{Reason: "it is not known whether a write before this one was made; " + restart, Err: err}
		}
		c.complaints.Do(func() {
			c.log.Error("commit failed", "collection", c.name, "changes", len(g.changes), "error", err)
		})
		if !stands(seq, err) {
			return err
		}
	}
	g.seq, g.doubt = uint64(seq), err
	return nil
}

// stands reports whether the store has a commit of which it returned the number and an
// error: memory follows the store then, and the caller gets the error, if there is one.
func stands(seq store.Seq, err error) bool {
	return err == nil || seq != 0 && errors.Is(err, store.ErrUncertain)
}

// answer gives a group's requests their results.
func (g *group) answer(err error) {
	for _, req := range g.requests {
		req.err = err
		for i := range req.results {
			if res := &req.results[i]; res.Err == nil && !res.Skipped {
				res.Seq = g.seq
			}
		}
		close(req.done)
	}
}

// overlapFrom is the number of changes from which the index takes them in beside
// the writer; a few are done before another goroutine has begun.
const overlapFrom = 256

// apply gives a committed group to the table, err being the outcome of its
// commit. If that leaves something to wait for, the caller must finish what is
// returned before it applies another group; else the group is answered.
func (c *Collection) apply(g *group, err error) *applying {
	if err == nil && len(g.changes) > 0 && c.failed != nil { // since the commit
		err = uncertain(c.failed)
	}
	if err != nil || len(g.changes) == 0 {
		g.answer(err)
		return nil
	}
	l := &applying{group: g, done: make(chan struct{})}
	if l.step, l.err = c.table.Begin(len(g.changes), g.final); l.err != nil || l.step.Moves() < overlapFrom {
		l.reindex()
		c.finish(l)
		return nil
	}
	go l.reindex()
	return l
}

// reindex makes the index of the next snapshot.
func (l *applying) reindex() {
	if l.err == nil {
		l.step.Index()
	}
	close(l.done)
}

// finish waits for the index, publishes the next snapshot and answers the group.
func (c *Collection) finish(l *applying) {
	if err := c.finishApply(l); err != nil {
		// The store has it, memory refused it: only a defect can do that.
		c.log.Error("a durable commit could not be applied; the collection takes no writes until restart",
			"collection", c.name, "seq", l.seq, "error", err)
		c.failed = &store.UnavailableError{Reason: "a write that was made could not be shown; " + restart}
		l.answer(uncertain(c.failed))
		return
	}
	c.reconsider()
	l.answer(l.doubt)
}

// finishApply waits for the index and publishes the next snapshot.
func (c *Collection) finishApply(l *applying) error {
	<-l.done
	if l.err != nil {
		return l.err
	}
	if _, err := c.table.Finish(l.step); err != nil {
		return err
	}
	c.publish(l.seq)
	return nil
}

// applyNow applies and publishes a group.
func (c *Collection) applyNow(g *group) error {
	if _, err := c.table.Apply(len(g.changes), g.final); err != nil {
		return err
	}
	c.publish(g.seq)
	return nil
}
