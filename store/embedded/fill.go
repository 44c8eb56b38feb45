package embedded

import (
	"context"
	"errors"

	"nearby/item"
	"nearby/store"
)

// Fill makes a store in a folder that is empty or does not exist. It calls fill once. If fill
// succeeds, the folder has everything that was put, durably; else the folder is as it was.
// The store is built in another folder, whose name ends in .restoring, and moved when it is
// complete. What a process that was killed has left there the next Fill or Restore removes.
func Fill(ctx context.Context, dir string, opt Options, fill func(store.Filling) error) error {
	_, err := construct(dir, false, func(beside string) error {
		s, err := Open(beside, opt)
		if err != nil {
			return err
		}
		return errors.Join(fill(filling{s}), ctx.Err(), s.Close())
	})
	return err
}

// filling implements store.Filling.
type filling struct{ s *Store }

// Put is part of store.Filling.
func (f filling) Put(ctx context.Context, changes []store.Change) error {
	_, err := f.s.Commit(ctx, changes)
	return err
}

// Collections is part of store.Filling.
func (f filling) Collections(ctx context.Context) ([]store.Collection, error) {
	v, err := f.s.View(ctx)
	if err != nil {
		return nil, err
	}
	all, err := v.Collections(ctx)
	return all, errors.Join(err, v.Close())
}

// Items is part of store.Filling.
func (f filling) Items(ctx context.Context, collection string, yield func(*item.Item) error) error {
	v, err := f.s.View(ctx)
	if err != nil {
		return err
	}
	err = v.Items(ctx, collection, 1, func(_ int, it *item.Item) error { return yield(it) })
	return errors.Join(err, v.Close())
}
