// Package embedded is the default store: a folder on this machine, kept by
// Pebble, a log-structured merge tree.
//
// Pebble is used with its newest format (older ones lose synced writes silently
// when a bit of the log flips), with a checksum of ours in every value, and
// with a head mark in a second file: if less comes back at the next start than
// was acknowledged, or another database, Open says so with store.ErrLoss
// instead of going on. The mark is renewed every second; acknowledged commits
// that are younger than it are safe from loss of power, but damage to the very
// end of the log that makes them unreadable is taken for a torn tail.
//
// A commit takes the next sequence number and enters Pebble's memory under a
// lock, so commits are visible in the order of their numbers; it waits for the
// disk outside it, so commits that arrive together share one sync. Nothing is
// shown by a View before it is durable.
//
// When the disk refuses a write or a sync of the log, nobody can say what it
// holds. The process then stops without acknowledging: the next start reads what
// is really there. A disk that fills up is noticed before: commits are refused
// with store.ErrUnavailable until there is space again.
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
	// ReadOnly opens a store that is there, takes no commits and writes nothing to the
	// folder. Several may share a folder, but not with one that writes.
	ReadOnly bool
	// NewEpoch begins another history: what is in the folder was put back from an
	// earlier time in a way that cannot be noticed.
	NewEpoch bool
	// MemTableBytes is how much is gathered in memory before it is written as
	// a table; default 32 MiB. Two are kept.
	MemTableBytes int
	// CacheBytes of table blocks; default 64 MiB. Items are served from the
	// collections' memory, so it matters only at the start.
	CacheBytes int64
	// MarkInterval is how often the head mark is renewed while commits go on, and
	// the folder looked after; default 1 s.
	MarkInterval time.Duration
	// Log takes events of the store; default discards them.
	Log *slog.Logger

	fs     vfs.FS               // tests run on a file system of their own
	fatal  func(message string) // tests survive what ends the process; it need not return
	pause  time.Duration        // before Pebble may repeat what failed
	noSync bool                 // tests show that they notice a store that does not sync
	now    func() time.Time     // tests let receipts expire
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

// ErrInUse: the folder is open elsewhere.
var ErrInUse = errors.New("it is in use, by another process perhaps")

// Hold makes an open file or folder the process's own, among those that ask so, until it
// is closed. It fails with ErrInUse if another has it. Not on Linux, and on file systems
// that cannot, it always succeeds.
func Hold(f *os.File) error {
	if err := hold(f); err != nil {
		return fmt.Errorf("%w: %w", ErrInUse, err)
	}
	return nil
}

// EpochOf returns the history of the store in a folder, which may be open elsewhere.
func EpochOf(dir string) (store.Epoch, error) {
	m := readMark(vfs.Default, dir)
	return store.Epoch(m.epoch), m.err
}

// IsStore reports whether a folder is that of a store.
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

	// mu orders commits: held while one takes its number and enters memory.
	mu           sync.Mutex
	head         store.Seq
	incarnations map[string]incarnation // by name, of the collections that exist
	room         room
	backlog      backlog
	closed       bool
	expires      time.Time      // no receipt expires before
	expiredTo    []byte         // receipt times before this key are removed
	inFlight     sync.WaitGroup // commits under way and open views

	epoch  string
	marked store.Seq // what the mark in the file says

	durable durability

	degradedMu sync.Mutex
	degraded   error // set: no more writes
	setback    setback
	fault      atomic.Pointer[error] // what was found when the folder was last looked at

	stopMark chan struct{}
	markDone chan struct{}
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Watched = (*Store)(nil)
)

// Open opens the store in a folder, or makes a new one there. It returns
// store.ErrLoss if acknowledged commits are missing.
func Open(dir string, opt Options) (*Store, error) {
	s, err := open(dir, opt)
	if path := (*fs.PathError)(nil); errors.As(err, &path) && path.Error() == err.Error() && path.Path == dir {
		err = path.Err // the folder is named once
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
		room:     room{fs: opt.fs, dir: dir, reserve: uint64(stopWrites * opt.MemTableBytes), ballast: onDisk},
		setback:  setback{lasts: setbackLasts * opt.pause, happened: make(chan struct{}, 1)},
		durable:  durability{changed: make(chan struct{})},
		stopMark: make(chan struct{}), markDone: make(chan struct{}),
		expiredTo: []byte{prefixReceiptTime},
	}
	s.disk = &disk{FS: opt.fs, pause: opt.pause, stop: s.stop, readOnly: opt.ReadOnly}
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
	whole := m.whole(opt.fs, dir)
	if whole != nil && !opt.AcceptLoss {
		return nil, whole
	}
	cache := pebble.NewCache(opt.CacheBytes)
	defer cache.Unref()
	db, err := s.openDatabase(cache)
	if err != nil {
		return nil, openError(err)
	}
	s.db = db
	if err := s.recover(&m, whole); err != nil {
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

// enterFolder makes the folder, or looks at the one that is there, and closes it to
// others.
func (s *Store) enterFolder() error {
	if _, err := os.Stat(filepath.Join(s.dir, unfinishedFile)); err == nil {
		return errors.New("a backup was being restored into it and that did not end: restore it again")
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
		MaxOpenFiles:                int(min(1000, descriptors()/2)),
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
			// Pebble repeats what failed until it succeeds.
			BackgroundError: func(err error) {
				warn.Do(func() { s.opt.Log.Warn("the store had an error in the background", "error", err) })
				s.setback.note(err)
			},
		},
	}
}

// openTries is how often Pebble may fail in the background before Open gives up: with the
// pause after each failure that is ten seconds.
const openTries = 100

// openDatabase is pebble.Open with an end: Pebble writes what its log has as tables before
// it opens, and where that fails it tries for ever.
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
		case <-s.setback.happened:
		}
	}
	// It cannot be made to stop. Until the process ends, or it succeeds, it has the lock.
	go func() {
		if o := <-opened; o.err == nil {
			_ = o.db.Close()
		}
	}()
	return nil, fmt.Errorf("what the log has could not be written as a table: %w", s.setback.last())
}

// outOfSpace makes an error that comes of a full disk or a quota a store.ErrNoSpace.
func outOfSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &store.UnavailableError{Kind: store.ErrNoSpace, Reason: "the disk is full, or a quota is used up; make room there", Err: err}
	}
	return err
}

func openError(err error) error {
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	if errors.Is(err, syscall.EAGAIN) || strings.Contains(err.Error(), "lock held") {
		return fmt.Errorf("%w: %w", ErrInUse, err)
	}
	return outOfSpace(err)
}

// applied makes a batch of the store's own durable.
func (s *Store) applied(batch *pebble.Batch) error {
	if s.opt.noSync {
		return batch.Commit(pebble.NoSync)
	}
	return errors.Join(s.db.ApplyNoSyncWait(batch, pebble.Sync), batch.SyncWait())
}

// Close is part of store.Store. An error about the head mark loses nothing: it
// stays at the last second in which it could be written.
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
		// Best effort: without it a copy of the folder is refused, no more.
		if sum, err := listing(s.opt.fs, s.dir); err == nil {
			err = writeMark(s.opt.fs, s.dir, mark{epoch: s.epoch, seq: s.marked, closed: sum})
			if err != nil {
				s.opt.Log.Warn("the head mark does not say that the store was closed", "error", err)
			}
		}
	}
	return errors.Join(gone, err)
}

// flush makes a table of what is in memory, so that the next start need not
// replay the log, and reports whether it did. It gives up at the first trouble: the
// log has everything.
func (s *Store) flush() bool {
	if s.degradation() != nil || s.room.check(0, false) != nil || s.setback.now() != nil || s.disk.present() != nil {
		return false
	}
	select {
	case <-s.setback.happened:
	default:
	}
	flushed, err := s.db.AsyncFlush()
	if err == nil {
		select {
		case <-flushed:
		case <-s.setback.happened:
			err = errors.New("a table could not be written")
		}
	}
	if err != nil {
		s.opt.Log.Warn("the log was not written out as a table; the next start replays it", "error", err)
	}
	return err == nil
}

// logger passes Pebble's words on. Fatalf is called when Pebble cannot write
// what it needs to go on.
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
