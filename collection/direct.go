package collection

import (
	"errors"
	"slices"
	"time"

	"nearby/store"
	"nearby/table"
)

// direct is the Committer for a store that only this process writes. It shows a group as soon
// as it is committed. While the index takes in one group, the next is formed and committed.
// Groups are answered in their order, since each was checked against the one before it.
type direct struct {
	*Writer
	under *applying // nil: none
}

// applying is a durable group on its way into memory.
type applying struct {
	*Group
	step *table.Step
	done chan struct{} // closed when the step has its index, or failed
	err  error         // of Begin
}

func newDirect(w *Writer) Committer { return &direct{Writer: w} }

// Ready is part of Committer.
func (d *direct) Ready() bool { return true }

// Alarm is part of Committer.
func (d *direct) Alarm(bool) <-chan time.Time { return nil }

// Wake is part of Committer.
func (d *direct) Wake() {}

// Idle is part of Committer.
func (d *direct) Idle() bool { return d.under == nil }

// LossWindow is part of Committer.
func (d *direct) LossWindow(*Snapshot) time.Duration { return 0 }

// Take is part of Committer.
func (d *direct) Take(req *Request) {
	g, err := d.commit(d.Gather(req))
	d.Settle()
	d.apply(g, err)
}

// Settle is part of Committer.
func (d *direct) Settle() {
	if l := d.under; l != nil {
		d.under = nil
		<-l.done
		d.finish(l)
	}
}

// restart is what an operator can do about a collection that takes no writes.
const restart = "the collection takes no more until the server is started anew"

// commit makes a group durable, without the requests that were made before, and without
// those for which there is no space.
func (d *direct) commit(g *Group) (*Group, error) {
	for len(g.Changes) > 0 {
		if d.failed != nil {
			return g, d.failed
		}
		err := d.Commit(g)
		var taken *store.RepeatedError
		switch {
		case errors.As(err, &taken):
			g = d.Without(g, taken)
			continue
		case errors.Is(err, store.ErrNoSpace) && g.mixed():
			g = d.deletions(g, err)
			continue
		case errors.Is(err, store.ErrUncertain):
			// What is in memory may no longer be what is stored.
			d.Fail(&store.UnavailableError{Reason: "it is not known whether a write before this one was made; " + restart, Err: err})
		}
		return g, err
	}
	return g, nil
}

// onlyDeletes reports whether all that a request asks for is to delete.
func (r *Request) onlyDeletes() bool {
	return !slices.ContainsFunc(r.Writes, func(w Write) bool { return w.Action != Delete })
}

// mixed reports whether some requests of a group only delete, and others do not.
func (g *Group) mixed() bool {
	deletes := 0
	for _, req := range g.Requests {
		if req.onlyDeletes() {
			deletes++
		}
	}
	return deletes > 0 && deletes < len(g.Requests)
}

// deletions answers the requests of a group for which there is no space, and makes a
// group of those that only delete, for which there may be.
func (d *direct) deletions(g *Group, full error) *Group {
	var rest []*Request
	for _, req := range g.Requests {
		if req.onlyDeletes() {
			rest = append(rest, req)
			continue
		}
		req.Answer(full)
	}
	return d.Again(rest)
}

// overlapFrom is the number of changes from which the index takes them in beside
// the writer; a few are done before another goroutine has begun.
const overlapFrom = 256

// apply gives a committed group to the table, err being the outcome of its commit, and
// answers it; if the index takes a while, that is done by Settle.
func (d *direct) apply(g *Group, err error) {
	if err == nil && len(g.Changes) > 0 && d.failed != nil { // since the commit
		err = Uncertain(d.failed)
	}
	if err != nil || len(g.Changes) == 0 {
		g.Answer(err)
		return
	}
	l := &applying{Group: g}
	if l.step, l.err = d.table.Begin(len(g.Changes), g.final); l.err != nil || l.step.Moves() < overlapFrom {
		if l.err == nil {
			l.step.Index()
		}
		d.finish(l)
		return
	}
	l.done = make(chan struct{})
	d.under = l
	go func() {
		l.step.Index()
		close(l.done)
		d.Do(func() {
			if d.under == l {
				d.Settle()
			}
		})
	}()
}

// finish publishes the next snapshot, whose index is made, and answers the group.
func (d *direct) finish(l *applying) {
	err := l.err
	if err == nil {
		_, err = d.table.Finish(l.step)
	}
	if err != nil {
		// The store has it, memory refused it: only a defect can do that.
		d.opt.Log.Error("a durable commit could not be applied; the collection takes no writes until restart",
			"collection", d.name, "seq", l.Seq, "error", err)
		d.Fail(&store.UnavailableError{Reason: "a write that was made could not be shown; " + restart})
		l.Answer(Uncertain(d.failed))
		return
	}
	d.publish(l.Seq)
	d.Reconsider()
	l.Answer(l.Doubt)
}
