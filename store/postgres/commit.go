package postgres

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

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
	if err := store.CheckBatch(changes, receipts); err != nil {
		return 0, err
	}
	req := &request{changes: changes, receipts: receipts, alone: len(changes) > groupRows || slices.ContainsFunc(changes, ofCollection), done: make(chan struct{})}
	if h := s.history.Load(); h != nil {
		req.epoch = *h
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

// ofCollection reports whether a change is one of a collection. A commit with it is made alone.
func ofCollection(ch store.Change) bool {
	return ch.Op == store.PutCollection || ch.Op == store.DropCollection
}
