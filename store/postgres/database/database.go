// Package database connects to the PostgreSQL database that has nearby's tables, and
// keeps these tables up to date.
//
// A Database is an address. Connect opens a connection with the Settings of its
// purpose: they keep a client that hangs from holding up others. Prepare makes the
// tables of the schema nearby, or brings them up to date, by the files in migrations;
// of several servers that start at once, one does so.
//
// ReadError and Unavailable turn errors of the database into those of package store.
// ReadPosition reads the row of nearby.head: the number of the newest commit and the
// epoch, which names the history. Where a backup has brought the row, the position
// cannot be read, and the error is store.ErrRestored.
package database

import (
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
)

// Database is the address of a database, and what is known of the server there.
type Database struct {
	config *pgx.ConnConfig // of every connection, but for its settings
	opt    Options
}

// Options of a Database. The zero value is for production.
type Options struct {
	// Log takes events; default discards them.
	Log *slog.Logger
	// ReadOnly lets the server be a standby, and the tables are not changed.
	ReadOnly bool
	// MigrationWait is how long Prepare waits for another server that makes or changes
	// the tables; default 50 s.
	MigrationWait time.Duration
}

// New takes a PostgreSQL connection URI, or a list of keywords and values. It does not
// connect yet.
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

// ReadOnly reports whether the database is only read: since the options say so, or
// since Prepare has found a standby.
func (d *Database) ReadOnly() bool { return d.opt.ReadOnly }
