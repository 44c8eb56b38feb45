package embedded

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"nearby/item"
	"nearby/store"
)

// Commits are kept for Follow only when somebody may follow, and no longer than
// it takes to fill the limit after the last one left.
func TestKeptOnlyForFollowers(t *testing.T) {
	ctx := context.Background()
	const limit = 100 << 10
	s, err := Open("db", Options{fs: vfs.NewMem(), FollowBytes: limit, MemTableBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	commit := func(n int) (last store.Seq) {
		t.Helper()
		for range n {
			if last, err = s.Commit(ctx, []store.Change{
				{Op: store.PutCollection, Collection: "c"},
				{Op: store.PutItem, Collection: "c", Item: item.Item{ID: "a", Properties: bytes.Repeat([]byte("x"), 1000)}},
			}); err != nil {
				t.Fatal(err)
			}
		}
		return last
	}
	kept := func() int {
		s.recent.mu.Lock()
		defer s.recent.mu.Unlock()
		return len(s.recent.commits)
	}
	enough := errors.New("enough")
	// follow returns an error other than enough, or how many came in a row.
	follow := func(after store.Seq, n int) error {
		return s.Follow(ctx, store.Position{Epoch: store.Epoch(s.epoch), Seq: after}, func(step *store.Step) error {
			if after++; step.Seq != after || len(step.Changes) != 2 {
				t.Errorf("commit %d came as %d, with %d changes", after, step.Seq, len(step.Changes))
			}
			if n--; n == 0 {
				return enough
			}
			return nil
		})
	}

	first := commit(10)
	if n := kept(); n != 0 {
		t.Errorf("%d commits are kept though nobody ever followed", n)
	}
	if err := follow(first-5, 5); !errors.Is(err, store.ErrGone) {
		t.Errorf("following what was never kept: %v", err)
	}
	v, err := s.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	commit(20)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	commit(20) // after the view was closed, before Follow is called
	if err := follow(v.Position().Seq, 40); !errors.Is(err, enough) {
		t.Errorf("following from a view: %v", err)
	}
	last := commit(50)
	if err := follow(last-50, 50); !errors.Is(err, enough) {
		t.Errorf("a follower that comes back: %v", err)
	}
	commit(200)
	if n := kept(); n != 0 {
		t.Errorf("%d commits are kept though the follower never came back", n)
	}
	if err := follow(last, 1); !errors.Is(err, store.ErrGone) {
		t.Errorf("following what is not kept any more: %v", err)
	}
	if v, err = s.View(ctx); err != nil {
		t.Fatal(err)
	}
	last = commit(500)
	if n := kept(); n < 50 || n > 100 {
		t.Errorf("%d commits of 1.4 kB are kept with a view open, the limit is %d bytes", n, limit)
	}
	if err := follow(last-50, 50); !errors.Is(err, enough) {
		t.Errorf("following the newest with a view open: %v", err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}
