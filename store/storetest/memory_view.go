package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"nearby/item"
	"nearby/store"
)

// memoryView is a view of a memory.
type memoryView struct {
	fault   string
	at      store.CommitID
	content content
	moves   *memory // for a fault: the view shows the newest content of this store
	closed  atomic.Bool
}

func (p *memoryView) now() content {
	if p.moves != nil {
		p.moves.mu.Lock()
		defer p.moves.mu.Unlock()
		return p.moves.content.show()
	}
	return p.content
}

func (p *memoryView) At() store.CommitID { return p.at }

func (p *memoryView) Collections(context.Context) ([]store.Collection, error) {
	var all []store.Collection
	for name, c := range p.now() {
		one := store.Collection{Name: name, Definition: c.definition, Seq: store.Seq(c.defined)}
		if p.fault == "items make another definition" {
			one.Seq = p.at.Seq
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b store.Collection) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

func (p *memoryView) Items(_ context.Context, name string, parts int, yield func(int, *item.Item) error) error {
	c := p.now()[name]
	if c == nil {
		return fmt.Errorf("%w: %q", store.ErrNoCollection, name)
	}
	n := 0
	for _, it := range c.items {
		n++
		if err := yield(n%parts, &it); err != nil {
			return err
		}
	}
	return nil
}

func (p *memoryView) Get(_ context.Context, name, id string) (item.Item, bool, error) {
	c := p.now()[name]
	if c == nil {
		return item.Item{}, false, nil
	}
	it, ok := c.items[id]
	return it, ok, nil
}

// Digests reads all items to compute the digests.
func (p *memoryView) Digests(ctx context.Context, name string) (map[uint16]store.Digest, error) {
	all := map[uint16]store.Digest{}
	var buf []byte
	err := p.Items(ctx, name, 1, func(_ int, it *item.Item) error {
		var hash uint64
		hash, buf = store.Hash(it, buf)
		cell := store.Cell(it.Lon, it.Lat)
		sum := all[cell]
		if sum.Add(hash); p.fault == "digests only count" {
			sum.Hash = 0
		}
		all[cell] = sum
		return nil
	})
	return all, err
}

func (p *memoryView) Cells(ctx context.Context, name string, cells []uint16, yield func(*item.Item) error) error {
	return p.Items(ctx, name, 1, func(_ int, it *item.Item) error {
		if slices.Contains(cells, store.Cell(it.Lon, it.Lat)) || p.fault == "all cells are read" {
			return yield(it)
		}
		return nil
	})
}

func (p *memoryView) Close() error {
	if p.closed.Swap(true) {
		return store.ErrClosed
	}
	return nil
}
