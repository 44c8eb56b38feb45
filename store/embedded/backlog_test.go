package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"nearby/item"
	"nearby/store"
	"nearby/store/storetest"
)

// slowlyFull is a disk on which some of the tables find no room, which turns out after a
// while: as with one that is nearly full, on a machine that is busy.
type slowlyFull struct {
	vfs.FS
	full atomic.Bool
	kind vfs.DiskWriteCategory // of the files that find none
	wait func()                // until that is known
}

func (d *slowlyFull) Create(name string, kind vfs.DiskWriteCategory) (vfs.File, error) {
	if d.full.Load() && kind == d.kind {
		d.wait()
		return nil, syscall.ENOSPC
	}
	return d.FS.Create(name, kind)
}

// Where tables cannot be written, or not be merged, commits are refused and Close ends,
// however long it takes until that is known. What was acknowledged is there, and with
// space writes go on.
func TestBacklog(t *testing.T) {
	t.Parallel()
	for _, kind := range []vfs.DiskWriteCategory{"pebble-compaction", "pebble-memtable-flush"} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			ended := make(chan struct{})
			go func() {
				select {
				case <-ended:
				case <-time.After(patience):
					panic("a commit or Close does not end where there is no room for " + string(kind))
				}
			}()
			defer close(ended)
			pause := 200 * time.Microsecond
			disk := &slowlyFull{FS: vfs.NewMem(), kind: kind, wait: func() { time.Sleep(4 * tableFaultLasts * pause) }}
			opt := Options{fs: disk, MemTableBytes: 64 << 10, pause: pause}
			h := &hoard{t: t, v: volume{fs: disk, dir: "db"}, opt: opt, noise: rand.NewChaCha8([32]byte{1})}
			h.open()
			disk.full.Store(true)
			// More than what may pile up, four times.
			for refused := 0; h.n < 4*(stopTables+stopWrites) && refused < 300; {
				if h.put(1) == 1 {
					refused++
					time.Sleep(pause)
				}
			}
			before := h.n
			if before == 4*(stopTables+stopWrites) {
				t.Errorf("%d commits were taken though nothing could be written", before)
			}
			h.close()
			disk.full.Store(false)
			h.open()
			for end := time.Now().Add(patience); h.n < 2*before; {
				if h.put(1) == 1 && time.Now().After(end) {
					t.Fatal("commits are refused though there is space again")
				}
			}
			h.check()
			h.close()
		})
	}
}

// A commit that waits ends with the store: nothing of it was done.
func TestBacklogEndsWithTheStore(t *testing.T) {
	t.Parallel()
	known := make(chan struct{})
	disk := &slowlyFull{FS: vfs.NewMem(), kind: "pebble-compaction", wait: func() { <-known }}
	disk.full.Store(true)
	h := &hoard{t: t, v: volume{fs: disk, dir: "db"}, opt: Options{fs: disk, MemTableBytes: 64 << 10, pause: time.Millisecond}}
	h.open()
	var made atomic.Int64
	ended := make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			it := item.Item{ID: fmt.Sprint(n), Properties: make([]byte, 100_000)}
			if _, err := h.s.Commit(context.Background(), []store.Change{{Op: store.PutItem, Collection: "c", Item: it}}); err != nil {
				ended <- err
				return
			}
			made.Add(1)
		}
	}()
	eventually(t, "the commits wait", func() bool {
		h.s.mu.Lock()
		defer h.s.mu.Unlock()
		return h.s.backlog.behind
	})
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		h.close()
	}()
	select {
	case err := <-ended:
		if n := made.Load(); !errors.Is(err, store.ErrClosed) || n > 4*(stopTables+stopWrites) {
			t.Errorf("after %d commits: %v", n, err)
		}
	case <-time.After(patience):
		t.Fatal("a commit that waits does not end when the store is closed")
	}
	close(known)
	<-closed
	disk.full.Store(false)
	h.open()
	got, _ := storetest.Read(t, h.s, 1)
	if n := len(got["c"]); n != int(made.Load()) {
		t.Errorf("%d items are there, %d were acknowledged", n, made.Load())
	}
	h.close()
}
