package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"nearby/store"
	"nearby/store/postgres/database"
)

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
		return store.Receipt{}, false, database.ReadError(err)
	}
	return kept[0], true, nil
}

// receiptsSQL leaves out receipts of dropped collections, even if there is a new collection
// with the same name.
const receiptsSQL = `
SELECT r.key, r.outcome, r.seq FROM nearby.receipts r JOIN nearby.collections c ON c.name = split_part(r.key, '/', 1)
 WHERE r.key = ANY ($1) AND r.seq >= c.born AND NOT c.dropped`

// readReceipts returns the kept receipts that have the collections and keys of the given ones.
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
