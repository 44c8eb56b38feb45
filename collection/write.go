package collection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nearby/item"
	"nearby/store"
)

// Op is what a Write does.
type Op uint8

const (
	Upsert Op = iota + 1 // insert or replace
	Insert               // ErrExists if the id is taken
	Keep                 // insert, or leave the item that is there as it is
	Merge                // insert, or merge into the item that is there
	Patch                // merge; ErrNotFound if there is no such item
	Delete               // ErrNotFound if there is no such item
)

// merges reports whether the properties of a write are a patch.
func (o Op) merges() bool { return o == Merge || o == Patch }

// Write is one change that a caller asks for.
type Write struct {
	Op   Op
	Item item.Item // Delete needs only the ID. An empty ID is made up (not for Delete).
	// The Properties of a Merge and a Patch are a JSON merge patch (RFC 7396) of those
	// that the item has when the write is made, by whomever they were written; null
	// clears them. NoPosition leaves it where it is: a Merge then needs an item, too.
	NoPosition bool
	// IfSeq, when not nil, demands that the item exists in one of these versions;
	// ErrPrecondition otherwise.
	IfSeq []uint64
	// IfNotSeq demands that the item is in none of these versions, or does not exist;
	// ErrPrecondition otherwise.
	IfNotSeq []uint64
	// IfExists demands that the item exists; ErrPrecondition otherwise.
	IfExists bool
	// IfAbsent demands that it does not; ErrPrecondition otherwise.
	IfAbsent bool
	// IfUnmodified, when not zero, demands that the item, if it exists, was not written
	// after this time of whole seconds; ErrPrecondition otherwise.
	IfUnmodified time.Time
}

// Conditional reports whether a write depends on what there is.
func (w *Write) Conditional() bool {
	return w.IfSeq != nil || w.IfNotSeq != nil || w.IfExists || w.IfAbsent || !w.IfUnmodified.IsZero()
}

// Unmodified reports whether what was last written at updated, in Unix milliseconds, was
// not written after since, a time of whole seconds. A time ahead of the clock is from
// before that was set back: other versions may be of the same second, and count as later.
func Unmodified(updated int64, since, now time.Time) bool {
	second := time.UnixMilli(updated).Unix()
	return second < since.Unix() || second == since.Unix() && updated <= now.UnixMilli()
}

// Result is the outcome of one Write.
type Result struct {
	ID      string
	Created bool   // a new item; false: replaced or deleted
	Skipped bool   // the item is there, and stays as it is
	Seq     uint64 // the item's new version
	// Merged is what a Merge or a Patch has made; nil if it was made before, by another
	// request with the same key.
	Merged *item.Item
	// Replaced: a later write of the same commit has replaced the version, which was
	// never to be seen. Seq names what took its place.
	Replaced bool
	Times    struct{ Created, Updated int64 }
	Pending  bool  // visible here, and durable within Collection.LossWindow
	Err      error // why this write was refused; the others of its request stand
}

// Request is what one caller hands to the writer. Who answers it sets Err and the Results,
// and calls Done.
type Request struct {
	Writes  []Write
	Key     *IdempotencyKey // nil: none
	Results []Result
	Err     error

	strict bool // nothing is done after the first write that is refused
	done   chan struct{}
}

// Answer ends a request; err is that of the whole.
func (r *Request) Answer(err error) {
	r.Err = err
	close(r.done)
}

// Write makes changes durable and visible and returns one result for each, in
// order. Refused writes do not hinder the others. An error means that none was
// applied, except store.ErrUncertain, as which counts a context that ended while
// waiting: then they may have been. The caller must not change writes until it returns;
// if the context ended, never.
func (c *Collection) Write(ctx context.Context, writes []Write) ([]Result, error) {
	wait, err := c.Begin(writes)
	if err != nil {
		return nil, err
	}
	return wait(ctx)
}

// Begin is Write in two steps: it queues the changes, and wait, to be called once,
// gives their outcome. Changes are made in the order in which they were begun, so
// that a caller may begin the next while the writer is busy with the last.
func (c *Collection) Begin(writes []Write) (wait func(context.Context) ([]Result, error), err error) {
	return c.begin(&Request{Writes: writes})
}

// BeginStrict is Begin for writes that end at the first one that is refused: those
// after it are not made, and have the error ErrNotTried.
func (c *Collection) BeginStrict(writes []Write) (wait func(context.Context) ([]Result, error), err error) {
	return c.begin(&Request{Writes: writes, strict: true})
}

// begin queues a request.
func (c *Collection) begin(req *Request) (wait func(context.Context) ([]Result, error), err error) {
	if len(req.Writes) == 0 {
		return func(context.Context) ([]Result, error) { return nil, nil }, nil
	}
	if src := c.Snapshot().def.Source; src != nil {
		return nil, fmt.Errorf("%w: collection %q shows the table %s", ErrReadOnly, c.name, src.Table)
	}
	select {
	case <-c.stopped:
		return nil, c.why
	default:
	}
	req.Results, req.done = make([]Result, len(req.Writes)), make(chan struct{})
	select {
	case c.queue <- req:
	default:
		return nil, ErrBusy
	}
	return func(ctx context.Context) ([]Result, error) {
		if err := c.await(ctx, req); err != nil {
			return nil, err
		}
		return req.Results, nil
	}, nil
}

// await waits for the outcome of a request.
func (c *Collection) await(ctx context.Context, req *Request) error {
	select {
	case <-req.done:
		return req.Err
	case <-c.stopped:
		// The writer may have answered as it stopped.
		select {
		case <-req.done:
			return req.Err
		default:
			return c.why
		}
	case <-ctx.Done():
		return Uncertain(ctx.Err())
	}
}

// Uncertain is the error of what may have been made, and perhaps was.
func Uncertain(err error) error {
	if errors.Is(err, store.ErrUnavailable) {
		return fmt.Errorf("%w: %v", store.ErrUncertain, err) //nolint:errorlint // that one says that nothing was applied
	}
	return fmt.Errorf("%w: %w", store.ErrUncertain, err)
}
