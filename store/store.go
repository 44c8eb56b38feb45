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
// Every Store guarantees:
//
//	S1  Durable before acknowledged.
//	S2  All or nothing; a batch applies its changes in order, the last one wins.
//	S3  Seq grows strictly in the order in which commits become visible.
//	S4  A View shows exactly the commits with sequence numbers up to View.Seq.
//	S5  What is read was checked: damaged bytes are an error, never an item.
//	S6  A receipt is kept with the changes of its commit. Its key is taken once in
//	    its collection; when the collection is dropped the receipt goes with it.
//
// Only one process writes a Store that is not Shared. It knows what it has committed,
// so it need not read that back, nor guard it against others.
//
// Other processes write a Shared store, too. It also guarantees:
//
//	S7  A change that expects a version, of an item or of a collection's
//	    definition, is made only if that is the newest.
//	S8  Follow leads from a CommitID to every later one in steps, each from one
//	    commit to another, none left out, or says ErrGone or ErrForked.
//
// The Epoch tells the history of a Shared store from another, that of a restored or
// promoted database.
//
// The package store/storetest has a suite for every Store and one for every Shared
// store, which the implementations run.
package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"nearby/item"
)

// Seq numbers commits; 0 is before the first.
type Seq uint64

// Epoch names a history: 1 to 32 letters and digits. Seqs of two epochs have
// nothing to do with each other.
type Epoch string

// CommitID names a commit: the one with the number Seq in the history Epoch. It also names the
// state after that commit; Seq 0 is the state before the first.
type CommitID struct {
	Epoch Epoch
	Seq   Seq
}

// Errors that callers decide on. Implementations wrap them with context.
var (
	// ErrCorrupt: bytes that were read are not those that were written.
	ErrCorrupt = errors.New("corrupt data")
	// ErrGone: the changes asked for are no longer kept; read a View and
	// follow from its Seq.
	ErrGone = errors.New("the changes since then are no longer kept")
	// ErrClosed: the store is closed, or closing.
	ErrClosed = errors.New("the store is closed")
	// ErrUnavailable: the store cannot take writes now (disk full or failing,
	// database away). Nothing of the commit was applied.
	ErrUnavailable = errors.New("the store is unavailable")
	// ErrLocked: an item that a change is about is held by another program's
	// transaction. It is an ErrUnavailable.
	ErrLocked error = &UnavailableError{Reason: "an item of the write is held by an open transaction of another program; the write can be made when that has ended"}
	// ErrNoSpace: the disk is full. It is an ErrUnavailable; a commit that only
	// removes may still be made.
	ErrNoSpace error = &UnavailableError{Reason: "there is too little space left; writes are taken again when there is more"}
	// ErrRestored: the store is being restored from a backup, or was restored and
	// nobody has said yet that everything is back. It is an ErrUnavailable.
	ErrRestored error = &UnavailableError{Reason: "the database is being restored, or was restored and is not released; whoever restores it releases it when everything is back"}
	// ErrUncertain: whether the commit was applied is not known.
	ErrUncertain = errors.New("it is not known whether the write was made")
	// ErrLoss: the store opened with less than it had acknowledged.
	ErrLoss = errors.New("acknowledged data is missing")
	// ErrNoCollection: a change names a collection that is not defined. Its text comes
	// after the name.
	ErrNoCollection = errors.New("does not exist")
	// ErrForked: the store's history is not the one of that epoch; read a View.
	ErrForked = errors.New("the store has another history")
	// ErrReadOnly: this store takes no commits from here, now or ever.
	ErrReadOnly = errors.New("the store takes no writes")
	// ErrAttached: the items of the collection come from a table, and can be changed
	// only there. It is an ErrReadOnly.
	ErrAttached = fmt.Errorf("%w for a collection whose items come from a table", ErrReadOnly)
)

// UnavailableError is an ErrUnavailable that says why in words for everybody: callers
// find them in the answer to their write, and operators in what the server says of
// itself.
type UnavailableError struct {
	// Reason is what is wrong, and what the operator can do. It has no path, no
	// address, no name of a role and nothing else that is not for callers.
	Reason string
	// Kind is one of the errors above that is an ErrUnavailable, or nil for no other.
	Kind error
	// Err is what happened, for the log; or nil.
	Err error
}

func (e *UnavailableError) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + " (" + e.Err.Error() + ")"
}

func (e *UnavailableError) Unwrap() []error {
	all := []error{ErrUnavailable}
	for _, err := range []error{e.Kind, e.Err} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// Reason is that of the *UnavailableError that an error is, or "".
func Reason(err error) string {
	if e := (*UnavailableError)(nil); errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// StaleError says that a change expects a version which is not the newest (S7).
// Nothing of the commit was applied.
type StaleError struct {
	Head Seq // the newest version is to be seen by then
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("a change is based on a version that commit %d, or one before it, has replaced", e.Head)
}

// RepeatedError says that keys of a commit's receipts are taken (S6). Nothing of
// the commit was applied.
type RepeatedError struct {
	Receipts []Receipt // those that are kept
}

func (e *RepeatedError) Error() string {
	return fmt.Sprintf("%d idempotency keys of the commit are taken", len(e.Receipts))
}

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

// Change is one step of a batch. The caller guarantees that names are names of collections
// (collection.CheckName), that an item which is put has a valid id and position (item.CheckID,
// item.CheckPosition), and that one which is deleted has an id that can be stored
// (item.CheckStoredID). A store does not check that again. It refuses what CheckBatch does,
// and a collection that is not defined.
type Change struct {
	Op         Op
	Collection string    // name, 1 to 64 bytes
	Item       item.Item // PutItem: whole, its Seq is ignored and set by the store; DeleteItem: only ID
	Definition []byte    // PutCollection: a JSON object, opaque to the store

	// Expects says that the change is to be made only if the item is in the version
	// Expected, that is, was last written by that commit; 0: only if there is none.
	// For a change of a collection it is about the collection's definition. It is
	// about the state before the commit, so only the first change of an item, or of
	// a collection, in a commit may have it. A store that is not Shared passes over
	// it: the one process that writes it knows the newest version.
	Expects  bool
	Expected Seq
}

// Clone returns the change with memory of its own.
func (c *Change) Clone() Change {
	own := *c
	own.Collection = strings.Clone(c.Collection)
	own.Definition = bytes.Clone(c.Definition)
	own.Item.ID = strings.Clone(c.Item.ID)
	own.Item.Properties = bytes.Clone(c.Item.Properties)
	return own
}

// Receipt is kept with a commit, so that who does not know whether it was made can
// ask. It is kept for at least KeepReceipts, if its collection is not dropped: one
// that is made again with the same name knows nothing of it.
type Receipt struct {
	Collection string // exists before the commit, or is created by it
	Key        string // 1 to MaxKeyBytes bytes of UTF-8 without NUL, unique in the collection
	Outcome    []byte // opaque to the store
	Seq        Seq    // of the commit; set by the store
}

// MaxKeyBytes and KeepReceipts are the limits of receipts.
const (
	MaxKeyBytes  = 512
	KeepReceipts = 24 * time.Hour
)

// Collection is a collection's name and definition.
type Collection struct {
	Name       string
	Definition []byte
	Seq        Seq // of the commit that wrote the definition
}

// Store keeps collections durably. All methods may be called concurrently.
// Concurrent commits are made durable as a group where the implementation can.
type Store interface {
	// Commit applies the changes as one atomic, durable step and returns its
	// sequence number. The caller may reuse changes and everything they point
	// to once it returns. An empty batch returns the current head. It fails with
	// *RepeatedError if S6 demands it. ErrUncertain with a sequence number says that
	// this store has the commit, and later ones rest on it, but that the next start may
	// not find what this store has.
	//
	// A Shared store fails with *StaleError if S7 demands it. If S6 and S7 do, it fails
	// with *RepeatedError, so that who makes a commit again learns that it was made.
	Commit(ctx context.Context, changes []Change, receipts ...Receipt) (Seq, error)

	// Receipt returns the receipt that a collection has under a key, or false.
	Receipt(ctx context.Context, collection, key string) (Receipt, bool, error)

	// View opens a consistent reading of the store at one sequence number,
	// all of it durable. The caller closes it.
	View(ctx context.Context) (View, error)

	// Close makes everything durable and releases the store. It waits for
	// commits that are under way and for views to be closed.
	Close() error
}

// Step is what Shared.Follow delivers. It leads from one commit to a later one. What it
// points to is valid during the call of deliver only.
type Step struct {
	// Seq is the commit after which the store was as it is after the step. It is
	// that of the step before if nothing has changed since.
	Seq Seq
	// Changes are in order. Each carries the item as it was written, Item.Seq
	// included, for a deletion that of the commit; Item.Seq of a change of a
	// collection is that of its commit, too. Changes that a later one of the
	// same step takes back may be left out, and with them whole commits. To drop
	// what is not there, or to delete it, is no error.
	Changes []Change
	// More says that the step goes on with the next call; what was delivered so
	// far is not the state after any commit and must not be shown.
	More bool
	// At: what was committed before it is in this step or one before.
	At time.Time
	// View, when not nil, is what Inspect asked for: it reads the state after this
	// step. The receiver closes it.
	View DigestView
}

// Watched is a store that notices by itself when it cannot take writes.
type Watched interface {
	Store

	// Fault says why commits would be refused now, or is nil. It is cheap. It is an
	// *UnavailableError, the one that a refused commit fails with.
	Fault() error
}

// Shared is a store that other processes write, too. Once Follow was begun, commits
// belong to its history: if the database turns out to have another they fail with
// ErrUnavailable until Follow is begun in that one, for what they rest on, and the
// number that they would get, are not what their caller takes them for.
type Shared interface {
	Store

	// Head asks the database for its newest position. It was that at some moment
	// between the call and the return.
	Head(ctx context.Context) (CommitID, error)

	// Follow delivers steps that lead from a position to every later one, in
	// order, and then waits for more, until ctx ends, deliver fails or the store
	// closes; it returns that error. While nothing is committed it delivers empty
	// steps now and then, from which the receiver knows by Step.At how far it is up
	// to date. Only one Follow may run.
	Follow(ctx context.Context, after CommitID, deliver func(*Step) error) error

	// Inspect makes the Follow that runs deliver a step with a View soon, if it
	// can; the state after that step and the View are the same, commit for commit.
	Inspect()
}

// Copying is a store some of whose collections are kept like tables of other programs.
type Copying interface {
	Store

	// Behind says of which collections that cannot be done, and why, or is nil. It is an
	// *UnavailableError. It is cheap.
	Behind() error
}

// Renewing is a Shared store that can begin another history.
type Renewing interface {
	Shared

	// Renew begins another history, with the same content, unless the one named has
	// ended. It is for when numbers of that one were seen with what they do not stand for.
	Renew(ctx context.Context, of Epoch) error
}

// View reads the store as it was at one sequence number. It may be used by
// several goroutines.
type View interface {
	// At is the last commit that the view shows.
	At() CommitID
	// Collections lists all collections by name.
	Collections(ctx context.Context) ([]Collection, error)
	// Items calls yield for each item of a collection, possibly from parts
	// goroutines at once (part 0 … parts-1, each part a disjoint share). The item's
	// memory is valid during the call only. An error from yield stops the reading
	// and is returned.
	Items(ctx context.Context, collection string, parts int, yield func(part int, it *item.Item) error) error
	// Get returns one item, or false.
	Get(ctx context.Context, collection, id string) (item.Item, bool, error)
	// Close releases the view.
	Close() error
}
