package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"nearby/item"
	"nearby/store"
	"nearby/store/storetest"
)

// fault makes the k-th operation that changes the disk fail, and those after it
// if it stays broken.
type fault struct {
	k     int
	stays bool
	err   error
	died  <-chan struct{} // a dead process does nothing more

	mu  sync.Mutex
	n   int
	hit *errorfs.Op // the first that failed
}

func (f *fault) String() string { return "fault" }

func (f *fault) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	select {
	case <-f.died:
		select {}
	default:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	if f.n == f.k || f.stays && f.n > f.k {
		if f.hit == nil {
			f.hit = &op
		}
		return f.err
	}
	return nil
}

func (f *fault) first() *errorfs.Op {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hit
}

// life is one process with its disk: it opens a store, commits and closes it,
// or dies.
type life struct {
	fs   *vfs.MemFS
	rng  *rand.Rand
	l    ledger
	died chan struct{}
	born atomic.Bool // the store opened
	ack  int         // commits that were acknowledged

	// The disk at the moment of death or at the end, with what was
	// acknowledged before and tried after it was taken.
	once         sync.Once
	pictures     []*vfs.MemFS
	acked, tried map[string]int
	commitsAcked int
}

// picture keeps what a loss of power leaves, and what a mere death of the
// process does.
func (p *life) picture() {
	p.once.Do(func() {
		p.l.mu.Lock()
		p.acked, p.commitsAcked = maps.Clone(p.l.acked), p.ack
		p.l.mu.Unlock()
		for _, unsynced := range []int{p.rng.IntN(2) * p.rng.IntN(100), 100} {
			p.pictures = append(p.pictures, p.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: p.rng}))
		}
		p.l.mu.Lock()
		p.tried = maps.Clone(p.l.tried)
		p.l.mu.Unlock()
		close(p.died)
	})
}

func (p *life) dead() bool {
	select {
	case <-p.died:
		return true
	default:
		return false
	}
}

// run returns when the process has ended, one way or the other.
func (p *life) run(t *testing.T, fs vfs.FS, noSync bool) {
	go func() {
		defer p.picture()
		s, err := Open("db", Options{
			fs: fs, noSync: noSync, AcceptLoss: noSync, pause: 1, MarkInterval: 1 << 20,
			MemTableBytes: 64 << 10, CacheBytes: 1 << 20,
			fatal: func(string) { p.picture(); select {} }, // nothing of a dead process runs on
		})
		if err != nil {
			return
		}
		p.born.Store(true)
		p.commits(t, s)
		if !noSync {
			_ = s.Close()
		}
	}()
	<-p.died
}

func (p *life) commits(t *testing.T, s *Store) {
	commit := func(receipts []store.Receipt, changes ...store.Change) bool {
		refuses, dead := s.degradation() != nil, p.dead()
		_, err := s.Commit(context.Background(), changes, receipts...)
		switch {
		case err == nil && (refuses || dead):
			t.Error("a commit was acknowledged after the log had failed")
		case err != nil && !errors.Is(err, store.ErrUncertain) && !errors.Is(err, store.ErrUnavailable):
			t.Errorf("a commit failed with %v", err)
		}
		return err == nil
	}
	if !commit(nil, store.Change{Op: store.PutCollection, Collection: "c"}) {
		return
	}
	for version := 1; version <= 30; version++ {
		id := fmt.Sprint(version % 8)
		batch := make([]store.Change, 2)
		for i, id := range []string{id, id + "'"} {
			properties := fmt.Sprintf("%-3000d", version)
			batch[i] = store.Change{Op: store.PutItem, Collection: "c", Item: item.Item{ID: id, Updated: int64(version), Properties: []byte(properties)}}
		}
		p.l.mu.Lock()
		p.l.tried[id], p.l.tried[id+"'"] = version, version
		p.l.mu.Unlock()
		if commit(receiptOf(id, version), batch...) {
			p.l.mu.Lock()
			p.l.acked[id], p.l.acked[id+"'"] = version, version
			p.ack++
			p.l.mu.Unlock()
		}
	}
}

func newLife(rng *rand.Rand) *life {
	return &life{
		fs: vfs.NewCrashableMem(), rng: rng, died: make(chan struct{}),
		l: ledger{acked: map[string]int{}, tried: map[string]int{}},
	}
}

// check opens each picture and returns how many acknowledged versions the
// worst has lost.
func (p *life) check(t *testing.T, acceptLoss bool) (lost int) {
	t.Helper()
	for i, fs := range p.pictures {
		s, err := Open("db", Options{fs: fs, MemTableBytes: 64 << 10, CacheBytes: 1 << 20, AcceptLoss: acceptLoss})
		if err != nil && !p.born.Load() {
			continue // Pebble may leave a folder that does not open when it dies making it
		}
		if err != nil {
			t.Fatalf("picture %d: opening again: %v", i, err)
		}
		lost = max(lost, audit(t, s, p.acked, p.tried))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return lost
}

// S1, S2 whatever operation of the disk fails: the k-th, for every k, once or
// from then on. What was acknowledged is there afterwards, and nothing is
// acknowledged once the log has failed. The control never syncs, and is caught.
func TestEveryDiskFault(t *testing.T) {
	rng := rand.New(rand.NewPCG(storetest.Seed(t), 5))
	step := 1
	if testing.Short() {
		step = 7
	}
	for _, c := range []struct {
		name  string
		stays bool
		err   error
	}{
		{"once", false, syscall.EIO},
		{"from then on", true, syscall.ENOSPC},
	} {
		t.Run(c.name, func(t *testing.T) {
			died, acked, kinds := 0, 0, map[string]int{}
			k := 1 + rng.IntN(step)
			for ; ; k += step {
				p := newLife(rng)
				f := &fault{k: k, stays: c.stays, err: c.err, died: p.died}
				p.run(t, errorfs.Wrap(p.fs, f), false)
				op := f.first()
				if lost := p.check(t, false); lost > 0 {
					t.Fatalf("k=%d, %+v: %d acknowledged versions are missing", k, op, lost)
				}
				acked += p.commitsAcked
				if op == nil {
					if len(p.acked) != 16 {
						t.Errorf("without a fault %d items were acknowledged", len(p.acked))
					}
					break
				}
				if isLog(op.Path) {
					died++
				}
				kinds[fmt.Sprint(op.Kind)]++
			}
			t.Logf("%d operations failed in turn, %d of them on the log; %d commits acknowledged, all found", k-1, died, acked)
			if died < 40/step || len(kinds) < 5 {
				t.Errorf("only %d faults on the log, of kinds %v", died, kinds)
			}
		})
	}
	p := newLife(rng)
	p.run(t, p.fs, true)
	if p.check(t, true) == 0 {
		t.Error("a store that does not sync lost nothing: the test does not see losses")
	}
}

// history is a store's disk after n commits, of which the i-th puts item i%10,
// as a crash leaves it, with the log not yet written out; the mark says marked.
func history(t *testing.T, n int, marked store.Seq) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	s, err := Open("db", Options{fs: fs, MarkInterval: 1 << 40, MemTableBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Commit(context.Background(), []store.Change{{Op: store.PutCollection, Collection: "c"}}); err != nil {
		t.Fatal(err)
	}
	for i := 2; i <= n; i++ {
		if _, err := s.Commit(context.Background(), []store.Change{{Op: store.PutItem, Collection: "c", Item: item.Item{ID: fmt.Sprint(i % 10), Updated: int64(i), Properties: []byte(`{"a":1}`)}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeMark(fs, "db", mark{epoch: s.epoch, seq: marked}); err != nil {
		t.Fatal(err)
	}
	return fs.CrashClone(vfs.CrashCloneCfg{})
}

// whole opens a store made by history and returns the error, or else its head;
// it fails if the content is not that of exactly the commits up to the head.
func whole(t *testing.T, fs *vfs.MemFS) (store.Seq, error) {
	t.Helper()
	s, err := Open("db", Options{fs: fs, MarkInterval: 1 << 40, MemTableBytes: 1 << 20, fatal: func(string) {}})
	if err != nil {
		return 0, err
	}
	defer s.Close()
	v, err := s.View(context.Background())
	if err != nil {
		return 0, err
	}
	defer v.Close()
	want := map[string]int64{}
	for i := 2; i <= int(v.At().Seq); i++ {
		want[fmt.Sprint(i%10)] = int64(i)
	}
	if v.At().Seq > 0 {
		err = v.Items(context.Background(), "c", 1, func(_ int, it *item.Item) error {
			if want[it.ID] != it.Updated || it.Updated != int64(it.Seq) || string(it.Properties) != `{"a":1}` {
				t.Errorf("at %d %+v is not what was written", v.At().Seq, it)
			}
			delete(want, it.ID)
			return nil
		})
	}
	if err == nil && len(want) > 0 {
		t.Errorf("at %d these are missing: %v", v.At().Seq, want)
	}
	return v.At().Seq, err
}

func newestLog(t *testing.T, fs vfs.FS) string {
	t.Helper()
	logs := files(t, fs, ".log")
	if len(logs) == 0 {
		t.Fatal("there is no log")
	}
	return logs[len(logs)-1]
}

// A log with its end cut off opens with an earlier state, whole, as long as
// the mark does not say that more was acknowledged; then it is ErrLoss.
func TestTornTail(t *testing.T) {
	rng := rand.New(rand.NewPCG(storetest.Seed(t), 6))
	const n = 120
	for _, marked := range []store.Seq{n, n / 2, 0} {
		fs := history(t, n, marked)
		name := newestLog(t, fs)
		data := bytes.TrimRight(read(t, fs, name), "\x00")
		opened, refused := 0, 0
		for i := range 250 {
			cut := i
			if i > 50 {
				cut = rng.IntN(len(data))
			}
			torn := copyOf(fs)
			overwrite(t, torn, name, data[:len(data)-cut])
			head, err := whole(t, torn)
			switch {
			case err == nil && head < marked:
				t.Fatalf("cut by %d: opened at %d, though %d were acknowledged", cut, head, marked)
			case err == nil:
				opened++
			case marked > 0 && errors.Is(err, store.ErrLoss):
				refused++
			default:
				t.Fatalf("marked at %d, cut by %d: %v", marked, cut, err)
			}
		}
		t.Logf("marked at %d of %d: %d cut logs opened with what the mark demands, %d were refused", marked, n, opened, refused)
		if marked == n && (opened == 0 || opened > 30) || marked == 0 && refused > 0 {
			t.Errorf("marked at %d, %d opened and %d were refused", marked, opened, refused)
		}
	}
}

// A flipped bit in any file but a table is noticed, or changes nothing; or it
// is in the log, behind the mark, and cuts the log off there: what comes back
// then is an earlier state, whole, with all that the mark vouches for.
func TestFlipsInEveryFile(t *testing.T) {
	rng := rand.New(rand.NewPCG(storetest.Seed(t), 7))
	const n, marked = 120, 100
	fs := history(t, n, marked)
	all, err := fs.List("db")
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range all {
		name := fs.PathJoin("db", base)
		data := read(t, fs, name)
		removed := copyOf(fs)
		if err := removed.Remove(name); err != nil {
			t.Fatal(err)
		}
		if head, err := whole(t, removed); err == nil && head < n {
			t.Errorf("without %s the store opened at %d of %d", base, head, n)
		}
		if len(data) == 0 {
			continue
		}
		size := len(data)
		if isLog(name) {
			size = len(bytes.TrimRight(data, "\x00"))
		}
		noticed, same, shorter := 0, 0, 0
		for range 150 {
			flipped := copyOf(fs)
			bad := bytes.Clone(data)
			bad[rng.IntN(size)] ^= 1 << rng.IntN(8)
			overwrite(t, flipped, name, bad)
			head, err := whole(t, flipped)
			switch {
			case err != nil:
				noticed++
			case head == n:
				same++
			case isLog(name) && head >= marked:
				shorter++
			default:
				t.Errorf("%s with a flipped bit opened at %d of %d, marked at %d", base, head, n, marked)
			}
		}
		t.Logf("%s: %d noticed, %d changed nothing, %d cut the log behind the mark", base, noticed, same, shorter)
		if (isLog(name) || strings.Contains(base, "MANIFEST") || base == markFile) && noticed < 50 {
			t.Errorf("%s: only %d of 150 were noticed", base, noticed)
		}
	}
}
