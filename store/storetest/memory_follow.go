package storetest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"nearby/store"
)

// quietTime is how long after the last step Follow delivers an empty step.
const quietTime = 20 * time.Millisecond

func (m *memory) Follow(ctx context.Context, after store.CommitID, deliver func(*store.Step) error) error {
	if after.Epoch != m.epoch && m.fault != "any epoch will do" {
		return store.ErrForked
	}
	tick := time.NewTicker(quietTime)
	defer tick.Stop()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.heard, m)
	}()
	seq, quiet := after.Seq, true
	for n := 1; ; n++ {
		step, changed, err := m.next(seq, n)
		if err != nil {
			return err
		}
		if step.Seq == seq && step.View == nil && !quiet {
			select {
			case <-changed:
			case <-tick.C:
				quiet = m.fault != "a quiet store says nothing"
			case <-m.ended:
				return store.ErrClosed
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		seq, quiet = step.Seq, false
		if err := m.deliver(step, n, deliver); err != nil {
			return err
		}
	}
}

// next returns a step of the next few commits after seq, or an empty step if there are none.
// changed is closed when there are more. n is the number of the call, which varies the steps.
func (m *memory) next(seq store.Seq, n int) (step store.Step, changed <-chan struct{}, err error) {
	m.mu.Lock()
	if m.closed() {
		err = store.ErrClosed
	} else if seq < m.gone && m.fault == "what is gone is left out" {
		seq = m.gone
	} else if seq < m.gone {
		err = store.ErrGone
	}
	if err != nil {
		m.mu.Unlock()
		return step, nil, err
	}
	changed = m.changed
	m.heard[m] = seq
	first := min(int(seq-m.gone), len(m.log))
	news := m.log[first:min(len(m.log), first+1+n%4)]
	step = store.Step{Seq: seq + store.Seq(len(news)), At: time.Now()}
	if step.Seq < m.head() && m.fault != "steps have too late a time" {
		step.At = m.log[step.Seq-m.gone].at
	}
	if step.Seq == m.head() && m.inspect.Swap(false) {
		step.View = m.view()
	}
	m.mu.Unlock()
	if step.View != nil && m.fault == "inspected views are newer" {
		time.Sleep(time.Millisecond)
		m.mu.Lock()
		step.View.(*memoryView).content = m.content.show()
		m.mu.Unlock()
	}
	for i, e := range news {
		if m.fault == "a commit is skipped" && (int(seq)+i)%40 == 17 || m.fault == "commits of others are skipped" && e.by != m && len(e.changes) > 1 {
			continue
		}
		step.Changes = append(step.Changes, e.changes...)
	}
	return step, changed, nil
}

// deliver leaves out changes that a later change of the step replaces. It delivers the larger
// steps with an even number n in parts.
func (m *memory) deliver(step store.Step, n int, deliver func(*store.Step) error) error {
	var changes []store.Change
	later := map[string]bool{}
	for _, ch := range slices.Backward(step.Changes) {
		name := ch.Collection + "/" + ch.Item.ID
		if m.fault == "the first of a step wins" {
			name += fmt.Sprint(ch.Item.Seq)
		}
		if ch.Op == store.DropCollection {
			later[ch.Collection+"/"] = true
		}
		if ch.Op == store.PutItem || ch.Op == store.DeleteItem {
			if later[name] || later[ch.Collection+"/"] {
				continue
			}
			later[name] = true
		}
		if ch.Op == store.DeleteItem && m.fault == "deletions have no number" {
			ch.Item.Seq = 0
		}
		changes = append(changes, ch)
	}
	if m.fault != "the first of a step wins" {
		slices.Reverse(changes)
	}
	if m.fault == "a step is repeated" && n%30 == 0 && step.View == nil {
		if err := deliver(&store.Step{Seq: step.Seq, Changes: changes, At: step.At}); err != nil {
			return err
		}
	}
	for size := max(2, len(changes)/3); len(changes) > size && n%2 == 0; {
		part := store.Step{Seq: step.Seq, Changes: changes[:size], At: step.At, More: m.fault != "unfinished steps are shown"}
		if err := deliver(&part); err != nil {
			return err
		}
		changes = changes[size:]
		if m.fault == "unfinished steps are shown" {
			changes = nil
		}
	}
	step.Changes = changes
	return deliver(&step)
}
