package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"nearby/item"
	"nearby/store"
)

// patience is how long a test waits for something that must happen.
const patience = 30 * time.Second

// made is one acknowledged commit.
type made struct {
	seq   store.Seq
	batch []store.Change
	by    time.Time // a time after the acknowledgement
}

// history has the commits of several writers.
type history struct {
	mu      sync.Mutex
	commits []made
}

// commit makes a commit and adds it to the history.
func (h *history) commit(s store.Store, batch []store.Change, receipts ...store.Receipt) error {
	seq, err := s.Commit(context.Background(), batch, receipts...)
	if err != nil {
		return err
	}
	by := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commits = append(h.commits, made{seq, batch, by})
	return nil
}

// state is the content of a follower after a complete step.
type state struct {
	seq     store.Seq
	at      time.Time
	content Content
}

// holds compares each state with the content after all commits up to its seq; start is the
// content before them. It also checks that a state has all commits that were acknowledged
// before its time.
func (h *history) holds(t *testing.T, start Content, states []state) {
	t.Helper()
	slices.SortFunc(h.commits, func(a, b made) int { return cmp.Compare(a.seq, b.seq) })
	for i := range h.commits {
		if i > 0 && h.commits[i].seq == h.commits[i-1].seq {
			t.Fatalf("two commits have the number %d", h.commits[i].seq)
		}
	}
	want, n := start.clone(), 0
	for _, s := range states {
		for ; n < len(h.commits) && h.commits[n].seq <= s.seq; n++ {
			want.apply(h.commits[n].seq, h.commits[n].batch)
		}
		if err := s.content.differs(want); err != nil {
			t.Fatalf("after the step to %d: %v", s.seq, err)
		}
		for _, c := range h.commits[n:] {
			if c.by.Before(s.at) {
				t.Fatalf("commit %d was acknowledged %v before the time of the step to %d, and is not in it", c.seq, s.at.Sub(c.by), s.seq)
			}
		}
	}
	if n < len(h.commits) {
		t.Fatalf("the last step leads to %d; commit %d was not delivered", states[len(states)-1].seq, h.commits[n].seq)
	}
}

// follower applies steps to a content of its own, and checks that each step keeps the contract.
type follower struct {
	content Content
	seq     store.Seq // after the last complete step
	states  []state   // after each complete step, if keep is true
	keep    bool

	high   store.Seq // the highest Seq of a step so far
	newest uint64    // the highest number of an item in the incomplete step
}

func (f *follower) take(step *store.Step) error {
	switch {
	case step.Seq < max(f.seq, f.high):
		return fmt.Errorf("a step to %d came after one to %d", step.Seq, max(f.seq, f.high))
	case step.At.IsZero():
		return fmt.Errorf("the step to %d has no time", step.Seq)
	case step.Seq == f.seq && len(step.Changes) > 0:
		return fmt.Errorf("%d changes came in a step from %d to itself", len(step.Changes), f.seq)
	case step.View != nil && step.More:
		return fmt.Errorf("the unfinished step to %d has a view", step.Seq)
	}
	f.high = step.Seq
	for i := range step.Changes {
		ch := &step.Changes[i]
		if ch.Op == store.PutItem || ch.Op == store.DeleteItem {
			if f.newest = max(f.newest, ch.Item.Seq); store.Seq(ch.Item.Seq) <= f.seq {
				return fmt.Errorf("after %d came %+v", f.seq, ch)
			}
		}
		if err := f.content.change(ch); err != nil {
			return fmt.Errorf("in the step from %d to %d: %w", f.seq, step.Seq, err)
		}
	}
	if step.More {
		return nil
	}
	if store.Seq(f.newest) > step.Seq {
		return fmt.Errorf("the step to %d has an item of commit %d", step.Seq, f.newest)
	}
	f.seq, f.newest = step.Seq, 0
	if f.keep {
		f.states = append(f.states, state{step.Seq, step.At, f.content.clone()})
	}
	return nil
}

// unasked fails if a step has a view although Inspect was not called.
func unasked(step *store.Step) error {
	if step.View == nil {
		return nil
	}
	return errors.Join(errors.New("a step has a view that nobody asked for"), step.View.Close())
}

var errEnough = errors.New("enough")

// until returns a function for Follow that returns errEnough after a step with the item "end".
func (f *follower) until() func(*store.Step) error {
	return func(step *store.Step) error {
		if err := errors.Join(unasked(step), f.take(step)); err != nil {
			return err
		}
		if _, ok := f.content["c"]["end"]; ok && !step.More {
			return errEnough
		}
		return nil
	}
}

// await waits for a Follow to end with errEnough.
func await(t *testing.T, followed <-chan error) {
	t.Helper()
	select {
	case err := <-followed:
		if !errors.Is(err, errEnough) {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("the last commit was not delivered")
	}
}

// churn commits n batches of all kinds: new, replaced and deleted items, a collection that is
// dropped and made again, definitions, and receipts alone. The collections c and d must exist;
// they exist afterwards, too.
func (h *history) churn(s store.Store, writer, n int) error {
	rng := rand.New(rand.NewPCG(9, uint64(writer)))
	for i := range n {
		shared := fmt.Sprint(rng.IntN(10))
		batch := []store.Change{put("c", fmt.Sprint(writer, " ", i), 1), del("c", fmt.Sprint(writer, " ", i-1)), put("d", shared, float64(i))}
		var receipts []store.Receipt
		switch rng.IntN(12) {
		case 0:
			batch = []store.Change{put("d", "before", 1), drop("d"), define("d"), put("d", shared, float64(i)), put("c", shared, 3)}
		case 1:
			batch = []store.Change{del("d", shared), del("c", shared), del("c", "never")}
		case 2:
			batch = []store.Change{define("d"), put("c", shared, 1), put("c", shared, 2), del("d", shared), put("d", shared, 5)}
		case 3:
			batch, receipts = nil, []store.Receipt{{Collection: "c", Key: fmt.Sprint("churn ", writer, " ", i)}}
		}
		if err := h.commit(s, batch, receipts...); err != nil {
			return err
		}
	}
	return nil
}

// While commits go on, each step of Follow leads to the state after one commit, and no commit
// is missed.
func testFollow(t *testing.T, f *sharedFixture) {
	f.commit(define("c"), define("d"), put("c", "stays", 1), put("d", "goes", 1))
	before, from := Read(t, f, 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	got := &follower{content: before.clone(), seq: from.Seq, keep: true}
	followed := make(chan error, 1)
	go func() { followed <- f.Follow(ctx, from, got.until()) }()
	var h history
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			if err := h.churn(f, w, 50); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := h.commit(f, []store.Change{put("c", "end", 1)}); err != nil {
		t.Fatal(err)
	}
	await(t, followed)
	h.holds(t, before, got.states)
	want, _ := Read(t, f, 1)
	Equal(t, got.content, want)

	// Without commits Follow ends when its context ends.
	_, head := Read(t, f, 1)
	short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	if err := f.Follow(short, head, (&follower{content: want.clone(), seq: head.Seq}).take); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("following with an ended context: %v", err)
	}

	// If commits are no longer kept, Follow fails; it does not leave them out.
	big := put("c", "big", 1)
	big.Item.Properties = payload(item.MaxPropertiesBytes)
	last := store.Seq(0)
	for range 400 {
		last = f.commit(big)
	}
	late := &follower{content: before.clone(), seq: from.Seq}
	err := f.Follow(ctx, from, func(step *store.Step) error {
		if err := late.take(step); err != nil {
			return err
		}
		if late.seq >= last {
			return errEnough // the store keeps all commits, which is allowed
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		want, _ := Read(t, f, 1)
		Equal(t, late.content, want)
	} else if !errors.Is(err, store.ErrGone) {
		t.Errorf("following from far back: %v", err)
	}
}

// While commits go on, Follow can begin at the position of a view that was closed, and misses
// no commit. It may fail with store.ErrGone; then it works with a newer view, after a limited
// number of attempts.
func testFollowFromView(t *testing.T, f *sharedFixture) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var h history
	if err := h.commit(f, []store.Change{define("c"), put("c", "count", 0)}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := h.commit(f, []store.Change{put("c", "count", float64(i%180))}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var seen []state // of all rounds; the first of each round is that of the view
	gone := 0
	func() {
		defer wg.Wait()
		defer close(stop)
		for round := 0; round < 20; {
			v, err := f.View(ctx)
			if err != nil {
				t.Fatal(err)
			}
			it, ok, err := v.Get(ctx, "c", "count")
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			fo := &follower{content: Content{"c": {it.ID: it}}, seq: v.At().Seq, keep: true}
			fo.states = []state{{seq: fo.seq, content: fo.content.clone()}}
			n := 0
			err = f.Follow(ctx, v.At(), func(step *store.Step) error {
				if err := errors.Join(unasked(step), fo.take(step)); err != nil {
					return err
				}
				if len(step.Changes) > 0 {
					n++
				}
				if n >= 20 && !step.More {
					return errEnough
				}
				return nil
			})
			switch {
			case errors.Is(err, errEnough):
				round++
				seen = append(seen, fo.states...)
			case errors.Is(err, store.ErrGone) && gone < 200:
				gone++
			default:
				t.Fatalf("following in round %d, having begun again %d times: %v", round, gone, err)
			}
		}
	}()
	values := map[store.Seq]item.Item{}
	seqs := make([]store.Seq, 0, len(h.commits))
	for _, c := range h.commits {
		content := Content{"c": {}}
		content.apply(c.seq, c.batch)
		values[c.seq] = content["c"]["count"]
		seqs = append(seqs, c.seq)
	}
	for _, s := range seen {
		n, found := slices.BinarySearch(seqs, s.seq)
		if !found {
			n--
		}
		if got, want := s.content["c"]["count"], values[seqs[n]]; !same(&got, &want) {
			t.Fatalf("after the step to %d the count is %+v, want %+v", s.seq, got, want)
		}
	}
}

// Follow refuses a position of another epoch, whatever its number is.
func testFollowForked(t *testing.T, f *sharedFixture) {
	f.commit(define("c"))
	_, at := Read(t, f, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience/10)
	defer cancel()
	for _, epoch := range []store.Epoch{"another", at.Epoch + "x", ""} {
		for _, seq := range []store.Seq{0, at.Seq, at.Seq + 1000} {
			err := f.Follow(ctx, store.CommitID{Epoch: epoch, Seq: seq}, func(step *store.Step) error {
				return fmt.Errorf("a step to %d", step.Seq)
			})
			if !errors.Is(err, store.ErrForked) {
				t.Errorf("following from %d of the epoch %q: %v", seq, epoch, err)
			}
		}
	}
}

// While nothing is committed, Follow delivers empty steps whose time advances.
func testFollowQuiet(t *testing.T, f *sharedFixture) {
	f.commit(define("c"))
	_, at := Read(t, f, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	begun, last, n := time.Now(), time.Time{}, 0
	err := f.Follow(ctx, at, func(step *store.Step) error {
		if step.Seq != at.Seq || len(step.Changes) > 0 || step.More || step.View != nil || step.At.Before(last) {
			return fmt.Errorf("after %v came %+v", last, step)
		}
		if last = step.At; last.After(begun) {
			n++
		}
		if n == 3 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Errorf("%d steps said that nothing is new: %v", n, err)
	}
}

// Follow ends when the store is closed, and cannot begin after that.
func testFollowClosed(t *testing.T, f *sharedFixture) {
	f.commit(define("c"))
	_, at := Read(t, f, 1)
	s := f.shared()
	begun := make(chan struct{})
	once := sync.OnceFunc(func() { close(begun) })
	followed := make(chan error, 1)
	go func() {
		followed <- s.Follow(context.Background(), at, func(*store.Step) error { once(); return nil })
	}()
	<-begun
	f.stop()
	select {
	case err := <-followed:
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("following when the store closed: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("Follow goes on after the store was closed")
	}
	if err := s.Follow(context.Background(), at, func(*store.Step) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("following a closed store: %v", err)
	}
}
