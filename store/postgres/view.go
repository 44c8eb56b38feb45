package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres/database"
)

// view implements store.View with a transaction that has one snapshot.
type view struct {
	s   *Store
	pos store.CommitID

	mu     sync.Mutex // guards conn, which does one thing at a time, and closed
	conn   *pgxpool.Conn
	closed bool
}

// View is part of store.Store.
func (s *Store) View(ctx context.Context) (store.View, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	v, err := s.openView(ctx)
	if err != nil {
		s.inFlight.Done()
		err = database.ReadError(err)
		if errors.Is(err, store.ErrRestored) {
			s.restored.Store(true)
		}
		return nil, err
	}
	return v, nil
}

func (s *Store) openView(ctx context.Context) (v *view, err error) {
	err = s.onPool(ctx, func(conn *pgxpool.Conn) error {
		v = &view{s: s, conn: conn}
		err := v.begin(ctx)
		if err != nil {
			v.rollBack()
		}
		return err
	})
	return v, overdue(ctx, err)
}

// begin opens a transaction with one snapshot. It takes the lock on the tables before the
// snapshot, because a TRUNCATE also removes the rows that older snapshots should see.
func (v *view) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	conn := v.conn.Conn()
	if _, err := conn.Exec(ctx, `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;`+lockSQL, pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	var err error
	v.pos, err = database.ReadPosition(ctx, conn)
	return err
}

// rollBack ends the transaction, or the connection if that fails.
func (v *view) rollBack() {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	if _, err := v.conn.Exec(ctx, `ROLLBACK`); err != nil {
		database.HangUp(v.conn.Conn())
	}
}

// Close is part of store.View.
func (v *view) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return store.ErrClosed
	}
	v.closed = true
	v.rollBack()
	v.conn.Release()
	v.s.inFlight.Done()
	return nil
}

// At is part of store.View.
func (v *view) At() store.CommitID { return v.pos }

// enter locks the view's connection and returns it. leave unlocks it.
func (v *view) enter() (*pgx.Conn, error) {
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		return nil, store.ErrClosed
	}
	return v.conn.Conn(), nil
}

func (v *view) leave() { v.mu.Unlock() }

// Collections is part of store.View.
func (v *view) Collections(ctx context.Context) ([]store.Collection, error) {
	conn, err := v.enter()
	if err != nil {
		return nil, err
	}
	defer v.leave()
	rows, err := conn.Query(ctx, `SELECT name, definition::text, seq FROM nearby.collections WHERE NOT dropped ORDER BY name`)
	if err != nil {
		return nil, database.ReadError(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (store.Collection, error) {
		var c store.Collection
		var definition string
		var seq int64
		err := row.Scan(&c.Name, &definition, &seq)
		c.Definition, c.Seq = []byte(definition), store.Seq(seq)
		return c, err
	})
	return all, database.ReadError(err)
}

// born returns the commit that made a collection, as conn sees it.
func born(ctx context.Context, conn *pgx.Conn, name string) (int64, error) {
	var seq int64
	err := conn.QueryRow(ctx, `SELECT born FROM nearby.collections WHERE name = $1 AND NOT dropped`, name).Scan(&seq)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("collection %q %w", name, store.ErrNoCollection)
	}
	return seq, database.ReadError(err)
}

// Get is part of store.View.
func (v *view) Get(ctx context.Context, collection, id string) (it item.Item, found bool, err error) {
	if strings.IndexByte(collection, 0) >= 0 || item.CheckStoredID(id) != nil {
		return it, false, nil
	}
	conn, err := v.enter()
	if err != nil {
		return it, false, err
	}
	defer v.leave()
	since, err := born(ctx, conn, collection)
	if errors.Is(err, store.ErrNoCollection) {
		return it, false, nil
	}
	if err != nil {
		return it, false, err
	}
	err = v.copyItems(ctx, conn, collection, since, " AND id = "+database.Literal(id), func(one *item.Item) error {
		it, found = *one, true
		it.ID = strings.Clone(it.ID)
		it.Properties = append([]byte(nil), it.Properties...)
		return nil
	})
	return it, found, err
}

// Items is part of store.View. Each part reads a share of the pages of nearby.items, over a
// connection of its own.
func (v *view) Items(ctx context.Context, collection string, parts int, yield func(part int, it *item.Item) error) error {
	snapshot, since, pages, err := v.export(ctx, collection)
	if err != nil {
		return err
	}
	parts = max(1, min(parts, maxParts))
	g, ctx := errgroup.WithContext(ctx)
	for part := range parts {
		where := ""
		if part > 0 {
			where += fmt.Sprintf(" AND ctid >= '(%d,0)'", pages*int64(part)/int64(parts))
		}
		if part < parts-1 {
			where += fmt.Sprintf(" AND ctid < '(%d,0)'", pages*int64(part+1)/int64(parts))
		}
		g.Go(func() error {
			return v.inSnapshot(ctx, snapshot, func(conn *pgx.Conn) error {
				return v.copyItems(ctx, conn, collection, since, where, func(it *item.Item) error { return yield(part, it) })
			})
		})
	}
	return g.Wait()
}

// export exports the view's snapshot for other connections, and returns its name. It also
// returns the commit that made the collection, and how many pages nearby.items has.
func (v *view) export(ctx context.Context, collection string) (snapshot string, since, pages int64, err error) {
	conn, err := v.enter()
	if err != nil {
		return "", 0, 0, err
	}
	defer v.leave()
	if since, err = born(ctx, conn, collection); err != nil {
		return "", 0, 0, err
	}
	err = conn.QueryRow(ctx, `SELECT pg_export_snapshot(), pg_relation_size('nearby.items') / current_setting('block_size')::int`).Scan(&snapshot, &pages)
	return snapshot, since, pages, database.ReadError(err)
}

// maxParts limits the connections that read one view at once.
const maxParts = 8

// inSnapshot calls read with a new connection that has the view's snapshot, and closes it
// afterwards. So if read stops half-way, the view's connection can still be used.
func (v *view) inSnapshot(ctx context.Context, snapshot string, read func(*pgx.Conn) error) error {
	conn, err := v.s.db.Connect(ctx, reading)
	if err != nil {
		return err
	}
	defer database.HangUp(conn)
	if _, err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT "+database.Literal(snapshot), pgx.QueryExecModeSimpleProtocol); err != nil {
		return database.ReadError(err)
	}
	return read(conn)
}
