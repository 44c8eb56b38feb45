package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"nearby/store"
)

// unfinishedFile lies in a folder into which a backup is being put. Open refuses it.
const unfinishedFile = "NEARBY-UNFINISHED"

// RestoreOptions of Restore.
type RestoreOptions struct {
	// Replace puts the store in the place of what is in the folder, which is kept
	// beside it.
	Replace bool
	Store   Options // of the store that is made; for tests
}

// ErrNotEmpty: the folder has something in it.
var ErrNotEmpty = errors.New("the folder is not empty")

// Restored says what Restore did.
type Restored struct {
	Backup
	Replaced string // where that is which was in the folder before; "": nothing was
}

// Restore makes a store in a folder from a backup. It has the items, numbers and receipts
// of that, and a history of its own. The folder is changed only when everything has been
// read, checked, written and read again; until then the store is in one beside it.
func Restore(ctx context.Context, r io.Reader, dir string, opt RestoreOptions) (Restored, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Restored{}, err
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	t, err := lookAtTarget(dir, opt.Replace)
	if err != nil {
		return Restored{}, err
	}
	held, err := claim(t.beside)
	if err != nil {
		return Restored{}, err
	}
	defer func() { _ = held.Close() }()
	// Another may have been restored meanwhile.
	if t, err = lookAtTarget(dir, opt.Replace); err != nil {
		return Restored{}, errors.Join(err, os.RemoveAll(held.Name()))
	}
	out := Restored{}
	out.Backup, err = build(ctx, r, t.beside, opt.Store)
	if err == nil { // and a server may have been started on the folder
		t, err = lookAtTarget(dir, opt.Replace)
	}
	if err == nil {
		if out.Replaced, err = t.install(); err != nil && out.Replaced != "" {
			err = fmt.Errorf("%w; what was in %s before was moved to %s", err, dir, out.Replaced)
		}
	}
	if err != nil {
		return out, errors.Join(err, os.RemoveAll(held.Name()))
	}
	return out, nil
}

// target is the folder in whose place a store is to be.
type target struct {
	dir    string
	beside string // where it is built, on the same file system
	there  bool
	used   bool // something is in it
	mount  bool // it cannot be renamed
}

// lookAtTarget fails with ErrNotEmpty if something is in the folder that may not be replaced.
func lookAtTarget(dir string, replace bool) (target, error) {
	t := target{dir: dir, beside: dir + ".restoring"}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return t, os.MkdirAll(filepath.Dir(dir), folderMode)
	}
	if err != nil {
		return t, err
	}
	if !info.IsDir() {
		return t, fmt.Errorf("%s is no folder", dir)
	}
	t.there = true
	if t.mount = mountPoint(dir); t.mount {
		t.beside = filepath.Join(dir, "restoring")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return t, err
	}
	unfinished := false
	for _, e := range entries {
		unfinished = unfinished || e.Name() == unfinishedFile
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case t.mount && (name == "lost+found" || name == "restoring" || strings.HasPrefix(name, "replaced-")):
		case t.mount && unfinished && ours(name): // of a restoring that did not end
		default:
			t.used = true
		}
	}
	if t.used && !replace {
		return t, fmt.Errorf("%w: %s: name another", ErrNotEmpty, dir)
	}
	return t, nil
}

// claim makes the folder in which a store is built, or empties the one that a restoring
// which did not end has left. It is the caller's until what is returned is closed.
func claim(dir string) (*os.File, error) {
	for range 100 {
		if err := os.Mkdir(dir, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		held, err := os.Open(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another had it, and has put it in its place
		}
		if err != nil {
			return nil, err
		}
		if err := Hold(held); err != nil {
			return nil, errors.Join(fmt.Errorf("another backup is being restored in %s: %w", dir, err), held.Close())
		}
		mine, err := held.Stat()
		now, gone := os.Stat(dir)
		if err == nil && (gone != nil || !os.SameFile(mine, now)) {
			_ = held.Close()
			continue
		}
		entries, there := held.ReadDir(-1)
		err = errors.Join(err, there)
		for _, e := range entries {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
		if err != nil {
			return nil, errors.Join(err, held.Close())
		}
		return held, nil
	}
	return nil, fmt.Errorf("other backups are restored in %s again and again: wait until they have ended", dir)
}

// restoreBatch is how many bytes are written at once.
const restoreBatch = 4 << 20

// build makes a store from a backup, and compares what it reads from it with what was
// in the backup.
func build(ctx context.Context, r io.Reader, dir string, opt Options) (b Backup, err error) {
	opt.MarkInterval = time.Hour
	s, err := Open(dir, opt)
	if err != nil {
		return b, err
	}
	batch := s.db.NewBatch()
	write := func() error {
		if err := s.room.check(2*batch.Len(), false); err != nil {
			return err
		}
		err := keepUp(ctx, func() error {
			if err := s.setback.now(); err != nil {
				return err
			}
			if s.behind(batch.Len()) {
				return errBehind
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := batch.Commit(pebble.NoSync); err != nil {
			return err
		}
		batch.Reset()
		return nil
	}
	want := xxhash.New()
	b, err = readBackup(ctx, r, func(key, value []byte) error {
		sumPair(want, key, value)
		if err := batch.Set(key, value, nil); err != nil {
			return err
		}
		if batch.Len() < restoreBatch {
			return nil
		}
		return write()
	})
	if err == nil {
		err = batch.Set(headKey, encodeHead(nil, b.Seq), nil)
	}
	if err == nil {
		err = write()
	}
	s.mu.Lock()
	s.head = b.Seq
	s.durable.reach(b.Seq)
	s.mu.Unlock()
	if err = errors.Join(err, batch.Close(), s.Close()); err != nil {
		return b, err
	}

	opt.ReadOnly = true
	if s, err = Open(dir, opt); err != nil {
		return b, fmt.Errorf("reading what was restored: %w", err)
	}
	got := xxhash.New()
	err = pairs(ctx, s.db, func(key, value []byte) error {
		sumPair(got, key, value)
		return nil
	})
	if err == nil && (got.Sum64() != want.Sum64() || s.head != b.Seq) {
		err = fmt.Errorf("%w: what was restored is not what the backup has", store.ErrCorrupt)
	}
	return b, errors.Join(err, s.Close())
}

func sumPair(d *xxhash.Digest, key, value []byte) {
	_, _ = d.Write(key)
	_, _ = d.Write(value)
}

// install puts what was built in its place.
func (t *target) install() (replaced string, err error) {
	if t.used {
		held, err := vfs.Default.Lock(filepath.Join(t.dir, "LOCK"))
		if err != nil {
			return "", fmt.Errorf("the folder %s is in use, by a server perhaps: %w", t.dir, err)
		}
		defer func() { _ = held.Close() }()
	}
	if t.mount {
		return t.moveIn()
	}
	if !t.used {
		// os.Rename would refuse an empty folder, in whose place rename(2) puts another.
		if err := syscall.Rename(t.beside, t.dir); err != nil {
			return "", fmt.Errorf("putting what was restored in the place of %s: %w", t.dir, err)
		}
		return "", syncDir(vfs.Default, filepath.Dir(t.dir))
	}
	// The two change places in one step, so that there is a whole store at every moment.
	replaced = t.dir + ".replaced-" + time.Now().UTC().Format("20060102T150405.000Z")
	if err := os.Rename(t.beside, replaced); err != nil {
		return "", err
	}
	if err := exchange(replaced, t.dir); err != nil {
		return "", errors.Join(err, os.RemoveAll(replaced))
	}
	return replaced, syncDir(vfs.Default, filepath.Dir(t.dir))
}

// exchangeInSteps is exchange where no step does it.
func exchangeInSteps(a, b string) error {
	between := a + ".old"
	if err := os.Rename(b, between); err != nil {
		return err
	}
	if err := os.Rename(a, b); err != nil {
		return errors.Join(err, os.Rename(between, b))
	}
	return os.Rename(between, a)
}

// moveIn moves the files into a folder that cannot be renamed, file by file. Meanwhile
// the folder says that it is not finished.
func (t *target) moveIn() (replaced string, err error) {
	store := func(name string) bool { return ours(name) && name != unfinishedFile }
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return "", err
	}
	// Also what a restoring that did not end has left: it may be of the store from before.
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return store(e.Name()) }) {
		// Before the marker: as long as nothing is moved the store there is whole.
		replaced = filepath.Join(t.dir, "replaced-"+time.Now().UTC().Format("20060102T150405.000Z"))
		if err := os.Mkdir(replaced, folderMode); err != nil {
			return "", err
		}
	}
	marker := filepath.Join(t.dir, unfinishedFile)
	f, err := os.OpenFile(marker, os.O_CREATE|os.O_WRONLY, fileMode)
	if err != nil {
		return "", err
	}
	if err := errors.Join(f.Close(), syncDir(vfs.Default, t.dir)); err != nil {
		return "", err
	}
	move := func(from, to string, which func(name string) bool) error {
		entries, err := os.ReadDir(from)
		for _, e := range entries {
			if which(e.Name()) {
				err = errors.Join(err, os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())))
			}
		}
		return err
	}
	if replaced != "" {
		if err := move(t.dir, replaced, store); err != nil {
			return replaced, err
		}
	}
	if err := move(t.beside, t.dir, store); err != nil {
		return replaced, err
	}
	// The folder beside goes last: until then nobody else restores.
	if err := errors.Join(syncDir(vfs.Default, t.dir), os.Remove(marker), syncDir(vfs.Default, t.dir), os.RemoveAll(t.beside)); err != nil {
		return replaced, err
	}
	return replaced, nil
}
