package collection

import (
	"errors"
	"fmt"
)

// Errors that callers decide on.
var (
	// ErrNotReady: the catalog is still being read from the store.
	ErrNotReady = errors.New("the collections are not read yet")
	// ErrNotFound: there is no such collection or item.
	ErrNotFound = errors.New("it does not exist")
	// ErrExists: an Insert names an id that is taken.
	ErrExists = errors.New("an item with this id exists already")
	// ErrPrecondition: the item is not in the version that the write demands.
	ErrPrecondition = errors.New("the condition does not hold")
	// ErrNotTried: another write of the same request was refused before it.
	ErrNotTried = errors.New("it was not tried, because a write before it was refused")
	// ErrBusy: the queue of writes is full.
	ErrBusy = errors.New("too many writes are waiting")
	// ErrContended: others change the same items, or the same definition, all the time.
	// It is an ErrBusy.
	ErrContended = Refuse(ErrBusy, "others change the same items all the time")
	// ErrMemory: the server's memory is full.
	ErrMemory = errors.New("the server's memory is full")
	// ErrFull: the collection holds as many items as it may, or the catalog as many collections.
	ErrFull = errors.New("it is full")
	// ErrClosed: the catalog is closed or the collection was dropped.
	ErrClosed = errors.New("the collection is closed")
	// ErrBehind: what the reader demands to see did not come in time.
	ErrBehind = errors.New("this server is not as new as was asked for")
	// ErrReadOnly: the collection is kept elsewhere and cannot be written here.
	ErrReadOnly = errors.New("the collection takes no writes")
	// ErrKeyReused: the key was used before, for another request.
	ErrKeyReused = errors.New("the idempotency key belongs to another request")
	// ErrKeyInUse: a request with the same key is under way.
	ErrKeyInUse = errors.New("a request with this idempotency key is under way")
	// ErrComparing: another comparison with the store is under way.
	ErrComparing = errors.New("another comparison is under way")
	// ErrNotShared: no other server writes the store, so there is nothing to compare.
	ErrNotShared = errors.New("no other server writes the store")
	// ErrNotCompared: the collections could not be compared with the store, so they may differ.
	ErrNotCompared = errors.New("the collections could not be compared with the store")
)

// refusal is an error of one of the kinds above, in a sentence that the caller may read: it
// names what was refused, and does not repeat the text of its kind.
type refusal struct{ kind, err error }

// Refuse makes an error of a kind. Its text is that of format and args alone, which are as
// in fmt.Errorf.
func Refuse(kind error, format string, args ...any) error {
	return &refusal{kind, fmt.Errorf(format, args...)}
}

func (r *refusal) Error() string   { return r.err.Error() }
func (r *refusal) Unwrap() []error { return []error{r.kind, r.err} }

// NotFound is the ErrNotFound about a collection.
func NotFound(name string) error { return Refuse(ErrNotFound, "collection %q does not exist", name) }
