package collection

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"nearby/store"
	"nearby/table"
)

// Options of collections and of the catalog that holds them. The zero value of a limit takes
// its default.
type Options struct {
	Store store.Store
	Kinds table.Kinds
	Log   *slog.Logger

	MaxCollections int           // default 1000
	MaxItems       int           // in a collection; default 1<<31
	MemoryFull     func() bool   // whether no item may be added or made larger; nil: they may
	MemoryOver     func() bool   // whether so much is used that reading a store must end; nil: never
	MaxQueue       int           // requests that wait for a collection's writer; default 1024
	MaxGroup       int           // changes that are committed at once; default 8192
	CommitTimeout  time.Duration // default 30 s
	WritePolicy    string        // through or back, where a definition does not say; default through
	WriteBackDelay time.Duration // until acknowledged writes begin to be made durable, if back; default 200 ms
	MaxPending     int           // writes of a collection that are acknowledged and not durable; default 100,000
	VerifyEvery    time.Duration // between comparisons with a shared store; 0: none
	MaxWait        time.Duration // that a reader may wait for freshness; default 10 s
	MaxWaiters     int           // readers that wait for freshness; default 1024
}

// WithDefaults returns the options with a default for each limit that is zero.
func (o Options) WithDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxCollections == 0 {
		o.MaxCollections = 1000
	}
	if o.MaxItems == 0 {
		o.MaxItems = 1 << 31
	}
	if o.MaxQueue == 0 {
		o.MaxQueue = 1024
	}
	if o.MaxGroup == 0 {
		o.MaxGroup = 8192
	}
	if o.CommitTimeout == 0 {
		o.CommitTimeout = 30 * time.Second
	}
	if o.WritePolicy == "" {
		o.WritePolicy = WriteThrough
	}
	if o.WriteBackDelay == 0 {
		o.WriteBackDelay = 200 * time.Millisecond
	}
	if o.MaxPending == 0 {
		o.MaxPending = 100_000
	}
	if o.MaxWait == 0 {
		o.MaxWait = 10 * time.Second
	}
	if o.MaxWaiters == 0 {
		o.MaxWaiters = 1024
	}
	return o
}

// Collection is a named set of items with an index. All methods may be called
// concurrently.
type Collection struct {
	name      string
	epoch     store.Epoch
	opt       Options
	committer Committer
	writer    *Writer // only its own goroutine uses it

	current atomic.Pointer[Snapshot]
	queue   chan *Request
	calls   chan func()   // functions that run in the writer
	closing chan struct{} // closed: end when everything accepted is finished
	once    sync.Once     // closes closing
	stopped chan struct{} // closed when the writer has ended
	why     error         // why it ended; set before stopped is closed
	pending atomic.Int64  // items that are acknowledged and not durable
}

// State is what a collection begins with.
type State struct {
	Epoch      store.Epoch // the history of the store
	Table      *table.Table
	Definition Definition
	Defined    uint64 // the commit that wrote the definition
	Seq        uint64 // the last commit that the table shows
}

// New starts the writer of a collection. committer makes its Committer; nil takes the one for
// a store that nobody else writes.
func New(opt Options, s State, committer func(*Writer) Committer) *Collection {
	newest := &Snapshot{s.Table.Snapshot(), s.Definition, s.Defined, s.Seq}
	c := &Collection{
		name: s.Definition.Name, epoch: s.Epoch, opt: opt,
		queue:   make(chan *Request, opt.MaxQueue),
		calls:   make(chan func()),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
	}
	c.current.Store(newest)
	w := &Writer{Collection: c, table: s.Table, newest: newest}
	if committer == nil {
		committer = newDirect
	}
	c.committer = committer(w)
	c.writer = w
	go w.run()
	return c
}

// Name returns the collection's name.
func (c *Collection) Name() string { return c.name }

// Epoch names the history that the collection's sequence numbers count in.
func (c *Collection) Epoch() store.Epoch { return c.epoch }

// At is a position in the history of the collection.
func (c *Collection) At(seq uint64) store.CommitID {
	return store.CommitID{Epoch: c.epoch, Seq: store.Seq(seq)}
}

// Committer returns the one that New made.
func (c *Collection) Committer() Committer { return c.committer }

// Snapshot returns the newest version.
func (c *Collection) Snapshot() *Snapshot { return c.current.Load() }

// Queued is how many requests wait for the collection's writer.
func (c *Collection) Queued() int { return len(c.queue) }

// Pending is how many of its items were written and acknowledged, and are not yet
// durable.
func (c *Collection) Pending() int { return int(c.pending.Load()) }

// LossWindow is how long an acknowledged write may not yet be durable; 0 if it
// always is.
func (c *Collection) LossWindow() time.Duration { return c.committer.LossWindow(c.Snapshot()) }

// Do lets the writer call f between groups, and does not wait for it. It returns false if
// the writer has ended.
func (c *Collection) Do(f func()) bool {
	select {
	case c.calls <- f:
		return true
	case <-c.stopped:
		return false
	}
}

// InWriter calls f in the writer, when everything before is visible, and waits for it.
func (c *Collection) InWriter(ctx context.Context, f func(*Writer) error) error {
	var err error
	done := make(chan struct{})
	call := func() {
		defer close(done)
		c.committer.Settle()
		err = f(c.writer)
	}
	select {
	case c.calls <- call:
	case <-c.stopped:
		return c.why
	case <-ctx.Done():
		return ctx.Err()
	}
	<-done
	return err
}

// Stopped returns what is closed when the writer has ended.
func (c *Collection) Stopped() <-chan struct{} { return c.stopped }

// Close stops the writer after it has finished what was accepted.
func (c *Collection) Close() {
	c.once.Do(func() { close(c.closing) })
	<-c.stopped
}
