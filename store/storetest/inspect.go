package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"nearby/item"
	"nearby/store"
)

// While both stores write, a view that Inspect has asked for shows the same commits as the
// follower had after the step, even if it is read after later steps.
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
				// churn changes items and collections that all writers share.
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
		again := time.NewTicker(100 * time.Millisecond) // the store need not give a view each time
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
		// Some views are read again after later steps.
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

// The view that Inspect has asked for computes digests with the same results as store.Hash and
// store.Cell, and reads only the items of the given cells.
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
