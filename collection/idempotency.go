package collection

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"nearby/store"
)

// IdempotencyKey names a request. Its sender may send it several times, because it does not
// know whether it was applied; the collection applies it at most once.
type IdempotencyKey struct {
	Key         string // chosen by the sender; unique in the collection for a day, or until it is dropped
	Fingerprint []byte // of all that the request asks for: the same key with another is an error
}

// outcome is what a receipt keeps of a request.
type outcome struct {
	Fingerprint []byte          `json:"fingerprint"`
	Results     []outcomeResult `json:"results"`
}

type outcomeResult struct {
	ID       string `json:"id"`
	Created  bool   `json:"created,omitzero"`
	Made     int64  `json:"made,omitzero"`
	Changed  int64  `json:"changed,omitzero"`
	Replaced bool   `json:"replaced,omitzero"`
}

// WriteOnce is Write for a request that may be sent several times. If it was applied before,
// WriteOnce returns the results of that time, and repeated is true. If one of its writes was
// refused, nothing is kept, and the request is checked again when it comes again. The errors
// are those of Write, ErrKeyReused, and ErrKeyInUse.
func (c *Collection) WriteOnce(ctx context.Context, once IdempotencyKey, writes []Write) (results []Result, repeated bool, err error) {
	if results, repeated, err = c.madeBefore(ctx, once); repeated || err != nil {
		return results, repeated, err
	}
	wait, err := c.begin(&Request{Key: &once, Writes: writes})
	if err != nil {
		return nil, false, err
	}
	results, err = wait(ctx)
	var taken *store.RepeatedError
	if errors.As(err, &taken) { // by another that came at the same time
		for _, r := range taken.Receipts {
			if r.Key == once.Key {
				return once.results(r)
			}
		}
	}
	if err == nil && slices.ContainsFunc(results, func(r Result) bool { return r.Err != nil }) {
		// It may have been refused because of its own effect, if it was sent before to
		// another replica.
		if before, repeated, err := c.madeBefore(ctx, once); repeated || err != nil {
			return before, repeated, err
		}
	}
	return results, false, err
}

// madeBefore returns the results that the store keeps of a request, or false.
func (c *Collection) madeBefore(ctx context.Context, once IdempotencyKey) ([]Result, bool, error) {
	receipt, kept, err := c.opt.Store.Receipt(ctx, c.name, once.Key)
	switch {
	case err != nil:
		return nil, false, Uncertain(err) // the request may have come before
	case !kept:
		return nil, false, nil
	}
	return once.results(receipt)
}

// outcome returns what is kept of a request that is about to be committed.
func (req *Request) outcome() ([]byte, error) {
	o := outcome{Fingerprint: req.Key.Fingerprint, Results: make([]outcomeResult, len(req.Results))}
	for i, res := range req.Results {
		o.Results[i] = outcomeResult{res.ID, res.Created, res.Times.Created, res.Times.Updated, res.Replaced}
	}
	return json.Marshal(&o)
}

// results reads what a receipt keeps. The second result is true if there is no error.
func (o *IdempotencyKey) results(receipt store.Receipt) ([]Result, bool, error) {
	var kept outcome
	if err := json.Unmarshal(receipt.Outcome, &kept); err != nil {
		return nil, false, fmt.Errorf("%w: the receipt of %q: %w", store.ErrCorrupt, receipt.Key, err)
	}
	if !bytes.Equal(kept.Fingerprint, o.Fingerprint) {
		return nil, false, ErrKeyReused
	}
	results := make([]Result, len(kept.Results))
	for i, r := range kept.Results {
		results[i] = Result{ID: r.ID, Created: r.Created, Seq: uint64(receipt.Seq), Replaced: r.Replaced}
		results[i].Times.Created, results[i].Times.Updated = r.Made, r.Changed
	}
	return results, true, nil
}
