package postgres

import (
	"context"
	"runtime"
	"time"
)

// groupRows is how many rows the writer takes together.
const groupRows = 500

// gather forms a group of the first request and those that wait.
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
			runtime.Gosched() // those about to queue a request share the transaction
			yielded = true
		}
	}
	return g.group
}

// gathering is a group that is being formed. What a request rests on must be the
// state before the group.
type gathering struct {
	group   []*request
	rows    int
	known   int // requests of the group that are in touched
	touched map[[2]string]bool
	names   map[string]bool // of receipts
}

func newGathering(first *request) *gathering {
	g := &gathering{group: []*request{first}, rows: len(first.changes)}
	return g
}

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

// learn notes what the requests of the group touch.
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
