package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"nearby/item"
	"nearby/store"
)

// clock is a time that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// kept counts the keys that receipts have in the database.
func kept(t *testing.T, s *Store) (receipts, times int) {
	t.Helper()
	for prefix, n := range map[byte]*int{prefixReceipt: &receipts, prefixReceiptTime: &times} {
		iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefix}, UpperBound: []byte{prefix + 1}})
		if err != nil {
			t.Fatal(err)
		}
		for iter.First(); iter.Valid(); iter.Next() {
			*n++
		}
		if err := iter.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return receipts, times
}

// define makes the collection that receipts are of.
func define(t *testing.T, s *Store) {
	t.Helper()
	if _, err := s.Commit(context.Background(), []store.Change{{Op: store.PutCollection, Collection: "c", Definition: []byte("{}")}}); err != nil {
		t.Fatal(err)
	}
}

// Receipts are kept for KeepReceipts and no more taken after; then they are removed,
// so many at once, and none that was taken again.
func TestReceiptsExpire(t *testing.T) {
	ctx := context.Background()
	c := clock{t: time.UnixMilli(1_800_000_000_000)}
	fs := vfs.NewMem()
	open := func() *Store {
		t.Helper()
		s, err := Open("db", Options{fs: fs, now: c.now, MarkInterval: 1 << 40})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	define(t, s)
	keep := func(outcome string, keys ...string) store.Seq {
		t.Helper()
		var receipts []store.Receipt
		for _, key := range keys {
			receipts = append(receipts, store.Receipt{Collection: "c", Key: key, Outcome: []byte(outcome)})
		}
		seq, err := s.Commit(ctx, nil, receipts...)
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	expire := func(times int, wantKept int) {
		t.Helper()
		for i := range times {
			if more, err := s.expire(); err != nil || more != (i < times-1) {
				t.Fatalf("removing for the %d. time: %v, %v", i+1, more, err)
			}
		}
		if r, n := kept(t, s); r != wantKept || n != wantKept {
			t.Fatalf("%d receipts and %d times are kept, want %d", r, n, wantKept)
		}
	}
	expire(1, 0)
	const n = 2*expireAtOnce + 10
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint("old ", i)
	}
	keep("first", keys...)
	keep("first", "again")
	c.add(time.Hour)
	young := keep("first", "young")

	c.add(store.KeepReceipts - time.Hour) // they are exactly as old as they must get
	expire(1, n+2)
	var refused *store.RepeatedError
	if _, err := s.Commit(ctx, nil, store.Receipt{Collection: "c", Key: "again"}); !errors.As(err, &refused) {
		t.Fatalf("a key that is kept long enough, not longer: %v", err)
	}
	c.add(time.Millisecond)
	if _, ok, err := s.Receipt(ctx, "c", "old 1"); ok || err != nil {
		t.Errorf("an expired receipt: %v, %v", ok, err)
	}
	again := keep("second", "again")
	expire(3, 2)
	for range 2 {
		for key, want := range map[string]store.Receipt{
			"again": {Key: "again", Outcome: []byte("second"), Seq: again},
			"young": {Key: "young", Outcome: []byte("first"), Seq: young},
		} {
			if r, ok, err := s.Receipt(ctx, "c", key); err != nil || !ok || r.Seq != want.Seq || !bytes.Equal(r.Outcome, want.Outcome) {
				t.Errorf("%q is %+v, %v, %v", key, r, ok, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open()
	}
	defer func() { _ = s.Close() }()
	c.add(time.Hour)
	expire(1, 1) // young is gone
	// What is kept while the clock is wrong goes, too.
	c.add(-12 * time.Hour)
	keep("third", "set back")
	c.add(store.KeepReceipts + time.Millisecond)
	expire(1, 1)
	if _, ok, err := s.Receipt(ctx, "c", "again"); !ok || err != nil {
		t.Errorf("the other one: %v, %v", ok, err)
	}
	c.add(store.KeepReceipts)
	expire(1, 0)
}

// The store removes what has expired by itself.
func TestReceiptsExpireUnasked(t *testing.T) {
	c := clock{t: time.UnixMilli(1_800_000_000_000)}
	s, err := Open("db", Options{fs: vfs.NewMem(), now: c.now, MarkInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	define(t, s)
	if _, err := s.Commit(context.Background(), nil, store.Receipt{Collection: "c", Key: "a"}); err != nil {
		t.Fatal(err)
	}
	c.add(store.KeepReceipts + time.Second)
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if r, n := kept(t, s); r == 0 && n == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("an expired receipt stays")
		}
	}
}

// held makes syncs of the log wait.
type held struct {
	mu      sync.Mutex
	release chan struct{} // nil: nothing waits
}

func (h *held) String() string { return "held" }

func (h *held) set(release chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.release = release
}

func (h *held) MaybeError(op errorfs.Op) error {
	h.mu.Lock()
	release := h.release
	h.mu.Unlock()
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		if release != nil && isLog(op.Path) {
			<-release
		}
	}
	return nil
}

// S1: nobody is told of a receipt before it is durable, neither who asks for it nor
// who is refused for it.
func TestReceiptsAreDurable(t *testing.T) {
	h := &held{}
	s, err := Open("db", Options{fs: errorfs.Wrap(vfs.NewMem(), h), MarkInterval: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	define(t, s)
	release := make(chan struct{})
	h.set(release)
	committed := make(chan error, 1)
	go func() {
		_, err := s.Commit(context.Background(), nil, store.Receipt{Collection: "c", Key: "a"})
		committed <- err
	}()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		entered := s.head == 2
		s.mu.Unlock()
		if entered {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the commit did not enter")
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if r, ok, err := s.Receipt(ctx, "c", "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before it is durable the receipt is %+v, %v, %v", r, ok, err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Commit(ctx, nil, store.Receipt{Collection: "c", Key: "a"}); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, store.ErrUncertain) {
		t.Errorf("before it is durable a commit with its key gave %v", err)
	}
	h.set(nil)
	close(release)
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Receipt(context.Background(), "c", "a"); !ok || err != nil {
		t.Errorf("the receipt: %v, %v", ok, err)
	}
}

// S5: an item or a receipt that is damaged, or another's, is an error for who reads it
// or commits with its key; neither is taken for missing.
func TestDamagedItemsAndReceipts(t *testing.T) {
	ctx := context.Background()
	put := store.Change{Op: store.PutItem, Collection: "c", Item: item.Item{ID: "a"}}
	for name, spoil := range map[string]func(value, other []byte) []byte{
		"a flipped bit":    func(value, _ []byte) []byte { value[len(value)/2] ^= 1; return value },
		"cut off":          func(value, _ []byte) []byte { return value[:3] },
		"empty":            func([]byte, []byte) []byte { return nil },
		"that of another":  func(_, other []byte) []byte { return other },
		"nothing but sums": func(value, _ []byte) []byte { return value[len(value)-sealLen:] },
	} {
		s, err := Open("db", Options{fs: vfs.NewMem(), now: time.Now, MarkInterval: 1 << 40})
		if err != nil {
			t.Fatal(err)
		}
		other := put
		other.Item.ID = "b"
		seq, err := s.Commit(ctx, []store.Change{{Op: store.PutCollection, Collection: "c"}, put, other}, store.Receipt{Collection: "c", Key: "a"}, store.Receipt{Collection: "c", Key: "b"})
		if err != nil {
			t.Fatal(err)
		}
		value := func(key []byte) []byte {
			v, closer, err := s.db.Get(key)
			if err != nil {
				t.Fatal(err)
			}
			defer closer.Close()
			return bytes.Clone(v)
		}
		replace := func(key, otherKey []byte) {
			if err := s.db.Set(key, spoil(value(key), value(otherKey)), pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		}
		replace(appendItemKey(nil, s.incarnations["c"].number, "a"), appendItemKey(nil, s.incarnations["c"].number, "b"))
		replace(appendReceiptKey(nil, "c/a"), appendReceiptKey(nil, "c/b"))
		v, err := s.View(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if it, ok, err := v.Get(ctx, "c", "a"); ok || !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: a damaged item: %+v, %v, %v", name, it, ok, err)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Commit(ctx, nil, store.Receipt{Collection: "c", Key: "a"}); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: a commit with the key of a damaged receipt: %v", name, err)
		}
		if _, ok, err := s.Receipt(ctx, "c", "a"); ok || !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: a damaged receipt: %v, %v", name, ok, err)
		}
		if next, err := s.Commit(ctx, []store.Change{other}); err != nil || next != seq+1 {
			t.Errorf("%s: after the refusals came %d, %v", name, next, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Decoding receipts never panics, and gives back what was encoded.
func FuzzReceipt(f *testing.F) {
	f.Add("key", []byte("value"), uint64(9), int64(-3))
	f.Fuzz(func(t *testing.T, key string, value []byte, seq uint64, ms int64) {
		in := store.Receipt{Collection: "c", Key: key, Outcome: value, Seq: store.Seq(seq)}
		k := appendReceiptKey(nil, in.Name())
		_, _, _ = readReceipt([]byte(key), value)             // any bytes
		_, _, _ = readReceipt(k, seal(k, bytes.Clone(value))) // sealed by mistake
		if key == "" {
			return
		}
		sealed := seal(k, appendReceipt(nil, &in, in.Seq, ms))
		out, at, err := readReceipt(k, sealed)
		if err != nil {
			t.Fatal(err)
		}
		if out.Name() != in.Name() || out.Seq != in.Seq || at != ms || !bytes.Equal(out.Outcome, in.Outcome) {
			t.Fatalf("put in %+v at %d, got out %+v at %d", in, ms, out, at)
		}
		sealed[len(value)%len(sealed)] ^= 1
		if _, _, err := readReceipt(k, sealed); err == nil {
			t.Fatal("a flipped bit was not noticed")
		}
	})
}
