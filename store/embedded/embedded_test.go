package embedded

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"nearby/item"
	"nearby/store"
	"nearby/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(dir string) (store.Store, error) {
		return Open(dir, Options{MemTableBytes: 1 << 20})
	})
}

// Items come by id within a part, and the parts one after the other: collections
// load faster so.
func TestOrder(t *testing.T) {
	ctx := context.Background()
	s, err := Open("db", Options{fs: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Commit(ctx, []store.Change{{Op: store.PutCollection, Collection: "c"}}); err != nil {
		t.Fatal(err)
	}
	const n, tables = 3000, 10
	for table := range tables { // each has a share of the ids, in no order
		var changes []store.Change
		for i := range n / tables {
			id := table*7%tables*n/tables + i*7919%(n/tables)
			changes = append(changes, store.Change{Op: store.PutItem, Collection: "c", Item: item.Item{ID: fmt.Sprintf("%05d", id)}})
		}
		if _, err := s.Commit(ctx, changes); err != nil {
			t.Fatal(err)
		}
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	v, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for _, parts := range []int{1, 2, 3, 7} {
		ids := make([][]string, parts)
		if err := v.Items(ctx, "c", parts, func(part int, it *item.Item) error {
			ids[part] = append(ids[part], strings.Clone(it.ID))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		all := slices.Concat(ids...)
		if len(all) != n || !slices.IsSorted(all) {
			t.Errorf("in %d parts %d items came, by id: %v", parts, len(all), slices.IsSorted(all))
		}
		if parts > 1 && len(ids[1]) == 0 {
			t.Errorf("of %d parts the second has nothing", parts)
		}
	}
}

// ledger is what commits were acknowledged, and what may or may not have been.
type ledger struct {
	mu    sync.Mutex
	acked map[string]int // id -> last acknowledged version
	tried map[string]int // id -> last version sent
}

// receiptOf is the receipt of the commit that wrote a version of an item and its
// twin, id'. Every second has one.
func receiptOf(id string, version int) []store.Receipt {
	if version%2 == 1 || strings.HasSuffix(id, "'") {
		return nil
	}
	return []store.Receipt{{Collection: "c", Key: fmt.Sprint(id, " ", version), Outcome: fmt.Append(nil, version)}}
}

// storm has writers that each count up items of their own until the store refuses or
// stop is closed.
func storm(s *Store, writers int, l *ledger, stop <-chan struct{}) *sync.WaitGroup {
	var wg sync.WaitGroup
	for w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for version := 1; ; version++ {
				select {
				case <-stop:
					return
				default:
				}
				// Two items change together: half a commit would show.
				ids := [2]string{fmt.Sprintf("w%d-%d", w, version%10), fmt.Sprintf("w%d-%d'", w, version%10)}
				batch := make([]store.Change, 2)
				for i, id := range ids {
					batch[i] = store.Change{Op: store.PutItem, Collection: "c", Item: item.Item{ID: id, Updated: int64(version), Properties: []byte(fmt.Sprint(version))}}
				}
				l.mu.Lock()
				l.tried[ids[0]], l.tried[ids[1]] = version, version
				l.mu.Unlock()
				if _, err := s.Commit(context.Background(), batch, receiptOf(ids[0], version)...); err != nil {
					return
				}
				l.mu.Lock()
				l.acked[ids[0]], l.acked[ids[1]] = version, version
				l.mu.Unlock()
			}
		}()
	}
	return &wg
}

// crash runs writers on a file system that forgets what was not synced, takes
// its picture in the middle, and opens that. It returns how many acknowledged
// versions were missing, and fails on anything invented or half done.
func crash(t *testing.T, rng *rand.Rand, noSync bool) (lost int) {
	t.Helper()
	fs := vfs.NewCrashableMem()
	opt := Options{fs: fs, MemTableBytes: 256 << 10, noSync: noSync, MarkInterval: 1 << 20}
	s, err := Open("db", opt)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(context.Background(), []store.Change{{Op: store.PutCollection, Collection: "c"}}); err != nil {
		t.Fatal(err)
	}
	l := &ledger{acked: map[string]int{}, tried: map[string]int{}}
	stop := make(chan struct{})
	wg := storm(s, 8, l, stop)
	for want := rng.IntN(400); ; {
		l.mu.Lock()
		n := 0
		for _, v := range l.acked {
			n += v
		}
		l.mu.Unlock()
		if n >= want*8 {
			break
		}
	}
	// What is acknowledged before the picture must be in it; what was tried
	// up to after it may be.
	l.mu.Lock()
	acked := map[string]int{}
	for id, v := range l.acked {
		acked[id] = v
	}
	l.mu.Unlock()
	clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
	l.mu.Lock()
	tried := map[string]int{}
	for id, v := range l.tried {
		tried[id] = v
	}
	l.mu.Unlock()
	close(stop)
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	opt.fs, opt.noSync, opt.AcceptLoss = clone, false, noSync
	s, err = Open("db", opt)
	if err != nil {
		t.Fatalf("after the crash: %v", err)
	}
	defer s.Close()
	return audit(t, s, acked, tried)
}

// audit returns how many acknowledged versions a store does not have, and fails
// on anything invented or half done.
func audit(t *testing.T, s *Store, acked, tried map[string]int) (lost int) {
	t.Helper()
	content, _ := storetest.Read(t, s, 1)
	items := content["c"]
	for id, it := range items {
		if string(bytes.TrimRight(it.Properties, " ")) != fmt.Sprint(it.Updated) || int(it.Updated) > tried[id] {
			t.Fatalf("%q is %+v, never sent", id, it)
		}
		twin, ok := items[id+"'"]
		if id[len(id)-1] != '\'' && (!ok || twin.Updated != it.Updated) {
			t.Fatalf("half a commit: %+v beside %+v", it, twin)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for id := range tried {
		at := int(items[id].Updated)
		for v := tried[id]; v >= max(1, min(at, acked[id])); v-- {
			for _, want := range receiptOf(id, v) {
				r, ok, err := s.Receipt(ctx, "c", want.Key)
				if err != nil || ok && (v > at || !bytes.Equal(r.Outcome, want.Outcome)) || v == at && (!ok || r.Seq != store.Seq(items[id].Seq)) {
					t.Fatalf("half a commit: the receipt %q is %+v, %v, %v beside %+v", want.Key, r, ok, err, items[id])
				}
				if !ok && v == acked[id] {
					lost++
				}
			}
		}
	}
	for id, v := range acked {
		if int(items[id].Updated) < v {
			lost++
		}
	}
	return lost
}

// S1, S2: after a loss of power every acknowledged commit is there, whole, and
// nothing that was not sent. The same test on a store that does not sync finds
// losses, so it can fail.
func TestPowerLoss(t *testing.T) {
	rng := rand.New(rand.NewPCG(storetest.Seed(t), 3))
	const clones = 150
	for i := range clones {
		if lost := crash(t, rng, false); lost > 0 {
			t.Fatalf("clone %d: %d acknowledged versions are missing", i, lost)
		}
	}
	control := 0
	for range 20 {
		if crash(t, rng, true) > 0 {
			control++
		}
	}
	t.Logf("%d crashes: nothing lost; without syncs %d of 20 lost something", clones, control)
	if control < 10 {
		t.Errorf("without syncs only %d of 20 crashes lost something: the test does not see losses", control)
	}
}

// fill makes a closed store with n commits of one item each.
func fill(t *testing.T, n int) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	s, err := Open("db", Options{fs: fs, MemTableBytes: 1 << 20, MarkInterval: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(context.Background(), []store.Change{{Op: store.PutCollection, Collection: "c"}}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := s.Commit(context.Background(), []store.Change{{Op: store.PutItem, Collection: "c", Item: item.Item{ID: fmt.Sprint(i), Lon: 1, Properties: fmt.Appendf(nil, `{"number":%d}`, i)}}}, receiptOf("item", i)...); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return fs
}

// files lists a folder's files with one of the endings.
func files(t *testing.T, fs vfs.FS, endings ...string) (names []string) {
	t.Helper()
	all, err := fs.List("db")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		for _, e := range endings {
			if bytes.HasSuffix([]byte(name), []byte(e)) {
				names = append(names, fs.PathJoin("db", name))
			}
		}
	}
	return names
}

// S5: a flipped bit in a table is an error at opening or reading, never another
// answer.
func TestBitFlips(t *testing.T) {
	rng := rand.New(rand.NewPCG(storetest.Seed(t), 4))
	const n = 2000
	fs := fill(t, n)
	tables := files(t, fs, ".sst")
	if len(tables) == 0 {
		t.Fatal("the store has no tables")
	}
	found, harmless := 0, 0
	for range 100 {
		name := tables[rng.IntN(len(tables))]
		data := read(t, fs, name)
		at := rng.IntN(len(data))
		flipped := bytes.Clone(data)
		flipped[at] ^= 1 << rng.IntN(8)
		overwrite(t, fs, name, flipped)
		if readsWhole(t, fs, n) {
			harmless++
		} else {
			found++
		}
		overwrite(t, fs, name, data)
	}
	t.Logf("of 100 flipped bits %d were noticed, %d changed nothing", found, harmless)
	if found < 50 {
		t.Errorf("only %d of 100 flips were noticed", found)
	}
	if !readsWhole(t, fs, n) {
		t.Error("the mended store cannot be read")
	}
}

// readsWhole reports whether the store opens and reads without an error; it
// fails the test if what it reads then is not what was written.
func readsWhole(t *testing.T, fs *vfs.MemFS, n int) bool {
	t.Helper()
	s, err := Open("db", Options{fs: fs, fatal: func(string) {}, MarkInterval: 1 << 40})
	if err != nil {
		return false
	}
	defer s.Close()
	v, err := s.View(context.Background())
	if err != nil {
		return false
	}
	defer v.Close()
	count := 0
	err = v.Items(context.Background(), "c", 1, func(_ int, it *item.Item) error {
		count++
		if it.Lon != 1 || string(it.Properties) != fmt.Sprintf(`{"number":%s}`, it.ID) {
			t.Errorf("a silent difference: %+v", it)
		}
		return nil
	})
	if err != nil {
		return false
	}
	for i := 0; i < n; i += 20 {
		want := receiptOf("item", i)[0]
		r, ok, err := s.Receipt(context.Background(), "c", want.Key)
		if err != nil {
			return false
		}
		if !ok || !bytes.Equal(r.Outcome, want.Outcome) {
			t.Errorf("a silent difference: the receipt %q is %+v, %v", want.Key, r, ok)
		}
	}
	if count != n {
		t.Errorf("a silent loss: %d items of %d", count, n)
	}
	return true
}

func read(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, st.Size())
	if _, err := f.ReadAt(data, 0); err != nil && len(data) > 0 {
		t.Fatal(err)
	}
	return data
}

func overwrite(t *testing.T, fs vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// copyOf gives every attempt a disk of its own.
func copyOf(fs *vfs.MemFS) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

// One folder has one owner.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a folder opened twice gave %v", err)
	}
}

// Decoding never panics, and gives back what was encoded.
func FuzzCodec(f *testing.F) {
	f.Add([]byte("i12345678id"), []byte("value"), 1.5, int64(-3), uint64(9))
	f.Fuzz(func(t *testing.T, key, value []byte, lon float64, updated int64, seq uint64) {
		var it item.Item
		_ = decodeItem(&it, key, value) // any bytes
		if _, err := unseal(key, value); err == nil && len(value) < 4 {
			t.Fatal("a value without a checksum was taken")
		}
		if lon != lon || len(key) == 0 || len(key) > item.MaxIDBytes {
			return
		}
		in := item.Item{ID: string(key), Lon: lon, Lat: -lon, Properties: value, Created: seq2time(seq), Updated: updated}
		k := appendItemKey(nil, seq, in.ID)
		sealed := seal(k, append(appendItemHead(nil, &in, store.Seq(seq)), in.Properties...))
		var out item.Item
		if err := readItem(&out, k, sealed); err != nil {
			t.Fatal(err)
		}
		if out.ID != in.ID || out.Lon != in.Lon || out.Lat != in.Lat || !bytes.Equal(out.Properties, in.Properties) ||
			out.Created != in.Created || out.Updated != in.Updated || out.Seq != seq {
			t.Fatalf("put in %+v, got out %+v", in, out)
		}
		sealed[len(value)%len(sealed)] ^= 1
		if readItem(&out, k, sealed) == nil {
			t.Fatal("a flipped bit was not noticed")
		}
	})
}

func seq2time(seq uint64) int64 { return int64(seq >> 8) }

// BenchmarkCommit is one item a commit: group commit shares syncs.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s, err := Open(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Commit(context.Background(), []store.Change{{Op: store.PutCollection, Collection: "c"}}); err != nil {
				b.Fatal(err)
			}
			b.SetParallelism((writers + 1) / 2)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
				properties := bytes.Repeat([]byte("x"), 120)
				for pb.Next() {
					if _, err := s.Commit(context.Background(), []store.Change{{Op: store.PutItem, Collection: "c", Item: item.Item{ID: fmt.Sprint(rng.Uint64()), Properties: properties}}}); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

// BenchmarkBulk is a load: one writer, batches of 4000 items of about 150 bytes.
func BenchmarkBulk(b *testing.B) {
	const batch = 4000
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Commit(context.Background(), []store.Change{{Op: store.PutCollection, Collection: "c"}}); err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	words := strings.Fields("harbour café books station north street open closed 24h yes no unknown")
	changes := make([]store.Change, batch)
	var size int64
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range changes {
			n++
			p := fmt.Appendf(nil, `{"name":"%s %s %d","category":"%s","street":"%s","opened":%d,"rank":%g}`, words[rng.IntN(12)], words[rng.IntN(12)], n, words[rng.IntN(12)], words[rng.IntN(12)], rng.IntN(1<<30), rng.Float64())
			changes[i] = store.Change{Op: store.PutItem, Collection: "c", Item: item.Item{ID: fmt.Sprintf("item-%08d", n*7919%100_000_000), Lon: rng.Float64(), Lat: rng.Float64(), Created: 1 << 40, Updated: 1 << 40, Properties: p}}
			size += int64(len(p) + 13)
		}
		b.StartTimer()
		if _, err := s.Commit(context.Background(), changes); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "items/s")
	b.ReportMetric(float64(size)/float64(n), "B/item")
}
