package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"nearby/item"
	"nearby/store"
)

// request is a Commit on its way through the writer.
type request struct {
	changes  []store.Change
	receipts []store.Receipt
	alone    bool        // it changes collections, or is large
	epoch    store.Epoch // of the history that it belongs to; "": any
	state    atomic.Uint32
	tries    int // that met a row that somebody else holds

	seq  store.Seq
	err  error
	done chan struct{}
}

// The states of a request. Only a queued one can be given up.
const (
	queued uint32 = iota
	taken
	givenUp
)

// Commit is part of store.Store. A commit that the writer has taken is brought to
// its end even if ctx ends before.
func (s *Store) Commit(ctx context.Context, changes []store.Change, receipts ...store.Receipt) (store.Seq, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.inFlight.Done()
	if len(changes) == 0 && len(receipts) == 0 {
		head, err := s.readHead()
		return head.Seq, err
	}
	if s.writer == nil {
		return 0, store.ErrReadOnly
	}
	req := &request{changes: changes, receipts: receipts, alone: len(changes) > groupRows, done: make(chan struct{})}
	if h := s.history.Load(); h != nil {
		req.epoch = *h
	}
	if err := req.check(); err != nil {
		return 0, err
	}
	select {
	case s.writer.queue <- req:
	case <-ctx.Done():
		return 0, s.waited(ctx)
	}
	select {
	case <-req.done:
	case <-ctx.Done():
		if req.state.CompareAndSwap(queued, givenUp) {
			return 0, s.waited(ctx)
		}
		<-req.done // within CommitTimeout
	}
	return req.seq, req.err
}

// waited is the error of a commit that was not begun in its time: it has waited for those
// before it.
func (s *Store) waited(ctx context.Context) error {
	if fault := s.fault.Load(); fault != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return *fault
	}
	return ctx.Err()
}

// check refuses what no database has to be asked about.
func (r *request) check() error {
	for i := range r.changes {
		ch := &r.changes[i]
		if n := len(ch.Collection); n == 0 || n > 64 {
			return fmt.Errorf("the name of a collection has %d bytes, must have 1 to 64", n)
		}
		switch ch.Op {
		case store.PutItem:
			if err := errors.Join(item.CheckID(ch.Item.ID), item.CheckPosition(ch.Item.Lon, ch.Item.Lat)); err != nil {
				return err
			}
		case store.DeleteItem:
			if err := item.CheckStoredID(ch.Item.ID); err != nil {
				return err
			}
		case store.PutCollection, store.DropCollection:
			r.alone = true
		default:
			return fmt.Errorf("unknown operation %d", ch.Op)
		}
	}
	return store.CheckReceipts(r.receipts)
}
