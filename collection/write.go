package collection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nearby/item"
	"nearby/store"
)

// Action is what a Write does.
type Action uint8

const (
	Upsert Action = iota + 1 // insert or replace
	Insert                   // ErrExists if the id is taken
	Keep                     // insert, or leave the item that is there as it is
	Merge                    // insert, or merge into the item that is there
	Patch                    // merge; ErrNotFound if there is no such item
	Delete                   // ErrNotFound if there is no such item
)

// merges reports whether the properties of a write are a patch.
func (o Action) merges() bool { return o == Merge || o == Patch }

// Write is one change that a caller asks for.
type Write struct {
	Action Action
	Item   item.Item // Delete needs only the ID. An empty ID is made up (not for Delete).
	// In a Merge and a Patch, Properties is a JSON merge patch (RFC 7396). The writer
	// applies it to the newest version of the item. null removes a property. NoPosition
	// says that the item keeps its position; then a Merge, too, needs an item that exists.
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
	// IfUnmodified, when not zero, is a time in whole seconds. It demands that the item
	// was not written after it; ErrPrecondition otherwise. A missing item is no error.
	IfUnmodified time.Time
}

// Conditional reports whether a write depends on what there is.
func (w *Write) Conditional() bool {
	return w.IfSeq != nil || w.IfNotSeq != nil || w.IfExists || w.IfAbsent || !w.IfUnmodified.IsZero()
}

// Unmodified reports whether an item that was last written at updated, in Unix milliseconds,
// was not written after since, a time in whole seconds. If updated is ahead of now, the clock
// was set back meanwhile. Then several versions may have been written in the second since, and
// Unmodified returns false for them.
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
	// Replaced: a later write of the same commit has replaced this version, so no reader
	// ever sees it. Seq is that of the later version.
	Replaced bool
	Times    struct{ Created, Updated int64 }
	Pending  bool  // visible here, and durable within Collection.LossWindow
	Err      error // why this write was refused; the others of its request stand
}

// Request is what one caller hands to the writer. The writer sets the Results and then calls
// Answer.
type Request struct {
	Writes  []Write
	Key     *IdempotencyKey // nil: none
	Results []Result
	Err     error

	strict bool // nothing is done after the first write that is refused
	done   chan struct{}
}

// Answer ends a request. An error means that none of its writes was made, unless it is
// store.ErrUncertain.
func (r *Request) Answer(err error) {
	r.Err = err
	close(r.done)
}

// Write makes changes durable and visible and returns one result for each, in
// order. A refused write does not hinder the others. An error means that no write was made.
// The exception is store.ErrUncertain: the writes may have been made. If ctx ends while
// Write waits, the error is ErrUncertain. The caller must not change writes before Write
// returns, and never if ctx has ended.
func (c *Collection) Write(ctx context.Context, writes []Write) ([]Result, error) {
	wait, err := c.Begin(writes)
	if err != nil {
		return nil, err
	}
	return wait(ctx)
}

// Begin is Write in two steps. It queues the writes; wait, which must be called once,
// returns their outcome. The writer makes them in the order in which they were begun. So a
// caller may begin the next writes while the writer is busy with the last.
func (c *Collection) Begin(writes []Write) (wait func(context.Context) ([]Result, error), err error) {
	return c.begin(&Request{Writes: writes})
}

// BeginStrict is Begin, but the first write that is refused ends the request: the writes
// after it are not made, and have the error ErrNotTried.
func (c *Collection) BeginStrict(writes []Write) (wait func(context.Context) ([]Result, error), err error) {
	return c.begin(&Request{Writes: writes, strict: true})
}

// Writable returns an ErrReadOnly if the items of the collection come from a table of the
// database. Begin calls it; a caller may call it before it reads what to write.
func (c *Collection) Writable() error {
	if src := c.Snapshot().def.Source; src != nil {
		return Refuse(ErrReadOnly, "the items of collection %q come from the table %s and can be changed only there", c.name, src.Table)
	}
	return nil
}

// begin queues a request.
func (c *Collection) begin(req *Request) (wait func(context.Context) ([]Result, error), err error) {
	if len(req.Writes) == 0 {
		return func(context.Context) ([]Result, error) { return nil, nil }, nil
	}
	if err := c.Writable(); err != nil {
		return nil, err
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
		select {
		case <-req.done:
		case <-c.stopped:
			select {
			case <-req.done: // the writer has answered as it stopped
			default:
				return nil, c.why
			}
		case <-ctx.Done():
			return nil, Uncertain(ctx.Err())
		}
		if req.Err != nil {
			return nil, req.Err
		}
		return req.Results, nil
	}, nil
}

// Uncertain wraps the error of a write that may have been made: the result is a
// store.ErrUncertain.
func Uncertain(err error) error {
	if errors.Is(err, store.ErrUnavailable) {
		return fmt.Errorf("%w: %v", store.ErrUncertain, err) //nolint:errorlint // that one says that nothing was applied
	}
	return fmt.Errorf("%w: %w", store.ErrUncertain, err)
}
