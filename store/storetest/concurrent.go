package storetest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nearby/item"
	"nearby/store"
)

// Concurrent commits all have different sequence numbers, and the content is that of the
// commits in the order of these numbers.
func testConcurrent(t *testing.T, f *fixture) {
	f.commit(define("c"))
	const writers, each = 16, 40
	results := make([][]made, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewPCG(2, uint64(w)))
			for i := range each {
				batch := []store.Change{put("c", fmt.Sprint(rng.IntN(20)), float64(w)), put("c", fmt.Sprint(rng.IntN(20)), float64(i))}
				seq, err := f.Commit(context.Background(), batch)
				if err != nil {
					t.Error(err)
					return
				}
				if n := len(results[w]); n > 0 && results[w][n-1].seq >= seq {
					t.Errorf("%d came after %d", seq, results[w][n-1].seq)
				}
				results[w] = append(results[w], made{seq: seq, batch: batch})
			}
		}()
	}
	wg.Wait()
	all := slices.Concat(results...)
	slices.SortFunc(all, func(a, b made) int { return cmp.Compare(a.seq, b.seq) })
	want := Content{"c": {}}
	for i, d := range all {
		if i > 0 && d.seq == all[i-1].seq {
			t.Fatalf("two commits have the number %d", d.seq)
		}
		want.apply(d.seq, d.batch)
	}
	got, _ := Read(t, f, 1)
	Equal(t, got, want)
}

// A view does not change while commits are made, and shows only whole commits.
func testViewStands(t *testing.T, f *fixture) {
	f.commit(define("c"))
	var made atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			batch := make([]store.Change, 10) // each commit gives ten items the same position
			for j := range batch {
				batch[j] = put("c", fmt.Sprint(j), float64(i%180))
			}
			if _, err := f.Commit(context.Background(), batch); err != nil {
				t.Error(err)
				return
			}
			made.Add(1)
		}
	}()
	defer wg.Wait()
	defer close(stop)
	for range 50 {
		v, err := f.View(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var first []item.Item
		opened := made.Load()
		for round := range 2 {
			for end := time.Now().Add(patience); round == 1 && made.Load() < opened+2; time.Sleep(100 * time.Microsecond) {
				if time.Now().After(end) {
					t.Fatal("while a view is open no commits are made")
				}
			}
			var items []item.Item
			if err := v.Items(context.Background(), "c", 1, func(_ int, it *item.Item) error {
				items = append(items, detached(it))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			for _, it := range items {
				if it.Lon != items[0].Lon || it.Seq != items[0].Seq || store.Seq(it.Seq) > v.At().Seq {
					t.Fatalf("half a commit: %+v beside %+v at %d", it, items[0], v.At().Seq)
				}
			}
			if round == 0 {
				first = items
			} else if !slices.EqualFunc(byID(first), byID(items), func(a, b item.Item) bool { return same(&a, &b) }) {
				t.Fatal("one view gave two answers")
			}
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func byID(items []item.Item) []item.Item {
	return slices.SortedFunc(slices.Values(items), func(a, b item.Item) int { return cmp.Compare(a.ID, b.ID) })
}
