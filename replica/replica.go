package replica

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"nearby/collection"
	"nearby/store"
)

// Replica keeps the collections of a store up with what others write to it.
type Replica struct {
	opt    collection.Options
	shared store.Shared
	read   func(context.Context) (*Generation, error)

	mu           sync.Mutex // held while the generation is replaced
	generation   atomic.Pointer[Generation]
	replaced     chan struct{} // closed when the generation is replaced
	rebuilt      atomic.Int64
	stop         context.CancelFunc
	followed     chan struct{} // closed when nothing follows the store any more
	verification verification
}

// New returns a replica of a store. read reads everything that the store has, as a new
// generation, whose collections have what Committer returns.
func New(opt collection.Options, shared store.Shared, read func(context.Context) (*Generation, error)) *Replica {
	return &Replica{opt: opt, shared: shared, read: read, replaced: make(chan struct{})}
}

// Committer returns what collection.New needs for a collection of a generation.
func (r *Replica) Committer(gen *Generation) func(*collection.Writer) collection.Committer {
	return func(w *collection.Writer) collection.Committer {
		return &committer{Writer: w, generation: gen, shared: r.shared, alarm: time.NewTimer(time.Hour)}
	}
}

// Start begins to follow the store from what was read of it, and to verify now and then if
// the options say so. Stop must be called in the end.
func (r *Replica) Start(gen *Generation) {
	r.generation.Store(gen)
	following, stop := context.WithCancel(context.Background())
	r.stop, r.followed = stop, make(chan struct{})
	go r.follow(following)
	if r.opt.VerifyEvery > 0 {
		go r.verifyAgain(following)
	}
}

// Stop ends the following.
func (r *Replica) Stop() {
	if r.stop != nil {
		r.stop()
		<-r.followed
	}
}

// Generation returns the newest; nil before Start.
func (r *Replica) Generation() *Generation { return r.generation.Load() }

// Rebuilt is how often everything was read again.
func (r *Replica) Rebuilt() int { return int(r.rebuilt.Load()) }

// follow keeps the generation up with the store until ctx ends or the store closes.
func (r *Replica) follow(ctx context.Context) {
	defer close(r.followed)
	for {
		gen := r.generation.Load()
		f := &follower{replica: r, generation: gen, touched: map[*collection.Collection]bool{}}
		err := r.shared.Follow(ctx, gen.At(), f.deliver)
		if ctx.Err() != nil || errors.Is(err, store.ErrClosed) {
			return
		}
		r.opt.Log.Warn("the collections are read again", "epoch", gen.epoch, "seq", gen.applied.Load(), "reason", err)
		next, ok := r.readAgain(ctx)
		if !ok {
			return
		}
		r.replace(gen, next)
	}
}

// retryPause is between attempts to read everything again.
const retryPause = time.Second

// readAgain reads the store until it succeeds or ctx ends.
func (r *Replica) readAgain(ctx context.Context) (*Generation, bool) {
	for {
		begun := time.Now()
		gen, err := r.read(ctx)
		if err == nil {
			r.opt.Log.Info("the collections were read again", "epoch", gen.epoch, "seq", gen.applied.Load(), "microseconds", time.Since(begun).Microseconds())
			return gen, true
		}
		if ctx.Err() != nil || errors.Is(err, store.ErrClosed) {
			return nil, false
		}
		r.opt.Log.Error("the collections cannot be read again; the old ones stay", "error", err)
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return nil, false
		}
	}
}

// replace puts a generation in the place of another. What the old one's collections
// have not finished is answered, and what is not yet durable goes over.
func (r *Replica) replace(old, next *Generation) {
	r.mu.Lock()
	r.generation.Store(next)
	close(r.replaced)
	r.replaced = make(chan struct{})
	r.mu.Unlock()
	r.rebuilt.Add(1)
	for name, col := range old.All() {
		end(col, ending{successor: next})
		if heir, err := next.Get(name); err == nil {
			handOver(col, heir)
		}
	}
}

// now returns the generation and what is closed when another takes its place.
func (r *Replica) now() (*Generation, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.generation.Load(), r.replaced
}

// CatchUp waits until every commit up to a position is visible, and returns the generation
// of which that is true. strong asks for everything that was acknowledged before the call. A
// position in another history than the store's counts as strong.
func (r *Replica) CatchUp(ctx context.Context, want store.CommitID, strong bool) (*Generation, error) {
	for {
		gen, replaced := r.now()
		if !strong && want.Epoch != gen.epoch {
			strong = true // the position is of another history than ours: which one is the store's?
		}
		if strong {
			head, err := r.shared.Head(ctx)
			switch {
			case ctx.Err() != nil:
				return nil, collection.Refuse(collection.ErrBehind, "the store does not tell which commit is its newest")
			case err != nil:
				return nil, err
			}
			want, strong = head, false
		}
		if want.Epoch == gen.epoch {
			if err := gen.await(ctx, uint64(want.Seq)); err != nil {
				return nil, behind(gen, want)
			}
			return gen, nil
		}
		select {
		case <-replaced:
		case <-ctx.Done():
			return nil, behind(gen, want)
		}
	}
}

func behind(gen *Generation, want store.CommitID) error {
	if want.Epoch != gen.epoch {
		return collection.Refuse(collection.ErrBehind, "this server has another history than the one that was asked for")
	}
	return collection.Refuse(collection.ErrBehind, "this server shows commit %d, and not yet %d", gen.applied.Load(), want.Seq)
}

// GiveUp ends a collection that cannot make durable in time what it has acknowledged.
func GiveUp(col *collection.Collection, err error) { end(col, ending{err: err}) }
