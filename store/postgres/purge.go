package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/time/rate"

	"nearby/store"
	"nearby/store/postgres/database"
)

const (
	beatInterval  = 5 * time.Second
	purgeInterval = time.Minute
	purgeRows     = 5000 // at once
	// forgetAfter is how long the rows of a writer or a replica are kept after its last sign
	// of life.
	forgetAfter = 7 * 24 * time.Hour
)

// tend writes to the database how far this replica has followed, and removes rows that
// nobody needs any more. Every replica does that, although one would be enough.
func (s *Store) tend(ctx context.Context) {
	beat, purge := time.NewTicker(beatInterval), time.NewTicker(purgeInterval)
	defer beat.Stop()
	defer purge.Stop()
	quiet := rate.Sometimes{Interval: time.Minute}
	for {
		var err error
		select {
		case <-ctx.Done():
			_ = s.onConnection(context.Background(), 3*time.Second, s.beat) // the last one
			return
		case <-beat.C: // without cancel: a beat that was cut off might be executed after the last one
			err = s.onConnection(context.WithoutCancel(ctx), readTimeout, s.beat)
		case <-purge.C:
			err = s.onConnection(ctx, purgeInterval/2, s.purge)
		}
		if err != nil && ctx.Err() == nil {
			quiet.Do(func() { s.opt.Log.Warn("the database is not tended", "error", err) })
		}
	}
}

// beatSQL writes how far a replica has followed, and returns what the row had before. It
// updates the writer's row only once an hour, because a commit would have to wait for that
// row.
const beatSQL = `
WITH head AS (SELECT epoch FROM nearby.head WHERE ` + database.Released + `),
     known AS (SELECT applied FROM nearby.replicas WHERE name = $1),
     beat AS (INSERT INTO nearby.replicas (name, applied) SELECT $1, $2 FROM head
              ON CONFLICT (name) DO UPDATE SET applied = excluded.applied, at = now()),
     alive AS (UPDATE nearby.writers SET at = now() WHERE writer = $3 AND at < now() - '1 hour'::interval)
SELECT coalesce((SELECT applied FROM known), -1), epoch FROM head`

// beat writes to nearby.replicas what Follow has delivered. If the row is older than what
// beat wrote last, an older state of the database was restored. Then beat begins another
// history, so that no replica goes on with commits that are lost.
func (s *Store) beat(ctx context.Context, conn *pgx.Conn) error {
	if s.writer == nil {
		return nil
	}
	s.beatMu.Lock()
	defer s.beatMu.Unlock()
	applied := int64(s.applied.Load())
	if applied == 0 { // nobody follows
		return s.forget(ctx, conn)
	}
	s.beating = true
	var known, counter int64
	if err := conn.QueryRow(ctx, beatSQL, s.replica(), applied, s.writer.id).Scan(&known, &counter); err != nil {
		return database.HeadError(err)
	}
	before, history := s.noted, s.notedIn
	s.noted, s.notedIn = applied, counter
	if known >= before {
		return nil
	}
	s.opt.Log.Error("the database has forgotten how far this replica was: it begins another history", "noted", before, "known", known)
	return newHistory(ctx, conn, history)
}

// newHistorySQL also raises all fences, so that each writer makes a new connection and reads
// the new epoch.
const newHistorySQL = `
WITH another AS (UPDATE nearby.head SET epoch = (random() * 1e15)::bigint WHERE epoch = $1 AND ` + database.Released + ` RETURNING epoch)
UPDATE nearby.writers SET fence = fence + 1 WHERE EXISTS (SELECT FROM another)`

// newHistory begins another history, unless the database has another one than that with the
// given counter already. If all replicas notice a loss, only the first begins one.
func newHistory(ctx context.Context, conn *pgx.Conn, counter int64) error {
	if _, err := conn.Exec(ctx, newHistorySQL, counter); err != nil {
		return fmt.Errorf("beginning another history: %w", err)
	}
	return nil
}

// replica returns the replica's name in the database. It has the writer's id, so that the
// next process with the same ReplicaName has another name.
func (s *Store) replica() string { return s.opt.ReplicaName + "/" + s.writer.id.String() }

// forget removes the row of this replica, so that no tombstones are kept for it.
func (s *Store) forget(ctx context.Context, conn *pgx.Conn) error {
	if !s.beating {
		return nil
	}
	if _, err := conn.Exec(ctx, `DELETE FROM nearby.replicas WHERE name = $1`, s.replica()); err != nil {
		return err
	}
	s.beating, s.noted = false, -1
	return nil
}

// purge removes rows that nobody needs any more, in many small transactions, so that commits
// do not wait for them.
func (s *Store) purge(ctx context.Context, conn *pgx.Conn) error {
	for _, part := range []struct {
		what   string
		remove func(context.Context, *pgx.Conn) (rows int64, more bool, err error)
	}{
		{"tombstones", s.purgeTombstones},
		{"rows of dropped collections", s.sweep},
		{"dropped collections", s.purgeCollections},
		{"receipts", purgeOld("receipts", "key", store.KeepReceipts)},
		{"writers", purgeOld("writers", "writer", forgetAfter)},
		{"replicas", purgeOld("replicas", "name", forgetAfter)},
	} {
		for {
			rows, more, err := part.remove(ctx, conn)
			if err != nil {
				return fmt.Errorf("removing old %s: %w", part.what, err)
			}
			s.stats.purged.Add(uint64(rows))
			if !more {
				break
			}
		}
	}
	return nil
}

// purgeOld returns a function that removes up to purgeRows rows of a table whose time, the
// column at, is longer ago than after.
func purgeOld(table, key string, after time.Duration) func(context.Context, *pgx.Conn) (int64, bool, error) {
	sql := fmt.Sprintf(`DELETE FROM nearby.%[1]s WHERE %[2]s IN (SELECT %[2]s FROM nearby.%[1]s WHERE at < now() - $1::interval LIMIT %[3]d) AND at < now() - $1::interval`,
		table, key, purgeRows)
	return func(ctx context.Context, conn *pgx.Conn) (int64, bool, error) {
		tag, err := conn.Exec(ctx, sql, after)
		return tag.RowsAffected(), tag.RowsAffected() == purgeRows, err
	}
}

// appliedByAll is the last commit that all replicas have applied. It ignores replicas without
// a sign of life for a day. It is NULL while the database is being restored.
const appliedByAll = `(SELECT least(h.seq, (SELECT min(r.applied) FROM nearby.replicas r WHERE r.at > now() - '1 day'::interval)) FROM nearby.head h WHERE ` + database.Released + `)`

// raiseFloor records that tombstones up to seq may be removed. It is called before they are
// removed, so that no follower misses a deletion.
func raiseFloor(ctx context.Context, conn *pgx.Conn, seq int64) error {
	_, err := conn.Exec(ctx, `UPDATE nearby.head SET floor = $1 WHERE floor < $1 AND `+database.Released, seq)
	return err
}

func (s *Store) purgeTombstones(ctx context.Context, conn *pgx.Conn) (int64, bool, error) {
	var seq *int64
	if err := conn.QueryRow(ctx, `
SELECT max(seq) FROM (SELECT seq, at FROM nearby.tombstones WHERE seq <= `+appliedByAll+fmt.Sprintf(` ORDER BY seq LIMIT %d) t
 WHERE at < now() - $1::interval`, purgeRows), s.opt.tombstonesFor).Scan(&seq); err != nil || seq == nil {
		return 0, false, err
	}
	if err := raiseFloor(ctx, conn, *seq); err != nil {
		return 0, false, err
	}
	tag, err := conn.Exec(ctx, `DELETE FROM nearby.tombstones WHERE seq <= $1 AND at < now() - $2::interval`, *seq, s.opt.tombstonesFor)
	return tag.RowsAffected(), tag.RowsAffected() >= purgeRows, err
}

// sweep removes items of collections that were dropped.
func (s *Store) sweep(ctx context.Context, conn *pgx.Conn) (int64, bool, error) {
	var name *string
	var removed *int64
	if err := conn.QueryRow(ctx, `SELECT swept, removed FROM nearby.sweep($1)`, purgeRows).Scan(&name, &removed); err != nil || name == nil {
		return 0, false, err
	}
	return *removed, true, nil // there may be more, of this collection or of another
}

func (s *Store) purgeCollections(ctx context.Context, conn *pgx.Conn) (int64, bool, error) {
	var name string
	var seq int64
	err := conn.QueryRow(ctx, `
SELECT name, seq FROM nearby.collections c WHERE dropped AND at < now() - $1::interval AND seq <= `+appliedByAll+`
   AND NOT EXISTS (SELECT FROM nearby.items i WHERE i.collection = c.name) ORDER BY seq LIMIT 1`, s.opt.tombstonesFor).Scan(&name, &seq)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if err := raiseFloor(ctx, conn, seq); err != nil {
		return 0, false, err
	}
	if _, err := conn.Exec(ctx, `SELECT nearby.forget_collection($1, $2)`, name, seq); err != nil {
		return 0, false, err
	}
	return 1, true, nil // there may be another collection
}
