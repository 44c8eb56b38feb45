package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
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

// patience is how long a test waits for what has to come, on a machine that is busy.
const patience = 2 * time.Minute

// volume is a small disk that can be filled from outside.
type volume struct {
	fs   vfs.FS
	dir  string
	fill func(full bool)
}

// tmpfs mounts a file system of 48 MiB, where that is allowed.
func tmpfs(t *testing.T) (volume, bool) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=48m"); err != nil {
		return volume{}, false
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(dir, "filler")
	return volume{vfs.Default, filepath.Join(dir, "db"), func(full bool) {
		if !full {
			if err := os.Remove(filler); err != nil {
				t.Error(err)
			}
			return
		}
		f, err := os.Create(filler)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for err == nil {
			_, err = f.Write(make([]byte, 64<<10))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("filling the disk: %v", err)
		}
	}}, true
}

// memory is a file system that says how full it is.
func memory() volume {
	fs := vfs.NewMem()
	fill := func(full bool) {
		usage := vfs.DiskUsage{AvailBytes: 1 << 40, TotalBytes: 1 << 41}
		if full {
			usage.AvailBytes = 100
		}
		fs.TestingSetDiskUsage(usage)
	}
	return volume{fs, "db", fill}
}

// What is free of a disk that cannot be asked is not known, and is not 0, which is full.
func TestFreeBytes(t *testing.T) {
	fs := vfs.NewMem()
	s, err := Open("db", Options{fs: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if st := s.Stats(); st.FreeBytes != nil || !st.Writable {
		t.Errorf("of a disk that cannot be asked %d bytes are free, writable: %v", *st.FreeBytes, st.Writable)
	}
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 0, TotalBytes: 1 << 40})
	if st := s.Stats(); st.FreeBytes == nil || *st.FreeBytes != 0 {
		t.Errorf("of a full disk %v bytes are free", st.FreeBytes)
	}
}

// On a full disk commits are refused before anything of them is written, all
// reads go on, and commits too when there is space again. Nothing is lost.
func TestDiskFull(t *testing.T) {
	for _, c := range []struct {
		name    string
		mounted bool
		outside bool // something else fills the disk, or else the store does
	}{
		{"filled from outside", true, true},
		{"filled by the store", true, false},
		{"in memory", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, mounted := volume{}, false
			if c.mounted {
				v, mounted = tmpfs(t)
			}
			if !mounted {
				v = memory()
				v.fill(false)
			}
			h := &hoard{t: t, v: v, opt: Options{fs: v.fs, MemTableBytes: 1 << 20, pause: 4 * time.Millisecond}, noise: rand.NewChaCha8([32]byte{1})}
			h.open()
			commits := 700
			if c.outside || !mounted {
				commits = 50
			}
			refused := h.put(commits)
			if c.outside || !mounted {
				// A mounted disk gets space back when the store tidies up.
				for range 5 {
					v.fill(true)
					refused += h.put(5)
					h.check()
				}
				v.fill(false)
				// A table that could not be written is written first.
				for end := time.Now().Add(patience); h.put(1) > 0; {
					if time.Now().After(end) {
						t.Fatal("commits are refused though there is space again")
					}
				}
			}
			if refused == 0 {
				t.Error("no commit was refused")
			}
			h.check()
			h.close()
			h.open()
			h.check()
			h.close()
			t.Logf("%d commits were made, %d refused", h.n, refused)
		})
	}
}

// hoard puts items of 100 kB into a store, and knows what it should have.
type hoard struct {
	t     *testing.T
	v     volume
	opt   Options
	s     *Store
	noise *rand.ChaCha8 // what compresses would not fill a disk
	want  []item.Item
	n     int
}

func (h *hoard) open() {
	h.t.Helper()
	var err error
	if h.s, err = Open(h.v.dir, h.opt); err != nil {
		h.t.Fatal(err)
	}
	if h.n == 0 {
		if _, err := h.s.Commit(context.Background(), []store.Change{{Op: store.PutCollection, Collection: "c"}}); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *hoard) close() {
	h.t.Helper()
	// The head mark may not find room; it is a little older then.
	if err := h.s.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		h.t.Fatal(err)
	}
}

// put tries commits and returns how many were refused.
func (h *hoard) put(commits int) (refused int) {
	h.t.Helper()
	for range commits {
		it := item.Item{ID: fmt.Sprint(h.n), Updated: int64(h.n), Properties: make([]byte, 100_000)}
		_, _ = h.noise.Read(it.Properties)
		seq, err := h.s.Commit(context.Background(), []store.Change{{Op: store.PutItem, Collection: "c", Item: it}})
		switch {
		case errors.Is(err, store.ErrUnavailable):
			refused++
		case err != nil:
			h.t.Fatalf("after %d commits: %v", h.n, err)
		default:
			it.Seq = uint64(seq)
			h.want = append(h.want, it)
			h.n++
		}
	}
	return refused
}

func (h *hoard) check() {
	h.t.Helper()
	want := storetest.Content{"c": {}}
	for _, it := range h.want {
		want["c"][it.ID] = it
	}
	got, _ := storetest.Read(h.t, h.s, 2)
	storetest.Equal(h.t, got, want)
}

// noTables is a disk on which no table can be written while it is full.
type noTables struct{ full atomic.Bool }

func (n *noTables) String() string { return "no tables" }

func (n *noTables) MaybeError(op errorfs.Op) error {
	if n.full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && filepath.Ext(op.Path) == ".sst" {
		return syscall.ENOSPC
	}
	return nil
}

// Where what the log has does not fit on the disk as a table a start ends and says so. It
// has changed nothing: with space everything is there, and to be read it needs none.
func TestStartOnAFullDisk(t *testing.T) {
	ctx := context.Background()
	crashable := vfs.NewCrashableMem()
	s, err := Open("db", Options{fs: crashable})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(ctx, []store.Change{{Op: store.PutCollection, Collection: "c"}}); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := put(s, fmt.Sprint(i), i); err != nil {
			t.Fatal(err)
		}
	}
	want, _ := storetest.Read(t, s, 1)
	disk, same := crashable.CrashClone(vfs.CrashCloneCfg{}), crashable.CrashClone(vfs.CrashCloneCfg{})
	closed(t, s)

	faults := &noTables{}
	faults.full.Store(true)
	fs := errorfs.Wrap(disk, faults)
	ended := make(chan error, 1)
	go func() {
		_, err := Open("db", Options{fs: fs, pause: time.Millisecond})
		ended <- err
	}()
	select {
	case err = <-ended:
	case <-time.After(patience):
		t.Fatal("the start does not end")
	}
	if !errors.Is(err, store.ErrNoSpace) || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("the start ends with: %v", err)
	}
	if s, err = Open("db", Options{fs: errorfs.Wrap(same, faults), ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	got, _ := storetest.Read(t, s, 1)
	storetest.Equal(t, got, want)
	closed(t, s)

	faults.full.Store(false)
	eventually(t, "that it opens", func() bool { s, err = Open("db", Options{fs: fs}); return err == nil })
	got, _ = storetest.Read(t, s, 1)
	storetest.Equal(t, got, want)
	closed(t, s)
}
