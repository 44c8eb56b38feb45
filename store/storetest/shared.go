package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nearby/store"
)

// SharedOpener opens the store of a folder, as Opener does. If it is called twice with one
// folder, it returns two stores on the same data, like those of two processes.
type SharedOpener func(dir string) (store.Shared, error)

// RunShared tests what an implementation of store.Shared promises beyond store.Store. Run
// tests the rest.
func RunShared(t *testing.T, open SharedOpener) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *sharedFixture)
	}{
		{"Follow", testFollow},
		{"FollowFromView", testFollowFromView},
		{"FollowForked", testFollowForked},
		{"FollowQuiet", testFollowQuiet},
		{"FollowClosed", testFollowClosed},
		{"Expects", testExpects},
		{"ExpectsNothing", testExpectsNothing},
		{"ExpectsDefinition", testExpectsDefinition},
		{"Counter", testCounter},
		{"Redefine", testRedefine},
		{"ReceiptsStale", testReceiptsStale},
		{"Digests", testDigests},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t, &sharedFixture{newFixture(t, func(dir string) (store.Store, error) { return open(dir) })})
		})
	}
	for _, c := range []struct {
		name string
		test func(t *testing.T, a, b store.Shared)
	}{
		{"Follow", testSharedFollow},
		{"Counter", testSharedCounter},
		{"Redefine", testSharedRedefine},
		{"Receipts", testSharedReceipts},
		{"ReceiptsOfCollections", testSharedReceiptsOfCollections},
		{"Head", testHead},
		{"Inspect", testInspect},
		{"OneCloses", testOneCloses},
	} {
		t.Run("Two"+c.name, func(t *testing.T) {
			dir := t.TempDir()
			var stores [2]store.Shared
			for i := range stores {
				s, err := open(dir)
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := s.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
						t.Error(err)
					}
				}()
				stores[i] = s
			}
			if _, err := stores[0].Commit(context.Background(), []store.Change{define("c"), define("d"), put("d", "goes", 1)}); err != nil {
				t.Fatal(err)
			}
			c.test(t, stores[0], stores[1])
		})
	}
}

// sharedFixture is a fixture whose store is a store.Shared.
type sharedFixture struct{ *fixture }

func (f *sharedFixture) shared() store.Shared { return f.Store.(store.Shared) }

func (f *sharedFixture) Follow(ctx context.Context, after store.CommitID, deliver func(*store.Step) error) error {
	return f.shared().Follow(ctx, after, deliver)
}

// readFrom reads all items from a view that is not older than seq.
func readFrom(t *testing.T, s store.Store, seq store.Seq) (Content, store.CommitID) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		content, at := Read(t, s, 1)
		if at.Seq >= seq {
			return content, at
		}
		if time.Now().After(end) {
			t.Fatalf("views stay at %d, behind %d", at.Seq, seq)
		}
	}
}

// While both stores write and follow, each follower goes through the same history, and ends
// with the content of a view.
func testSharedFollow(t *testing.T, a, b store.Shared) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	before, from := Read(t, a, 1)
	var followers [2]*follower
	var followed [2]chan error
	for i, s := range []store.Shared{a, b} {
		followers[i] = &follower{content: before.clone(), seq: from.Seq, keep: true}
		followed[i] = make(chan error, 1)
		go func() { followed[i] <- s.Follow(ctx, from, followers[i].until()) }()
	}
	var h history
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			if err := h.churn([]store.Shared{a, b}[w%2], w, 40); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := h.commit(b, []store.Change{put("c", "end", 1)}); err != nil {
		t.Fatal(err)
	}
	end := h.commits[len(h.commits)-1].seq
	for i, s := range []store.Shared{a, b} {
		await(t, followed[i])
		h.holds(t, before, followers[i].states)
		want, at := readFrom(t, s, end)
		if at != (store.CommitID{Epoch: from.Epoch, Seq: end}) {
			t.Errorf("a view is at %+v, the last commit was %d of the epoch %s", at, end, from.Epoch)
		}
		Equal(t, followers[i].content, want)
	}
}

// S7 with two stores: neither overwrites what the other has counted.
func testSharedCounter(t *testing.T, a, b store.Shared) {
	counts(t, 8, 10, a, b)
}

// S7 for definitions, with two stores.
func testSharedRedefine(t *testing.T, a, b store.Shared) {
	redefines(t, 6, 8, a, b)
}

// A receipt that one store has kept is gone when the other drops the collection.
func testSharedReceiptsOfCollections(t *testing.T, a, b store.Shared) {
	ctx := context.Background()
	for range 3 {
		r := store.Receipt{Collection: "c", Key: "key", Outcome: []byte("of a")}
		var err error
		if r.Seq, err = a.Commit(ctx, []store.Change{put("c", "a", 1)}, r); err != nil {
			t.Fatal(err)
		}
		kept(t, b, r)
		for _, ch := range []store.Change{drop("c"), define("c")} {
			if _, err := b.Commit(ctx, []store.Change{ch}); err != nil {
				t.Fatal(err)
			}
			for _, s := range []store.Shared{a, b} {
				if got, ok, err := s.Receipt(ctx, "c", "key"); ok || err != nil {
					t.Errorf("a receipt of a collection that is no more: %+v, %v", got, err)
				}
			}
		}
	}
}

// S6 with two stores: a key that one has taken is taken for the other, too.
func testSharedReceipts(t *testing.T, a, b store.Shared) {
	ctx := context.Background()
	r := store.Receipt{Collection: "c", Key: "by a", Outcome: []byte("of a")}
	var err error
	if r.Seq, err = a.Commit(ctx, []store.Change{put("d", "a", 1)}, r); err != nil {
		t.Fatal(err)
	}
	for _, s := range []store.Shared{a, b} {
		kept(t, s, r)
		repeated(t, s, []store.Receipt{r}, []store.Change{put("d", "b", 1)}, store.Receipt{Collection: "c", Key: "by a", Outcome: []byte("another")})
	}
	contest(t, a, b)
}

// Head is never lower than a commit that was acknowledged before the call, and never lower
// than in an earlier call.
func testHead(t *testing.T, a, b store.Shared) {
	ctx := context.Background()
	_, from := Read(t, a, 1)
	var acked atomic.Uint64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w, s := range []store.Shared{a, a, b} {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				seq, err := s.Commit(ctx, []store.Change{put("c", fmt.Sprint(w), float64(i%180))})
				if err != nil {
					t.Error(err)
					return
				}
				for old := acked.Load(); old < uint64(seq) && !acked.CompareAndSwap(old, uint64(seq)); {
					old = acked.Load()
				}
			}
		})
	}
	last := store.CommitID{Epoch: from.Epoch}
	end := time.Now().Add(patience)
	for i := 0; i < 500 || store.Seq(acked.Load()) < from.Seq+200; i++ {
		if time.Now().After(end) {
			t.Errorf("after %d calls only %d commits were made", i, store.Seq(acked.Load())-from.Seq)
			break
		}
		before := store.Seq(acked.Load())
		head, err := []store.Shared{a, b}[i%2].Head(ctx)
		if err != nil {
			t.Error(err)
			break
		}
		if head.Epoch != from.Epoch || head.Seq < before || head.Seq < last.Seq {
			t.Errorf("the head is %+v, after %+v, when %d was acknowledged", head, last, before)
			break
		}
		last = head
	}
	close(stop)
	wg.Wait()
	for _, s := range []store.Shared{a, b} {
		if head, err := s.Head(ctx); err != nil || head.Seq != store.Seq(acked.Load()) {
			t.Errorf("at rest the head is %+v, %v; the last commit was %d", head, err, acked.Load())
		}
	}
}

// When one store is closed, the other still works.
func testOneCloses(t *testing.T, a, b store.Shared) {
	ctx := context.Background()
	seq, err := a.Commit(ctx, []store.Change{put("c", "a", 1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Head(ctx); !errors.Is(err, store.ErrClosed) {
		t.Errorf("the head of a closed store: %v", err)
	}
	a.Inspect() // does nothing
	if next, err := b.Commit(ctx, []store.Change{expecting(put("c", "a", 2), seq)}); err != nil || next <= seq {
		t.Errorf("after %d came %d, %v", seq, next, err)
	}
}
