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

// unfinishedFile is in a folder while Restore moves the files of a store into it. Open
// refuses such a folder.
const unfinishedFile = "NEARBY-UNFINISHED"

// RestoreOptions are the options of Restore.
type RestoreOptions struct {
	// Replace allows a folder that is not empty. Restore moves what is in it to another
	// folder, Restored.Replaced. If a file system is mounted at the folder, Restore moves
	// only the files of the store.
	Replace bool
	Store   Options // of the new store; for tests
}

// ErrNotEmpty: the folder is not empty.
var ErrNotEmpty = errors.New("the folder is not empty")

// Restored says what Restore did.
type Restored struct {
	Backup
	Replaced string // the folder to which the old store was moved; "": there was none
}

// Restore makes a store in a folder from a backup. The store has the items, the numbers and
// the receipts of the backup, and a history of its own. Restore builds the store in another
// folder, and reads all of it again. It changes the folder dir only after that.
func Restore(ctx context.Context, r io.Reader, dir string, opt RestoreOptions) (out Restored, err error) {
	out.Replaced, err = construct(dir, opt.Replace, func(beside string) (err error) {
		out.Backup, err = build(ctx, r, beside, opt.Store)
		return err
	})
	return out, err
}

// construct calls build to make a store in another folder, which it then moves to dir. If
// anything fails, dir is as it was. It returns the folder to which it moved what was in dir
// before, or "".
func construct(dir string, replace bool, build func(beside string) error) (replaced string, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	t, err := lookAtTarget(dir, replace)
	if err != nil {
		return "", err
	}
	held, err := claim(t.beside)
	if err != nil {
		return "", err
	}
	defer func() { _ = held.Close() }()
	// Another process may have made a store in the folder meanwhile.
	if t, err = lookAtTarget(dir, replace); err != nil {
		return "", errors.Join(err, os.RemoveAll(held.Name()))
	}
	err = build(t.beside)
	if err == nil { // a server may have been started on the folder meanwhile
		t, err = lookAtTarget(dir, replace)
	}
	if err == nil {
		if replaced, err = t.install(); err != nil && replaced != "" {
			err = fmt.Errorf("%w; what was in %s before was moved to %s", err, dir, replaced)
		}
	}
	if err != nil {
		return replaced, errors.Join(err, os.RemoveAll(held.Name()))
	}
	return replaced, nil
}

// target is the folder in which a store is made, from a backup or by Fill.
type target struct {
	dir    string
	beside string // the folder in which the store is built, on the same file system
	used   bool   // dir is not empty
	mount  bool   // a file system is mounted at dir, so dir cannot be renamed
}

// lookAtTarget finds out what is at dir. It fails with ErrNotEmpty if the folder is not empty
// and replace is false. If dir does not exist, it makes the parents of dir.
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
		return t, fmt.Errorf("%s is not a folder", dir)
	}
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
		case t.mount && unfinished && ours(name): // of a restore that did not end
		default:
			t.used = true
		}
	}
	if t.used && !replace {
		return t, fmt.Errorf("%w: %s: name another folder", ErrNotEmpty, dir)
	}
	return t, nil
}

// claim makes the folder in which a store is built, or empties one that an earlier restore, or
// Fill, has left. It returns the folder locked; closing it releases the lock.
func claim(dir string) (*os.File, error) {
	for range 100 {
		if err := os.Mkdir(dir, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		held, err := os.Open(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another restore had this folder, and has moved it into its place
		}
		if err != nil {
			return nil, err
		}
		if err := Hold(held); err != nil {
			return nil, errors.Join(fmt.Errorf("another process makes a store in %s: %w", dir, err), held.Close())
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
	return nil, fmt.Errorf("other processes make stores in %s: wait until they have ended", dir)
}

// restoreBatch is the size in bytes of the batches that build writes.
const restoreBatch = 4 << 20

// build makes a store from a backup. Then it reads the whole store and compares its content
// with that of the backup.
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
		err := retryWhileBehind(ctx, func() error {
			if err := s.tableFault.recent(); err != nil {
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

// install moves the new store to dir. It returns the folder to which it moved what was there
// before, or "" if there was nothing to move.
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
		// rename(2) replaces an empty folder; os.Rename refuses to.
		if err := syscall.Rename(t.beside, t.dir); err != nil {
			return "", fmt.Errorf("moving the new store to %s: %w", t.dir, err)
		}
		return "", syncDir(vfs.Default, filepath.Dir(t.dir))
	}
	// The names are swapped in one step, so that a complete store is at dir all the time.
	replaced = t.dir + ".replaced-" + time.Now().UTC().Format("20060102T150405.000Z")
	if err := os.Rename(t.beside, replaced); err != nil {
		return "", err
	}
	if err := exchange(replaced, t.dir); err != nil {
		return "", errors.Join(err, os.RemoveAll(replaced))
	}
	return replaced, syncDir(vfs.Default, filepath.Dir(t.dir))
}

// exchangeInSteps swaps the names of two folders in three steps, on systems that cannot do it
// in one.
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

// moveIn moves the files one by one into a folder that cannot be renamed. Until all are
// there, the folder has unfinishedFile. It returns what install returns.
func (t *target) moveIn() (replaced string, err error) {
	store := func(name string) bool { return ours(name) && name != unfinishedFile }
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return "", err
	}
	// Files that an earlier, unfinished restore has left are moved away, too: they may be
	// files of the store before it.
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return store(e.Name()) }) {
		// This comes before the marker: as long as no file is moved, the old store is
		// complete, and Open may open it.
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
	// The folder beside is removed last: its lock keeps other restores away until then.
	if err := errors.Join(syncDir(vfs.Default, t.dir), os.Remove(marker), syncDir(vfs.Default, t.dir), os.RemoveAll(t.beside)); err != nil {
		return replaced, err
	}
	return replaced, nil
}
