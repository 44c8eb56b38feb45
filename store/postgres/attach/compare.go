package attach

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres/database"
)

// chunkRows is how many rows of an attached table one transaction copies: the
// head is locked while they get their numbers.
const chunkRows = 5000

// scope says which rows of an attached table are compared with the collection.
type scope struct {
	since *string  // poll: those with a change since then, which finds no deletions
	ids   []string // those with one of these ids, if not nil
}

const storedForm = `NULLIF(NULLIF(s.properties::jsonb::text, '{}'), 'null')`

// differ compares a table with its collection, in one statement and without locks,
// and keeps what is different in a temporary table: rows to put, by their keys, and
// the ids of rows to delete. It returns how many there are.
func differ(ctx context.Context, conn *pgx.Conn, a *Attachment, t *table, sc scope) (int64, error) {
	if err := forget(ctx, conn); err != nil {
		return 0, err
	}
	var args []any
	join, ofTable, ofItems := "FULL", "", ""
	switch {
	case sc.since != nil:
		args = []any{*sc.since, interval(a.Overlap)}
		join, ofTable = "LEFT", fmt.Sprintf(" AND s.%s > $1::text::%s - $2::text::interval", t.change, t.changes)
	case sc.ids != nil:
		args = []any{sc.ids}
		ofTable, ofItems = fmt.Sprintf(" AND s.%s = ANY ($1::text[]::%s[])", t.key, t.keyType), " AND i.id = ANY ($1::text[])"
	}
	rows := t.rows(t.name, ofTable)
	if !t.unique { // which of several counts must not change from time to time
		rows = "SELECT DISTINCT ON (d.id) d.* FROM (" + rows + ") d ORDER BY d.id, d.lon, d.lat, d.properties::text"
	}
	tag, err := conn.Exec(ctx, `CREATE TEMP TABLE nearby_differences AS
SELECT row_number() OVER (ORDER BY coalesce(s.id, i.id)) AS n, s.key, coalesce(s.id, i.id) AS id, s.id IS NULL AS gone, s.lon, s.lat, s.properties, i.seq
  FROM (`+rows+`) s `+join+` JOIN (
    SELECT i.id, i.lon, i.lat, i.properties, i.seq FROM nearby.items i JOIN nearby.collections c ON c.name = i.collection AND i.seq >= c.born
     WHERE i.collection = `+database.Literal(a.Collection)+ofItems+`) i ON i.id = s.id
 WHERE s.id IS NULL OR i.id IS NULL OR s.lon IS DISTINCT FROM i.lon OR s.lat IS DISTINCT FROM i.lat
    OR `+storedForm+` IS DISTINCT FROM i.properties::text`, args...)
	if err != nil {
		return 0, fmt.Errorf("comparing %s with collection %s: %w", t.name, a.Collection, err)
	}
	if tag.RowsAffected() > chunkRows {
		_, err = conn.Exec(ctx, `ALTER TABLE pg_temp.nearby_differences ADD PRIMARY KEY (n)`)
	}
	return tag.RowsAffected(), err
}

// forget removes the temporary table.
func forget(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `DROP TABLE IF EXISTS pg_temp.nearby_differences`)
	return err
}

const putRows = `INSERT INTO nearby.items (collection, id, lon, lat, properties)
SELECT %s, r.id, r.lon, r.lat, r.properties FROM %s
    ON CONFLICT (collection, id) DO UPDATE SET lon = excluded.lon, lat = excluded.lat, properties = excluded.properties`

const (
	// chunkLimit bounds a chunk.
	chunkLimit = 2 * time.Minute
	// A chunk that meets a row which an open transaction holds is tried again, lockedTries
	// times, with pauses that double.
	lockedTries = 5
	lockedPause = 50 * time.Millisecond
)

// settle makes the collection as the table is where they differ, in chunks, and
// returns the ids of rows that it left as they are, since open transactions hold
// them.
//
// Where triggers write, too, a row is read anew and locked: whoever changes it later
// waits for the chunk, and the trigger then sees its item. Rows that are locked are
// passed over, so that this waits for no one's transaction, and nobody is caught in a
// circle with it. What is to be deleted is deleted in the version that was compared.
func settle(ctx context.Context, conn *pgx.Conn, a *Attachment, t *table, total int64, progress func(done, total int64)) (held []string, err error) {
	for from := int64(0); from < total; from += chunkRows {
		var chunk []string
		for tries := 0; ; tries++ {
			chunk, err = settleChunk(ctx, conn, a, t, from, from+chunkRows)
			if err == nil {
				break
			}
			if tries == lockedTries || !database.IsCode(err, "55P03", "40P01", "40001") {
				return nil, fmt.Errorf("copying %s to collection %s: %w", t.name, a.Collection, err)
			}
			if err := pause(ctx, lockedPause<<tries); err != nil {
				return nil, err
			}
		}
		held = append(held, chunk...)
		progress(min(from+chunkRows, total), total)
	}
	return held, nil
}

func settleChunk(ctx context.Context, conn *pgx.Conn, a *Attachment, t *table, from, to int64) (held []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, chunkLimit)
	defer cancel()
	of := fmt.Sprintf("FROM pg_temp.nearby_differences d WHERE d.n > %d AND d.n <= %d", from, to)
	collection := database.Literal(a.Collection)
	batch := &pgx.Batch{} // one transaction
	batch.Queue(fmt.Sprintf(`DELETE FROM nearby.items i USING (SELECT d.id, d.seq %s AND d.gone) g
 WHERE i.collection = %s AND i.id = g.id AND i.seq IS NOT DISTINCT FROM g.seq`, of, collection))
	if a.Follow == FollowTrigger {
		// The rows are few of many, to be found by the index that there is.
		batch.Queue(`SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true)`)
		batch.Queue(fmt.Sprintf(`WITH wanted AS MATERIALIZED (SELECT d.key, d.id %s AND NOT d.gone),
fresh AS MATERIALIZED (SELECT %s FROM wanted d JOIN %s s ON s.%s = d.key FOR SHARE OF s SKIP LOCKED),
put AS (%s)
SELECT coalesce(array_agg(h.id), '{}') FROM (SELECT w.id FROM wanted w EXCEPT SELECT f.id FROM fresh f) h`,
			of, t.values, t.name, t.key, fmt.Sprintf(putRows, collection, "fresh r")))
	} else {
		batch.Queue(fmt.Sprintf(putRows, collection, "(SELECT d.* "+of+" AND NOT d.gone) r"))
	}
	results := conn.SendBatch(ctx, batch)
	if _, err = results.Exec(); err == nil {
		if _, err = results.Exec(); err == nil && a.Follow == FollowTrigger {
			err = results.QueryRow().Scan(&held)
		}
	}
	if closed := results.Close(); err == nil {
		err = closed
	}
	return held, err
}
