package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nearby/item"
	"nearby/store"
)

// SharedOpener opens the store that a folder stands for, as Opener does; opened
// twice, they are two stores, as of two processes, on the same data.
type SharedOpener func(dir string) (store.Shared, error)

// RunShared holds an implementation to what store.Shared promises beyond store.Store,
// to which Run holds it.
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

// readFrom reads everything from a view that is not behind a position.
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

// Both write and both follow: each follower goes through the same history, and ends
// with what a view shows.
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

// S7 between two: neither overwrites what the other has counted.
func testSharedCounter(t *testing.T, a, b store.Shared) {
	counts(t, 8, 10, a, b)
}

// S7 for definitions, between two.
func testSharedRedefine(t *testing.T, a, b store.Shared) {
	redefines(t, 6, 8, a, b)
}

// A receipt that one has kept goes when the other drops the collection.
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

// S6 between two: a key that one has taken is taken for the other.
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

// Head is never behind a commit that was acknowledged before the call, and never
// falls.
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

// While both write, a view that Inspect has asked for shows what the follower has,
// commit for commit, then and later.
func testInspect(t *testing.T, a, b store.Shared) {
	const wanted = 20
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	before, from := Read(t, a, 1)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w, s := range []store.Shared{a, b} {
		writers.Go(func() {
			for round := 0; ; round++ {
				select {
				case <-stop:
					return
				default:
				}
				// Items and collections that all writers share.
				if err := new(history).churn(s, 1000*round+w, 1); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	asking := make(chan struct{}, 1)
	asking <- struct{}{}
	var asker sync.WaitGroup
	asker.Go(func() {
		again := time.NewTicker(100 * time.Millisecond) // a view may be impossible at a time
		defer again.Stop()
		for {
			select {
			case <-asking:
			case <-again.C:
			case <-stop:
				return
			}
			a.Inspect()
		}
	})
	f := &follower{content: before.clone(), seq: from.Seq}
	inspect := func(v store.View) error {
		if at := (store.CommitID{Epoch: from.Epoch, Seq: f.seq}); v.At() != at {
			return fmt.Errorf("the view is at %+v, the step led to %+v", v.At(), at)
		}
		shown, err := readView(v, 2)
		if err != nil {
			return err
		}
		return f.content.differs(shown)
	}
	type later struct {
		view    store.View
		content Content
	}
	var held []later
	n := 0
	err := a.Follow(ctx, from, func(step *store.Step) error {
		if step.View != nil {
			n++
		}
		if err := f.take(step); err != nil || step.View == nil {
			return err
		}
		if err := inspect(step.View); err != nil {
			return errors.Join(err, step.View.Close())
		}
		// Some are read again after later steps.
		held = append(held, later{step.View, f.content.clone()})
		if len(held) > 2 || n == wanted {
			for _, l := range held {
				shown, err := readView(l.view, 1)
				if err == nil {
					err = l.content.differs(shown)
				}
				if err := errors.Join(err, l.view.Close()); err != nil {
					return fmt.Errorf("a view, read later: %w", err)
				}
			}
			held = nil
		}
		if n == wanted {
			return errEnough
		}
		select {
		case asking <- struct{}{}:
		default:
		}
		return nil
	})
	close(stop)
	writers.Wait()
	asker.Wait()
	for _, l := range held {
		if err := l.view.Close(); err != nil {
			t.Error(err)
		}
	}
	if !errors.Is(err, errEnough) {
		t.Errorf("after %d views of %d: %v", n, wanted, err)
	}
}

// The view that Inspect has asked for sums up a collection as store.Hash and store.Cell
// do, and reads the items of the cells that it is asked for, and no others.
func testDigests(t *testing.T, f *sharedFixture) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	changes := []store.Change{define("c"), define("empty"), define("other"), put("other", "x", 1)}
	for i, at := range [][2]float64{{0, 0}, {-180, -90}, {180, 90}, {179.9, 89.9}, {180, -90}, {-180, 90}, {11.25, 5.625}, {12, 6}, {12.5, 6.5}, {-0.1, -0.1}, {-75.5, 40.2}} {
		ch := put("c", fmt.Sprint(i), 0)
		ch.Item.Lon, ch.Item.Lat, ch.Item.Properties = at[0], at[1], payload(i*8)
		changes = append(changes, ch)
	}
	f.commit(changes...)
	f.commit(del("c", "0"), put("c", "moved", -33), put("c", "1", 17)) // another version, in another cell
	want, at := Read(t, f, 1)
	sums := map[uint16]store.Digest{}
	var buf []byte
	for _, it := range want["c"] {
		var hash uint64
		hash, buf = store.Hash(&it, buf)
		sum := sums[store.Cell(it.Lon, it.Lat)]
		sum.Add(hash)
		sums[store.Cell(it.Lon, it.Lat)] = sum
	}
	check := func(v store.DigestView) error {
		if got, err := v.Digests(ctx, "c"); err != nil || !maps.Equal(got, sums) {
			return fmt.Errorf("the digests are %v, %w; want %v", got, err, sums)
		}
		if got, err := v.Digests(ctx, "empty"); err != nil || len(got) != 0 {
			return fmt.Errorf("the digests of an empty collection are %v, %w", got, err)
		}
		if _, err := v.Digests(ctx, "none"); !errors.Is(err, store.ErrNoCollection) {
			return fmt.Errorf("the digests of no collection: %w", err)
		}
		cells := slices.Sorted(maps.Keys(sums))
		for n := range len(cells) + 1 {
			got, some := Content{"c": {}}, Content{"c": {}}
			for id, it := range want["c"] {
				if slices.Contains(cells[:n], store.Cell(it.Lon, it.Lat)) {
					some["c"][id] = it
				}
			}
			if err := v.Cells(ctx, "c", cells[:n], func(it *item.Item) error {
				own := detached(it)
				got["c"][own.ID] = own
				return nil
			}); err != nil {
				return err
			}
			if err := got.differs(some); err != nil {
				return fmt.Errorf("of the cells %v: %w", cells[:n], err)
			}
		}
		return nil
	}
	asked := false
	err := f.Follow(ctx, at, func(step *store.Step) error {
		if !asked {
			asked = true
			f.shared().Inspect()
		}
		if step.View == nil {
			return nil
		}
		if err := errors.Join(check(step.View), step.View.Close()); err != nil {
			return err
		}
		return errEnough
	})
	if !errors.Is(err, errEnough) {
		t.Error(err)
	}
}

// When one closes, the other goes on.
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
