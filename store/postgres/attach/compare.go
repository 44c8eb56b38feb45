package attach

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"nearby/store/postgres/database"
)

// chunkRows is how many rows of an attached table one transaction copies. The limit is
// needed because the transaction locks the head while the rows get their numbers.
const chunkRows = 5000

// scope says which rows of an attached table are compared with the collection.
type scope struct {
	since *string  // poll: rows that have changed since then, minus the overlap; it finds no deletions
	ids   []string // if not nil: rows with these ids
}

// storedForm is the properties of a row s in the form in which nearby.items has them.
const storedForm = `NULLIF(NULLIF(s.properties::jsonb::text, '{}'), 'null')`

// findDifferences compares a table with its collection, in one statement and without row
// locks. It writes the differences to a temporary table: the keys of rows to copy, and the ids
// of items to delete. It returns how many there are.
func findDifferences(ctx context.Context, conn *pgx.Conn, a *Attachment, t *table, sc scope) (int64, error) {
	if err := dropDifferences(ctx, conn); err != nil {
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
	if !t.unique { // of several rows with one id, it must always be the same that counts
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

// dropDifferences removes the temporary table.
func dropDifferences(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `DROP TABLE IF EXISTS pg_temp.nearby_differences`)
	return err
}

const putRows = `INSERT INTO nearby.items (collection, id, lon, lat, properties)
SELECT %s, r.id, r.lon, r.lat, r.properties FROM %s
    ON CONFLICT (collection, id) DO UPDATE SET lon = excluded.lon, lat = excluded.lat, properties = excluded.properties`

const (
	// chunkLimit is how long the transaction of a chunk may take.
	chunkLimit = 2 * time.Minute
	// If an open transaction holds an item of a chunk, the chunk is tried again lockedTries
	// times. The first pause is lockedPause, each next one twice as long.
	lockedTries = 5
	lockedPause = 50 * time.Millisecond
)

// copyDifferences copies the differences that findDifferences has found to the collection,
// in chunks. It returns the ids of rows that it did not copy because open transactions hold
// them.
//
// If triggers write the collection, too, copyDifferences reads each row again and locks it.
// Who changes the row later has to wait for the chunk, and the trigger then sees the item.
// Rows that are locked already are skipped, so that a chunk waits for no other transaction
// and cannot deadlock with one. An item is deleted only if it still has the version that was
// compared.
func copyDifferences(ctx context.Context, conn *pgx.Conn, a *Attachment, t *table, total int64, progress func(done, total int64)) (held []string, err error) {
	for from := int64(0); from < total; from += chunkRows {
		var chunk []string
		for tries := 0; ; tries++ {
			chunk, err = copyChunk(ctx, conn, a, t, from, from+chunkRows)
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

// copyChunk copies the differences with numbers from+1 to to, in one transaction.
func copyChunk(ctx context.Context, conn *pgx.Conn, a *Attachment, t *table, from, to int64) (held []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, chunkLimit)
	defer cancel()
	of := fmt.Sprintf("FROM pg_temp.nearby_differences d WHERE d.n > %d AND d.n <= %d", from, to)
	collection := database.Literal(a.Collection)
	batch := &pgx.Batch{} // it is one transaction
	batch.Queue(fmt.Sprintf(`DELETE FROM nearby.items i USING (SELECT d.id, d.seq %s AND d.gone) g
 WHERE i.collection = %s AND i.id = g.id AND i.seq IS NOT DISTINCT FROM g.seq`, of, collection))
	if a.Follow == FollowTrigger {
		// These are few rows of many, so the database has to use the index.
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
