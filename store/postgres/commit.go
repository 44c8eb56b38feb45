package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"nearby/item"
	"nearby/store"
)

// request is a commit that the writer is to make.
type request struct {
	changes  []store.Change
	receipts []store.Receipt
	alone    bool        // not in a group with others: it changes collections, or is large
	epoch    store.Epoch // of the history that it belongs to; "": any
	state    atomic.Uint32
	tries    int // how often it has met a row that another transaction holds

	seq  store.Seq
	err  error
	done chan struct{}
}

// The states of a request. Only a queued request can be given up.
const (
	queued uint32 = iota
	taken
	givenUp
)

// Commit is part of store.Store. Once the writer has taken a commit, Commit waits for its
// outcome even if ctx ends.
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

// waited returns the error of a commit whose ctx has ended while it waited for the commits
// before it: the fault that holds them up, if the time was up, or the error of ctx.
func (s *Store) waited(ctx context.Context) error {
	if fault := s.fault.Load(); fault != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return *fault
	}
	return ctx.Err()
}

// check refuses requests that are not valid in any state of the database.
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
