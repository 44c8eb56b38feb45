package postgres

import (
	"context"
	"runtime"
	"time"
)

// groupRows is how many changes a group of several requests may have.
const groupRows = 500

// gather waits for a request and returns a group of it and of the requests that wait behind
// it. It returns nil when ctx ends.
func (w *writer) gather(ctx context.Context) []*request {
	first := w.held
	w.held = nil
	for first == nil {
		var again <-chan time.Time
		if w.s.fault.Load() != nil {
			again = time.After(probePause)
		}
		select {
		case first = <-w.queue:
			if !first.state.CompareAndSwap(queued, taken) {
				first = nil
			}
		case <-again:
			w.probe()
		case <-ctx.Done():
			return nil
		}
	}
	g := newGathering(first)
	yielded := false
	for !first.alone && g.rows < groupRows {
		select {
		case next := <-w.queue:
			if !next.state.CompareAndSwap(queued, taken) {
				continue
			}
			if !g.admit(next) {
				w.held = next
				return g.group
			}
			yielded = false
		default:
			if yielded {
				return g.group
			}
			runtime.Gosched() // goroutines that are about to queue a request may join the group
			yielded = true
		}
	}
	return g.group
}

// gathering is a group that is being formed. The database checks the expected versions and
// the keys of receipts in the state before the group. So a request may not join if its
// expectations or receipts depend on a request of the group.
type gathering struct {
	group   []*request
	rows    int
	known   int                // how many requests of the group are in touched and names
	touched map[[2]string]bool // collection and id of the changes
	names   map[string]bool    // of the receipts
}

func newGathering(first *request) *gathering {
	g := &gathering{group: []*request{first}, rows: len(first.changes)}
	return g
}

// admit adds a request to the group if it may join, and reports whether it did.
func (g *gathering) admit(req *request) bool {
	if req.alone || g.rows+len(req.changes) > groupRows || req.epoch != g.group[0].epoch {
		return false
	}
	for i := range req.changes {
		if ch := &req.changes[i]; ch.Expects {
			g.learn()
			if g.touched[[2]string{ch.Collection, ch.Item.ID}] {
				return false
			}
		}
	}
	for i := range req.receipts {
		g.learn()
		if g.names[req.receipts[i].Name()] {
			return false
		}
	}
	g.group = append(g.group, req)
	g.rows += len(req.changes)
	return true
}

// learn adds the requests of the group to touched and names.
func (g *gathering) learn() {
	if g.touched == nil {
		g.touched, g.names = map[[2]string]bool{}, map[string]bool{}
	}
	for ; g.known < len(g.group); g.known++ {
		req := g.group[g.known]
		for i := range req.changes {
			g.touched[[2]string{req.changes[i].Collection, req.changes[i].Item.ID}] = true
		}
		for i := range req.receipts {
			g.names[req.receipts[i].Name()] = true
		}
	}
}
