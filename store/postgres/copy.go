package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
	"unsafe"

	"github.com/jackc/pgx/v5"

	"nearby/item"
	"nearby/store"
	"nearby/store/postgres/database"
)

// itemColumns are an item's fields in the order in which they are decoded.
const itemColumns = `id, lon, lat, properties, created, updated, seq`

const itemFields = 7

// goodItems is the condition that a row is an item of the collection, which was born
// by a commit, in the view.
func (v *view) goodItems(collection string, born int64) string {
	return fmt.Sprintf("collection = %s AND seq >= %d AND seq <= %d AND bad IS NULL", database.Literal(collection), born, v.pos.Seq)
}

// copyStalls is how long nothing may come of a copy. Where few rows are wanted of
// many, the first may take its time.
const copyStalls = 5 * time.Minute

// copyItems reads the items of a collection that meet a further condition, in
// PostgreSQL's binary form of COPY, which costs both sides least.
func (v *view) copyItems(ctx context.Context, conn *pgx.Conn, collection string, born int64, and string, yield func(*item.Item) error) error {
	w, ctx := newWatch(ctx, copyStalls)
	defer w.stop()
	r := &copyReader{yield: yield, skip: func(it *item.Item, reason error) { v.s.skip(collection, it, reason) }, watch: w}
	sql := "COPY (SELECT " + itemColumns + " FROM nearby.items WHERE " + v.goodItems(collection, born) + and + ") TO STDOUT (FORMAT binary)"
	_, err := conn.PgConn().CopyTo(ctx, r, sql)
	switch {
	case r.err != nil:
		return r.err // of yield, or the form
	case err != nil && context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case err != nil:
		return database.ReadError(err)
	case !r.ended:
		return fmt.Errorf("%w: the copy ends early", store.ErrCorrupt)
	}
	return nil
}

// copyReader takes the bytes of a COPY as they come and yields the rows in them.
type copyReader struct {
	yield func(*item.Item) error
	skip  func(it *item.Item, reason error)

	begun, ended bool
	rest         []byte // of a row that has not come whole
	it           item.Item
	err          error
	watch        *watch
}

var copySignature = []byte("PGCOPY\n\xff\r\n\x00")

// Write is part of io.Writer.
func (r *copyReader) Write(data []byte) (int, error) {
	r.watch.came()
	n := len(data)
	if len(r.rest) > 0 {
		r.rest = append(r.rest, data...)
		data = r.rest
	}
	for len(data) > 0 {
		used, err := r.take(data)
		if err != nil {
			r.err = err
			return 0, err
		}
		if used == 0 {
			break
		}
		data = data[used:]
	}
	r.rest = append(r.rest[:0], data...)
	return n, nil
}

// take reads the header, a row or the trailer; 0 if it has not come whole.
func (r *copyReader) take(data []byte) (int, error) {
	malformed := fmt.Errorf("%w: the copy has another form", store.ErrCorrupt)
	if !r.begun {
		const head = 11 + 4 + 4
		if len(data) < head {
			return 0, nil
		}
		if !bytes.HasPrefix(data, copySignature) || binary.BigEndian.Uint32(data[15:]) != 0 {
			return 0, malformed
		}
		r.begun = true
		return head, nil
	}
	if len(data) < 2 {
		return 0, nil
	}
	fields := int16(binary.BigEndian.Uint16(data))
	if r.ended || fields != itemFields && fields != -1 {
		return 0, malformed
	}
	if fields == -1 {
		r.ended = true
		return 2, nil
	}
	var raw [itemFields][]byte
	at := 2
	for i := range raw {
		if len(data) < at+4 {
			return 0, nil
		}
		n := int(int32(binary.BigEndian.Uint32(data[at:])))
		at += 4
		if n < 0 {
			continue // NULL
		}
		if len(data) < at+n {
			return 0, nil
		}
		raw[i] = data[at : at+n : at+n]
		at += n
	}
	if err := decodeItem(&r.it, raw[:]); err != nil {
		return 0, err
	}
	if err := item.CheckStored(&r.it); err != nil { // whatever the column bad says
		r.skip(&r.it, err)
		return at, nil
	}
	r.watch.busy.Store(true)
	err := r.yield(&r.it)
	r.watch.busy.Store(false)
	return at, err
}

var errForm = errors.New("a column has another form")

// decodeItem reads itemColumns in their binary form. The item shares their memory.
func decodeItem(it *item.Item, raw [][]byte) error {
	if len(raw) < itemFields || len(raw[1])|8 != 8 || len(raw[2])|8 != 8 || len(raw[4]) != 8 || len(raw[5]) != 8 || len(raw[6]) != 8 {
		return fmt.Errorf("%w: %w", store.ErrCorrupt, errForm)
	}
	it.ID = unsafe.String(unsafe.SliceData(raw[0]), len(raw[0]))
	it.Lon, it.Lat = float(raw[1]), float(raw[2])
	it.Properties = raw[3]
	it.Created = unixMillis(raw[4])
	it.Updated = unixMillis(raw[5])
	it.Seq = binary.BigEndian.Uint64(raw[6])
	return nil
}

// float reads a float8; NULL is NaN, which is no position.
func float(raw []byte) float64 {
	if len(raw) == 0 {
		return math.NaN()
	}
	return math.Float64frombits(binary.BigEndian.Uint64(raw))
}

// unixMillis reads a time, which PostgreSQL counts in microseconds from 2000. One that RFC 3339
// cannot write, infinity too, is the last one that it can.
func unixMillis(raw []byte) int64 {
	const epoch, last = 946_684_800_000, 253_402_300_799_999
	micros := int64(binary.BigEndian.Uint64(raw))
	millis := micros / 1000
	if micros%1000 < 0 {
		millis--
	}
	return min(millis+epoch, last)
}

// skip counts a row that is no item, and names it in the log.
func (s *Store) skip(collection string, it *item.Item, reason error) {
	s.stats.skippedRows.Add(1)
	name, untold := s.badRows.next()
	if untold > 0 {
		s.opt.Log.Warn("more rows in the database are no items and are not served", "rows", untold)
	}
	if name {
		s.opt.Log.Warn("a row in the database is no item and is not served", "collection", collection, "id", item.Shorten(it.ID), "reason", reason)
	}
}

// A flood of bad rows is named in part, and counted.
const (
	namedRows  = 100
	namedEvery = 10 * time.Second
)

// naming lets namedRows through in namedEvery.
type naming struct {
	mu     sync.Mutex
	begun  time.Time
	named  int
	untold int
}

// next reports whether to name a row, and how many were not named in the time before.
func (n *naming) next() (name bool, untold int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); now.Sub(n.begun) >= namedEvery {
		untold = n.untold
		n.begun, n.named, n.untold = now, 0, 0
	}
	if n.named == namedRows {
		n.untold++
		return false, untold
	}
	n.named++
	return true, untold
}
