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
	// forgetAfter is when what is known of a writer or a replica goes.
	forgetAfter = 7 * 24 * time.Hour
)

// tend tells the others how far this replica has followed, and removes what nobody
// needs any more. All replicas do so; one would do.
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
		case <-beat.C: // not cut off: what was sent might be done after the last one
			err = s.onConnection(context.WithoutCancel(ctx), readTimeout, s.beat)
		case <-purge.C:
			err = s.onConnection(ctx, purgeInterval/2, s.purge)
		}
		if err != nil && ctx.Err() == nil {
			quiet.Do(func() { s.opt.Log.Warn("the database is not tended", "error", err) })
		}
	}
}

// beatSQL seldom touches the writer's row, for which a commit would have to wait.
const beatSQL = `
WITH head AS (SELECT epoch FROM nearby.head WHERE ` + database.Released + `),
     known AS (SELECT applied FROM nearby.replicas WHERE name = $1),
     beat AS (INSERT INTO nearby.replicas (name, applied) SELECT $1, $2 FROM head
              ON CONFLICT (name) DO UPDATE SET applied = excluded.applied, at = now()),
     alive AS (UPDATE nearby.writers SET at = now() WHERE writer = $3 AND at < now() - '1 hour'::interval)
SELECT coalesce((SELECT applied FROM known), -1), epoch FROM head`

// beat notes what Follow has delivered. If the database does not know what was noted
// before, an older state of it was put back: it begins another history, so that no
// replica goes on with what is gone.
func (s *Store) beat(ctx context.Context, conn *pgx.Conn) error {
	if s.writer == nil {
		return nil
	}
	s.beaten.Lock()
	defer s.beaten.Unlock()
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

// newHistorySQL raises the fences too: no writer goes on without having heard of it.
const newHistorySQL = `
WITH another AS (UPDATE nearby.head SET epoch = (random() * 1e15)::bigint WHERE epoch = $1 AND ` + database.Released + ` RETURNING epoch)
UPDATE nearby.writers SET fence = fence + 1 WHERE EXISTS (SELECT FROM another)`

// newHistory gives a database that has lost something another epoch, unless it has
// another one than that in which it was lost. All replicas notice; one is first.
func newHistory(ctx context.Context, conn *pgx.Conn, counter int64) error {
	if _, err := conn.Exec(ctx, newHistorySQL, counter); err != nil {
		return fmt.Errorf("beginning another history: %w", err)
	}
	return nil
}

// replica is the replica's name in the database: a process that comes after one of
// the same name is another.
func (s *Store) replica() string { return s.opt.ReplicaName + "/" + s.writer.id.String() }

// forget lets the tombstones go that only this replica would need.
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

// purge removes a part of what nobody needs any more, without holding up commits.
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

// purgeOld removes rows of a table that nobody has touched for a while.
func purgeOld(table, key string, after time.Duration) func(context.Context, *pgx.Conn) (int64, bool, error) {
	sql := fmt.Sprintf(`DELETE FROM nearby.%[1]s WHERE %[2]s IN (SELECT %[2]s FROM nearby.%[1]s WHERE at < now() - $1::interval LIMIT %[3]d) AND at < now() - $1::interval`,
		table, key, purgeRows)
	return func(ctx context.Context, conn *pgx.Conn) (int64, bool, error) {
		tag, err := conn.Exec(ctx, sql, after)
		return tag.RowsAffected(), tag.RowsAffected() == purgeRows, err
	}
}

// needless is the last commit that all replicas have applied which were heard of
// within a day; NULL while the database is being restored.
const needless = `(SELECT least(h.seq, (SELECT min(r.applied) FROM nearby.replicas r WHERE r.at > now() - '1 day'::interval)) FROM nearby.head h WHERE ` + database.Released + `)`

// raiseFloor says that deletions up to seq may be gone; it is said before they are.
func raiseFloor(ctx context.Context, conn *pgx.Conn, seq int64) error {
	_, err := conn.Exec(ctx, `UPDATE nearby.head SET floor = $1 WHERE floor < $1 AND `+database.Released, seq)
	return err
}

func (s *Store) purgeTombstones(ctx context.Context, conn *pgx.Conn) (int64, bool, error) {
	var seq *int64
	if err := conn.QueryRow(ctx, `
SELECT max(seq) FROM (SELECT seq, at FROM nearby.tombstones WHERE seq <= `+needless+fmt.Sprintf(` ORDER BY seq LIMIT %d) t
 WHERE at < now() - $1::interval`, purgeRows), s.opt.tombstonesFor).Scan(&seq); err != nil || seq == nil {
		return 0, false, err
	}
	if err := raiseFloor(ctx, conn, *seq); err != nil {
		return 0, false, err
	}
	tag, err := conn.Exec(ctx, `DELETE FROM nearby.tombstones WHERE seq <= $1 AND at < now() - $2::interval`, *seq, s.opt.tombstonesFor)
	return tag.RowsAffected(), tag.RowsAffected() >= purgeRows, err
}

// sweep removes items of collections that are no more.
func (s *Store) sweep(ctx context.Context, conn *pgx.Conn) (int64, bool, error) {
	var name *string
	var removed *int64
	if err := conn.QueryRow(ctx, `SELECT swept, removed FROM nearby.sweep($1)`, purgeRows).Scan(&name, &removed); err != nil || name == nil {
		return 0, false, err
	}
	return *removed, true, nil // there may be more, of this or another
}

func (s *Store) purgeCollections(ctx context.Context, conn *pgx.Conn) (int64, bool, error) {
	var name string
	var seq int64
	err := conn.QueryRow(ctx, `
SELECT name, seq FROM nearby.collections c WHERE dropped AND at < now() - $1::interval AND seq <= `+needless+`
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
	return 1, true, nil // there may be another
}
