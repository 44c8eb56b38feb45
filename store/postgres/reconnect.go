package postgres

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store"
	"nearby/store/postgres/database"
)

func (w *writer) hangUp() {
	if w.conn != nil {
		database.HangUp(w.conn)
		w.conn = nil
	}
}

// reconnect makes a connection and raises the fence; it tries until limit. It returns the
// number of the last commit that the writer has made; w.made is the number of its batch.
//
// insist says that the outcome of a batch depends on the answer. Without insist, and if the
// last attempt has failed, reconnect tries only once, and not at all within retryPause of
// that attempt.
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
			w.away = database.Unavailable(err)
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
SELECT h.epoch, h.seq, ` + database.Released + `, coalesce((SELECT w.batch FROM nearby.writers w WHERE w.writer = $1), 0) FROM nearby.head h`

// register makes a connection and raises the fence. If a transaction of the former
// connection is about to commit, the fence waits for it.
func (w *writer) register(limit time.Time) (store.Seq, error) {
	ctx, cancel := context.WithDeadline(context.Background(), limit)
	defer cancel()
	r := maps.Clone(database.Writing)
	r["statement_timeout"] = database.Millis(w.s.opt.CommitTimeout)
	r["lock_timeout"] = database.Millis(lockTimeout(w.s.opt.CommitTimeout))
	conn, err := w.s.db.Connect(ctx, r)
	if err != nil {
		return 0, err
	}
	seq, err := w.enrol(ctx, conn)
	if err != nil {
		database.HangUp(conn)
		return 0, err
	}
	w.conn = conn
	w.s.stats.reconnects.Add(1)
	return seq, nil
}

// enrol raises the fence over a new connection, and reads the writer's last batch and commit.
// If the database has lost commits, it begins another history first.
func (w *writer) enrol(ctx context.Context, conn *pgx.Conn) (store.Seq, error) {
	var err error
	if w.server, err = database.Identify(ctx, conn); err != nil {
		return 0, err
	}
	// With synchronous_commit off a crash may lose acknowledged commits.
	if _, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`); err != nil {
		return 0, err
	}
	// This is read before the database is asked. Later, Follow may have delivered commits
	// that are newer than the answer.
	history, followed := w.s.history.Load(), w.s.applied.Load()
	var counter, head, number int64
	var usable bool
	if err := conn.QueryRow(ctx, rememberedSQL, w.id).Scan(&counter, &head, &usable, &number); err != nil {
		return 0, database.HeadError(err)
	}
	if !usable {
		return 0, store.ErrRestored
	}
	follows := history != nil && *history == w.server.Epoch(counter)
	if number < w.made && counter == w.counter || follows && uint64(head) < followed {
		// The database has lost commits that it had acknowledged: an older state of it
		// was restored. It would use their numbers again. So another history must begin
		// before this writer, or any other, makes a commit.
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
	w.epoch = w.server.Epoch(counter)
	w.process.Store(conn.PgConn().PID())
	return store.Seq(seq), nil
}
