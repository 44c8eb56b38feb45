package collection

import (
	"errors"
	"fmt"
)

// Errors that callers decide on.
var (
	// ErrNotReady: the catalog is still being read from the store.
	ErrNotReady = errors.New("collection: not ready yet")
	// ErrNotFound: there is no such collection or item.
	ErrNotFound = errors.New("collection: not found")
	// ErrExists: an Insert names an id that is taken.
	ErrExists = errors.New("collection: the id exists already")
	// ErrPrecondition: the item is not in the version that the write demands.
	ErrPrecondition = errors.New("collection: precondition failed")
	// ErrNotTried: another write of the same request was refused before it.
	ErrNotTried = errors.New("collection: not tried after a write that was refused")
	// ErrBusy: the queue of writes is full.
	ErrBusy = errors.New("collection: too many writes are waiting")
	// ErrContended: others change the same items, or the same definition, all the time.
	// It is an ErrBusy.
	ErrContended = fmt.Errorf("%w: others change the same items all the time", ErrBusy)
	// ErrFull: the collection holds as many items as it can.
	ErrFull = errors.New("collection: full")
	// ErrClosed: the catalog is closed or the collection was dropped.
	ErrClosed = errors.New("collection: closed")
	// ErrBehind: what the reader demands to see did not come in time.
	ErrBehind = errors.New("collection: this copy is behind")
	// ErrReadOnly: the collection is kept elsewhere and cannot be written here.
	ErrReadOnly = errors.New("collection: read only")
	// ErrKeyReused: the key was used before, for another request.
	ErrKeyReused = errors.New("collection: the idempotency key belongs to another request")
	// ErrKeyInUse: a request with the same key is under way.
	ErrKeyInUse = errors.New("collection: a request with this idempotency key is under way")
	// ErrNotShared: there is nothing to compare with where nobody else writes the store.
	ErrNotShared = errors.New("collection: the store is not shared")
	// ErrNotCompared: the collections could not be compared with the store, which says
	// nothing good of them.
	ErrNotCompared = errors.New("collection: could not compare with the store")
)
