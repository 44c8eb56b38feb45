// Package postgres is the shared store: a PostgreSQL database that several
// replicas, and other programs, write.
//
// The tables are in the schema nearby. The row of nearby.head has the number of the newest
// commit. A commit raises the number and keeps the row locked until its transaction ends.
// PostgreSQL makes a transaction visible before it releases the locks of the transaction, so
// who sees a number also sees all lower ones. While the row is locked, the database does not
// wait for a client: a store makes a group of commits with one call of the function
// nearby.commit, and the rows of other programs get their numbers from a trigger that runs
// when their transaction commits.
//
// Each Store has one writer with one connection. If the connection is lost before the answer
// to a batch comes, the writer finds out whether the batch was made: it makes a new
// connection and raises its fence in nearby.writers. After that the database refuses batches
// of the old connection, and the same row has the number of the last batch that was made.
//
// Follow reads what has a higher number than the last commit that it delivered. It reads when
// it is notified, and at least once in each PollInterval. It takes the store's own commits
// from memory if no other commit lies between. A View is a transaction that sees one state of
// the database.
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
	// Log takes the store's log messages; default discards them.
	Log *slog.Logger
	// PollInterval is how long Follow waits for a notification before it reads the
	// database anyway; default 250 ms.
	PollInterval time.Duration
	// MaxBacklog is how many changed items, or tombstones, Follow reads at once to catch up.
	// If there are more, a View is faster, and Follow fails with store.ErrGone. Default
	// 200,000.
	MaxBacklog int
	// ReadOnly makes a store that takes no commits. A store on a standby takes none
	// in any case.
	ReadOnly bool
	// ReplicaName names this process among those that follow the database;
	// default the host's name and the process id.
	ReplicaName string
	// CommitTimeout is how long the writer tries to make a commit, or to find out whether
	// it was made after the connection was lost; default 10 s. To find out may take
	// AwayTimeout more.
	CommitTimeout time.Duration
	// AwayTimeout is how long a commit waits for a database that cannot be
	// reached; default 2 s.
	AwayTimeout time.Duration
	// Readers is how many connections Views, Head and Receipt share; default 8.
	Readers int

	// These are for tests, which do not wait so long.
	tombstonesFor time.Duration // how long tombstones are kept; default 24 h
	migrationWait time.Duration // database.Options.MigrationWait
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
	attached *attach.Refresher // of the attached tables; it runs if there is a writer

	mu       sync.Mutex
	closed   bool
	inFlight sync.WaitGroup     // commits under way and open views
	closing  chan struct{}      // closed by Close: Follow ends
	life     context.Context    // ends when nothing is in flight any more
	end      context.CancelFunc // of life
	loops    sync.WaitGroup

	asking   asking // Head's callers share a round trip
	recent   recent // own commits, for Follow
	inspect  chan struct{}
	applied  atomic.Uint64               // what Follow has delivered
	history  atomic.Pointer[store.Epoch] // in which Follow was last begun; nil: never
	restored atomic.Bool                 // the last read found that the database is not released after a restore
	fault    atomic.Pointer[error]       // why the writer refuses commits; nil: it does not
	lost     atomic.Pointer[loss]        // since when, and why, the database cannot be followed; nil: it can
	stats    counters
	badRows  rowLimiter

	beatMu  sync.Mutex // guards the next three
	beating bool       // the database may have a row of this replica in nearby.replicas
	noted   int64      // what was last written to that row; -1: nothing
	notedIn int64      // the counter of the history in which it was written
}

var (
	_ store.Renewing = (*Store)(nil)
	_ store.Watched  = (*Store)(nil)
	_ store.Copying  = (*Store)(nil)
)

// Open connects to a database and makes or updates the tables in it. It fails with
// store.ErrUnavailable if the database cannot be reached now. ctx limits only the
// opening. The url is a PostgreSQL connection URI, or a list of keywords and
// values; it may have several hosts. It is never logged.
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
			err = fmt.Errorf("the database refuses: %v", err) //nolint:errorlint // it must not count as store.ErrUnavailable
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

// loop runs f in a goroutine until s.life ends.
func (s *Store) loop(f func(context.Context)) {
	s.loops.Add(1)
	go func() {
		defer s.loops.Done()
		f(s.life)
	}()
}

// enter adds one to inFlight, for which Close waits. It fails if the store is closed.
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

// closedOr returns store.ErrClosed if the store is closing, and err otherwise.
func (s *Store) closedOr(err error) error {
	select {
	case <-s.closing:
		return store.ErrClosed
	default:
		return err
	}
}

// pause waits for d. It fails if ctx ends or the channel is closed before.
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
