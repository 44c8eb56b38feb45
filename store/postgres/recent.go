package postgres

import (
	"slices"
	"sync"
	"time"

	"nearby/store"
)

// recent keeps the last batches that this store has made while Follow runs, so that Follow
// need not read them from the database. It keeps up to recentBatches, with up to recentBytes.
type recent struct {
	mu        sync.Mutex
	followers map[chan struct{}]bool // a channel for each Follow, with room for one signal
	batches   []ownBatch             // in order; commits of others may lie between
	bytes     int                    // of the batches, about
	newest    store.Seq              // the last commit that was added, even if it is not kept
}

const (
	recentBytes   = 16 << 20
	recentBatches = 4096
)

// ownBatch is what one transaction of this store has committed.
type ownBatch struct {
	epoch       store.Epoch
	first, last store.Seq
	changes     []store.Change
	at          time.Time // before the batch was sent
	bytes       int
}

func (r *recent) init() { r.followers = map[chan struct{}]bool{} }

// enter returns a channel that is signalled when a batch was added.
func (r *recent) enter() chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	wake := make(chan struct{}, 1)
	r.followers[wake] = true
	return wake
}

// leave is called with the channel from enter when Follow ends.
func (r *recent) leave(wake chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.followers, wake)
	if len(r.followers) == 0 {
		r.batches, r.bytes = nil, 0
	}
}

// signal sends to a channel with room for one signal, if it has none.
func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// add adds a group of commits that was made. end is the last of them.
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

// own returns a copy of a change, with memory of its own, as a step has it.
func own(ch *store.Change, seq store.Seq) store.Change {
	c := ch.Clone()
	if len(c.Item.Properties) == 0 {
		c.Item.Properties = nil // as the item comes back from the database
	}
	c.Item.Seq = uint64(seq)
	c.Expects, c.Expected = false, 0
	return c
}

// after returns the batch whose first commit follows pos, if it is kept (next). If it is not,
// more says whether this store has made later commits.
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
	if len(r.followers) == 1 { // nobody needs the batches before pos any more
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
