// Package embedded is the default store. It keeps the data in a folder on this
// machine, with Pebble, a log-structured merge tree.
//
// The store uses Pebble's newest format: older formats lose synced writes silently
// when a bit of the log flips. Every value has a checksum of ours. A second file, the
// head mark, has the number of a durable commit. If the database has fewer commits than
// the mark says, or if it is another database, Open fails with store.ErrLoss. The mark
// is written once a second, so it may lack the commits of the last second. They survive
// a loss of power. But if the end of the log is damaged, Pebble takes the damage for a
// write that was cut off, and these commits are lost without an error.
//
// A commit takes the next sequence number and enters Pebble's memory under a lock, so
// commits become visible in the order of their numbers. It waits for the disk after it
// has released the lock, so commits that arrive together share one sync. A View waits
// until what it shows is durable.
//
// If a write or a sync of the log fails, nobody knows what the disk has. The process
// then ends and does not acknowledge the commit; the next start reads what the disk has.
// Before each commit the store checks that there is enough space. If there is not, it
// refuses commits with store.ErrUnavailable until there is.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/time/rate"

	"nearby/store"
)

// Options of a store. The zero value is for production.
type Options struct {
	// AcceptLoss opens a store that has less than it had acknowledged.
	AcceptLoss bool
	// ReadOnly opens an existing store, refuses commits and writes nothing to the
	// folder. Several processes may read one folder, but not while another writes it.
	ReadOnly bool
	// NewEpoch begins another history. It is for a folder that was put back from an
	// earlier time in a way that the store cannot notice, such as a snapshot of a disk.
	NewEpoch bool
	// MemTableBytes is the size of a memtable. A full memtable is written as a table.
	// Default 32 MiB. Commits wait while the memtables take four times as much.
	MemTableBytes int
	// CacheBytes is the size of the cache of table blocks; default 64 MiB. Items are
	// served from the collections' memory, so the cache matters only at the start.
	CacheBytes int64
	// MarkInterval is the time between two checks of the folder. Each check also
	// writes the head mark if there were commits. Default 1 s.
	MarkInterval time.Duration
	// Log takes the store's log messages; default discards them.
	Log *slog.Logger

	// These are for tests.
	fs     vfs.FS               // another file system
	fatal  func(message string) // called instead of ending the process; it may return
	pause  time.Duration        // after a failure, before Pebble may try again; default 100 ms
	noSync bool                 // a store that does not sync, which the tests must notice
	now    func() time.Time     // another clock
}

func (o Options) withDefaults() Options {
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 32 << 20
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.MarkInterval == 0 {
		o.MarkInterval = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.fs == nil {
		o.fs = vfs.Default
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.pause == 0 {
		o.pause = 100 * time.Millisecond
	}
	if o.fatal == nil {
		log := o.Log
		o.fatal = func(message string) {
			log.Error("the store cannot go on", "error", message)
			fmt.Fprintln(os.Stderr, "nearby: the store cannot go on:", message)
			os.Exit(1)
		}
	}
	return o
}

// ErrNewer: the folder has a format that this version does not know.
var ErrNewer = errors.New("a newer version of nearby has written it: start that version, or restore a backup that this one has made")

// ErrInUse: another store has the folder open, perhaps in another process.
var ErrInUse = errors.New("it is in use, by another process perhaps")

// Hold takes an exclusive advisory lock on an open file or folder. Closing f releases
// the lock. Hold fails with ErrInUse if another holder has the lock. On other systems than
// Linux, and on file systems without such locks, it always succeeds.
func Hold(f *os.File) error {
	if err := hold(f); err != nil {
		return fmt.Errorf("%w: %w", ErrInUse, err)
	}
	return nil
}

// EpochOf returns the epoch of the store in a folder. The store may be open.
func EpochOf(dir string) (store.Epoch, error) {
	m := readMark(vfs.Default, dir)
	return store.Epoch(m.epoch), m.err
}

// IsStore reports whether a folder has a store.
func IsStore(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, markFile))
	return err == nil
}

// Store implements store.Store in a folder.
type Store struct {
	dir  string
	opt  Options
	disk *disk
	db   *pebble.DB

	// mu orders commits. A commit holds mu while it takes its number and enters
	// Pebble's memory.
	mu           sync.Mutex
	head         store.Seq
	incarnations map[string]incarnation // by name, of the collections that exist
	room         room
	backlog      backlog
	closed       bool
	expires      time.Time      // no receipt expires before this time
	expiredTo    []byte         // the receipt times below this key are removed
	inFlight     sync.WaitGroup // commits under way and open views

	epoch  string
	marked store.Seq // what the mark in the file says

	durable durability

	degradedMu sync.Mutex
	degraded   error // why the store takes no more writes; nil: it takes them
	tableFault tableFault
	fault      atomic.Pointer[error] // why the folder cannot take writes now; nil, or a nil error: it can

	stopMark chan struct{}
	markDone chan struct{}
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Watched = (*Store)(nil)
)

// Open opens the store in a folder, or makes a new one there. It fails with
// store.ErrLoss if acknowledged commits are missing, or may be.
func Open(dir string, opt Options) (*Store, error) {
	s, err := open(dir, opt)
	if path := (*fs.PathError)(nil); errors.As(err, &path) && path.Error() == err.Error() && path.Path == dir {
		err = path.Err // so that the error names the folder once
	}
	if err != nil {
		return nil, fmt.Errorf("opening the store in %s: %w", dir, err)
	}
	return s, nil
}

func open(dir string, opt Options) (_ *Store, err error) {
	opt = opt.withDefaults()
	onDisk := vfs.Root(opt.fs) == vfs.Default
	opt.fs = private{opt.fs}
	s := &Store{
		dir: dir, opt: opt, incarnations: map[string]incarnation{},
		room:       room{fs: opt.fs, dir: dir, reserve: uint64(stopWrites * opt.MemTableBytes), ballast: onDisk},
		tableFault: tableFault{lasts: tableFaultLasts * opt.pause, happened: make(chan struct{}, 1)},
		durable:    durability{changed: make(chan struct{})},
		stopMark:   make(chan struct{}), markDone: make(chan struct{}),
		expiredTo: []byte{prefixReceiptTime},
	}
	s.disk = &disk{FS: opt.fs, pause: opt.pause, stop: s.stop, readOnly: opt.ReadOnly}
	// This comes before anything is changed in the folder. Not even AcceptLoss opens it.
	if m := readMark(opt.fs, dir); errors.Is(m.err, ErrNewer) {
		return nil, m.err
	}
	if onDisk {
		if err := s.enterFolder(); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				s.disk.leave()
			}
		}()
	}
	m := readMark(opt.fs, dir)
	if opt.ReadOnly && !m.there && m.err == nil {
		return nil, errors.New("there is none, and with read-only none is made")
	}
	incomplete := m.checkCopy(opt.fs, dir)
	if incomplete != nil && !opt.AcceptLoss {
		return nil, incomplete
	}
	cache := pebble.NewCache(opt.CacheBytes)
	defer cache.Unref()
	db, err := s.openDatabase(cache)
	if err != nil {
		return nil, openError(err)
	}
	s.db = db
	if err := s.recover(&m, incomplete); err != nil {
		return nil, errors.Join(outOfSpace(err), db.Close())
	}
	s.disk.armed.Store(true)
	if opt.ReadOnly {
		close(s.markDone)
	} else {
		go s.tend()
	}
	return s, nil
}

var errUnfinished = errors.New("the restore of a backup into it has not ended: restore the backup again")

// enterFolder makes the folder if it does not exist, takes the rights of other users
// from it, and remembers which folder it is.
func (s *Store) enterFolder() error {
	if _, err := os.Stat(filepath.Join(s.dir, unfinishedFile)); err == nil {
		return errUnfinished
	}
	if s.opt.ReadOnly {
		return s.disk.enter(s.dir)
	}
	if err := os.MkdirAll(s.dir, folderMode); err != nil {
		return err
	}
	changed, err := tighten(s.dir)
	if changed > 0 {
		s.opt.Log.Warn("the folder and its files are their owner's alone now; others had rights", "folder", s.dir, "changed", changed)
	}
	if err != nil {
		s.opt.Log.Warn("others have rights in the data folder that could not be taken from them", "folder", s.dir, "error", err)
	}
	s.room.makeWay()
	return s.disk.enter(s.dir)
}

func (s *Store) pebbleOptions(cache *pebble.Cache) *pebble.Options {
	warn := rate.Sometimes{Interval: 10 * time.Second}
	return &pebble.Options{
		FS:                          s.disk,
		Cache:                       cache,
		FormatMajorVersion:          pebble.FormatNewest,
		ReadOnly:                    s.opt.ReadOnly,
		MaxOpenFiles:                int(min(1000, Descriptors()/2)),
		MemTableSize:                uint64(s.opt.MemTableBytes),
		MemTableStopWritesThreshold: never,
		L0CompactionThreshold:       16,
		L0StopWritesThreshold:       never,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		Logger:                      logger{s.opt.Log, s.stop},
		EventListener: &pebble.EventListener{
			// The default would end the process for one bad block.
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				s.degrade(fmt.Errorf("%w: file %s: %w", store.ErrCorrupt, info.Path, info.Details))
			},
			// Pebble repeats a flush or a compaction that failed until it succeeds.
			BackgroundError: func(err error) {
				warn.Do(func() { s.opt.Log.Warn("the store had an error in the background", "error", err) })
				s.tableFault.note(err)
			},
		},
	}
}

// openTries is how often Pebble may fail in the background before Open gives up. With a
// pause of 100 ms after each failure that is ten seconds.
const openTries = 100

// openDatabase is pebble.Open with a limit. pebble.Open writes the content of the log as
// tables. If that fails, it tries again for ever.
func (s *Store) openDatabase(cache *pebble.Cache) (*pebble.DB, error) {
	type outcome struct {
		db  *pebble.DB
		err error
	}
	opened := make(chan outcome, 1)
	go func() {
		db, err := pebble.Open(s.dir, s.pebbleOptions(cache))
		opened <- outcome{db, err}
	}()
	for range openTries {
		select {
		case o := <-opened:
			return o.db, o.err
		case <-s.tableFault.happened:
		}
	}
	// pebble.Open cannot be stopped. It keeps the folder's lock until it succeeds or the
	// process ends.
	go func() {
		if o := <-opened; o.err == nil {
			_ = o.db.Close()
		}
	}()
	return nil, fmt.Errorf("the content of the log could not be written as a table: %w", s.tableFault.last())
}

// outOfSpace returns a store.ErrNoSpace if the cause of err is a full disk or a quota.
// Otherwise it returns err.
func outOfSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &store.UnavailableError{Kind: store.ErrNoSpace, Reason: "the disk is full, or a quota is used up; make room there", Err: err}
	}
	return err
}

func openError(err error) error {
	if _, format, newer := strings.Cut(err.Error(), "unknown format major version "); newer {
		return fmt.Errorf("%w (its tables have format %s)", ErrNewer, format)
	}
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	if errors.Is(err, syscall.EAGAIN) || strings.Contains(err.Error(), "lock held") {
		return fmt.Errorf("%w: %w", ErrInUse, err)
	}
	return outOfSpace(err)
}

// applyDurably applies a batch and waits for its sync.
func (s *Store) applyDurably(batch *pebble.Batch) error {
	if s.opt.noSync {
		return batch.Commit(pebble.NoSync)
	}
	return errors.Join(s.db.ApplyNoSyncWait(batch, pebble.Sync), batch.SyncWait())
}

// Close is part of store.Store. If it cannot write the head mark, it returns an error, but
// nothing is lost: the file keeps an older mark.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	s.inFlight.Wait()
	s.durable.end(store.ErrClosed)
	close(s.stopMark)
	<-s.markDone
	defer s.disk.leave()
	if s.opt.ReadOnly {
		return s.db.Close()
	}
	flushed := s.flush()
	s.disk.armed.Store(false)
	gone := s.disk.present()
	var err error
	if gone == nil {
		if err = s.mark(); err != nil {
			err = fmt.Errorf("writing the head mark: %w", err)
		}
	}
	err = errors.Join(err, s.db.Close())
	if err == nil && gone == nil && flushed {
		// This may fail: Open then refuses copies of the folder, but nothing is lost.
		if sum, err := listing(s.opt.fs, s.dir); err == nil {
			err = writeMark(s.opt.fs, s.dir, mark{epoch: s.epoch, seq: s.marked, closed: sum})
			if err != nil {
				s.opt.Log.Warn("the head mark does not say that the store was closed", "error", err)
			}
		}
	}
	return errors.Join(gone, err)
}

// flush writes what is in memory as a table, so that the next start need not replay the
// log, and reports whether it did. It gives up at the first failure: the log has
// everything.
func (s *Store) flush() bool {
	if s.degradation() != nil || s.room.check(0, false) != nil || s.tableFault.recent() != nil || s.disk.present() != nil {
		return false
	}
	select {
	case <-s.tableFault.happened:
	default:
	}
	flushed, err := s.db.AsyncFlush()
	if err == nil {
		select {
		case <-flushed:
		case <-s.tableFault.happened:
			err = errors.New("a table could not be written")
		}
	}
	if err != nil {
		s.opt.Log.Warn("the log was not written out as a table; the next start replays it", "error", err)
	}
	return err == nil
}

// logger passes Pebble's messages to the log. Pebble calls Fatalf when it cannot go on.
type logger struct {
	log  *slog.Logger
	stop func(error)
}

func (l logger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(fmt.Sprintf(format, args...))
	}
}
func (l logger) Errorf(format string, args ...any) { l.log.Error(fmt.Sprintf(format, args...)) }
func (l logger) Fatalf(format string, args ...any) { l.stop(fmt.Errorf(format, args...)) }
