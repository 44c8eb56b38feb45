package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"nearby/store"
)

// maxCommitBytes is well below 4 GiB, Pebble's limit of a batch.
const maxCommitBytes = 1 << 30

// Commit is part of store.Store.
func (s *Store) Commit(ctx context.Context, changes []store.Change, receipts ...store.Receipt) (store.Seq, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := store.CheckBatch(changes, receipts); err != nil {
		return 0, err
	}
	var (
		batch *pebble.Batch
		seq   store.Seq
	)
	// The wait has no limit of time, also where the caller has set one: a slow disk slows its
	// writers down. If the disk fails, enter refuses the commit, so the wait ends.
	err := retryWhileBehind(context.WithoutCancel(ctx), func() (err error) {
		batch, seq, err = s.enter(changes, receipts)
		return err
	})
	if refused := (*store.RepeatedError)(nil); errors.As(err, &refused) {
		// The commits that took the keys may not be durable yet.
		for i := range refused.Receipts {
			if err := s.durable.wait(ctx, refused.Receipts[i].Seq); err != nil {
				return 0, fmt.Errorf("%w: what it repeats: %v", store.ErrUncertain, err) //nolint:errorlint // not as store.ErrUnavailable
			}
		}
	}
	if err != nil {
		return 0, err
	}
	if batch == nil {
		return seq, s.durable.wait(ctx, seq)
	}
	defer s.inFlight.Done()
	if !s.opt.noSync {
		if err := batch.SyncWait(); err != nil {
			// The commit is in memory, and perhaps on the disk. It cannot be undone.
			s.stop(fmt.Errorf("a sync failed: %w", err))
			return 0, fmt.Errorf("%w: %w", store.ErrUncertain, err)
		}
	}
	if err := s.disk.linked(); err != nil {
		// The commit was synced to a file that has no name any more.
		s.degrade(err)
		s.durable.end(fmt.Errorf("%w: %w", store.ErrUnavailable, err))
		return 0, errors.Join(uncertain(err), batch.Close())
	}
	s.durable.reach(seq)
	if err := s.disk.inPlace(); err != nil {
		// The commit is durable in the folder that was opened. The next start finds the
		// commit only if that folder is back in its place.
		s.noteFault(err)
		return seq, errors.Join(uncertain(err), batch.Close())
	}
	return seq, batch.Close()
}

// uncertain returns the error of a commit that may have been made. It does not wrap fault,
// which is a store.ErrUnavailable: that would say that nothing was made.
func uncertain(fault error) error {
	return fmt.Errorf("%w: %v", store.ErrUncertain, fault) //nolint:errorlint // see above
}

// enter gives the changes a number and puts them into Pebble's memory, in
// order.
func (s *Store) enter(changes []store.Change, receipts []store.Receipt) (*pebble.Batch, store.Seq, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, 0, store.ErrClosed
	}
	if len(changes) == 0 && len(receipts) == 0 {
		return nil, s.head, nil
	}
	if s.opt.ReadOnly {
		return nil, 0, store.ErrReadOnly
	}
	if err := s.degradation(); err != nil {
		return nil, 0, refusal(err)
	}
	seq := s.head + 1
	size, frees := 128, true
	for i := range changes {
		frees = frees && (changes[i].Op == store.DeleteItem || changes[i].Op == store.DropCollection)
		size += 64 + len(changes[i].Item.ID) + len(changes[i].Item.Properties) + len(changes[i].Definition)
	}
	for i := range receipts {
		size += 256 + 2*len(receipts[i].Key) + len(receipts[i].Outcome)
	}
	if size > maxCommitBytes {
		return nil, 0, fmt.Errorf("the commit has about %d bytes, more than the %d that are taken", size, maxCommitBytes)
	}
	if err := s.obstacle(size, frees); err != nil {
		return nil, 0, err
	}
	batch := s.db.NewBatchWithSize(size)
	names, err := s.encode(batch, seq, changes)
	if err == nil && len(receipts) > 0 {
		err = s.encodeReceipts(batch, seq, receipts, names)
	}
	if err == nil {
		err = batch.Set(headKey, encodeHead(nil, seq), nil)
	}
	if err == nil {
		if s.opt.noSync {
			err = s.db.Apply(batch, pebble.NoSync)
		} else {
			err = s.db.ApplyNoSyncWait(batch, pebble.Sync)
		}
		if err != nil {
			// The commit may have reached the log, so no other commit may get its
			// number. The store writes nothing more until the next start.
			err = fmt.Errorf("%w: %w", store.ErrUncertain, err)
			s.stop(err)
		}
	}
	if err != nil {
		return nil, 0, errors.Join(err, batch.Close())
	}
	for name, col := range names {
		if col.number == 0 {
			delete(s.incarnations, name)
		} else {
			s.incarnations[name] = col
		}
	}
	s.head = seq
	s.inFlight.Add(1)
	return batch, seq, nil
}

// obstacle returns why a commit of size bytes cannot be made now, errBehind if it has to
// wait, or nil. frees says that the commit only removes, so that it needs less space. The
// caller holds mu.
func (s *Store) obstacle(size int, frees bool) error {
	if err := s.disk.present(); err != nil {
		s.noteFault(err)
		return refusal(err)
	}
	if err := s.room.check(size, frees); err != nil {
		if full := s.room.look(); full != nil { // otherwise only this commit is too large
			s.noteFault(full)
		}
		return refusal(err)
	}
	if err := s.tableFault.recent(); err != nil {
		return refusal(err)
	}
	if fault := s.fault.Load(); fault != nil && *fault != nil && !errors.Is(*fault, store.ErrNoSpace) {
		return refusal(*fault)
	}
	if s.behind(size) {
		return errBehind
	}
	return nil
}

// encode puts the changes into the batch. It returns the new incarnation of each
// collection that the commit makes, redefines or drops; the zero value means dropped.
func (s *Store) encode(batch *pebble.Batch, seq store.Seq, changes []store.Change) (map[string]incarnation, error) {
	names := map[string]incarnation{}
	lookup := func(name string) (incarnation, bool) {
		if col, ok := names[name]; ok {
			return col, col.number != 0
		}
		col, ok := s.incarnations[name]
		return col, ok
	}
	var key, head []byte
	created := seq << 16 // a collection made twice in one batch gets two numbers
	for i := range changes {
		ch := &changes[i]
		col, exists := lookup(ch.Collection)
		if !exists && ch.Op != store.PutCollection {
			return nil, fmt.Errorf("collection %q %w", ch.Collection, store.ErrNoCollection)
		}
		var err error
		switch ch.Op {
		case store.PutItem:
			head = appendItemHead(head[:0], &ch.Item, seq)
			op := batch.SetDeferred(itemKeyPrefixLen+len(ch.Item.ID), len(head)+len(ch.Item.Properties)+sealLen)
			appendItemKey(op.Key[:0], col.number, ch.Item.ID)
			seal(op.Key, append(append(op.Value[:0], head...), ch.Item.Properties...))
			err = op.Finish()
		case store.DeleteItem:
			key = appendItemKey(key[:0], col.number, ch.Item.ID)
			err = batch.Delete(key, nil)
		case store.PutCollection:
			if !exists {
				if created>>16 != seq {
					return nil, errors.New("the commit creates too many collections")
				}
				col.number = uint64(created)
				created++
			}
			col.defined = seq
			names[ch.Collection] = col
			key = append(key[:0], collectionKey(ch.Collection)...)
			err = batch.Set(key, encodeCollection(key, col, ch.Definition), nil)
		case store.DropCollection:
			lower, upper := itemSpan(col.number)
			if err = batch.DeleteRange(lower, upper, nil); err == nil {
				err = batch.Delete(collectionKey(ch.Collection), nil)
			}
			names[ch.Collection] = incarnation{}
		}
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}
