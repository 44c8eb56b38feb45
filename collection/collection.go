package collection

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"nearby/store"
	"nearby/table"
)

// Options of a catalog and its collections. The zero value of a limit takes its
// default.
type Options struct {
	Store store.Store
	Kinds table.Kinds
	Log   *slog.Logger

	MaxCollections int           // default 1000
	MaxItems       int           // in a collection; default 1<<31
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

func (o Options) withDefaults() Options {
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
	name       string
	generation *generation
	store      store.Store
	opt        Options
	log        *slog.Logger

	current atomic.Pointer[Snapshot]
	queue   chan *request
	control chan *request
	closing chan struct{}
	stopped chan struct{}

	complaints rate.Sometimes // about commits that fail

	shared     bool // others write the store, too
	deliveries chan *delivery
	closeOnce  sync.Once
	ending     chan struct{}          // closed: end at once
	why        atomic.Pointer[ending] // set before it is closed
	unflushed  atomic.Int64           // of the backlog

	// What follows belongs to the writer.
	table    *table.Table
	tip      *Snapshot     // the newest state whose index is there; while partial is set, readers do not have it yet
	building chan struct{} // closed when the index that is being built is in use; nil: none is
	failed   error         // set: no more writes until restart
	inFlight []*inFlight   // where others write the store, too; in the order of their requests
	turns    chan *inFlight
	partial  bool // the tip is not the state after any commit
	backlog  backlog
}

// newCollection starts the writer of a collection whose first snapshot is tip.
func newCollection(opt Options, gen *generation, tip *Snapshot, t *table.Table) *Collection {
	c := &Collection{
		name: tip.def.Name, generation: gen, store: opt.Store, opt: opt, log: opt.Log,
		queue:   make(chan *request, opt.MaxQueue),
		control: make(chan *request),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
		tip:     tip, table: t,
		complaints: rate.Sometimes{Interval: time.Second},
		deliveries: make(chan *delivery), ending: make(chan struct{}), turns: make(chan *inFlight),
	}
	c.current.Store(tip)
	if _, c.shared = opt.Store.(store.Shared); c.shared {
		go c.runShared()
	} else {
		go c.run()
	}
	return c
}

// Name returns the collection's name.
func (c *Collection) Name() string { return c.name }

// Epoch names the history that the collection's sequence numbers count in.
func (c *Collection) Epoch() store.Epoch { return c.generation.epoch }

// At is a position in the history of the collection.
func (c *Collection) At(seq uint64) store.Position {
	return store.Position{Epoch: c.generation.epoch, Seq: store.Seq(seq)}
}

// Snapshot returns the newest version.
func (c *Collection) Snapshot() *Snapshot { return c.current.Load() }

// publish shows the table as it is now, which has every commit up to seq.
func (c *Collection) publish(seq uint64) {
	c.tip = &Snapshot{c.table.Snapshot(), c.tip.def, c.tip.defined, max(seq, c.tip.seq)}
	if !c.partial {
		c.current.Store(c.tip)
	}
}

// inWriter runs f in the writer, between groups.
func (c *Collection) inWriter(ctx context.Context, f func() error) error {
	req := &request{run: f, done: make(chan struct{})}
	select {
	case c.control <- req:
	case <-c.stopped:
		return c.ended()
	case <-ctx.Done():
		return ctx.Err()
	}
	<-req.done
	return req.err
}

// close stops the writer after it has finished what was accepted.
func (c *Collection) close() {
	c.closeOnce.Do(func() { close(c.closing) })
	<-c.stopped
}

// ended is why the writer stopped.
func (c *Collection) ended() error {
	if why := c.why.Load(); why != nil {
		return why.of(nil)
	}
	return ErrClosed
}
