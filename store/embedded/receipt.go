package embedded

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"nearby/store"
)

// A receipt has two keys. The first is its name, and has the receipt as its value. The second
// is the time of its commit and its name, and has an empty value. In the order of the second
// keys expire finds the oldest receipts.

// receiptVersion begins every receipt's value, so that the layout can change.
const receiptVersion = 1

func appendReceiptKey(dst []byte, name string) []byte {
	return append(append(dst, prefixReceipt), name...)
}

const receiptTimeLen = 1 + 8

// appendReceiptTimeKey appends the second key of a receipt. Its time ms is in Unix
// milliseconds.
func appendReceiptTimeKey(dst []byte, ms int64, name string) []byte {
	dst = append(dst, prefixReceiptTime)
	dst = binary.BigEndian.AppendUint64(dst, uint64(max(ms, 0)))
	return append(dst, name...)
}

// appendReceipt encodes a receipt without its name: the version, seq and time as varints,
// then the outcome.
func appendReceipt(dst []byte, r *store.Receipt, seq store.Seq, ms int64) []byte {
	dst = append(dst, receiptVersion)
	dst = binary.AppendUvarint(dst, uint64(seq))
	dst = binary.AppendVarint(dst, ms)
	return append(dst, r.Outcome...)
}

// readReceipt checks and decodes a receipt. Its outcome shares the memory of value.
func readReceipt(key, value []byte) (r store.Receipt, ms int64, err error) {
	if value, err = unseal(key, value); err != nil {
		return r, 0, err
	}
	bad := fmt.Errorf("%w: receipt under key %q cannot be decoded", store.ErrCorrupt, key)
	if len(key) < 2 || len(value) < 1 || value[0] != receiptVersion {
		return r, 0, bad
	}
	value = value[1:]
	seq, n := binary.Uvarint(value)
	if n <= 0 {
		return r, 0, bad
	}
	value = value[n:]
	ms, n = binary.Varint(value)
	if n <= 0 {
		return r, 0, bad
	}
	r = store.Named(string(key[1:]))
	r.Outcome, r.Seq = value[n:], store.Seq(seq)
	return r, ms, nil
}

// Receipt is part of store.Store.
func (s *Store) Receipt(ctx context.Context, collection, key string) (store.Receipt, bool, error) {
	if err := ctx.Err(); err != nil {
		return store.Receipt{}, false, err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.Receipt{}, false, store.ErrClosed
	}
	s.inFlight.Add(1)
	col, exists := s.incarnations[collection]
	s.mu.Unlock()
	defer s.inFlight.Done()
	if !exists {
		return store.Receipt{}, false, nil
	}
	name := store.Receipt{Collection: collection, Key: key}
	r, ms, ok, err := s.receipt(name.Name())
	if err != nil || !ok || s.lapsed(&r, ms, col) {
		return store.Receipt{}, false, err
	}
	// Its commit may not be durable yet.
	if err := s.durable.wait(ctx, r.Seq); err != nil {
		return store.Receipt{}, false, err
	}
	return r, true, nil
}

// receipt reads a receipt, even one that has lapsed.
func (s *Store) receipt(name string) (r store.Receipt, ms int64, ok bool, err error) {
	k := appendReceiptKey(nil, name)
	value, closer, err := s.db.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return r, 0, false, nil
	}
	if err != nil {
		return r, 0, false, fmt.Errorf("reading the receipt %q: %w", name, readError(err))
	}
	defer closer.Close()
	if r, ms, err = readReceipt(k, value); err != nil {
		return r, 0, false, err
	}
	r.Outcome = bytes.Clone(r.Outcome)
	return r, ms, true, nil
}

// expired reports whether a time, in Unix milliseconds, is longer ago than
// store.KeepReceipts.
func (s *Store) expired(ms int64) bool {
	return s.opt.now().Sub(time.UnixMilli(ms)) > store.KeepReceipts
}

// lapsed reports whether a receipt is no longer valid: it has expired, or it is of an
// earlier collection with the same name. Its time ms is in Unix milliseconds.
func (s *Store) lapsed(r *store.Receipt, ms int64, col incarnation) bool {
	return s.expired(ms) || r.Seq < col.born()
}

// encodeReceipts puts receipts into the batch. It fails with *store.RepeatedError
// if keys are taken. made has the incarnations that encode has returned for the same commit.
// The caller holds mu.
func (s *Store) encodeReceipts(batch *pebble.Batch, seq store.Seq, receipts []store.Receipt, made map[string]incarnation) error {
	var refused store.RepeatedError
	now := s.opt.now()
	ms := now.UnixMilli()
	if end := now.Add(store.KeepReceipts); end.Before(s.expires) { // the clock was set back
		s.expires, s.expiredTo = end, []byte{prefixReceiptTime}
	}
	for i := range receipts {
		r := &receipts[i]
		name := r.Name()
		col, changed := made[r.Collection]
		if !changed {
			col = s.incarnations[r.Collection]
		}
		if col.number == 0 {
			return fmt.Errorf("collection %q %w", r.Collection, store.ErrNoCollection)
		}
		old, at, ok, err := s.receipt(name)
		if err != nil {
			return err
		}
		if ok && !s.lapsed(&old, at, col) {
			refused.Receipts = append(refused.Receipts, old)
			continue
		}
		if ok {
			err = batch.Delete(appendReceiptTimeKey(nil, at, name), nil)
		}
		key, timeKey := appendReceiptKey(nil, name), appendReceiptTimeKey(nil, ms, name)
		if err = errors.Join(err,
			batch.Set(key, seal(key, appendReceipt(nil, r, seq, ms)), nil),
			batch.Set(timeKey, seal(timeKey, nil), nil)); err != nil {
			return err
		}
	}
	if len(refused.Receipts) > 0 {
		return &refused
	}
	return nil
}

// expireAtOnce bounds how many receipts are removed while commits wait.
const expireAtOnce = 1000

// expire removes receipts that have expired, up to expireAtOnce, and reports
// whether there may be more. That need not be durable: what comes back after a loss
// of power has expired still.
func (s *Store) expire() (more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opt.now()
	if s.closed || now.Before(s.expires) {
		return false, nil
	}
	if s.degradation() != nil || s.obstacle(0, false) != nil {
		return false, nil // until later
	}
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: s.expiredTo, UpperBound: []byte{prefixReceiptTime + 1}})
	if err != nil {
		return false, readError(err)
	}
	defer iter.Close()
	batch := s.db.NewBatch()
	defer batch.Close()
	next := now.Add(store.KeepReceipts) // no receipt that is made from now on expires before
	last := s.expiredTo
	n := 0
	for iter.First(); iter.Valid(); iter.Next() {
		key := iter.Key()
		if len(key) <= receiptTimeLen {
			return false, fmt.Errorf("%w: receipt time under key %q cannot be decoded", store.ErrCorrupt, key)
		}
		if _, err := unseal(key, iter.Value()); err != nil {
			return false, err
		}
		ms := int64(binary.BigEndian.Uint64(key[1:]))
		if !s.expired(ms) {
			next = time.UnixMilli(ms).Add(store.KeepReceipts)
			break
		}
		if n++; n > expireAtOnce {
			next = now
			break
		}
		last = append(bytes.Clone(key), 0)
		if err := errors.Join(batch.Delete(key, nil), batch.Delete(appendReceiptKey(nil, string(key[receiptTimeLen:])), nil)); err != nil {
			return false, err
		}
	}
	if err := iter.Error(); err != nil {
		return false, readError(err)
	}
	if n > 0 {
		if err := s.db.Apply(batch, pebble.NoSync); err != nil {
			err = fmt.Errorf("removing receipts: %w", err)
			s.stop(err) // as when a commit fails so
			return false, err
		}
	}
	s.expires, s.expiredTo = next, last
	return n > expireAtOnce, nil
}
