package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"nearby/item"
	"nearby/store"
)

// Error codes of nearby.commit.
const (
	codeFenced       = "NB001"
	codeNoCollection = "NB002"
	codeStale        = "NB003"
	codeRepeated     = "NB004"
	codeAttached     = "NB005"
	codeRestored     = "NB006"
)

const (
	maxWaiting = 1024 // commits in the writer's queue; more wait outside
	// A commit that meets a row which another program's open transaction holds is
	// tried again, lockedTries times, with pauses that double.
	lockedTries = 5
	lockedPause = 50 * time.Millisecond
	// retryPause is between attempts to reach a database that is away, and how long
	// commits are refused at once when the last attempt has failed.
	retryPause = 100 * time.Millisecond
	// probePause is between looks whether commits can be made again.
	probePause = time.Second
)

// writer makes all commits of a store, one transaction at a time.
type writer struct {
	s     *Store
	id    uuid.UUID
	queue chan *request
	held  *request // taken from the queue, but not fit for the group that was formed

	conn    *pgx.Conn
	process atomic.Uint32 // in the database, of the connection
	server  identity
	epoch   store.Epoch // when the connection was made; the fence tells of another
	fence   int64       // of this connection
	number  int64       // of the last batch
	made    int64       // the last batch that is known to be made
	counter int64       // of the history in which it was
	used    time.Time   // the connection, at last
	unsure  int64       // a batch whose outcome nobody waits for any more; 0: none
	refuse  time.Time
	away    error // why the database could not be reached, at last
}

func newWriter(s *Store, id uuid.UUID) *writer {
	return &writer{s: s, id: id, queue: make(chan *request, maxWaiting)}
}

// run makes commits until ctx ends; then none is under way.
func (w *writer) run(ctx context.Context) {
	defer w.hangUp()
	for {
		group := w.gather(ctx)
		if group == nil {
			return
		}
		w.make(group)
	}
}

// gather forms a group of the first request and those that wait.
func (w *writer) gather(ctx context.Context) []*request {
	first := w.held
	w.held = nil
	for first == nil {
		var again <-chan time.Time
		if w.s.fault.Load() != nil {
			again = time.After(probePause)
		}
		select {
		case first = <-w.queue:
			if !first.state.CompareAndSwap(queued, taken) {
				first = nil
			}
		case <-again:
			w.probe()
		case <-ctx.Done():
			return nil
		}
	}
	g := newGathering(first)
	yielded := false
	for !first.alone && g.rows < groupRows {
		select {
		case next := <-w.queue:
			if !next.state.CompareAndSwap(queued, taken) {
				continue
			}
			if !g.admit(next) {
				w.held = next
				return g.group
			}
			yielded = false
		default:
			if yielded {
				return g.group
			}
			runtime.Gosched() // those about to queue a request share the transaction
			yielded = true
		}
	}
	return g.group
}

// gathering is a group that is being formed. What a request rests on must be the
// state before the group.
type gathering struct {
	group   []*request
	rows    int
	known   int // requests of the group that are in touched
	touched map[[2]string]bool
	names   map[string]bool // of receipts
}

func newGathering(first *request) *gathering {
	g := &gathering{group: []*request{first}, rows: len(first.changes)}
	return g
}

func (g *gathering) admit(req *request) bool {
	if req.alone || g.rows+len(req.changes) > groupRows || req.epoch != g.group[0].epoch {
		return false
	}
	for i := range req.changes {
		if ch := &req.changes[i]; ch.Expects {
			g.learn()
			if g.touched[[2]string{ch.Collection, ch.Item.ID}] {
				return false
			}
		}
	}
	for i := range req.receipts {
		g.learn()
		if g.names[req.receipts[i].Name()] {
			return false
		}
	}
	g.group = append(g.group, req)
	g.rows += len(req.changes)
	return true
}

// learn notes what the requests of the group touch.
func (g *gathering) learn() {
	if g.touched == nil {
		g.touched, g.names = map[[2]string]bool{}, map[string]bool{}
	}
	for ; g.known < len(g.group); g.known++ {
		req := g.group[g.known]
		for i := range req.changes {
			g.touched[[2]string{req.changes[i].Collection, req.changes[i].Item.ID}] = true
		}
		for i := range req.receipts {
			g.names[req.receipts[i].Name()] = true
		}
	}
}

// make commits a group and answers its requests. If the database refuses a group
// for what may be the fault of one request, they are made one by one.
func (w *writer) make(group []*request) {
	b, err := newBatch(group)
	var last store.Seq
	if err == nil {
		last, err = w.commit(b, group)
	}
	var locked *lockedError
	w.note(err)
	switch {
	case err == nil:
		for i, req := range group {
			req.seq = last - store.Seq(len(group)-1-i)
			close(req.done)
		}
	case len(group) > 1 && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUncertain):
		for _, req := range group {
			w.make([]*request{req})
		}
	case len(group) == 1 && errors.As(err, &locked) && group[0].tries < lockedTries:
		// Not here: the others go on meanwhile.
		req := group[0]
		pause := lockedPause << req.tries
		req.tries++
		req.state.Store(queued)
		time.AfterFunc(pause, func() { w.queue <- req })
	default:
		if errors.As(err, &locked) {
			err = joined(store.ErrLocked, err)
		}
		for _, req := range group {
			req.err = err
			close(req.done)
		}
	}
}

// note keeps why commits are refused, for Fault.
func (w *writer) note(err error) {
	switch {
	case errors.Is(err, store.ErrUncertain): // what is known of it was noted
	case errors.Is(err, store.ErrUnavailable):
		w.s.fault.Store(&err)
	default:
		w.s.fault.Store(nil)
	}
}

// probe looks whether commits, which were refused, can be made again.
func (w *writer) probe() {
	limit := time.Now().Add(w.s.opt.AwayTimeout)
	if w.conn == nil {
		if _, err := w.reconnect(limit, false); err != nil {
			return
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), limit)
	defer cancel()
	if _, err := w.conn.Exec(ctx, `SELECT FROM nearby.head FOR NO KEY UPDATE NOWAIT`); err == nil {
		w.s.fault.Store(nil)
	} else if w.conn.IsClosed() {
		w.hangUp()
	}
}

// lockedError says that a row is held by another transaction.
type lockedError struct{ err error }

func (e *lockedError) Error() string {
	return "a row is held by another program's open transaction: " + e.err.Error()
}
func (e *lockedError) Unwrap() error { return e.err }

// attachedError is a store.ErrAttached, in the words of the database.
type attachedError struct{ err *pgconn.PgError }

func (e *attachedError) Error() string   { return e.err.Message }
func (e *attachedError) Unwrap() []error { return []error{store.ErrAttached, e.err} }

// commit makes a batch and returns the number of its last commit.
func (w *writer) commit(b *batch, group []*request) (store.Seq, error) {
	started := time.Now()
	deadline := started.Add(w.s.opt.CommitTimeout)
	w.number++
	number := w.number
	sent := false                                  // over a former connection; what became of it is not known
	fresh := false                                 // the connection was made for this
	var lost error                                 // over which it was sent
	held := store.Reason(w.s.Fault()) == whyHeldUp // as was found out before; it is looked once
	w.test(started)
	for {
		if w.conn == nil {
			limit := deadline
			if !sent {
				limit = started.Add(w.s.opt.AwayTimeout)
			} else if least := time.Now().Add(w.s.opt.AwayTimeout); limit.Before(least) {
				limit = least // a database that is there tells what became of it
			}
			seq, err := w.reconnect(limit, sent)
			fresh = true
			if err != nil && sent {
				w.unsure = number
				w.s.stats.unresolved.Add(uint64(b.commits))
				// Not as store.ErrUnavailable, which says that nothing was applied.
				return 0, fmt.Errorf("%w: the connection was lost: %v", store.ErrUncertain, err) //nolint:errorlint
			}
			if err != nil {
				return 0, err
			}
			if sent {
				w.s.stats.resolved.Add(uint64(b.commits))
				if w.made == number {
					if foreign := w.foreign(group); foreign != nil {
						return 0, fmt.Errorf("%w: %w", store.ErrUncertain, foreign)
					}
					return seq, w.landed(b, group, seq, started, 0, false)
				}
				sent = false
				if time.Now().After(deadline) {
					return 0, w.heldUp(lost)
				}
			}
		}
		if foreign := w.foreign(group); foreign != nil && fresh {
			return 0, &store.UnavailableError{Reason: whyOther, Err: foreign}
		} else if foreign != nil { // or it is the connection that is from before
			w.hangUp()
			continue
		}
		at := time.Now()
		last, counter, err := w.call(b, number, deadline)
		if err == nil {
			w.made, w.counter, w.used = number, counter, time.Now()
			return last, w.landed(b, group, last, at, counter, true)
		}
		var pe *pgconn.PgError
		if !errors.As(err, &pe) || pe.SeverityUnlocalized != "ERROR" || w.conn.IsClosed() {
			w.s.opt.Log.Warn("the writer's connection was lost during a commit", "error", err)
			w.hangUp()
			sent, lost = true, err
			w.s.stats.retries.Add(1)
			continue
		}
		again, err := w.refused(pe, group)
		if !again {
			return 0, err
		}
		least := time.Duration(0)
		if isCode(err, "55P03") {
			err, least = w.heldUp(err), lockTimeout(w.s.opt.CommitTimeout)
			w.note(err)
		}
		if held || time.Until(deadline) < least || time.Now().After(deadline) {
			return 0, unavailable(err)
		}
		w.s.stats.retries.Add(1)
	}
}

// holderSQL finds who has changed the head in a transaction that is open, and does not
// wait for others.
const holderSQL = `
SELECT l.pid, coalesce(a.usename::text, '?') FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'relation' AND l.relation = 'nearby.head'::regclass AND l.granted AND l.pid <> pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.mode IN ('RowExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
   AND NOT EXISTS (SELECT FROM pg_locks w WHERE w.pid = l.pid AND NOT w.granted)
 ORDER BY a.xact_start, l.pid LIMIT 1`

// lockTimeout is how long a commit of a time waits for the head at once.
func lockTimeout(commit time.Duration) time.Duration { return min(2*time.Second, commit/2) }

// heldUp names the process that no commit gets past, and says so in the log.
func (w *writer) heldUp(err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), w.s.opt.AwayTimeout)
	defer cancel()
	var pid int32
	var role string
	if w.conn.QueryRow(ctx, holderSQL).Scan(&pid, &role) != nil {
		if w.conn.IsClosed() {
			w.hangUp()
		}
		if isCode(err, "55P03") {
			return &store.UnavailableError{Reason: whyHeldUp, Err: err} // it has just ended, or the database has
		}
		return unavailable(err)
	}
	w.s.opt.Log.Warn("a transaction of another program holds up all writes", "process", pid, "role", role)
	return &store.UnavailableError{Reason: whyHeldUp,
		Err: fmt.Errorf("process %[1]d, of the role %[2]s, has it open; SELECT pg_terminate_backend(%[1]d) ends it: %[3]w", pid, role, err)}
}

// foreign says that a group belongs to another history than the database's: what its
// changes rest on means nothing there, nor would its number to whoever made it.
func (w *writer) foreign(group []*request) error {
	if of := group[0].epoch; of != "" && of != w.epoch {
		return fmt.Errorf("the database has the history %s, and was followed in %s", w.epoch, of)
	}
	return nil
}

// test asks a connection that was not used for long whether it still is one, before
// something is sent over it whose outcome would not be known.
func (w *writer) test(now time.Time) {
	if w.conn == nil || now.Sub(w.used) < time.Second {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), w.s.opt.AwayTimeout/2)
	defer cancel()
	if err := w.conn.Ping(ctx); err != nil {
		w.hangUp()
	}
}

// call sends a batch and waits for the answer. The statement's time-out in the
// database ends before ours.
func (w *writer) call(b *batch, number int64, deadline time.Time) (last store.Seq, counter int64, err error) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline.Add(time.Second))
	defer cancel()
	var seq int64
	err = w.conn.QueryRow(ctx, commitSQL, b.arguments(w.id, w.fence, number)...).Scan(&seq, &counter)
	return store.Seq(seq), counter, err
}

// landed counts a batch that was made, and keeps it for Follow if that may deliver
// it: counter is the head's, known if the answer came.
func (w *writer) landed(b *batch, group []*request, last store.Seq, at time.Time, counter int64, known bool) error {
	c := &w.s.stats
	c.batches.Add(1)
	c.commits.Add(uint64(b.commits))
	c.rows.Add(uint64(b.rows()))
	if known {
		w.s.recent.add(group, store.Position{Epoch: w.server.epoch(counter), Seq: last}, at)
	}
	return nil
}

// refused tells what an error of the database means for a batch, of which nothing
// was applied, and whether to send it again.
func (w *writer) refused(pe *pgconn.PgError, group []*request) (again bool, err error) {
	switch {
	case beingRestored(pe):
		w.hangUp() // the next connection finds out whether it goes on
		return false, fmt.Errorf("%w: %w", store.ErrRestored, pe)
	case pe.Code == codeFenced:
		w.hangUp() // the next connection raises the fence
		return true, pe
	case pe.Code == codeNoCollection:
		return false, fmt.Errorf("collection %q %w", pe.Detail, store.ErrNoCollection)
	case pe.Code == codeStale && w.marked(group):
		return true, pe
	case pe.Code == codeStale:
		head, err := strconv.ParseUint(pe.Detail, 10, 64)
		if err != nil {
			return false, fmt.Errorf("reading the head of a refused commit: %w", err)
		}
		return false, &store.StaleError{Head: store.Seq(head)}
	case pe.Code == codeAttached:
		return false, &attachedError{pe}
	case pe.Code == codeRepeated:
		return false, w.repeated(group)
	case pe.Code == "55P03" && strings.Contains(pe.Where, "nearby.head"):
		return true, pe // somebody is long in committing; it has waited already
	case pe.Code == "55P03", pe.Code == "40P01", pe.Code == "40001":
		return false, &lockedError{pe}
	case pe.Code == "25006": // it has become a standby
		w.hangUp()
		return false, unavailable(pe)
	case pe.Code == "XX001", pe.Code == "XX002":
		return false, joined(store.ErrCorrupt, pe)
	case strings.HasPrefix(pe.Code, "53"), strings.HasPrefix(pe.Code, "57"), strings.HasPrefix(pe.Code, "58"):
		return false, unavailable(pe)
	default:
		return false, fmt.Errorf("the database refuses the commit: %w", pe)
	}
}

// marked looks whether rows that are in the way of a group are no items, and were written
// past the triggers, which mark such. If so they are marked now, and the group may be made.
func (w *writer) marked(group []*request) bool {
	var collections, ids []string
	for _, req := range group {
		for i := range req.changes {
			if ch := &req.changes[i]; ch.Expects && ch.Expected == 0 && ch.Item.ID != "" {
				collections, ids = append(collections, ch.Collection), append(ids, ch.Item.ID)
			}
		}
	}
	if len(ids) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	rows, err := w.conn.Query(ctx, `SELECT i.id, i.lon, i.lat, i.properties, i.created, i.updated, i.seq, i.collection
  FROM unnest($1::text[], $2::text[]) r (collection, id) JOIN nearby.items i ON i.collection = r.collection AND i.id = r.id
 WHERE i.bad IS NULL AND i.seq IS NOT NULL`, collections, ids)
	if err != nil {
		return false
	}
	var bad [][2]string
	for rows.Next() {
		var it item.Item
		raw := rows.RawValues()
		if decodeItem(&it, raw) == nil && item.CheckStored(&it) != nil {
			bad = append(bad, [2]string{string(raw[itemFields]), strings.Clone(it.ID)})
		}
	}
	rows.Close()
	n := 0
	for _, row := range bad {
		var marked bool
		if err := w.conn.QueryRow(ctx, `UPDATE nearby.items SET properties = properties WHERE collection = $1 AND id = $2 RETURNING bad IS NOT NULL`, row[0], row[1]).Scan(&marked); err == nil && marked {
			n++
		}
	}
	return n > 0
}

// repeated reads the receipts whose keys a commit repeats.
func (w *writer) repeated(group []*request) error {
	if len(group) > 1 {
		return &store.RepeatedError{} // they are made one by one
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	kept, err := readReceipts(ctx, w.conn, group[0].receipts)
	if err != nil {
		return joined(store.ErrUncertain, fmt.Errorf("reading the receipts that a commit repeats: %w", err))
	}
	return &store.RepeatedError{Receipts: kept}
}

func (w *writer) hangUp() {
	if w.conn != nil {
		hangUp(w.conn)
		w.conn = nil
	}
}

// reconnect connects until limit and raises the fence. It returns the number of the
// last commit that the writer has made, as w.made is the number of its batch. When
// the database is known to be away, who has nothing to find out tries once, and not
// at all if that was just done.
func (w *writer) reconnect(limit time.Time, insist bool) (store.Seq, error) {
	if w.away != nil && !insist && time.Now().Before(w.refuse) {
		return 0, w.away
	}
	known := w.away != nil && !insist
	for {
		seq, err := w.register(limit)
		if err == nil {
			w.away = nil
			return seq, nil
		}
		if known || time.Until(limit) < retryPause || errors.Is(err, store.ErrRestored) && !insist {
			w.away = unavailable(err)
			w.note(w.away)
			w.refuse = time.Now().Add(retryPause)
			return 0, w.away
		}
		time.Sleep(retryPause)
	}
}

const registerSQL = `
INSERT INTO nearby.writers AS w (writer, fence, batch, seq) VALUES ($1, 1, 0, 0)
    ON CONFLICT (writer) DO UPDATE SET fence = w.fence + 1, at = now()
RETURNING fence, batch, seq, (SELECT epoch FROM nearby.head)`

const rememberedSQL = `
SELECT h.epoch, h.seq, ` + released + `, coalesce((SELECT w.batch FROM nearby.writers w WHERE w.writer = $1), 0) FROM nearby.head h`

// register makes a connection and raises the fence, which waits for a transaction
// of a former connection that is about to commit.
func (w *writer) register(limit time.Time) (store.Seq, error) {
	ctx, cancel := context.WithDeadline(context.Background(), limit)
	defer cancel()
	r := maps.Clone(writing)
	r["statement_timeout"] = millis(w.s.opt.CommitTimeout)
	r["lock_timeout"] = millis(lockTimeout(w.s.opt.CommitTimeout))
	conn, err := w.s.connect(ctx, r)
	if err != nil {
		return 0, err
	}
	seq, err := w.enrol(ctx, conn)
	if err != nil {
		hangUp(conn)
		return 0, err
	}
	w.conn = conn
	w.s.stats.reconnects.Add(1)
	return seq, nil
}

func (w *writer) enrol(ctx context.Context, conn *pgx.Conn) (store.Seq, error) {
	var err error
	if w.server, err = identify(ctx, conn); err != nil {
		return 0, err
	}
	// Who configured commits that a crash may take back did not mean these.
	if _, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`); err != nil {
		return 0, err
	}
	// What was followed before the database is asked, it must know: while the answer is on
	// its way others commit, and that is followed, too.
	history, followed := w.s.history.Load(), w.s.applied.Load()
	var counter, head, number int64
	var usable bool
	if err := conn.QueryRow(ctx, rememberedSQL, w.id).Scan(&counter, &head, &usable, &number); err != nil {
		return 0, headError(err)
	}
	if !usable {
		return 0, store.ErrRestored
	}
	follows := history != nil && *history == w.server.epoch(counter)
	if number < w.made && counter == w.counter || follows && uint64(head) < followed {
		// The database has forgotten what it had acknowledged: an older state of it
		// was restored. Its numbers are given out again, so the history needs
		// another name before this writer, or any other, adds to it.
		w.s.opt.Log.Error("the database has lost commits: it begins another history", "batch", number, "acknowledged", w.made, "head", head, "followed", followed)
		if err := newHistory(ctx, conn, counter); err != nil {
			return 0, err
		}
	}
	var fence, seq int64
	if err := conn.QueryRow(ctx, registerSQL, w.id).Scan(&fence, &number, &seq, &counter); err != nil {
		return 0, err
	}
	if w.unsure != 0 {
		w.s.opt.Log.Info("the outcome of a commit that was uncertain is known", "batch", w.unsure, "made", number == w.unsure, "seq", seq)
		w.unsure = 0
	}
	w.fence, w.made, w.counter, w.used = fence, number, counter, time.Now()
	w.epoch = w.server.epoch(counter)
	w.process.Store(conn.PgConn().PID())
	return store.Seq(seq), nil
}
