package collection

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/paulmach/orb"

	"nearby/index"
	"nearby/store"
)

// Options of a catalog and its collections. The zero value of a limit takes its
// default.
type Options struct {
	Store store.Store
	Kinds Kinds
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
	name  string
	world *world
	store store.Store
	opt   Options
	log   *slog.Logger

	current atomic.Pointer[Snapshot]
	queue   chan *request
	control chan *request
	closing chan struct{}
	stopped chan struct{}

	complaints sometimes // about commits that fail

	shared     bool // others write the store, too
	deliveries chan *delivery
	closeOnce  sync.Once
	ending     chan struct{}          // closed: end at once
	why        atomic.Pointer[ending] // set before it is closed
	unflushed  atomic.Int64           // of the backlog

	// What follows belongs to the writer.
	tip     *Snapshot
	arena   arena
	refs    refPool
	grave   []index.Ref // deleted, but still named by an index that is being built
	rebuild rebuild
	failed  error     // set: no more writes until restart
	flights []*flight // where others write the store, too; in the order of their requests
	turns   chan *flight
	partial bool // the tip is not the state after any commit
	backlog backlog
}

// newCollection starts the writer of a collection whose first snapshot is tip.
func newCollection(opt Options, w *world, tip *Snapshot, a arena, refs refPool) *Collection {
	c := &Collection{
		name: tip.def.Name, world: w, store: opt.Store, opt: opt, log: opt.Log,
		queue:   make(chan *request, opt.MaxQueue),
		control: make(chan *request),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
		tip:     tip, arena: a, refs: refs,
		deliveries: make(chan *delivery), ending: make(chan struct{}), turns: make(chan *flight),
	}
	c.current.Store(tip)
	if _, c.shared = opt.Store.(store.Shared); c.shared {
		go c.runShared()
	} else {
		go c.run()
	}
	return c
}

// sometimes is true at most once a second, so that what repeats does not fill a log.
type sometimes struct{ last atomic.Int64 }

func (s *sometimes) now() bool {
	now, last := time.Now().UnixNano(), s.last.Load()
	return now-last >= int64(time.Second) && s.last.CompareAndSwap(last, now)
}

// Name returns the collection's name.
func (c *Collection) Name() string { return c.name }

// Epoch names the history that the collection's sequence numbers count in.
func (c *Collection) Epoch() store.Epoch { return c.world.epoch }

// At is a position in the history of the collection.
func (c *Collection) At(seq uint64) store.Position {
	return store.Position{Epoch: c.world.epoch, Seq: store.Seq(seq)}
}

// Snapshot returns the newest version.
func (c *Collection) Snapshot() *Snapshot { return c.current.Load() }

// publish makes a snapshot the newest.
func (c *Collection) publish(s *Snapshot) {
	c.tip = s
	if !c.partial {
		c.current.Store(s)
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

// next returns a snapshot like s for the writer to change.
func (s *Snapshot) next(seq uint64) *Snapshot {
	n := &Snapshot{
		def: s.def, defined: s.defined, seq: max(seq, s.seq), records: s.records, ids: s.ids, index: s.index,
		choice: s.choice, extent: s.extent, times: s.times, rebuilding: s.rebuilding,
		shape: s.shape, properties: s.properties,
		columns: make([]column, len(s.columns)),
	}
	copy(n.columns, s.columns)
	return n
}

// emptyExtent holds nothing and grows by extend.
func emptyExtent() orb.Bound {
	return orb.Bound{Min: orb.Point{180, 90}, Max: orb.Point{-180, -90}}
}

func (s *Snapshot) extend(p index.Position) {
	s.extent.Min[0], s.extent.Min[1] = min(s.extent.Min[0], p.Lon), min(s.extent.Min[1], p.Lat)
	s.extent.Max[0], s.extent.Max[1] = max(s.extent.Max[0], p.Lon), max(s.extent.Max[1], p.Lat)
}

// points lists the items' places.
func (s *Snapshot) points() []index.Point {
	points := make([]index.Point, 0, s.ids.n)
	s.ids.walk(&s.records, "", func(ref index.Ref) bool {
		lon, lat := s.records.Position(ref)
		points = append(points, index.Point{Ref: ref, Lon: lon, Lat: lat})
		return true
	})
	return points
}
