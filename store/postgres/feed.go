package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/jackc/pgx/v5"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres/database"
)

// The statements of a feed read what has a higher number than $1: all collections, and at
// most $2 tombstones and $2 items, in the order of their numbers. They leave out rows of
// collections that do not exist or that had the same name before. They also leave out rows
// whose number is higher than that of the newest commit: somebody has written such rows past
// the triggers.
const (
	lockSQL            = `LOCK TABLE nearby.items, nearby.tombstones, nearby.collections IN ACCESS SHARE MODE`
	feedHeadSQL        = `SELECT h.seq, h.epoch, h.floor, ` + database.Released + `, (SELECT count(*) FROM (SELECT FROM nearby.items WHERE seq > $1 AND seq <= h.seq LIMIT $2) i) FROM nearby.head h`
	feedCollectionsSQL = `SELECT name, definition::text, born, seq, dropped FROM nearby.collections WHERE seq > $1 AND seq <= (SELECT h.seq FROM nearby.head h)`
	feedTombstonesSQL  = `SELECT t.collection, t.id, t.seq FROM nearby.tombstones t JOIN nearby.collections c ON c.name = t.collection
 WHERE t.seq > $1 AND t.seq <= (SELECT h.seq FROM nearby.head h) AND t.seq >= c.born AND NOT c.dropped ORDER BY t.seq LIMIT $2`
	feedItemsSQL = `SELECT i.id, i.lon, i.lat, i.properties, i.created, i.updated, i.seq, i.collection, i.bad
  FROM nearby.items i JOIN nearby.collections c ON c.name = i.collection
 WHERE i.seq > $1 AND i.seq <= (SELECT h.seq FROM nearby.head h) AND i.seq >= c.born AND NOT c.dropped ORDER BY i.seq LIMIT $2`
)

// lagSQL returns how many seconds a standby is behind its primary, as far as the standby
// knows: 0 if it has replayed all that it has received and is connected to the primary.
const lagSQL = `
SELECT CASE WHEN NOT pg_is_in_recovery() THEN 0
            WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver WHERE pid IS NOT NULL) THEN 0
            ELSE extract(epoch FROM clock_timestamp() - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time())) END::float8`

const (
	// chunkChanges is how many changes of a step are delivered at once.
	chunkChanges = 8192
	// feedStalls is how long the database may send nothing during a feed.
	feedStalls = 10 * time.Second
)

// feed reads one step in one transaction, and delivers it.
type feed struct {
	f      *follower
	conn   *pgx.Conn
	view   *view // it reads in the transaction of this view, and delivers the view; nil: none
	handed bool  // the view was delivered
	watch  *watch

	at        time.Time
	head      store.CommitID
	counter   int64          // of the head's epoch
	forgotten bool           // the database has the followed epoch, but not all its followed commits
	changes   []store.Change // of the next delivery
	memory    []byte         // to which they point
	names     map[string]string
}

func (d *feed) read(ctx context.Context) error {
	d.at, d.names = time.Now(), map[string]string{}
	d.watch, ctx = newWatch(ctx, feedStalls)
	defer d.watch.stop()
	id, err := database.Identify(ctx, d.conn)
	if err != nil {
		return database.ReadError(err)
	}
	applied, limit := int64(d.f.pos.Seq), d.f.s.opt.MaxBacklog+1
	batch := &pgx.Batch{}
	batch.Queue(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`)
	batch.Queue(lockSQL)
	batch.Queue(feedHeadSQL, applied, limit)
	if id.Standby {
		batch.Queue(database.IdentitySQL) // the standby may have been promoted
		batch.Queue(lagSQL)
	}
	batch.Queue(feedCollectionsSQL, applied)
	batch.Queue(feedTombstonesSQL, applied, limit)
	batch.Queue(feedItemsSQL, applied, limit)
	if d.view == nil {
		batch.Queue(`COMMIT`)
	}
	results := d.conn.SendBatch(ctx, batch)
	if err := d.take(results, id); err != nil {
		if cause := context.Cause(ctx); cause != nil && !isDelivery(err) {
			err = cause
		}
		d.watch.stop() // so that Close does not read the remaining answers
		_ = results.Close()
		return err
	}
	if err := results.Close(); err != nil {
		return database.ReadError(err)
	}
	return d.deliver(false)
}

func isDelivery(err error) bool {
	var d *deliveryError
	return errors.As(err, &d)
}

// take reads the answers to the statements of read, and delivers all but the last part.
func (d *feed) take(results pgx.BatchResults, id database.Identity) error {
	for range 2 { // BEGIN, LOCK
		if _, err := results.Exec(); err != nil {
			return database.ReadError(err)
		}
	}
	var seq, counter, floor, backlog int64
	var usable bool
	if err := results.QueryRow().Scan(&seq, &counter, &floor, &usable, &backlog); err != nil {
		return database.HeadError(err)
	}
	if !usable {
		return store.ErrRestored
	}
	if id.Standby {
		if err := id.Scan(results.QueryRow()); err != nil {
			return database.ReadError(err)
		}
		var behind float64
		if err := results.QueryRow().Scan(&behind); err != nil {
			return database.ReadError(err)
		}
		d.at = d.at.Add(-time.Duration(behind * float64(time.Second)))
	}
	d.head, d.counter = store.CommitID{Epoch: id.Epoch(counter), Seq: store.Seq(seq)}, counter
	from := d.f.pos
	d.forgotten = d.head.Epoch == from.Epoch && d.head.Seq < from.Seq
	switch {
	case d.head.Epoch != from.Epoch || d.head.Seq < from.Seq:
		return fmt.Errorf("%w: the database is at %d of epoch %s, and was followed to %d of epoch %s",
			store.ErrForked, d.head.Seq, d.head.Epoch, from.Seq, from.Epoch)
	case store.Seq(floor) > from.Seq:
		return fmt.Errorf("%w: deletions up to %d are forgotten, and %d was reached", store.ErrGone, floor, from.Seq)
	case backlog > int64(d.f.s.opt.MaxBacklog):
		return d.tooMany()
	}
	collections, err := readCollections(results)
	if err != nil {
		return database.ReadError(err)
	}
	tombstones, err := d.readTombstones(results)
	if err != nil {
		return database.ReadError(err)
	}
	if len(tombstones) > d.f.s.opt.MaxBacklog {
		return d.tooMany()
	}
	if err := d.merge(results, collections, tombstones); err != nil {
		return err
	}
	if d.view == nil {
		if _, err := results.Exec(); err != nil {
			return database.ReadError(err)
		}
	}
	return nil
}

func (d *feed) tooMany() error {
	return fmt.Errorf("%w: more than %d rows have changed", store.ErrGone, d.f.s.opt.MaxBacklog)
}

// tombstone is a deletion.
type tombstone struct {
	collection, id string
	seq            int64
}

type movedCollection struct {
	name, definition string
	born, seq        int64
	dropped          bool
}

// readCollections returns the collections that have changed, in the order of the commits
// that made them.
func readCollections(results pgx.BatchResults) ([]movedCollection, error) {
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c movedCollection, err error) {
		err = row.Scan(&c.name, &c.definition, &c.born, &c.seq, &c.dropped)
		return c, err
	})
	slices.SortFunc(all, func(a, b movedCollection) int { return cmp.Or(cmp.Compare(a.born, b.born), cmp.Compare(a.seq, b.seq)) })
	return all, err
}

func (d *feed) readTombstones(results pgx.BatchResults) ([]tombstone, error) {
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (tombstone, error) {
		d.watch.came()
		raw := row.RawValues()
		return tombstone{d.name(raw[0]), string(raw[1]), int64(binary.BigEndian.Uint64(raw[2]))}, nil
	})
}

// name returns a collection's name. It allocates each name once.
func (d *feed) name(raw []byte) string {
	if name, ok := d.names[string(raw)]; ok {
		return name
	}
	name := string(raw)
	d.names[name] = name
	return name
}

// merge puts the three kinds of changes in order, and delivers them. Collections come first:
// the statements have read only tombstones and items of the collections that exist now. Then
// the tombstones and items come in the order of their numbers. If a tombstone and an item have
// the same number, the tombstone comes first, because a transaction deleted the item and made
// it again.
func (d *feed) merge(results pgx.BatchResults, collections []movedCollection, tombstones []tombstone) error {
	for i := range collections {
		c := &collections[i]
		if c.dropped || store.Seq(c.born) > d.f.pos.Seq {
			d.changes = append(d.changes, store.Change{Op: store.DropCollection, Collection: c.name, Item: item.Item{Seq: uint64(c.seq)}})
		}
		if !c.dropped {
			d.changes = append(d.changes, store.Change{Op: store.PutCollection, Collection: c.name, Definition: []byte(c.definition), Item: item.Item{Seq: uint64(c.seq)}})
		}
	}
	deleteUpTo := func(upTo int64) error {
		for len(tombstones) > 0 && tombstones[0].seq <= upTo {
			t := &tombstones[0]
			tombstones = tombstones[1:]
			if err := d.add(store.Change{Op: store.DeleteItem, Collection: t.collection, Item: item.Item{ID: t.id, Seq: uint64(t.seq)}}); err != nil {
				return err
			}
		}
		return nil
	}
	rows, err := results.Query()
	if err != nil {
		return database.ReadError(err)
	}
	defer rows.Close()
	for rows.Next() {
		d.watch.came()
		d.f.s.stats.readRows.Add(1)
		ch, ok, err := d.change(rows.RawValues())
		if err != nil {
			return err
		}
		if err := deleteUpTo(int64(ch.Item.Seq)); err != nil {
			return err
		}
		if ok {
			if err := d.add(ch); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return database.ReadError(err)
	}
	return deleteUpTo(math.MaxInt64)
}

// change returns the change that a row of feedItemsSQL stands for. The change uses d.memory.
// A row that is not a valid item stands for the deletion of the item with its id. ok is false
// if there is nothing to do, because no item can have that id.
func (d *feed) change(raw [][]byte) (ch store.Change, ok bool, err error) {
	const fieldCollection, fieldBad = itemFields, itemFields + 1
	if len(raw) != itemFields+2 || len(raw[6]) != 8 {
		return ch, false, fmt.Errorf("%w: %w", store.ErrCorrupt, errForm)
	}
	ch = store.Change{Op: store.PutItem, Collection: d.name(raw[fieldCollection])}
	it := &ch.Item
	var bad error
	if raw[fieldBad] != nil {
		bad = errors.New(string(raw[fieldBad]))
		it.ID, it.Seq = string(raw[0]), binary.BigEndian.Uint64(raw[6])
	} else if err := decodeItem(it, raw); err != nil {
		return ch, false, err
	} else {
		bad = item.CheckStored(it)
	}
	if bad != nil {
		d.f.s.skip(ch.Collection, it, bad)
		ch.Op = store.DeleteItem
		*it = item.Item{ID: strings.Clone(it.ID), Seq: it.Seq}
		return ch, item.CheckStoredID(it.ID) == nil, nil
	}
	n := len(d.memory)
	d.memory = append(append(d.memory, it.ID...), it.Properties...)
	own := d.memory[n:]
	if n := len(it.ID); len(own) > n {
		it.Properties = own[n:len(own):len(own)]
	} else {
		it.Properties = nil
	}
	it.ID = unsafe.String(unsafe.SliceData(own), len(it.ID))
	return ch, true, nil
}

// add adds a change. If there are chunkChanges already, it delivers those first.
func (d *feed) add(ch store.Change) error {
	if len(d.changes) >= chunkChanges {
		if err := d.deliver(true); err != nil {
			return err
		}
		d.memory = nil // not d.memory[:0], because ch uses its end
	}
	d.changes = append(d.changes, ch)
	return nil
}

// deliver delivers the changes so far as a step, or as a part of one if more is true.
func (d *feed) deliver(more bool) error {
	step := &store.Step{Seq: d.head.Seq, Changes: d.changes, More: more, At: d.at}
	if d.view != nil && !more {
		d.view.pos = d.head
		step.View = d.view
		d.handed = true
	}
	d.watch.busy.Store(true)
	defer d.watch.busy.Store(false)
	if err := d.f.hand(step); err != nil {
		return err
	}
	if len(d.changes) > 0 && !more {
		d.f.s.stats.readSteps.Add(1)
	}
	d.changes = d.changes[:0]
	return nil
}
