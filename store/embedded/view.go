package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sync/errgroup"

	"nearby/item"
	"nearby/store"
)

// view implements store.View on a Pebble snapshot.
type view struct {
	s    *Store
	snap *pebble.Snapshot
	seq  store.Seq

	closed atomic.Bool
}

// View is part of store.Store.
func (s *Store) View(ctx context.Context) (store.View, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, store.ErrClosed
	}
	v := &view{s: s, snap: s.db.NewSnapshot(), seq: s.head}
	s.inFlight.Add(1) // the store stays open as long as the view does
	s.mu.Unlock()
	// The newest commits in the snapshot may not be durable yet.
	if err := s.durable.wait(ctx, v.seq); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

func (v *view) At() store.CommitID {
	return store.CommitID{Epoch: store.Epoch(v.s.epoch), Seq: v.seq}
}

func (v *view) Close() error {
	if v.closed.Swap(true) {
		return store.ErrClosed
	}
	err := v.snap.Close()
	v.s.inFlight.Done()
	return err
}

func (v *view) Collections(ctx context.Context) ([]store.Collection, error) {
	iter, err := v.snap.NewIter(&pebble.IterOptions{LowerBound: []byte{prefixCollection}, UpperBound: []byte{prefixCollection + 1}})
	if err != nil {
		return nil, readError(err)
	}
	defer iter.Close()
	var all []store.Collection
	for iter.First(); iter.Valid(); iter.Next() {
		col, definition, err := decodeCollection(iter.Key(), iter.Value())
		if err != nil {
			return nil, err
		}
		all = append(all, store.Collection{Name: string(iter.Key()[1:]), Definition: definition, Seq: col.defined})
	}
	return all, readError(iter.Error())
}

// incarnation returns the number of the incarnation that a collection has in the view, or
// false if the collection does not exist there.
func (v *view) incarnation(name string) (uint64, bool, error) {
	key := collectionKey(name)
	value, closer, err := v.snap.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, readError(err)
	}
	defer closer.Close()
	col, _, err := decodeCollection(key, value)
	return col.number, err == nil, err
}

func (v *view) Get(ctx context.Context, collection, id string) (item.Item, bool, error) {
	var it item.Item
	incarnation, ok, err := v.incarnation(collection)
	if err != nil || !ok {
		return it, false, err
	}
	key := appendItemKey(nil, incarnation, id)
	value, closer, err := v.snap.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return it, false, nil
	}
	if err != nil {
		return it, false, readError(err)
	}
	defer closer.Close()
	if err := readItem(&it, key, value); err != nil {
		return it, false, err
	}
	detach(&it)
	return it, true, nil
}

func (v *view) Items(ctx context.Context, collection string, parts int, yield func(int, *item.Item) error) error {
	incarnation, ok, err := v.incarnation(collection)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("collection %q %w", collection, store.ErrNoCollection)
	}
	lower, upper := itemSpan(incarnation)
	bounds := append(append([][]byte{lower}, v.splits(lower, upper, parts)...), upper)
	g, ctx := errgroup.WithContext(ctx)
	for part := range len(bounds) - 1 {
		g.Go(func() error {
			return v.scan(ctx, bounds[part], bounds[part+1], func(it *item.Item) error { return yield(part, it) })
		})
	}
	return g.Wait()
}

// splits returns up to parts-1 keys that divide a span into shares of about equal
// size. They are the first keys of tables.
func (v *view) splits(lower, upper []byte, parts int) [][]byte {
	if parts <= 1 {
		return nil
	}
	levels, err := v.s.db.SSTables(pebble.WithKeyRangeFilter(lower, upper))
	if err != nil {
		return nil
	}
	type table struct {
		first []byte
		size  uint64
	}
	var tables []table
	var total uint64
	for _, level := range levels {
		for _, t := range level {
			tables = append(tables, table{t.Smallest.UserKey, t.Size})
			total += t.Size
		}
	}
	slices.SortFunc(tables, func(a, b table) int { return bytes.Compare(a.first, b.first) })
	var keys [][]byte
	var before uint64
	for _, t := range tables {
		due := total * uint64(len(keys)+1) / uint64(parts)
		if len(keys) < parts-1 && before >= due && bytes.Compare(t.first, lower) > 0 && bytes.Compare(t.first, upper) < 0 &&
			(len(keys) == 0 || bytes.Compare(t.first, keys[len(keys)-1]) > 0) {
			keys = append(keys, bytes.Clone(t.first))
		}
		before += t.size
	}
	return keys
}

func (v *view) scan(ctx context.Context, lower, upper []byte, yield func(*item.Item) error) error {
	iter, err := v.snap.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return readError(err)
	}
	defer iter.Close()
	var it item.Item
	n := 0
	for iter.First(); iter.Valid(); iter.Next() {
		if n++; n&0x3ff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		value, err := iter.ValueAndErr()
		if err != nil {
			return readError(err)
		}
		if err := readItem(&it, iter.Key(), value); err != nil {
			return err
		}
		if err := yield(&it); err != nil {
			return err
		}
	}
	return readError(iter.Error())
}

// readError returns a store.ErrCorrupt if err is damage that Pebble found. Otherwise it
// returns err.
func readError(err error) error {
	if err != nil && pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	return err
}
