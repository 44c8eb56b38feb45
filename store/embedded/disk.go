package embedded

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
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
	armed atomic.Bool // false while opening and closing, where errors are returned
}

func (d *disk) Unwrap() vfs.FS { return d.FS }

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// failed deals with an error of an operation; vital are those on the log.
func (d *disk) failed(err error, vital bool, doing, name string) {
	switch {
	case err == nil || !d.armed.Load():
	case vital:
		d.stop(fmt.Errorf("%s %s: %w", doing, name, err))
	default:
		time.Sleep(d.pause)
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
	f, err := d.FS.Create(name, category)
	return d.file(f, err, isLog(name), "creating", name)
}

func (d *disk) ReuseForWrite(from, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(from, name, category)
	return d.file(f, err, isLog(name), "creating", name)
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
	err := f.File.Close()
	f.disk.failed(err, f.vital, "closing", f.name)
	return err
}

// room refuses writes while the disk is so full that what is in memory might
// not get its tables written. Nothing is lost by it, and writes go on by
// themselves when there is space again. Not all file systems tell.
type room struct {
	fs      vfs.FS
	dir     string
	reserve uint64
	looked  time.Time // last, when there was room
	written int       // since
}

// A look takes 2 us, so small commits share one.
const (
	lookEvery = 10 * time.Millisecond
	lookBytes = 64 << 10
)

// check is called before each commit of size bytes, by one goroutine at a time.
func (r *room) check(size int) error {
	now := time.Now()
	if r.written += size; r.written < lookBytes && now.Sub(r.looked) < lookEvery {
		return nil
	}
	usage, err := r.fs.GetDiskUsage(r.dir)
	// A small volume cannot spare as much.
	reserve := min(r.reserve, usage.TotalBytes/8) + uint64(size)
	if err == nil && usage.AvailBytes < reserve {
		r.looked = time.Time{} // look again the next time
		return fmt.Errorf("the disk of %s is full: %d bytes are free, %d are kept to write out what is in memory", r.dir, usage.AvailBytes, reserve)
	}
	r.looked, r.written = now, 0
	return nil
}

// setback is the last failure to write a table. Pebble tries again until it
// succeeds, and makes commits wait when too much has piled up, for ever
// perhaps. So they are refused before that.
type setback struct {
	lasts time.Duration // longer than Pebble takes to fail again

	mu       sync.Mutex
	err      error
	at       time.Time
	happened chan struct{}
}

func (s *setback) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.at = err, time.Now()
	select {
	case s.happened <- struct{}{}:
	default:
	}
}

func (s *setback) now() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil || time.Since(s.at) > s.lasts {
		return nil
	}
	return fmt.Errorf("a table could not be written: %w", s.err)
}
