package embedded

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"nearby/store"
)

// disk is the file system that Pebble uses. Pebble cannot go on after its log has failed:
// in some places it returns the error to the commit, in others it panics with locks held.
// So an error of the log ends the process here, before Pebble gets it. After other errors
// Pebble tries again at once, so disk returns them after a pause.
type disk struct {
	vfs.FS
	pause time.Duration
	stop  func(error) // ends the process
	armed atomic.Bool // errors of the log end the process; false while the store is opened or closed

	readOnly bool
	opened   os.FileInfo // the folder when the store was opened; nil: a file system in memory
	path     string      // of the folder

	mu      sync.Mutex
	current vfs.File // the log that is being written; nil: none
	spare   *os.File // a descriptor that is closed when the next log needs one
}

// enter remembers which folder is at dir, so that another one in its place is noticed. It
// also reserves the spare descriptor.
func (d *disk) enter(dir string) (err error) {
	if d.opened, err = os.Stat(dir); err != nil {
		return err
	}
	d.path = dir
	return d.takeSpare()
}

// leave closes the spare descriptor.
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

// What an operator can do, as part of the reason of an error.
const (
	startAnew = "stop the server, put back what was removed, and start it"
	seeDisk   = "check its permissions and its disk"
)

// linked fails if the log was removed: what is written to it is lost.
func (d *disk) linked() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current != nil && unlinked(d.current) {
		return &store.UnavailableError{Reason: "the store's log was removed from the data folder; " + startAnew, Err: fmt.Errorf("in %s", d.path)}
	}
	return nil
}

// present fails if the folder is not the one that was opened, or if its log was removed. It
// takes a few microseconds.
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

// look fails if present fails, if the process may not make files in the folder, or if it
// cannot open any file.
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

// failed handles the error of an operation, if there is one. vital says that the operation
// is on the log.
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

// log makes a file with open. If the file is a log, and the process has too many files open,
// it closes the spare descriptor and tries again.
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

// mayChange fails if the folder is not the one that was opened, so that another folder in its
// place is not changed.
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

// Lock takes an exclusive lock, or a shared one if the store is opened for reading only.
func (d *disk) Lock(name string) (io.Closer, error) {
	if !d.readOnly || d.opened == nil {
		return d.FS.Lock(name)
	}
	c, err := lockShared(name)
	if errors.Is(err, fs.ErrNotExist) { // the folder is a copy without the lock file
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

// folder is a folder that Pebble syncs to make the names of new files durable. Pebble
// panics if the sync fails, so an error ends the process even if the disk is not armed.
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

// diskFile is a file whose errors go to disk.failed first.
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
