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
	alone    bool // it changes collections, or is large
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
	if err := req.check(); err != nil {
		return 0, err
	}
	select {
	case s.writer.queue <- req:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	select {
	case <-req.done:
	case <-ctx.Done():
		if req.state.CompareAndSwap(queued, givenUp) {
			return 0, ctx.Err()
		}
		<-req.done // within CommitTimeout
	}
	return req.seq, req.err
}

// check refuses what no database has to be asked about.
func (r *request) check() error {
	for i := range r.changes {
		ch := &r.changes[i]
		if n := len(ch.Collection); n == 0 || n > 64 {
			return fmt.Errorf("store: a collection's name of %d bytes", n)
		}
		switch ch.Op {
		case store.PutItem:
			if err := errors.Join(item.CheckID(ch.Item.ID), item.CheckPosition(ch.Item.Lon, ch.Item.Lat)); err != nil {
				return fmt.Errorf("store: %w", err)
			}
		case store.DeleteItem:
			if err := item.CheckID(ch.Item.ID); err != nil {
				return fmt.Errorf("store: %w", err)
			}
		case store.PutCollection, store.DropCollection:
			r.alone = true
		default:
			return fmt.Errorf("store: unknown operation %d", ch.Op)
		}
	}
	keys := make(map[string]bool, len(r.receipts))
	for _, receipt := range r.receipts {
		if n := len(receipt.Key); n == 0 || n > store.MaxKeyBytes {
			return fmt.Errorf("store: a receipt's key of %d bytes", n)
		}
		if keys[receipt.Key] {
			return fmt.Errorf("store: two receipts of a commit have the key %q", receipt.Key)
		}
		keys[receipt.Key] = true
	}
	return nil
}

// Receipt is part of store.Store.
func (s *Store) Receipt(ctx context.Context, key string) (store.Receipt, bool, error) {
	if err := ctx.Err(); err != nil {
		return store.Receipt{}, false, err
	}
	if err := s.enter(); err != nil {
		return store.Receipt{}, false, err
	}
	defer s.inFlight.Done()
	var kept []store.Receipt
	err := s.onConnection(ctx, readTimeout, func(ctx context.Context, conn *pgx.Conn) (err error) {
		kept, err = readReceipts(ctx, conn, []string{key})
		return err
	})
	if err != nil || len(kept) == 0 {
		return store.Receipt{}, false, readError(err)
	}
	return kept[0], true, nil
}

func readReceipts(ctx context.Context, conn *pgx.Conn, keys []string) ([]store.Receipt, error) {
	rows, err := conn.Query(ctx, `SELECT key, outcome, seq FROM nearby.receipts WHERE key = ANY ($1)`, keys)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (store.Receipt, error) {
		var r store.Receipt
		var seq int64
		err := row.Scan(&r.Key, &r.Outcome, &seq)
		r.Seq = store.Seq(seq)
		return r, err
	})
}
