package collection

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"nearby/store"
	"nearby/table"
)

// Committer decides when a commit becomes visible. This is what differs between a store that
// only this process writes and one that others write, too. direct (direct.go) shows a commit
// at once. The Committer of package replica shows it when it comes back from the store.
//
// The writer's goroutine calls all methods but LossWindow. It also calls the functions that
// are given to Collection.Do; so these may use the state of a Committer.
type Committer interface {
	// Ready reports whether the next request may be taken.
	Ready() bool
	// Take is given the next request. It may gather others (Writer.Gather), and sees to
	// it that each is answered, now or later.
	Take(*Request)
	// Settle is called before a function of Collection.InWriter. It makes visible what is
	// committed, if that is up to this process.
	Settle()
	// Alarm returns a channel; when it delivers, the writer calls Wake. A nil channel never
	// delivers. closing is true when no more requests will come.
	Alarm(closing bool) <-chan time.Time
	Wake()
	// Idle reports whether every request that was taken is answered, and durable.
	Idle() bool
	// LossWindow is Collection.LossWindow. It may be called by anybody.
	LossWindow(*Snapshot) time.Duration
}

// Writer has what only one goroutine may use: the one that changes the collection. Committers
// call its methods, and so do functions that run in that goroutine (Collection.Do,
// Collection.InWriter). Only Commit may be called by other goroutines.
type Writer struct {
	*Collection
	table      *table.Table
	newest     *Snapshot      // the newest state whose index is there; while partial is set, readers do not have it yet
	partial    bool           // newest is not the state after any commit
	building   chan struct{}  // closed when what is being built is in use; nil: nothing is
	failed     error          // set: see Fail
	ended      bool           // set: the loop is to end
	complaints rate.Sometimes // about commits that fail
	fetched    uint32         // keeps the reads of Fetch from being optimised away
}

// run is the one loop of the writer.
func (w *Writer) run() {
	defer close(w.stopped)
	closing := w.closing
	for !w.ended {
		var queue chan *Request
		if w.committer.Ready() {
			queue = w.queue
		}
		if closing == nil && len(w.queue) == 0 && w.committer.Idle() {
			w.End(ErrClosed)
			return
		}
		select {
		case req := <-queue:
			w.committer.Take(req)
		case call := <-w.calls:
			call()
		case <-w.committer.Alarm(closing == nil):
			w.committer.Wake()
		case <-closing:
			closing = nil
		}
	}
}

// End ends the writer after the present function. It answers the requests that wait, and those
// that come later, with err. The Committer must have answered the requests that it has taken.
func (w *Writer) End(err error) {
	w.ended, w.why = true, err
	for {
		select {
		case req := <-w.queue:
			req.Answer(err)
		default:
			return
		}
	}
}

// Options returns those of the collection.
func (w *Writer) Options() *Options { return &w.opt }

// Newest returns the newest state, which readers may not have yet.
func (w *Writer) Newest() *Snapshot { return w.newest }

// SetPending is for a Committer that acknowledges before a write is durable.
func (w *Writer) SetPending(n int) { w.pending.Store(int64(n)) }

// Fail notes that memory may differ from the store, or that the collection is deleted. The
// Committer then refuses writes with err. If Fail is called again, the first error stays.
func (w *Writer) Fail(err error) {
	if w.failed == nil {
		w.failed = err
	}
}

// Failed returns the error that Fail was given, or nil.
func (w *Writer) Failed() error { return w.failed }

// Hide keeps new states from readers until Show is called, because they are not the state after
// any commit.
func (w *Writer) Hide() { w.partial = true }

// Hidden reports whether readers do not have the newest state.
func (w *Writer) Hidden() bool { return w.partial }

// Show gives readers the newest state, which has every commit up to seq, and calls
// Reconsider.
func (w *Writer) Show(seq uint64) {
	w.partial = false
	w.publish(seq)
	w.Reconsider()
}

// Reconsider chooses the index again if the definition leaves that to the server and the
// number of items has changed much.
func (w *Writer) Reconsider() {
	if w.table.Outgrown() {
		w.start(w.table.Rebuild())
		w.publish(0)
	}
}

// publish makes the table as it is now, which has every commit up to seq, the newest state.
func (w *Writer) publish(seq uint64) {
	w.newest = &Snapshot{w.table.Snapshot(), w.newest.def, w.newest.defined, max(seq, w.newest.seq)}
	if !w.partial {
		w.current.Store(w.newest)
	}
}

// maxGroupBytes bounds the properties of a group to which more is added. A merge counts with
// what it makes, which may be much more than what was sent: the next request waits for all of it.
const maxGroupBytes = 4 << 20

// Gather forms a group of the first request and those that wait.
func (w *Writer) Gather(first *Request) *Group {
	g := NewGroup(len(first.Writes))
	w.Admit(g, first)
	yielded := false
	for len(g.Changes) < w.opt.MaxGroup && g.bytes < maxGroupBytes {
		select {
		case next := <-w.queue:
			w.Admit(g, next)
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

// Again checks requests once more, against the newest state, and makes a group of them.
func (w *Writer) Again(requests []*Request) *Group {
	n := 0
	for _, req := range requests {
		n += len(req.Writes)
	}
	g := NewGroup(n)
	for _, req := range requests {
		clear(req.Results)
		w.Admit(g, req)
	}
	return g
}

// Without answers the requests of a group whose keys are taken, and makes a group of
// the others.
func (w *Writer) Without(g *Group, taken *store.RepeatedError) *Group {
	refused := func(req *Request) bool {
		return req.Key != nil && slices.ContainsFunc(taken.Receipts, func(r store.Receipt) bool { return r.Key == req.Key.Key })
	}
	if !slices.ContainsFunc(g.Requests, refused) { // the store names keys that nobody has: only a defect can do that
		refused = func(*Request) bool { return true }
	}
	return w.without(g, taken, refused)
}

// without answers the requests of a group that are refused with err, and makes a group of the
// others.
func (w *Writer) without(g *Group, err error, refused func(*Request) bool) *Group {
	var rest []*Request
	for _, req := range g.Requests {
		if refused(req) {
			req.Answer(err)
		} else {
			rest = append(rest, req)
		}
	}
	return w.Again(rest)
}

// Commit makes a group durable. An error means that the store has not made it;
// store.ErrUncertain means that this is not known. If there is no error but Group.Doubt is
// set, this process has the commit, but after a restart it may be missing.
func (w *Writer) Commit(g *Group) error {
	if len(g.Changes) == 0 {
		return nil
	}
	// The commit is not tied to a caller's patience: others share it.
	ctx, cancel := context.WithTimeout(context.Background(), w.opt.CommitTimeout)
	defer cancel()
	receipts, err := g.seal(w.name)
	if err != nil {
		return err
	}
	seq, err := w.opt.Store.Commit(ctx, g.Changes, receipts...)
	if errors.As(err, new(*store.StaleError)) || errors.As(err, new(*store.RepeatedError)) {
		return err
	}
	if errors.Is(err, store.ErrReadOnly) {
		return Refuse(ErrReadOnly, "%w", err)
	}
	if err != nil {
		w.complaints.Do(func() {
			w.opt.Log.Error("commit failed", "collection", w.name, "changes", len(g.Changes), "error", err)
		})
		if !Stands(seq, err) {
			return err
		}
	}
	g.Seq, g.Doubt = uint64(seq), err
	return nil
}

// Stands reports whether the store has made a commit, where seq and err are what it returned.
// It may have made it and return an error, too: then the commit is shown, and the caller gets
// the error.
func Stands(seq store.Seq, err error) bool {
	return err == nil || seq != 0 && errors.Is(err, store.ErrUncertain)
}

// Apply makes the next state of the newest one and of a group.
func (w *Writer) Apply(g *Group) error {
	if len(g.Changes) == 0 {
		return nil
	}
	if _, err := w.table.Apply(len(g.Changes), g.final); err != nil {
		return err
	}
	w.publish(g.Seq)
	return nil
}

// TakeIn makes the next state of the newest one and of changes that the commit seq has made. It
// leaves out the changes for which hidden returns true.
func (w *Writer) TakeIn(seq uint64, changes []store.Change, hidden func(*store.Change) bool) error {
	g := NewGroup(len(changes))
	g.Stamp(seq)
	for i := range changes {
		if ch := &changes[i]; !hidden(ch) {
			g.add(ch, g.item(w.table, table.HashOf(ch.Item.ID), ch.Item.ID))
		}
	}
	return w.Apply(g)
}
