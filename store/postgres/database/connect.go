package database

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Settings are PostgreSQL's run-time parameters of a connection. The application_name says
// what the connection is for. Config writes it after the application_name of the address,
// which names the program.
type Settings map[string]string

// programName is used if the address has no application_name.
const programName = "nearby"

// SearchPath is the search_path of every connection. With it a function or operator of
// another role is never used in place of one of PostgreSQL's own.
const SearchPath = "pg_catalog, pg_temp"

// everywhere has the settings of every connection. The time-outs release locks if a client
// hangs or the network fails.
var everywhere = Settings{
	"client_encoding":             "UTF8",
	"standard_conforming_strings": "on",
	"TimeZone":                    "UTC",
	"jit":                         "off", // to compile these statements takes longer than it saves
	"tcp_user_timeout":            Millis(5 * time.Second),
	"tcp_keepalives_idle":         "5",
	"tcp_keepalives_interval":     "2",
	"tcp_keepalives_count":        "3",
	"lock_timeout":                Millis(2 * time.Second),
	"search_path":                 SearchPath,
}

// Writing has the settings of connections that write and so hold locks.
var Writing = Settings{
	"application_name":                    "writes",
	"default_transaction_isolation":       "read committed",
	"default_transaction_read_only":       "off",
	"idle_in_transaction_session_timeout": Millis(2 * time.Second),
	"statement_timeout":                   Millis(10 * time.Second),
	// The statements find rows by their keys, so one generic plan with indexes suits all
	// calls. Without these settings a plan that was made while a table was small, which
	// reads the whole table, would be used when the table is large.
	"plan_cache_mode":   "force_generic_plan",
	"enable_seqscan":    "off",
	"enable_bitmapscan": "off",
	"enable_hashjoin":   "off",
	"enable_mergejoin":  "off",
}

// Millis returns d in milliseconds, as Settings need it.
func Millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

const connectTimeout = 2 * time.Second

func parse(url string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("the address of the database: %w", err) // err does not have the password
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	switch config.DefaultQueryExecMode {
	case pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol:
		config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe // results are read in binary
	}
	return config, nil
}

// Config returns the configuration of a connection. If the database is not read-only, the
// connection is refused unless the server is a primary. If the address names several
// servers, the primary among them is used.
func (d *Database) Config(s Settings) *pgx.ConnConfig {
	config := d.config.Copy()
	maps.Copy(config.RuntimeParams, everywhere)
	maps.Copy(config.RuntimeParams, s)
	config.RuntimeParams["application_name"] = cmp.Or(d.config.RuntimeParams["application_name"], programName) + " " + s["application_name"]
	if !d.opt.ReadOnly && config.ValidateConnect == nil {
		config.ValidateConnect = isPrimary
	}
	return config
}

// ConfigWithOwnPath is Config, but the connection has the search_path of its role, or of the
// address.
func (d *Database) ConfigWithOwnPath(s Settings) *pgx.ConnConfig {
	config := d.Config(s)
	if path, ok := d.config.RuntimeParams["search_path"]; ok {
		config.RuntimeParams["search_path"] = path
	} else {
		delete(config.RuntimeParams, "search_path")
	}
	return config
}

// isPrimary refuses a standby.
func isPrimary(ctx context.Context, conn *pgconn.PgConn) error {
	if err := pgconn.ValidateConnectTargetSessionAttrsPrimary(ctx, conn); err != nil {
		return fmt.Errorf("%w, and a server that writes needs a primary; with --read-only a standby is enough", err)
	}
	return nil
}

// oneServer reports whether an address names a single server. Its fallbacks are then the same
// server without encryption.
func oneServer(config *pgx.ConnConfig) bool {
	return !slices.ContainsFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.Host != config.Host || f.Port != config.Port })
}

// Connect opens a connection. Its errors are store.ErrUnavailable.
func (d *Database) Connect(ctx context.Context, s Settings) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, d.Config(s))
	if err != nil {
		return nil, Unavailable(err)
	}
	return conn, nil
}

// HangUp closes a connection. It waits at most a second for the database.
func HangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// Literal returns s as an SQL string literal. standard_conforming_strings must be on.
func Literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
