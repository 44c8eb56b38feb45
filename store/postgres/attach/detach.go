package attach

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres/database"
)

// Detach ends an attachment and removes the triggers from the table. It drops the
// collection or, with keep, makes it one that can be written. It fails with ErrNotAttached
// if the collection shows no table.
func Detach(ctx context.Context, url, collection string, keep bool) error {
	return withTables(ctx, url, (*database.Database).PrepareUnreleased, func(conn *pgx.Conn) error {
		if err := database.CheckOwner(ctx, conn, "detach the table"); err != nil {
			return err
		}
		var number int32
		err := conn.QueryRow(ctx, `SELECT number FROM nearby.attachments WHERE collection = $1`, collection).Scan(&number)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("%w: %s", ErrNotAttached, collection)
		}
		if err != nil {
			return database.ReadError(err)
		}
		return retryLocked(ctx, func() error { return detachOnce(ctx, conn, collection, number, keep) })
	})
}

func detachOnce(ctx context.Context, conn *pgx.Conn, collection string, number int32, keep bool) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return database.ReadError(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := limitLockWait(ctx, tx); err != nil {
		return err
	}
	if err := checkNotCompared(ctx, tx, number); err != nil {
		return err
	}
	for _, statement := range []string{
		fmt.Sprintf(`DROP FUNCTION IF EXISTS nearby.attached_%d() CASCADE`, number), // with its triggers
		`DELETE FROM nearby.attached_later WHERE collection = ` + database.Literal(collection),
		`DELETE FROM nearby.attachments WHERE collection = ` + database.Literal(collection),
	} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	define := `SELECT nearby.define($1, NULL)`
	if keep {
		define = `SELECT nearby.define(c.name, c.definition::jsonb - 'source') FROM nearby.collections c WHERE c.name = $1 AND NOT c.dropped`
	}
	if _, err := tx.Exec(ctx, define, collection); err != nil {
		return err
	}
	return tx.Commit(ctx)
}
