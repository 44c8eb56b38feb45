// Package postgres is the shared store: a PostgreSQL database that several
// replicas, and other programs, write.
//
// The tables are in the schema nearby. Numbers in the order of commits come from
// one row, nearby.head, that whoever commits holds locked until the end of the
// transaction: PostgreSQL makes a transaction visible before it releases its locks,
// so whoever sees a number sees all lower ones. The lock never waits for a client:
// a store's own commits are one call of the function nearby.commit, many commits in
// one call where they come together, and the rows of other programs are numbered by
// a trigger that runs when their transaction commits.
//
// Each Store has one writer with one connection. An answer that is lost with its
// connection is found out: the next connection raises a fence in nearby.writers, so
// that what was sent over the former one either was made by then, which the same row
// tells, or never will be.
//
// Follow reads what has a higher number than what it delivered last: when it is
// notified, and in any case several times a second. The store's own commits are
// delivered from memory if no other came between. A view is a transaction that sees
// the database as it was when it began.
//
// Package database has the connections and the tables. Package attach shows tables of
// other programs as collections; a Store runs its Refresher.
//
// On a standby server a Store can only be read.
package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"nearby/store"
	"nearby/store/postgres/attach"
	"nearby/store/postgres/database"
)

// Options of a store. The zero value is for production.
type Options struct {
	// Log takes events of the store; default discards them.
	Log *slog.Logger
	// PollInterval is how often Follow looks for changes that it was not notified
	// of; default 250 ms.
	PollInterval time.Duration
	// MaxBacklog is how many rows Follow reads to catch up; beyond it a View is
	// quicker, and Follow says store.ErrGone. Default 200,000.
	MaxBacklog int
	// ReadOnly makes a store that takes no commits. A standby's is so by itself.
	ReadOnly bool
	// ReplicaName names this process among those that follow the database;
	// default the host's name and the process id.
	ReplicaName string
	// CommitTimeout is how long a commit may take to be made, or found out about
	// when the connection was lost on the way; default 10 s. Finding out may take
	// AwayTimeout more.
	CommitTimeout time.Duration
	// AwayTimeout is how long a commit waits for a database that cannot be
	// reached; default 2 s.
	AwayTimeout time.Duration
	// Readers is how many connections Views, Head and Receipt share; default 8.
	Readers int

	tombstonesFor time.Duration // tests purge sooner
	migrationWait time.Duration // and wait less
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.PollInterval == 0 {
		o.PollInterval = 250 * time.Millisecond
	}
	if o.MaxBacklog == 0 {
		o.MaxBacklog = 200_000
	}
	if o.ReplicaName == "" {
		host, _ := os.Hostname()
		o.ReplicaName = fmt.Sprintf("%s/%d", host, os.Getpid())
	}
	if o.CommitTimeout == 0 {
		o.CommitTimeout = 10 * time.Second
	}
	if o.AwayTimeout == 0 {
		o.AwayTimeout = 2 * time.Second
	}
	if o.Readers == 0 {
		o.Readers = 8
	}
	if o.tombstonesFor == 0 {
		o.tombstonesFor = 24 * time.Hour
	}
	return o
}

// Store implements store.Shared in a PostgreSQL database.
type Store struct {
	opt      Options
	db       *database.Database
	pool     *pgxpool.Pool     // for views, heads and receipts
	writer   *writer           // nil if the store is read-only
	attached *attach.Refresher // of tables that are collections; it runs beside a writer

	mu       sync.Mutex
	closed   bool
	inFlight sync.WaitGroup // commits under way and open views
	closing  chan struct{}  // closed by Close: Follow ends
	life     context.Context
	end      context.CancelFunc // when nothing is in flight any more
	loops    sync.WaitGroup

	asking   asking // Head's callers share a round trip
	recent   recent // own commits, for Follow
	inspect  chan struct{}
	applied  atomic.Uint64               // what Follow has delivered
	history  atomic.Pointer[store.Epoch] // that Follow was begun in, at last; nil: never
	restored atomic.Bool                 // the last attempt to read it found it unreleased
	fault    atomic.Pointer[error]       // why commits are refused, as the writer knows; nil: they are not
	lost     atomic.Pointer[loss]        // since when, and why, the database cannot be followed; nil: it can
	stats    counters
	badRows  naming

	beaten  sync.Mutex // of beat
	beating bool       // it may know of this replica
	noted   int64      // what the database was last told; -1: nothing
	notedIn int64      // the history in which it was
}

var (
	_ store.Renewing = (*Store)(nil)
	_ store.Watched  = (*Store)(nil)
	_ store.Copying  = (*Store)(nil)
)

// Open connects to a database and makes or updates the tables in it. It fails with
// store.ErrUnavailable if the database cannot be reached now. ctx bounds the opening
// only. The url is a PostgreSQL connection URI or a list of keywords and
// values, with several hosts perhaps; it is never logged.
func Open(ctx context.Context, url string, opt Options) (*Store, error) {
	opt = opt.withDefaults()
	db, err := database.New(url, database.Options{Log: opt.Log, ReadOnly: opt.ReadOnly, MigrationWait: opt.migrationWait})
	if err != nil {
		return nil, err
	}
	s := &Store{
		opt: opt, db: db, attached: attach.NewRefresher(db, opt.Log),
		closing: make(chan struct{}), inspect: make(chan struct{}, 1), noted: -1,
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.recent.init()
	if err := db.Prepare(ctx); err != nil {
		s.end()
		if database.Refused(err) {
			err = fmt.Errorf("the database refuses: %v", err) //nolint:errorlint // it is not unavailable
		}
		return nil, err
	}
	if s.pool, err = s.newPool(); err != nil {
		s.end()
		return nil, err
	}
	if _, err := s.Head(ctx); err != nil {
		s.end()
		s.pool.Close()
		return nil, err
	}
	if !db.ReadOnly() {
		s.writer = newWriter(s, uuid.New())
		s.loop(s.writer.run)
		s.loop(s.tend)
		s.loop(s.attached.Run)
	}
	return s, nil
}

// loop runs f beside the store until the end of its life.
func (s *Store) loop(f func(context.Context)) {
	s.loops.Add(1)
	go func() {
		defer s.loops.Done()
		f(s.life)
	}()
}

// enter notes that something is in flight that Close has to wait for.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	s.inFlight.Add(1)
	return nil
}

// Close is part of store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.ErrClosed
	}
	s.closed = true
	close(s.closing)
	s.mu.Unlock()
	s.inFlight.Wait()
	s.end()
	s.loops.Wait()
	s.pool.Close()
	return nil
}

// closedOr returns store.ErrClosed if the store is closing, else err.
func (s *Store) closedOr(err error) error {
	select {
	case <-s.closing:
		return store.ErrClosed
	default:
		return err
	}
}

// pause waits, unless ctx or the channel ends before.
func pause(ctx context.Context, d time.Duration, ended <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-ended:
		return store.ErrClosed
	}
}
