// Package store is the contract of durability: what a collection may rely on
// once a commit has been acknowledged.
//
// A Store keeps collections, each a definition and a set of items by id. All
// change goes through Commit, which is atomic and durable: when it returns nil
// the whole batch survives the loss of power, and when it returns an error
// nothing of it is, or ever becomes, visible, unless the error is
// ErrUncertain. Every commit has a sequence number (Seq), greater than that of
// every commit before it, and readers see commits in that order and whole.
//
//	S1  Durable before acknowledged.
//	S2  All or nothing; a batch applies its changes in order, the last one wins.
//	S3  Seq grows strictly in the order in which commits become visible.
//	S4  A View shows exactly the commits with sequence numbers up to View.Seq.
//	S5  Follow delivers every commit after a Seq once, in order, or says ErrGone.
//	S6  What is read was checked: damaged bytes are an error, never an item.
//
// The implementations run one suite, store/storetest.
package store

import (
	"context"
	"errors"

	"nearby/item"
)

// Seq numbers commits; 0 is before the first.
type Seq uint64

// Errors that callers decide on. Implementations wrap them with context.
var (
	// ErrCorrupt: bytes that were read are not those that were written.
	ErrCorrupt = errors.New("store: corrupt data")
	// ErrGone: the changes asked for are no longer kept; read a View and
	// follow from its Seq.
	ErrGone = errors.New("store: changes no longer kept")
	// ErrClosed: the store is closed, or closing.
	ErrClosed = errors.New("store: closed")
	// ErrUnavailable: the store cannot take writes now (disk full or failing,
	// database away). Nothing of the commit was applied.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrUncertain: whether the commit was applied is not known.
	ErrUncertain = errors.New("store: outcome of the commit unknown")
	// ErrLoss: the store opened with less than it had acknowledged.
	ErrLoss = errors.New("store: acknowledged data is missing")
	// ErrNoCollection: a change names a collection that is not defined.
	ErrNoCollection = errors.New("store: no such collection")
)

// Op is what a Change does.
type Op uint8

const (
	// PutItem inserts Item or replaces the item with its id.
	PutItem Op = iota + 1
	// DeleteItem removes the item with Item.ID; a missing one is no error.
	DeleteItem
	// PutCollection creates a collection or replaces its definition.
	PutCollection
	// DropCollection removes a collection with all its items.
	DropCollection
)

// Change is one step of a batch.
type Change struct {
	Op         Op
	Collection string    // name, 1 to 64 bytes
	Item       item.Item // PutItem: whole, its Seq is ignored and set by the store; DeleteItem: only ID
	Definition []byte    // PutCollection: opaque to the store
}

// Collection is a collection's name and definition.
type Collection struct {
	Name       string
	Definition []byte
}

// Store keeps collections durably. All methods may be called concurrently.
// Concurrent commits are made durable as a group where the implementation can.
type Store interface {
	// Commit applies the changes as one atomic, durable step and returns its
	// sequence number. The caller may reuse changes and everything they point
	// to once it returns. An empty batch returns the current head.
	Commit(ctx context.Context, changes []Change) (Seq, error)

	// View opens a consistent reading of the store at one sequence number,
	// all of it durable. The caller closes it.
	View(ctx context.Context) (View, error)

	// Follow calls deliver for every commit after the given sequence number,
	// in order, and then waits for more, until ctx ends, deliver fails or the
	// store closes; it returns that error. Each change carries the item as the
	// commit wrote it. The changes are valid during the call only.
	Follow(ctx context.Context, after Seq, deliver func(Seq, []Change) error) error

	// Close makes everything durable and releases the store. It waits for
	// commits that are under way and for views to be closed.
	Close() error
}

// View reads the store as it was at one sequence number. It may be used by
// several goroutines.
type View interface {
	// Seq is the last commit that the view shows.
	Seq() Seq
	// Collections lists all collections by name.
	Collections(ctx context.Context) ([]Collection, error)
	// Items calls yield for each item of a collection, possibly from parts
	// goroutines at once (part 0 … parts-1, each part a disjoint share in id
	// order). The item's memory is valid during the call only. An error from
	// yield stops the reading and is returned.
	Items(ctx context.Context, collection string, parts int, yield func(part int, it *item.Item) error) error
	// Get returns one item, or false.
	Get(ctx context.Context, collection, id string) (item.Item, bool, error)
	// Close releases the view.
	Close() error
}
