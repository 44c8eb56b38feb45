package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

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

// groupRows is how many rows the writer takes together.
const groupRows = 500

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

// Receipt is part of store.Store.
func (s *Store) Receipt(ctx context.Context, collection, key string) (store.Receipt, bool, error) {
	if err := ctx.Err(); err != nil {
		return store.Receipt{}, false, err
	}
	if err := s.enter(); err != nil {
		return store.Receipt{}, false, err
	}
	defer s.inFlight.Done()
	var kept []store.Receipt
	err := s.onConnection(ctx, readTimeout, func(ctx context.Context, conn *pgx.Conn) (err error) {
		kept, err = readReceipts(ctx, conn, []store.Receipt{{Collection: collection, Key: key}})
		return err
	})
	if err != nil || len(kept) == 0 {
		return store.Receipt{}, false, readError(err)
	}
	return kept[0], true, nil
}

// receiptsSQL leaves out those of collections before the ones that have their names.
const receiptsSQL = `
SELECT r.key, r.outcome, r.seq FROM nearby.receipts r JOIN nearby.collections c ON c.name = split_part(r.key, '/', 1)
 WHERE r.key = ANY ($1) AND r.seq >= c.born AND NOT c.dropped`

// readReceipts returns those of the receipts that are kept.
func readReceipts(ctx context.Context, conn *pgx.Conn, receipts []store.Receipt) ([]store.Receipt, error) {
	names := make([]string, len(receipts))
	for i := range receipts {
		names[i] = receipts[i].Name()
	}
	rows, err := conn.Query(ctx, receiptsSQL, names)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (store.Receipt, error) {
		var name string
		var outcome []byte
		var seq int64
		err := row.Scan(&name, &outcome, &seq)
		r := store.Named(name)
		r.Outcome, r.Seq = outcome, store.Seq(seq)
		return r, err
	})
}
