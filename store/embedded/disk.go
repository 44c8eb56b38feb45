package embedded

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"nearby/store"
)

// disk is the file system as Pebble sees it. Pebble cannot go on once its log
// has failed: some paths hand the error to the commit, others panic with locks
// held. So an error of the log ends the process here, before Pebble has it.
// Everything else may fail: Pebble tries again, at once, so the answer is held
// back a little.
type disk struct {
	vfs.FS
	pause time.Duration
	stop  func(error)
	armed atomic.Bool // false while opening and closing, where those of the log are returned

	readOnly bool
	opened   os.FileInfo // the folder, when it was entered; nil: in memory
	path     string      // of it

	mu      sync.Mutex
	current vfs.File // the log that is written, nil: none
	spare   *os.File // a descriptor for the next log
}

// enter remembers the folder, so that another in its place is noticed.
func (d *disk) enter(dir string) (err error) {
	if d.opened, err = os.Stat(dir); err != nil {
		return err
	}
	d.path = dir
	return d.takeSpare()
}

// leave lets go of what enter has taken.
func (d *disk) leave() { d.releaseSpare() }

func (d *disk) takeSpare() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.spare != nil {
		return nil
	}
	var err error
	if d.spare, err = os.Open(d.path); err != nil {
		d.spare = nil
	}
	return err
}

func (d *disk) releaseSpare() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.spare == nil {
		return false
	}
	err := d.spare.Close()
	d.spare = nil
	return err == nil
}

// What an operator can do.
const (
	startAnew = "stop the server, put back what was removed, and start it"
	seeDisk   = "see its permissions, and whether its disk is well"
)

// linked fails if the log was removed, so that what is written to it is lost.
func (d *disk) linked() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current != nil && unlinked(d.current) {
		return &store.UnavailableError{Reason: "the store's log was removed from the data folder; " + startAnew, Err: fmt.Errorf("in %s", d.path)}
	}
	return nil
}

// present fails if the folder is not the one that was opened, or its log was removed. It
// costs a few microseconds.
func (d *disk) present() error {
	if err := d.inPlace(); err != nil {
		return err
	}
	return d.linked()
}

// inPlace fails if the folder that was opened is not at its path.
func (d *disk) inPlace() error {
	if d.opened == nil {
		return nil
	}
	now, err := os.Stat(d.path)
	if err != nil {
		return &store.UnavailableError{Reason: "the data folder is not there any more; put it back, and writes are taken again", Err: err}
	}
	if !os.SameFile(now, d.opened) {
		return &store.UnavailableError{Reason: "the data folder was replaced by another; put the first one back, and writes are taken again", Err: fmt.Errorf("at %s", d.path)}
	}
	return nil
}

// look is present, and whether files can be made in the folder and opened at all.
func (d *disk) look() error {
	if d.opened == nil {
		return nil
	}
	if err := d.present(); err != nil {
		return err
	}
	if err := writable(d.path); err != nil {
		return &store.UnavailableError{Reason: "the data folder cannot be written; " + seeDisk, Err: err}
	}
	if err := d.takeSpare(); err != nil {
		return &store.UnavailableError{Reason: "the data folder cannot be opened; " + seeDisk, Err: err}
	}
	probe, err := os.Open(d.path)
	if err != nil {
		return &store.UnavailableError{Reason: "the data folder cannot be opened; " + seeDisk, Err: err}
	}
	return probe.Close()
}

func (d *disk) Unwrap() vfs.FS { return d.FS }

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// failed deals with an error of an operation; vital are those on the log.
func (d *disk) failed(err error, vital bool, doing, name string) {
	switch {
	case err == nil:
	case !vital:
		time.Sleep(d.pause)
	case d.armed.Load():
		d.stop(fmt.Errorf("%s %s: %w", doing, name, err))
	}
}

func (d *disk) file(f vfs.File, err error, vital bool, doing, name string) (vfs.File, error) {
	d.failed(err, vital, doing, name)
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, disk: d, name: name, vital: vital}, nil
}

func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.log(name, func() (vfs.File, error) { return d.FS.Create(name, category) })
}

func (d *disk) ReuseForWrite(from, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.log(name, func() (vfs.File, error) { return d.FS.ReuseForWrite(from, name, category) })
}

// log opens a new file. One of the log that can only not be opened because the process
// has too many open gets the spare descriptor.
func (d *disk) log(name string, open func() (vfs.File, error)) (vfs.File, error) {
	vital := isLog(name)
	if err := d.mayChange(); err != nil {
		return d.file(nil, err, vital, "creating", name)
	}
	f, err := open()
	if vital && (errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)) && d.releaseSpare() {
		f, err = open()
	}
	file, err := d.file(f, err, vital, "creating", name)
	if err == nil && vital {
		d.mu.Lock()
		d.current = file
		d.mu.Unlock()
	}
	return file, err
}

// mayChange keeps what has another's place from being changed in place of the folder.
func (d *disk) mayChange() error {
	if !d.armed.Load() {
		return nil
	}
	return d.present()
}

func (d *disk) Remove(name string) error {
	if err := d.mayChange(); err != nil {
		return err
	}
	return d.FS.Remove(name)
}

func (d *disk) Rename(from, to string) error {
	if err := d.mayChange(); err != nil {
		return err
	}
	return d.FS.Rename(from, to)
}

// Lock is shared where nothing is written.
func (d *disk) Lock(name string) (io.Closer, error) {
	if !d.readOnly || d.opened == nil {
		return d.FS.Lock(name)
	}
	c, err := lockShared(name)
	if errors.Is(err, fs.ErrNotExist) { // nobody has ever written here, but copied
		return io.NopCloser(nil), nil
	}
	return c, err
}

func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &folder{File: f, disk: d, name: name}, nil
}

// folder is synced to make the names of new files durable. Pebble panics if
// that fails, at any time.
type folder struct {
	vfs.File
	disk *disk
	name string
}

func (f *folder) Sync() error {
	err := f.File.Sync()
	if err != nil {
		f.disk.stop(fmt.Errorf("syncing %s: %w", f.name, err))
	}
	return err
}

type diskFile struct {
	vfs.File
	disk  *disk
	name  string
	vital bool
}

func (f *diskFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.disk.failed(err, f.vital, "writing", f.name)
	return n, err
}

func (f *diskFile) Sync() error {
	err := f.File.Sync()
	f.disk.failed(err, f.vital, "syncing", f.name)
	return err
}

func (f *diskFile) SyncData() error {
	err := f.File.SyncData()
	f.disk.failed(err, f.vital, "syncing", f.name)
	return err
}

func (f *diskFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	f.disk.failed(err, f.vital, "syncing", f.name)
	return full, err
}

func (f *diskFile) Close() error {
	f.disk.mu.Lock()
	if f.disk.current == f {
		f.disk.current = nil
	}
	f.disk.mu.Unlock()
	err := f.File.Close()
	f.disk.failed(err, f.vital, "closing", f.name)
	return err
}

// room refuses writes while the disk is so full that what is in memory might
// not get its tables written. Nothing is lost by it, and writes go on by
// themselves when there is space again. Not all file systems tell.
//
// Deletions make room, though not at once: they may go on until little is left. For a
// disk that others have filled to the last byte there is a ballast, a file that is
// removed then, and put back when there is space.
type room struct {
	fs      vfs.FS
	dir     string
	reserve uint64
	looked  time.Time // last, when there was room
	written int       // since

	mu      sync.Mutex
	ballast bool // may be had
}

const ballastFile = "NEARBY-BALLAST"

// A look takes 2 us, so small commits share one.
const (
	lookEvery = 10 * time.Millisecond
	lookBytes = 64 << 10
)

// kept is how much of a disk is not given to writes. A small volume cannot spare as
// much.
func (r *room) kept(total uint64) uint64 { return min(r.reserve, total/8) }

// check is called before each commit of size bytes, by one goroutine at a time. frees
// says that it only removes.
func (r *room) check(size int, frees bool) error {
	now := time.Now()
	if r.written += size; r.written < lookBytes && now.Sub(r.looked) < lookEvery {
		return nil
	}
	usage, err := r.fs.GetDiskUsage(r.dir)
	if err != nil {
		return nil //nolint:nilerr // the disk that cannot be asked may have space: the write itself will tell
	}
	kept := r.kept(usage.TotalBytes)
	short := usage.AvailBytes < kept+uint64(size)
	if short && frees {
		if usage.AvailBytes < kept/2+uint64(size) && r.drop() {
			if usage, err = r.fs.GetDiskUsage(r.dir); err != nil {
				return nil //nolint:nilerr // as above
			}
		}
		if usage.AvailBytes >= kept/16+uint64(size) {
			return nil
		}
	}
	if short {
		r.looked = time.Time{} // look again the next time
		return r.full(usage, size)
	}
	r.looked, r.written = now, 0
	return nil
}

// full is the error of a write of size bytes for which there is too little space, 0: of
// any. What is free is rounded down and what is needed up, so that the one is less.
func (r *room) full(usage vfs.DiskUsage, size int) error {
	const tenth = (1 << 20) / 10.0
	mib := func(tenths float64) string { return fmt.Sprintf("%.1f MiB", tenths/10) }
	kept := r.kept(usage.TotalBytes)
	free, needed := mib(math.Floor(float64(usage.AvailBytes)/tenth)), mib(math.Ceil(float64(kept)/tenth))
	reason := fmt.Sprintf("the disk is full: it has %s free, and writes need at least %s; make room there, or delete what is not needed", free, needed)
	if usage.AvailBytes >= kept {
		all := mib(math.Ceil(float64(kept+uint64(size)) / tenth))
		reason = fmt.Sprintf("the disk is full for this write: it has %s free, and the write needs %s; make room there, or send less at once: small writes need %s", free, all, needed)
	}
	return &store.UnavailableError{Kind: store.ErrNoSpace, Reason: reason, Err: fmt.Errorf("where %s is", r.dir)}
}

// look says whether the disk is full, and puts the ballast back when there is space.
func (r *room) look() error {
	usage, err := r.fs.GetDiskUsage(r.dir)
	if err != nil {
		return nil
	}
	kept := r.kept(usage.TotalBytes)
	if usage.AvailBytes < kept {
		return r.full(usage, 0)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ballast && usage.AvailBytes > 2*kept {
		path := filepath.Join(r.dir, ballastFile)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			if err := occupy(path, int64(kept/2)); errors.Is(err, errors.ErrUnsupported) {
				r.ballast = false
			}
		}
	}
	return nil
}

// drop removes the ballast and reports whether it was there.
func (r *room) drop() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ballast && os.Remove(filepath.Join(r.dir, ballastFile)) == nil
}

// makeWay removes the ballast if there is too little space to start.
func (r *room) makeWay() {
	if usage, err := r.fs.GetDiskUsage(r.dir); err == nil && usage.AvailBytes < r.kept(usage.TotalBytes)/2 {
		r.drop()
	}
}

// setback is the last failure to write or merge tables. Pebble tries again until it
// succeeds. Commits are refused meanwhile, so that nothing piles up.
type setback struct {
	lasts time.Duration // a failure is remembered

	mu       sync.Mutex
	err      error
	at       time.Time
	happened chan struct{}
}

// setbackLasts is how long a failure is remembered, in pauses before Pebble may repeat what
// failed. It may take longer to fail again: then what it has to do grows until commits wait.
const setbackLasts = 50

func (s *setback) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.at = err, time.Now()
	select {
	case s.happened <- struct{}{}:
	default:
	}
}

// last is the error of the last failure, however long ago.
func (s *setback) last() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *setback) now() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil || time.Since(s.at) > s.lasts {
		return nil
	}
	return outOfSpace(fmt.Errorf("a table could not be written: %w", s.err))
}
