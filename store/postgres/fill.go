package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres/database"
)

// ErrNotEmpty: the database has collections already.
var ErrNotEmpty = errors.New("the database has collections already")

// Fill fills a store that has no collections, in one transaction. It calls fill once. If fill
// succeeds, others see everything that was put, at once; else nothing has changed. Meanwhile
// nobody else can commit. It fails with ErrNotEmpty if there are collections, and with
// store.ErrUncertain if the connection was lost during the commit.
func (s *Store) Fill(ctx context.Context, fill func(store.Filling) error) error {
	if s.writer == nil {
		return store.ErrReadOnly
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.inFlight.Done()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return database.Unavailable(err)
	}
	f := &filling{s: s, conn: conn, writer: uuid.New()}
	if err = f.begin(ctx); err == nil {
		err = fill(f)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		// The database rolls back a transaction whose connection ends.
		database.HangUp(conn.Conn())
		conn.Release()
		return err
	}
	_, err = conn.Exec(context.WithoutCancel(ctx), `COMMIT`)
	ended := conn.Conn().IsClosed()
	conn.Release()
	if pe := (*pgconn.PgError)(nil); err != nil && (ended || !errors.As(err, &pe)) {
		return fmt.Errorf("%w: the connection was lost: %v", store.ErrUncertain, err) //nolint:errorlint // it must not count as store.ErrUnavailable
	}
	return database.ReadError(err)
}

// filling implements store.Filling with an open transaction.
type filling struct {
	s      *Store
	conn   *pgxpool.Conn
	writer uuid.UUID
	number int64 // of the last batch
}

// begin opens the transaction, keeps others from committing, and makes sure that the database
// has no collections.
func (f *filling) begin(ctx context.Context) error {
	const sql = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';
SELECT FROM nearby.head FOR UPDATE`
	if _, err := f.conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		return database.ReadError(err)
	}
	if _, err := database.ReadPosition(ctx, f.conn.Conn()); err != nil {
		return err
	}
	var used bool
	if err := f.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM nearby.collections WHERE NOT dropped)`).Scan(&used); err != nil {
		return database.ReadError(err)
	}
	if used {
		return ErrNotEmpty
	}
	_, err := f.conn.Exec(ctx, `INSERT INTO nearby.writers (writer, fence, batch, seq) VALUES ($1, 1, 0, 0)`, f.writer)
	return database.ReadError(err)
}

// Put is part of store.Filling.
func (f *filling) Put(ctx context.Context, changes []store.Change) error {
	b, err := newBatch([]*request{{changes: changes}})
	if err != nil {
		return err
	}
	f.number++
	var seq, epoch int64
	return database.ReadError(f.conn.QueryRow(ctx, commitSQL, b.arguments(f.writer, 1, f.number)...).Scan(&seq, &epoch))
}

// view reads what the transaction sees.
func (f *filling) view(ctx context.Context) (*view, error) {
	at, err := database.ReadPosition(ctx, f.conn.Conn())
	return &view{s: f.s, conn: f.conn, pos: at}, err
}

// Collections is part of store.Filling.
func (f *filling) Collections(ctx context.Context) ([]store.Collection, error) {
	v, err := f.view(ctx)
	if err != nil {
		return nil, err
	}
	return v.Collections(ctx)
}

// Items is part of store.Filling.
func (f *filling) Items(ctx context.Context, collection string, yield func(*item.Item) error) error {
	v, err := f.view(ctx)
	if err != nil {
		return err
	}
	since, err := born(ctx, f.conn.Conn(), collection)
	if err != nil {
		return err
	}
	return v.copyItems(ctx, f.conn.Conn(), collection, since, "", yield)
}
