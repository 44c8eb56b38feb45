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

// Settings are those of a connection in the database. The application_name says what the
// connection is for. It comes after the one that the address has, which names the program.
type Settings map[string]string

// programName is the application_name where the address has none.
const programName = "nearby"

// SearchPath is that of every connection: nobody's function or operator is taken for one
// of PostgreSQL's own.
const SearchPath = "pg_catalog, pg_temp"

// everywhere has settings that keep a client that hangs, or a network that ends,
// from holding on to what others wait for.
var everywhere = Settings{
	"client_encoding":             "UTF8",
	"standard_conforming_strings": "on",
	"TimeZone":                    "UTC",
	"jit":                         "off", // it takes longer than what it speeds up
	"tcp_user_timeout":            Millis(5 * time.Second),
	"tcp_keepalives_idle":         "5",
	"tcp_keepalives_interval":     "2",
	"tcp_keepalives_count":        "3",
	"lock_timeout":                Millis(2 * time.Second),
	"search_path":                 SearchPath,
}

// Writing is for what holds locks.
var Writing = Settings{
	"application_name":                    "writes",
	"default_transaction_isolation":       "read committed",
	"default_transaction_read_only":       "off",
	"idle_in_transaction_session_timeout": Millis(2 * time.Second),
	"statement_timeout":                   Millis(10 * time.Second),
	// The calls are the same each time, whatever is in them: rows are found by their
	// keys. Plans that were made when a table was small must not stay when it grows.
	"plan_cache_mode":   "force_generic_plan",
	"enable_seqscan":    "off",
	"enable_bitmapscan": "off",
	"enable_hashjoin":   "off",
	"enable_mergejoin":  "off",
}

// Millis is a time as Settings have it.
func Millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

const connectTimeout = 2 * time.Second

func parse(url string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("the address of the database: %w", err) // without the password
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

// Config returns the configuration of a connection. Who writes talks to a primary only,
// also where the address names several servers.
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

// ConfigWithOwnPath is Config for a connection that has the search_path of the role that logs in.
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
		return fmt.Errorf("%w, and a primary is waited for; with --read-only a standby will do", err)
	}
	return nil
}

// oneServer reports whether an address names a single server. What it falls back to is
// then the same one, without encryption.
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

// HangUp closes a connection without waiting for the database for long.
func HangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// Literal is a string as it stands in a statement; standard_conforming_strings is on.
func Literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
