package postgres

import (
	"slices"
	"sync"
	"time"

	"nearby/store"
)

// recent keeps the store's own last batches while Follow runs, so that they need not
// be read again, as many as fit its limits.
type recent struct {
	mu        sync.Mutex
	followers map[chan struct{}]bool // to be woken, each with room for one signal
	batches   []ownBatch             // in order, perhaps with gaps where others committed
	bytes     int
	newest    store.Seq // the last that was added, kept or not
}

const (
	recentBytes   = 16 << 20
	recentBatches = 4096
)

// ownBatch is what one transaction of the store's own has committed.
type ownBatch struct {
	epoch       store.Epoch
	first, last store.Seq
	changes     []store.Change
	at          time.Time // before it was sent
	bytes       int
}

func (r *recent) init() { r.followers = map[chan struct{}]bool{} }

// enter returns a channel that is signalled when there is something new.
func (r *recent) enter() chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	wake := make(chan struct{}, 1)
	r.followers[wake] = true
	return wake
}

func (r *recent) leave(wake chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.followers, wake)
	if len(r.followers) == 0 {
		r.batches, r.bytes = nil, 0
	}
}

func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default: // it has not looked since the last
	}
}

// add takes a group of commits that was made, the last of them with the number of
// end.
func (r *recent) add(group []*request, end store.CommitID, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.followers) == 0 {
		return
	}
	b := ownBatch{epoch: end.Epoch, first: end.Seq - store.Seq(len(group)-1), last: end.Seq, at: at}
	r.newest = end.Seq
	n := 0
	for _, req := range group {
		n += len(req.changes)
		for i := range req.changes {
			b.bytes += 160 + len(req.changes[i].Item.ID) + len(req.changes[i].Item.Properties) + len(req.changes[i].Definition)
		}
	}
	if b.bytes <= recentBytes {
		b.changes = make([]store.Change, 0, n)
		for i, req := range group {
			for j := range req.changes {
				b.changes = append(b.changes, own(&req.changes[j], b.first+store.Seq(i)))
			}
		}
		r.batches = append(r.batches, b)
		r.bytes += b.bytes
	}
	drop := 0
	for ; r.bytes > recentBytes || len(r.batches)-drop > recentBatches; drop++ {
		r.bytes -= r.batches[drop].bytes
	}
	r.batches = slices.Delete(r.batches, 0, drop)
	for wake := range r.followers {
		signal(wake)
	}
}

// own is a change with memory of its own, as a step has it.
func own(ch *store.Change, seq store.Seq) store.Change {
	c := ch.Clone()
	if len(c.Item.Properties) == 0 {
		c.Item.Properties = nil // there is no telling them apart in the database
	}
	c.Item.Seq = uint64(seq)
	c.Expects, c.Expected = false, 0
	return c
}

// after returns the batch that continues a position, if it is kept, and else whether
// there are later ones.
func (r *recent) after(pos store.CommitID) (b ownBatch, next, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, found := slices.BinarySearchFunc(r.batches, pos.Seq+1, func(b ownBatch, seq store.Seq) int {
		switch {
		case b.first < seq:
			return -1
		case b.first > seq:
			return 1
		}
		return 0
	})
	if len(r.followers) == 1 { // what came before is of no use any more
		for j := range i {
			r.bytes -= r.batches[j].bytes
		}
		r.batches = slices.Delete(r.batches, 0, i)
		i = 0
	}
	if !found || r.batches[i].epoch != pos.Epoch {
		return ownBatch{}, false, r.newest > pos.Seq
	}
	return r.batches[i], true, true
}
