package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"nearby/item"
	"nearby/store"
	"nearby/store/storetest"
)

func put(s *Store, id string, version int) (store.Seq, error) {
	return s.Commit(context.Background(), []store.Change{{Op: store.PutItem, Collection: "c", Item: item.Item{ID: id, Updated: int64(version), Properties: fmt.Appendf(nil, `{"v":%d}`, version)}}})
}

// opened opens a store on the real disk, with a collection.
func opened(t *testing.T, dir string, opt Options) *Store {
	t.Helper()
	opt.fatal = func(message string) { t.Errorf("the process would have ended: %s", message) }
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if len(s.incarnations) == 0 && !opt.ReadOnly {
		if _, err := s.Commit(context.Background(), []store.Change{{Op: store.PutCollection, Collection: "c"}}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func closed(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what comes by itself.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("this did not come: %s", what)
		}
	}
}

func copyWith(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
}

// Others than the owner may do nothing with the folder and its files, whatever the
// umask is, and however an earlier version has left them. What is not the store's is
// left alone.
func TestPrivate(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir := filepath.Join(t.TempDir(), "new", "data")
	modes := func() {
		t.Helper()
		if err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			// A file is its owner's in the moment after it was made, in a folder that nobody
			// else can enter.
			for n := 0; n < 6000 && err == nil && info.Mode().Perm()&0o077 != 0 && e.Name() != "notes.txt"; n++ {
				time.Sleep(10 * time.Millisecond)
				info, err = os.Lstat(path)
			}
			if errors.Is(err, fs.ErrNotExist) && path != dir {
				return nil
			}
			if err != nil {
				return err
			}
			if info.Mode().Perm()&0o077 != 0 && e.Name() != "notes.txt" {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	s := opened(t, dir, Options{MarkInterval: time.Millisecond, MemTableBytes: 64 << 10})
	for i := range 50 { // several logs and tables
		if _, err := s.Commit(context.Background(), []store.Change{{Op: store.PutItem, Collection: "c", Item: item.Item{ID: fmt.Sprint(i), Properties: make([]byte, 8<<10)}}}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a renewed mark", func() bool { m := readMark(vfs.Default, dir); return m.seq > 1 })
	modes()
	closed(t, s)
	modes()

	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	notes := filepath.Join(dir, "notes.txt")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(notes, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Chmod(filepath.Join(dir, e.Name()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s = opened(t, dir, Options{})
	modes()
	if info, err := os.Stat(notes); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("a file that is not the store's: %v, %v", info.Mode(), err)
	}
	closed(t, s)

	shared := t.TempDir() // as /tmp is
	if err := os.Chmod(shared, 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	closed(t, opened(t, shared, Options{}))
	if info, err := os.Stat(shared); err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("a folder that is everybody's has mode %v now, %v", info.Mode(), err)
	}
}

// A copy of a folder begins a history of its own, whatever it was made with. The folder
// itself keeps its history wherever it is moved to.
func TestCopyOfAFolder(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "data")
	s := opened(t, dir, Options{})
	for i := range 20 {
		if _, err := put(s, fmt.Sprint(i), i); err != nil {
			t.Fatal(err)
		}
	}
	content, head := storetest.Read(t, s, 1)
	closed(t, s)
	if identify(mustOpen(t, filepath.Join(dir, markFile))) == (identity{}) {
		t.Skip("this file system does not say which file is which")
	}
	position := func(dir string) store.CommitID {
		t.Helper()
		s := opened(t, dir, Options{})
		defer closed(t, s)
		got, at := storetest.Read(t, s, 1)
		storetest.Equal(t, got, content)
		return at
	}
	if at := position(dir); at != head {
		t.Errorf("opened again it is at %v, it was at %v", at, head)
	}
	moved := filepath.Join(root, "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if at := position(moved); at != head {
		t.Errorf("moved it is at %v, it was at %v", at, head)
	}
	seen := map[store.Epoch]string{head.Epoch: "the folder"}
	for _, c := range []struct {
		name string
		args []string
	}{
		{"cp", []string{"cp", "-a", moved, filepath.Join(root, "cp")}},
		{"links", []string{"cp", "-al", moved, filepath.Join(root, "links")}},
		{"tar", []string{"sh", "-c", "mkdir '" + root + "/tar' && tar -C '" + moved + "' -cf - . | tar -C '" + root + "/tar' -xpf -"}},
		// Put back into the same folder.
		{"cp", []string{"sh", "-c", "rm -r '" + root + "'/cp/* && cp -a '" + moved + "'/. '" + root + "/cp'"}},
	} {
		copyWith(t, c.args[0], c.args[1:]...)
		at := position(filepath.Join(root, c.name))
		if other, twice := seen[at.Epoch]; twice {
			t.Errorf("%v has the epoch of %v", c.args, other)
		}
		if at.Seq != head.Seq {
			t.Errorf("%v is at %v, the folder was at %v", c.args, at, head)
		}
		seen[at.Epoch] = fmt.Sprint(c.args)
		if again := position(filepath.Join(root, c.name)); again != at {
			t.Errorf("%v is at %v when opened again, and was at %v", c.args, again, at)
		}
	}
	// By hand, for what cannot be noticed.
	s = opened(t, moved, Options{NewEpoch: true})
	if _, at := storetest.Read(t, s, 1); at.Epoch == head.Epoch || at.Seq != head.Seq {
		t.Errorf("with a new epoch asked for it is at %v, it was at %v", at, head)
	}
}

func mustOpen(t *testing.T, path string) vfs.File {
	t.Helper()
	f, err := vfs.Default.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// A copy of a folder in use need not be of one moment. It is refused, and with
// AcceptLoss it has a history of its own.
func TestCopyOfAFolderInUse(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "data")
	s := opened(t, dir, Options{MemTableBytes: 64 << 10, MarkInterval: 5 * time.Millisecond})
	l := &ledger{acked: map[string]int{}, tried: map[string]int{}}
	stop := make(chan struct{})
	wg := storm(s, 4, l, stop)
	stopOnce := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer stopOnce()
	eventually(t, "a renewed mark", func() bool { m := readMark(vfs.Default, dir); return m.seq > 1 })
	opens := 0
	for i := range 10 {
		to := filepath.Join(root, fmt.Sprint("copy", i))
		_ = exec.Command("cp", "-a", dir, to).Run() // files vanish under it
		if i == 9 {
			stopOnce()
			closed(t, s) // the last one is of two states
			copyWith(t, "cp", "-a", filepath.Join(dir, markFile), to)
		}
		before := s.epoch
		c, err := Open(to, Options{})
		if err == nil {
			t.Errorf("copy %d of a folder in use was opened at %d", i, c.head)
			_ = c.Close()
			continue
		}
		if !errors.Is(err, store.ErrLoss) && !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, fs.ErrNotExist) {
			t.Logf("copy %d: %v", i, err)
		}
		c, err = Open(to, Options{AcceptLoss: true})
		if err != nil {
			continue // not even that
		}
		opens++
		if c.epoch == before {
			t.Errorf("copy %d of a folder in use has its epoch", i)
		}
		closed(t, c)
	}
	t.Logf("with AcceptLoss %d of 10 copies open", opens)
}

// When a process ends between giving a new epoch to the database and to the mark, the
// next start goes on.
func TestNewEpochHalfWritten(t *testing.T) {
	for _, later := range []bool{false, true} {
		fs := fill(t, 5)
		old := read(t, fs, "db/"+markFile)
		s, err := Open("db", Options{fs: fs, NewEpoch: true})
		if err != nil {
			t.Fatal(err)
		}
		epoch := s.epoch
		if later {
			deleteFirst(t, s)
		}
		closed(t, s)
		overwrite(t, fs, "db/"+markFile, old)
		s, err = Open("db", Options{fs: fs})
		if later { // that is no process that ended, but another's mark
			if !errors.Is(err, store.ErrLoss) {
				t.Errorf("with the mark of an earlier epoch: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if m := markOf(t, fs); s.epoch != epoch || m.epoch != epoch {
			t.Errorf("the epoch is %q, that of the mark %q, and it was to be %q", s.epoch, m.epoch, epoch)
		}
		closed(t, s)
	}
}

// removed removes a folder into which a store may just be writing.
func removed(t *testing.T, dir string) {
	t.Helper()
	eventually(t, "that "+dir+" is removed", func() bool { return os.RemoveAll(dir) == nil })
}

// Nothing is acknowledged that goes into a folder that is not there any more, and what
// has taken its place is not touched. If the folder comes back writes go on.
func TestFolderTakenAway(t *testing.T) {
	for _, c := range []struct {
		name string
		take func(t *testing.T, dir string) (back func())
	}{
		{"removed", func(t *testing.T, dir string) func() {
			removed(t, dir)
			return nil
		}},
		{"emptied", func(t *testing.T, dir string) func() {
			// The store may just be writing a file, which find then does not find any more.
			eventually(t, "that "+dir+" is emptied", func() bool {
				return exec.Command("find", dir, "-type", "f", "-delete").Run() == nil
			})
			return nil
		}},
		{"removed and made again", func(t *testing.T, dir string) func() {
			removed(t, dir)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			return nil
		}},
		{"moved", func(t *testing.T, dir string) func() {
			if err := os.Rename(dir, dir+"-away"); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := os.Rename(dir+"-away", dir); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"replaced by another store", func(t *testing.T, dir string) func() {
			other := opened(t, dir+"-other", Options{})
			closed(t, other)
			sum, err := listing(vfs.Default, dir+"-other")
			if err := errors.Join(err, os.Rename(dir, dir+"-away"), os.Rename(dir+"-other", dir)); err != nil {
				t.Fatal(err)
			}
			return func() {
				if now, err := listing(vfs.Default, dir); err != nil || now != sum {
					t.Errorf("the files of the other store were changed: %v", err)
				}
				if err := errors.Join(os.Rename(dir, dir+"-other"), os.Rename(dir+"-away", dir)); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			s, err := Open(dir, Options{MarkInterval: 10 * time.Millisecond, fatal: func(string) {}})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if _, err := s.Commit(context.Background(), []store.Change{{Op: store.PutCollection, Collection: "c"}}); err != nil {
				t.Fatal(err)
			}
			want := map[string]int{}
			for i := range 10 {
				if _, err := put(s, fmt.Sprint(i), i); err != nil {
					t.Fatal(err)
				}
				want[fmt.Sprint(i)] = i
			}
			if err := s.Fault(); err != nil {
				t.Fatal(err)
			}
			back := c.take(t, dir)
			if back == nil {
				if _, err := put(s, "lost", 1); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("a commit to a log that is not there: %v", err)
				}
			}
			eventually(t, "that the store says it", func() bool { return s.Fault() != nil })
			if c.name == "removed and made again" {
				if put, err := os.ReadDir(dir); err != nil || len(put) > 0 {
					t.Errorf("into the folder that has the place of the store was put %v, %v", put, err)
				}
			}
			if _, err := put(s, "lost", 1); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("a commit: %v", err)
			}
			if back == nil {
				return
			}
			back()
			eventually(t, "that writes go on", func() bool { return s.Fault() == nil })
			if _, err := put(s, "10", 10); err != nil {
				t.Fatal(err)
			}
			want["10"] = 10
			closed(t, s)
			s = opened(t, dir, Options{})
			content, _ := storetest.Read(t, s, 1)
			if len(content["c"]) != len(want) {
				t.Errorf("there are %d items, want %d", len(content["c"]), len(want))
			}
		})
	}
}

// A folder that is moved away is noticed by the next commit, which is refused, or by the
// one that is on its way to the disk, whose outcome is uncertain: the store has it, and
// goes on with it when the folder comes back. Fault says it at once.
func TestFolderMovedAtACommit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	away := func() {
		if err := os.Rename(dir, dir+"-away"); err != nil {
			t.Error(err)
		}
	}
	atSync := &beforeSync{}
	s := opened(t, dir, Options{fs: errorfs.Wrap(vfs.Default, atSync), MarkInterval: time.Hour})
	back := func() {
		t.Helper()
		if err := os.Rename(dir+"-away", dir); err != nil {
			t.Fatal(err)
		}
		if s.checkFolder(); s.Fault() != nil {
			t.Fatalf("the folder is back, and the fault is %v", s.Fault())
		}
	}
	away()
	if _, err := put(s, "refused", 1); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUncertain) {
		t.Errorf("a commit after the folder was moved: %v", err)
	}
	if s.Fault() == nil {
		t.Error("a commit was refused, and there is no fault")
	}
	back()

	atSync.once.Store(&away)
	seq, err := put(s, "uncertain", 1)
	if !errors.Is(err, store.ErrUncertain) || errors.Is(err, store.ErrUnavailable) || seq == 0 {
		t.Errorf("a commit while the folder was moved: %d, %v", seq, err)
	}
	if s.Fault() == nil {
		t.Error("a commit is uncertain, and there is no fault")
	}
	if _, err := put(s, "refused", 1); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a commit after the folder was moved: %v", err)
	}
	back()
	if _, err := put(s, "made", 1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		content, _ := storetest.Read(t, s, 1)
		if c := content["c"]; len(c) != 2 || c["uncertain"].Seq != uint64(seq) || c["made"].Seq != uint64(seq)+1 {
			t.Errorf("the items are %v", c)
		}
		closed(t, s)
		s = opened(t, dir, Options{})
	}
}

// What is synced to a log that was removed meanwhile may not be there at the next start.
func TestLogRemovedAtACommit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	atSync := &beforeSync{}
	s := opened(t, dir, Options{fs: errorfs.Wrap(vfs.Default, atSync), MarkInterval: time.Hour})
	remove := func() {
		if err := exec.Command("find", dir, "-type", "f", "-delete").Run(); err != nil {
			t.Error(err)
		}
	}
	atSync.once.Store(&remove)
	if seq, err := put(s, "uncertain", 1); !errors.Is(err, store.ErrUncertain) || errors.Is(err, store.ErrUnavailable) || seq != 0 {
		t.Errorf("a commit while the log was removed: %d, %v", seq, err)
	}
	if s.Fault() == nil {
		t.Error("a commit is uncertain, and there is no fault")
	}
	if _, err := put(s, "refused", 1); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a commit after the log was removed: %v", err)
	}
}

// beforeSync calls a function when a log is about to be synced.
type beforeSync struct{ once atomic.Pointer[func()] }

func (*beforeSync) String() string { return "before a sync" }

func (b *beforeSync) MaybeError(op errorfs.Op) error {
	if isLog(op.Path) && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo) {
		if f := b.once.Swap(nil); f != nil {
			(*f)()
		}
	}
	return nil
}

// A write that is refused for want of space says how much there is and how much it needs,
// and the one is less than the other. If only this one is too large, that is no fault.
func TestWordsOfAFullDisk(t *testing.T) {
	const mib = 1 << 20
	fs := vfs.NewMem()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 40, TotalBytes: 1 << 41})
	s, err := Open("db", Options{fs: fs, MarkInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, c := range []struct {
		free  uint64
		size  int
		words string
		fault bool
	}{
		{128*mib - 1, 100, "the disk is full: it has 127.9 MiB free, and writes need at least 128.0 MiB; make room there, or delete what is not needed", true},
		{100, 100, "the disk is full: it has 0.0 MiB free, and writes need at least 128.0 MiB; make room there, or delete what is not needed", true},
		{130 * mib, 3 * mib, "the disk is full for this write: it has 130.0 MiB free, and the write needs 131.1 MiB; make room there, or send less at once: small writes need 128.0 MiB", false},
	} {
		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: c.free, TotalBytes: 1 << 41})
		s.room.looked = time.Time{}
		s.checkFolder()
		none := error(nil)
		s.fault.Store(&none)
		_, err := s.Commit(context.Background(), []store.Change{{Op: store.PutCollection, Collection: "c", Definition: make([]byte, c.size)}})
		if !errors.Is(err, store.ErrNoSpace) || store.Reason(err) != c.words {
			t.Errorf("with %d bytes free a write of %d is refused with\n%v, want\n%s", c.free, c.size, err, c.words)
		}
		if fault := s.Fault(); (fault != nil) != c.fault {
			t.Errorf("with %d bytes free and a write of %d the fault is %v", c.free, c.size, fault)
		}
	}
}

// A store that was opened to be read writes nothing, needs no right to write, and takes
// no commits. Several may share a folder.
func TestReadOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if _, err := Open(dir, Options{ReadOnly: true}); err == nil {
		t.Error("a store was made to be read only")
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder was made to be read only: %v", err)
	}
	s := opened(t, dir, Options{})
	for i := range 10 {
		if _, err := put(s, fmt.Sprint(i), i); err != nil {
			t.Fatal(err)
		}
	}
	want, head := storetest.Read(t, s, 1)
	closed(t, s)
	// Once with everything in tables, and once with a log to be read.
	crashed := filepath.Join(t.TempDir(), "crashed")
	s = opened(t, dir, Options{})
	if _, err := put(s, "0", 0); err != nil {
		t.Fatal(err)
	}
	copyWith(t, "cp", "-a", dir, crashed)
	closed(t, s)
	for _, c := range []struct {
		dir  string
		loss bool
	}{{dir, false}, {crashed, true}} {
		state := func() string {
			t.Helper()
			out, err := exec.Command("ls", "-la", "--time-style=full-iso", c.dir).Output()
			if err != nil {
				t.Fatal(err)
			}
			return string(out)
		}
		before := state()
		a := opened(t, c.dir, Options{ReadOnly: true, AcceptLoss: c.loss})
		b := opened(t, c.dir, Options{ReadOnly: true, AcceptLoss: c.loss})
		for _, s := range []*Store{a, b} {
			got, at := storetest.Read(t, s, 1)
			if len(got["c"]) != len(want["c"]) || at.Seq != head.Seq+1 || (at.Epoch == head.Epoch) == c.loss {
				t.Errorf("at %v there are %d items; head was %v", at, len(got["c"]), head)
			}
			if _, err := put(s, "x", 1); !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("a commit: %v", err)
			}
			if err := s.Fault(); err != nil {
				t.Error(err)
			}
		}
		closed(t, a)
		closed(t, b)
		if after := state(); after != before {
			t.Errorf("the folder was changed from\n%sto\n%s", before, after)
		}
	}
	if v, mounted := tmpfs(t); mounted {
		copyWith(t, "cp", "-a", dir, v.dir)
		mount := filepath.Dir(v.dir)
		if err := syscall.Mount("", mount, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		closed(t, opened(t, v.dir, Options{ReadOnly: true}))
		if _, err := Open(v.dir, Options{}); err == nil {
			t.Error("a store on a disk that cannot be written was opened to be written")
		}
	}
}

// Where the process can open no more files, nothing ends and nothing is lost: writes
// are refused, and go on when it can.
func TestDescriptorsRunOut(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) }()
	low := limit
	low.Cur = 200
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	s := opened(t, dir, Options{MemTableBytes: 256 << 10, MarkInterval: 20 * time.Millisecond, pause: time.Millisecond})
	want := map[string]int{}
	commit := func(i int) error {
		_, err := s.Commit(context.Background(), []store.Change{{Op: store.PutItem, Collection: "c", Item: item.Item{ID: fmt.Sprint(i), Updated: int64(i), Properties: make([]byte, 20<<10)}}})
		if err == nil {
			want[fmt.Sprint(i)] = i
		}
		return err
	}
	var held []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		held = append(held, f)
	}
	refused := 0
	for i := range 60 { // more than a log holds
		if err := commit(i); err != nil {
			if refused++; !errors.Is(err, store.ErrUnavailable) {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "that the store says it", func() bool { return s.Fault() != nil })
	if err := commit(100); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a commit without descriptors: %v", err)
	}
	for _, f := range held {
		_ = f.Close()
	}
	eventually(t, "that writes go on", func() bool { return s.Fault() == nil && commit(101) == nil })
	closed(t, s)
	s = opened(t, dir, Options{})
	content, _ := storetest.Read(t, s, 1)
	if len(content["c"]) != len(want) {
		t.Errorf("there are %d items, want %d", len(content["c"]), len(want))
	}
	t.Logf("%d commits were refused", refused)
}

// On a disk that others have filled to the last byte nothing can be put, and things can
// be deleted, which is durable; the store can be opened there, too.
func TestDeleteOnAFullDisk(t *testing.T) {
	v, mounted := tmpfs(t)
	if !mounted {
		t.Skip("needs the right to mount")
	}
	opt := Options{MemTableBytes: 1 << 20, MarkInterval: 10 * time.Millisecond}
	s := opened(t, v.dir, opt)
	for i := range 400 {
		if _, err := put(s, fmt.Sprint(i), i); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a ballast", func() bool { _, err := os.Stat(filepath.Join(v.dir, ballastFile)); return err == nil })
	deleted := 0
	for round := range 2 {
		v.fill(true)
		eventually(t, "that the store says it", func() bool { return errors.Is(s.Fault(), store.ErrNoSpace) })
		for range 50 {
			if _, err := put(s, "more", 1); !errors.Is(err, store.ErrNoSpace) {
				t.Fatalf("round %d: a put on a full disk: %v", round, err)
			}
			if _, err := s.Commit(context.Background(), []store.Change{{Op: store.DeleteItem, Collection: "c", Item: item.Item{ID: fmt.Sprint(deleted)}}}); err != nil {
				t.Fatalf("round %d: deletion %d on a full disk: %v", round, deleted, err)
			}
			deleted++
		}
		closed(t, s)
		s = opened(t, v.dir, opt)
		content, _ := storetest.Read(t, s, 1)
		if n := len(content["c"]); n != 400-deleted {
			t.Fatalf("round %d: after %d deletions there are %d items", round, deleted, n)
		}
		v.fill(false)
		eventually(t, "that writes go on", func() bool { _, err := put(s, "399", 399); return err == nil })
		eventually(t, "a ballast", func() bool { _, err := os.Stat(filepath.Join(v.dir, ballastFile)); return err == nil })
	}
	if _, err := s.Commit(context.Background(), []store.Change{{Op: store.DropCollection, Collection: "c"}}); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkGuard is what a commit pays for knowing, twice, that its folder and log are still there.
func BenchmarkGuard(b *testing.B) {
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	for b.Loop() {
		if err := s.disk.present(); err != nil {
			b.Fatal(err)
		}
	}
}
