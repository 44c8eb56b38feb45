package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"nearby/store"
	"nearby/store/postgres/database"
)

// Reasons why commits are refused, as the callers get them.
const (
	whyHeldUp = "an open transaction of another program holds up all writes to the database; the operator can end it, and the server's log names it"
	whyOther  = "the database has another history now; the server reads the collections again, and takes writes in a moment"
)

// commit makes a batch and returns the number of its last commit. If the connection is lost,
// it finds out over a new one whether the batch was made.
func (w *writer) commit(b *batch, group []*request) (store.Seq, error) {
	started := time.Now()
	deadline := started.Add(w.s.opt.CommitTimeout)
	w.number++
	number := w.number
	sent := false                                  // over a former connection, and its outcome is not known
	fresh := false                                 // the connection was made in this call
	var lost error                                 // why that connection was lost
	held := store.Reason(w.s.Fault()) == whyHeldUp // known from an earlier batch: then this one is sent once
	w.testConnection(started)
	for {
		if w.conn == nil {
			limit := deadline
			if !sent {
				limit = started.Add(w.s.opt.AwayTimeout)
			} else if least := time.Now().Add(w.s.opt.AwayTimeout); limit.Before(least) {
				limit = least // a database that can be reached knows the outcome
			}
			seq, err := w.reconnect(limit, sent)
			fresh = true
			if err != nil && sent {
				w.unsure = number
				w.s.stats.unresolved.Add(uint64(b.commits))
				// It must not wrap store.ErrUnavailable, which says that nothing was applied.
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
					w.count(b)
					return seq, nil
				}
				sent = false
				if time.Now().After(deadline) {
					return 0, w.heldUp(lost)
				}
			}
		}
		if foreign := w.foreign(group); foreign != nil && fresh {
			return 0, &store.UnavailableError{Reason: whyOther, Err: foreign}
		} else if foreign != nil { // a new connection may have the request's history
			w.hangUp()
			continue
		}
		at := time.Now()
		last, counter, err := w.call(b, number, deadline)
		if err == nil {
			w.made, w.counter, w.used = number, counter, time.Now()
			w.count(b)
			w.s.recent.add(group, store.CommitID{Epoch: w.server.Epoch(counter), Seq: last}, at)
			return last, nil
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
		if database.IsCode(err, "55P03") {
			err, least = w.heldUp(err), lockTimeout(w.s.opt.CommitTimeout)
			w.note(err)
		}
		if held || time.Until(deadline) < least || time.Now().After(deadline) {
			return 0, database.Unavailable(err)
		}
		w.s.stats.retries.Add(1)
	}
}

// holderSQL finds the session whose open transaction has changed the head, and which does not
// itself wait for a lock.
const holderSQL = `
SELECT l.pid, coalesce(a.usename::text, '?') FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'relation' AND l.relation = 'nearby.head'::regclass AND l.granted AND l.pid <> pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.mode IN ('RowExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
   AND NOT EXISTS (SELECT FROM pg_locks w WHERE w.pid = l.pid AND NOT w.granted)
 ORDER BY a.xact_start, l.pid LIMIT 1`

// lockTimeout returns how long one attempt of a batch waits for the lock on the head. commit
// is Options.CommitTimeout.
func lockTimeout(commit time.Duration) time.Duration { return min(2*time.Second, commit/2) }

// heldUp finds the session that holds up all commits, and logs it. It returns an error with
// whyHeldUp; err is the cause. If it finds no such session, and err is not a lock timeout, it
// returns err as a store.ErrUnavailable.
func (w *writer) heldUp(err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), w.s.opt.AwayTimeout)
	defer cancel()
	var pid int32
	var role string
	if w.conn.QueryRow(ctx, holderSQL).Scan(&pid, &role) != nil {
		if w.conn.IsClosed() {
			w.hangUp()
		}
		if database.IsCode(err, "55P03") {
			return &store.UnavailableError{Reason: whyHeldUp, Err: err} // the session, or the connection, has just ended
		}
		return database.Unavailable(err)
	}
	w.s.opt.Log.Warn("a transaction of another program holds up all writes", "process", pid, "role", role)
	return &store.UnavailableError{Reason: whyHeldUp,
		Err: fmt.Errorf("process %[1]d, of the role %[2]s, has it open; SELECT pg_terminate_backend(%[1]d) ends it: %[3]w", pid, role, err)}
}

// foreign returns an error if a group belongs to another history than the database has. The
// versions that its changes expect mean nothing there, and its number would mean nothing to
// the caller.
func (w *writer) foreign(group []*request) error {
	if of := group[0].epoch; of != "" && of != w.epoch {
		return fmt.Errorf("the database has the history %s, and was followed in %s", w.epoch, of)
	}
	return nil
}

// testConnection pings a connection that was not used for a second, and hangs up if it does
// not answer. A batch that is sent over a dead connection would have an unknown outcome.
func (w *writer) testConnection(now time.Time) {
	if w.conn == nil || now.Sub(w.used) < time.Second {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), w.s.opt.AwayTimeout/2)
	defer cancel()
	if err := w.conn.Ping(ctx); err != nil {
		w.hangUp()
	}
}

// call sends a batch and waits for the answer. It waits longer than the database's
// statement_timeout, so that the database answers before the wait ends.
func (w *writer) call(b *batch, number int64, deadline time.Time) (last store.Seq, counter int64, err error) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline.Add(time.Second))
	defer cancel()
	var seq int64
	err = w.conn.QueryRow(ctx, commitSQL, b.arguments(w.id, w.fence, number)...).Scan(&seq, &counter)
	return store.Seq(seq), counter, err
}

// count counts a batch that was made.
func (w *writer) count(b *batch) {
	c := &w.s.stats
	c.batches.Add(1)
	c.commits.Add(uint64(b.commits))
	c.rows.Add(uint64(b.rows()))
}
