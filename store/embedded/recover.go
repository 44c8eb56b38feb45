package embedded

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"nearby/store"
)

// recover reads the head and the collections, and compares the head with the mark.
// incomplete is the error of checkCopy.
func (s *Store) recover(m *storedMark, incomplete error) error {
	if err := s.meta(headKey, func(value []byte) (err error) {
		s.head, err = decodeHead(value)
		return err
	}); err != nil {
		return err
	}
	if err := s.meta(epochKey, func(value []byte) (err error) {
		s.epoch, err = decodeEpoch(value)
		return err
	}); err != nil {
		return err
	}
	var before store.CommitID
	if err := s.meta(beforeKey, func(value []byte) (err error) {
		before, err = decodeBefore(value)
		return err
	}); err != nil {
		return err
	}
	err := checkMark(s.epoch, s.head, before, m)
	if err == nil {
		err = incomplete
	}
	if err != nil && !s.opt.AcceptLoss {
		return err
	}
	if err != nil {
		s.opt.Log.Warn("opening in spite of loss", "error", err)
	}
	copied := m.copied && s.epoch == m.epoch
	if err == nil && copied && !s.opt.ReadOnly {
		s.opt.Log.Warn("the folder is a copy of another: it begins a history of its own", "folder", s.dir, "at", s.head)
	}
	if err := s.settle(m.mark, err != nil || copied || s.opt.NewEpoch, err != nil); err != nil {
		return err
	}
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefixCollection}, UpperBound: []byte{prefixCollection + 1}})
	if err != nil {
		return err
	}
	defer iter.Close()
	for iter.First(); iter.Valid(); iter.Next() {
		col, _, err := decodeCollection(iter.Key(), iter.Value())
		if err != nil {
			return err
		}
		s.incarnations[string(iter.Key()[1:])] = col
	}
	s.durable.reach(s.head)
	return readError(iter.Error())
}

// meta reads one of the store's own keys. It calls take if the key exists.
func (s *Store) meta(key []byte, take func(value []byte) error) error {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %q: %w", key, readError(err))
	}
	return errors.Join(take(value), closer.Close())
}

// settle makes the database and the mark agree. With fork it begins a new epoch, and does
// not use again the numbers that the old one has used. lost says that commits are missing,
// or may be.
//
// The process may end after one of the two is written. A new store, or one that has no
// epoch yet, gets its mark first: as long as the database has no epoch, the next start does
// the same again. Any other store gets the new epoch first in the database, beside the
// epoch before it. From that the next start knows that the mark is still to be written
// (checkMark).
func (s *Store) settle(m mark, fork, lost bool) error {
	s.marked = m.seq
	if s.opt.ReadOnly {
		// The folder cannot be changed. A copy that nobody changes has the same history.
		if lost || s.epoch == "" {
			s.epoch = newEpoch()
		}
		return nil
	}
	old := s.epoch
	switch {
	case fork:
		s.epoch = newEpoch()
	case old == "":
		s.epoch = cmp.Or(m.epoch, newEpoch())
	default:
		// This mark says that the store is open, so that a copy made from now on is
		// refused. If it cannot be written, the checksum of the listing shows the same.
		if err := writeMark(s.opt.fs, s.dir, mark{epoch: s.epoch, seq: s.head}); err != nil {
			s.opt.Log.Warn("the head mark could not be written", "error", err)
			return nil
		}
		s.marked = s.head
		return nil
	}
	s.head = max(s.head, m.seq)
	fresh := mark{epoch: s.epoch, seq: s.head}
	if old == "" {
		if err := writeMark(s.opt.fs, s.dir, fresh); err != nil {
			return fmt.Errorf("writing the head mark: %w", err)
		}
	}
	batch := s.db.NewBatch()
	defer batch.Close()
	if err := errors.Join(batch.Set(headKey, encodeHead(nil, s.head), nil), batch.Set(epochKey, encodeEpoch(s.epoch), nil)); err != nil {
		return err
	}
	if old != "" {
		if err := batch.Set(beforeKey, encodeBefore(store.CommitID{Epoch: store.Epoch(m.epoch), Seq: s.head}), nil); err != nil {
			return err
		}
	}
	if err := s.applyDurably(batch); err != nil {
		return err
	}
	if old != "" {
		if err := writeMark(s.opt.fs, s.dir, fresh); err != nil {
			return fmt.Errorf("writing the head mark: %w", err)
		}
	}
	s.marked = s.head
	return nil
}
