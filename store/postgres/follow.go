package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store"
	"nearby/store/postgres/database"
)

// Follow is part of store.Shared. If the database cannot be reached, Follow tries again until
// it can.
func (s *Store) Follow(ctx context.Context, after store.CommitID, deliver func(*store.Step) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	s.history.Store(&after.Epoch)
	ctx, cancel := context.WithCancelCause(ctx)
	stopped := make(chan struct{})
	go func() { // Close ends Follow
		defer close(stopped)
		select {
		case <-s.closing:
			cancel(store.ErrClosed)
		case <-ctx.Done():
		}
	}()
	f := &follower{s: s, pos: after, deliver: deliver, own: s.recent.enter(), notified: make(chan struct{}, 1), away: true}
	s.applied.Store(uint64(after.Seq))
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		if !s.db.ReadOnly() { // a standby cannot notify
			s.listen(ctx, f.notified)
		}
	}()
	err := f.run(ctx)
	cancel(nil)
	<-listening
	<-stopped
	f.hangUp()
	s.applied.Store(0) // nobody follows
	s.lost.Store(nil)
	s.recent.leave(f.own)
	s.inFlight.Done()
	return err
}

// Inspect is part of store.Shared.
func (s *Store) Inspect() { signal(s.inspect) }

// Fault is part of store.Watched. It is nil as long as the database is away for less than
// AwayTimeout, because commits wait that long.
func (s *Store) Fault() error {
	if s.restored.Load() {
		return store.ErrRestored
	}
	if fault := s.fault.Load(); fault != nil {
		return *fault
	}
	if lost := s.lost.Load(); lost != nil && time.Since(lost.since) > s.opt.AwayTimeout {
		return lost.why
	}
	return nil
}

// Behind is part of store.Copying.
func (s *Store) Behind() error { return s.attached.Behind() }

// loss says since when, and why, the database cannot be followed.
type loss struct {
	since time.Time
	why   error
}

// follower is the state of one call of Follow.
type follower struct {
	s        *Store
	pos      store.CommitID // the newest commit that was delivered
	deliver  func(*store.Step) error
	own      chan struct{} // signalled when this store has committed
	notified chan struct{} // signalled when another session has committed
	inspect  bool          // Inspect was called, and no view was delivered since

	conn *pgx.Conn
	away bool          // the last read failed
	wait time.Duration // the pause after it
}

// deliveryError is an error that deliver returned. It ends Follow.
type deliveryError struct{ err error }

func (e *deliveryError) Error() string { return e.err.Error() }
func (e *deliveryError) Unwrap() error { return e.err }

func (f *follower) run(ctx context.Context) error {
	poll := time.NewTimer(0)
	defer poll.Stop()
	for {
		read := false
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-poll.C:
			read = true
		case <-f.notified:
			read = true
		case <-f.own:
		case <-f.s.inspect:
			f.inspect = true
		}
		err := f.step(ctx, read)
		var d *deliveryError
		next := f.s.opt.PollInterval
		switch {
		case err == nil:
			f.back()
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &d):
			return d.err
		case errors.Is(err, store.ErrGone), errors.Is(err, store.ErrForked), errors.Is(err, store.ErrCorrupt):
			return err
		default:
			next = f.lost(err)
			// The pause is here, so that a signal does not end it early.
			if err := pause(ctx, next, f.s.closing); err != nil {
				return f.s.closedOr(context.Cause(ctx))
			}
			next = 0
		}
		poll.Reset(next)
	}
}

func (f *follower) hangUp() {
	if f.conn != nil {
		database.HangUp(f.conn)
		f.conn = nil
	}
}

// lost records that the database could not be read, and returns how long to wait.
func (f *follower) lost(err error) time.Duration {
	f.hangUp()
	restored := errors.Is(err, store.ErrRestored)
	if f.s.restored.Swap(restored) != restored || !f.away || f.wait == 0 {
		f.s.opt.Log.Warn("the database cannot be read; what is served is from before", "error", err)
	}
	now := &loss{time.Now(), database.Unavailable(err)}
	if before := f.s.lost.Load(); before != nil {
		now.since = before.since
	}
	f.s.lost.Store(now)
	f.away = true
	f.s.stats.connected.Store(false)
	f.wait = min(max(2*f.wait, retryPause), time.Second)
	return f.wait
}

// back records that the database was read.
func (f *follower) back() {
	if f.away && f.wait > 0 {
		f.s.opt.Log.Info("the database can be read again")
	}
	f.away, f.wait = false, 0
	f.s.restored.Store(false)
	f.s.lost.Store(nil)
	f.s.stats.connected.Store(true)
}

// step delivers what is new. It takes the store's own commits from memory as long as no other
// commit lies between. It reads the rest from the database if read is true, or if it knows
// that there are own commits behind those of others.
func (f *follower) step(ctx context.Context, read bool) error {
	for !f.inspect && ctx.Err() == nil {
		b, next, more := f.s.recent.after(f.pos)
		if !next {
			read = read || more
			break
		}
		f.s.stats.ownSteps.Add(1)
		if err := f.hand(&store.Step{Seq: b.last, Changes: b.changes, At: b.at}); err != nil {
			return err
		}
	}
	if read || f.inspect {
		return f.read(ctx)
	}
	return nil
}

// hand delivers a step, or a part of one.
func (f *follower) hand(step *store.Step) error {
	if err := f.deliver(step); err != nil {
		return &deliveryError{err}
	}
	if !step.More {
		f.pos.Seq = step.Seq
		f.s.applied.Store(uint64(step.Seq))
	}
	return nil
}

// read reads what is new, in one snapshot, and delivers it.
func (f *follower) read(ctx context.Context) error {
	if f.inspect {
		return f.readWithView(ctx)
	}
	if f.conn == nil {
		conn, err := f.s.db.Connect(ctx, feeding)
		if err != nil {
			return err
		}
		f.conn = conn
		f.s.stats.reconnects.Add(1)
		beating, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout) // as tend does
		err = f.s.beat(beating, conn)
		cancel()
		if err != nil {
			f.hangUp()
			return database.ReadError(err)
		}
	}
	d := feed{f: f, conn: f.conn}
	err := d.read(ctx)
	if err != nil {
		f.hangUp() // the connection may still have unread answers
	}
	return errors.Join(err, f.forgotten(ctx, &d))
}

// readWithView reads in the transaction of a new view, and delivers the view with the step.
func (f *follower) readWithView(ctx context.Context) error {
	if err := f.s.enter(); err != nil {
		return err
	}
	conn, err := f.s.pool.Acquire(ctx)
	if err != nil {
		f.s.inFlight.Done()
		return database.ReadError(err)
	}
	v := &view{s: f.s, conn: conn}
	d := feed{f: f, conn: conn.Conn(), view: v}
	err = d.read(ctx)
	if !d.handed {
		_ = v.Close()
	}
	f.inspect = f.inspect && !d.handed
	return errors.Join(err, f.forgotten(ctx, &d))
}

// forgotten begins another history if the database has lost commits that were followed: the
// database would use their numbers again.
func (f *follower) forgotten(ctx context.Context, d *feed) error {
	if !d.forgotten || f.s.writer == nil {
		return nil
	}
	f.s.opt.Log.Error("the database has forgotten commits: it begins another history", "head", d.head.Seq, "followed", f.pos.Seq)
	return f.s.onConnection(ctx, readTimeout, func(ctx context.Context, conn *pgx.Conn) error { return newHistory(ctx, conn, d.counter) })
}
