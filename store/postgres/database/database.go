// Package database connects to the PostgreSQL database that has nearby's tables, and
// keeps these tables up to date.
//
// A Database is an address. Connect opens a connection with Settings, whose time-outs keep a
// client that hangs from holding up others. Prepare makes the tables of the schema nearby, or
// brings them up to date, with the files in migrations. If several servers start at once, one
// of them does that.
//
// ReadError and Unavailable turn errors of the database into those of package store.
// ReadPosition reads the row of nearby.head: the number of the newest commit and the
// epoch, which names the history. If the row comes from a backup, and the database was not
// released since, ReadPosition fails with store.ErrRestored.
package database

import (
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
)

// Database is the address of a database, and what is known of the server there.
type Database struct {
	config *pgx.ConnConfig // of every connection, without its Settings
	opt    Options
}

// Options of a Database. The zero value is for production.
type Options struct {
	// Log takes log messages; default discards them.
	Log *slog.Logger
	// ReadOnly: Prepare does not change the tables, and the server may be a standby.
	ReadOnly bool
	// MigrationWait is how long Prepare waits for another server that makes or changes
	// the tables; default 50 s.
	MigrationWait time.Duration
}

// New returns the Database at a PostgreSQL connection URI, or at a list of keywords and
// values. It does not connect.
func New(url string, opt Options) (*Database, error) {
	config, err := parse(url)
	if err != nil {
		return nil, err
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.MigrationWait == 0 {
		opt.MigrationWait = migrationWait
	}
	return &Database{config, opt}, nil
}

// ReadOnly reports whether the database is only read: because the options say so, or because
// Prepare has found a standby.
func (d *Database) ReadOnly() bool { return d.opt.ReadOnly }
