package embedded

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The modes of the folder and of its files: only their owner can use them.
const (
	folderMode = 0o700
	fileMode   = 0o600
)

// private is a file system in which only the owner can use new files and folders, whatever
// the umask is. Pebble itself gives all users the rights that the umask allows.
type private struct{ vfs.FS }

func (p private) Unwrap() vfs.FS { return p.FS }

// own takes the rights of other users from a new file. They cannot have opened it before,
// because they cannot enter its folder.
func own(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || f.Fd() == vfs.InvalidFd { // a file system in memory
		return f, err
	}
	if err := os.Chmod(name, fileMode); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (p private) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := p.FS.Create(name, category)
	return own(name, f, err)
}

func (p private) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := p.FS.OpenReadWrite(name, category, opts...)
	return own(name, f, err)
}

func (p private) Lock(name string) (io.Closer, error) {
	c, err := p.FS.Lock(name)
	if err == nil && vfs.Root(p.FS) == vfs.Default {
		if err = os.Chmod(name, fileMode); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, err
}

func (p private) MkdirAll(dir string, _ fs.FileMode) error { return p.FS.MkdirAll(dir, folderMode) }

// ours reports whether the store or Pebble gives files such a name.
func ours(name string) bool {
	switch filepath.Ext(name) {
	case ".log", ".sst", ".blob", ".dbtmp":
		return true
	}
	for _, prefix := range [...]string{"MANIFEST-", "OPTIONS-", "marker.", "NEARBY-", "temporary."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return name == "LOCK" || name == "CURRENT"
}

// tighten takes the rights of other users from a folder and from the store's files in it:
// an earlier version of nearby, or a copy, may have left such rights. It returns how many
// files and folders it has changed. The error names what it could not or should not change.
func tighten(dir string) (changed int, err error) {
	info, err := os.Stat(dir)
	if err != nil {
		return 0, err
	}
	var failures []error
	note := func(err error) {
		switch {
		case err == nil:
			changed++
		case len(failures) < 3: // the others will have the same cause
			failures = append(failures, err)
		}
	}
	switch {
	case info.Mode()&fs.ModeSticky != 0:
		note(fmt.Errorf("the folder %s is everybody's (mode %v): give the store one of its own", dir, info.Mode()))
	case info.Mode().Perm()&^folderMode != 0:
		note(os.Chmod(dir, folderMode))
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return changed, err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !ours(e.Name()) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().Perm()&^fileMode != 0 {
			note(os.Chmod(filepath.Join(dir, e.Name()), fileMode))
		}
	}
	return changed, errors.Join(failures...)
}
