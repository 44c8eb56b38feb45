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

// applying is a durable group whose index is being made.
type applying struct {
	*Group
	step *table.Step
	done chan struct{} // closed when the step has its index, or failed
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
	g, err := d.makeDurable(d.Gather(req))
	d.Settle()
	d.takeIn(g, err)
}

// Settle is part of Committer.
func (d *direct) Settle() {
	if l := d.under; l != nil {
		d.under = nil
		<-l.done
		d.finish(l.Group, l.step, nil)
	}
}

// restart is what an operator can do about a collection that takes no writes.
const restart = "the collection takes no more until the server is started again"

// makeDurable commits a group. It answers the requests that were made before, and those for
// which there is no space, and leaves them out. It returns the group that is left.
func (d *direct) makeDurable(g *Group) (*Group, error) {
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
		case errors.Is(err, store.ErrNoSpace) && slices.ContainsFunc(g.Requests, needsSpace):
			g = d.without(g, err, needsSpace)
			continue
		case errors.Is(err, store.ErrUncertain):
			// What is in memory may no longer be what is stored.
			d.Fail(&store.UnavailableError{Reason: "it is not known whether a write before this one was made; " + restart, Err: err})
		}
		return g, err
	}
	return g, nil
}

// needsSpace reports whether a request does not only delete. There may be space for one that
// does, when there is none for others.
func needsSpace(r *Request) bool {
	return slices.ContainsFunc(r.Writes, func(w Write) bool { return w.Action != Delete })
}

// overlapFrom is from how many changes on (Step.Changes) another goroutine makes the index and the
// columns, beside the writer. Fewer are done before a goroutine has begun.
const overlapFrom = 256

// takeIn gives a group to the table and answers it. err is the outcome of its commit. If the
// index takes a while, Settle finishes the group.
func (d *direct) takeIn(g *Group, err error) {
	if err == nil && len(g.Changes) > 0 && d.failed != nil { // since the commit
		err = Uncertain(d.failed)
	}
	if err != nil || len(g.Changes) == 0 {
		g.Answer(err)
		return
	}
	step, err := d.table.Begin(len(g.Changes), g.final)
	if err != nil || step.Changes() < overlapFrom {
		if err == nil {
			step.Index()
		}
		d.finish(g, step, err)
		return
	}
	l := &applying{g, step, make(chan struct{})}
	d.under = l
	go func() {
		step.Index()
		close(l.done)
		d.Do(func() {
			if d.under == l {
				d.Settle()
			}
		})
	}()
}

// finish shows the state after a group, and answers it. err is that of Begin; if there is
// none, the index of the step is made.
func (d *direct) finish(g *Group, step *table.Step, err error) {
	if err == nil {
		_, err = d.table.Finish(step)
	}
	if err != nil {
		// The store has it, memory refused it: only a defect can do that.
		d.opt.Log.Error("a durable commit could not be applied; the collection takes no writes until restart",
			"collection", d.name, "seq", g.Seq, "error", err)
		d.Fail(&store.UnavailableError{Reason: "a write that was made could not be shown; " + restart})
		g.Answer(Uncertain(d.failed))
		return
	}
	d.Show(g.Seq)
	g.Answer(g.Doubt)
}
