package embedded

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Examined says how a folder is that a store is in, or may be made in.
type Examined struct {
	Exists bool  // there is a folder
	Store  bool  // it has a store
	InUse  bool  // another process has the store open; false where that cannot be known
	Fault  error // why Open would refuse it, as far as that can be known without reading it; nil: nothing
	// Barred is why this process may not write the folder, or the nearest folder above it if
	// it does not exist; nil: it may.
	Barred error
	Shared int    // files, the folder included, on which other users have rights
	Bytes  uint64 // of the store's tables and logs
	// FreeBytes are those of its disk, or of that on which it would be made; nil: not known.
	FreeBytes *uint64
	// Steady: the store notices here that the folder was copied.
	Steady bool
}

// Examine looks at a folder, and changes nothing. It takes no lock, and a server may use the
// folder or be started on it meanwhile.
func Examine(dir string) Examined {
	var e Examined
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		above := dir
		for errors.Is(err, fs.ErrNotExist) && above != filepath.Dir(above) {
			above = filepath.Dir(above)
			_, err = os.Stat(above)
		}
		e.Barred = errors.Join(err, writable(above))
		e.look(above)
		return e
	case err != nil:
		e.Fault = err
		return e
	case !info.IsDir():
		e.Fault = &os.PathError{Op: "open", Path: dir, Err: errors.New("it is no folder")}
		return e
	}
	e.Exists, e.Barred = true, writable(dir)
	e.look(dir)
	if info.Mode().Perm()&0o077 != 0 {
		e.Shared++
	}
	entries, err := os.ReadDir(dir)
	e.Fault = err
	for _, entry := range entries {
		name := entry.Name()
		if name == unfinishedFile {
			e.Fault = errUnfinished
		}
		info, err := entry.Info()
		if err != nil || !ours(name) {
			continue // a server has removed it meanwhile, or it is not the store's
		}
		if info.Mode().Perm()&0o077 != 0 {
			e.Shared++
		}
		if name != ballastFile {
			e.Bytes += uint64(info.Size())
		}
	}
	m := readMark(vfs.Default, dir)
	e.Store = m.there || m.err != nil
	e.InUse = e.Store && locked(filepath.Join(dir, "LOCK"))
	if e.Fault == nil {
		e.Fault = m.err
	}
	if e.Fault == nil && !e.InUse { // while it is in use its files change
		e.Fault = m.checkCopy(vfs.Default, dir)
	}
	return e
}

// look finds out what the disk of a folder is like.
func (e *Examined) look(dir string) {
	if usage, err := vfs.Default.GetDiskUsage(dir); err == nil {
		e.FreeBytes = &usage.AvailBytes
	}
	if d, err := vfs.Default.OpenDir(dir); err == nil {
		e.Steady = identify(d) != identity{}
		_ = d.Close()
	}
}
