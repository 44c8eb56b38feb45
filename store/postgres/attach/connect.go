package attach

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store"
	"nearby/store/postgres/database"
)

// copying is for connections that compare and copy attached tables. DateStyle and the
// settings after it decide how values are written as text.
var copying = database.Settings{
	"application_name":                    "compares",
	"default_transaction_isolation":       "read committed",
	"default_transaction_read_only":       "off",
	"idle_in_transaction_session_timeout": database.Millis(10 * time.Second),
	"statement_timeout":                   database.Millis(time.Hour),
	"DateStyle":                           "ISO, YMD",
	"IntervalStyle":                       "postgres",
	"bytea_output":                        "hex",
	"extra_float_digits":                  "1",
}

// schemasKey is the key of the role's schemas in the custom data of a connection.
const schemasKey = "nearby.schemas"

// connect opens a connection. It does not prepare statements, because they use tables that
// are made and removed. It keeps the schemas of the role's search_path under schemasKey.
func connect(ctx context.Context, db *database.Database) (*pgx.Conn, error) {
	config := db.ConfigWithOwnPath(copying)
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, database.Unavailable(err)
	}
	// A table is looked up in the schemas in which other programs of the role find it.
	var schemas []string
	if err := conn.QueryRow(ctx, `SELECT ARRAY (SELECT quote_ident(s) FROM pg_catalog.unnest(current_schemas(true)) WITH ORDINALITY s (s, n) WHERE s <> 'nearby' ORDER BY n)`).Scan(&schemas); err != nil {
		database.HangUp(conn)
		return nil, database.ReadError(err)
	}
	conn.PgConn().CustomData()[schemasKey] = schemas
	if _, err := conn.Exec(ctx, `SELECT pg_catalog.set_config('search_path', $1::text, false)`, database.SearchPath); err != nil {
		database.HangUp(conn)
		return nil, database.ReadError(err)
	}
	return conn, nil
}

// withTables prepares a database and calls do with a connection to it.
func withTables(ctx context.Context, url string, prepare func(*database.Database, context.Context) error, do func(*pgx.Conn) error) error {
	db, err := database.New(url, database.Options{})
	if err != nil {
		return err
	}
	if err := prepare(db, ctx); err != nil {
		return err
	}
	if db.ReadOnly() {
		return fmt.Errorf("%w: the database is a standby", store.ErrReadOnly)
	}
	conn, err := connect(ctx, db)
	if err != nil {
		return err
	}
	defer database.HangUp(conn)
	return do(conn)
}

// pause waits for d. It fails if ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
