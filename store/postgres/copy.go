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

// itemColumns are the columns of an item, in the order in which decodeItem takes them.
const itemColumns = `id, lon, lat, properties, created, updated, seq`

const itemFields = 7

// goodItems returns the SQL condition that a row is an item of the collection in the view.
// born is the commit that made the collection.
func (v *view) goodItems(collection string, born int64) string {
	return fmt.Sprintf("collection = %s AND seq >= %d AND seq <= %d AND bad IS NULL", database.Literal(collection), born, v.pos.Seq)
}

// copyStalls is how long the database may send nothing during a copy. If a condition selects
// few rows of many, the first row may take long.
const copyStalls = 5 * time.Minute

// copyItems calls yield for the items of a collection that meet a further condition. It reads
// them with COPY in the binary format, which takes the least time on both sides.
func (v *view) copyItems(ctx context.Context, conn *pgx.Conn, collection string, born int64, and string, yield func(*item.Item) error) error {
	w, ctx := newWatch(ctx, copyStalls)
	defer w.stop()
	r := &copyReader{yield: yield, skip: func(it *item.Item, reason error) { v.s.skip(collection, it, reason) }, watch: w}
	sql := "COPY (SELECT " + itemColumns + " FROM nearby.items WHERE " + v.goodItems(collection, born) + and + ") TO STDOUT (FORMAT binary)"
	_, err := conn.PgConn().CopyTo(ctx, r, sql)
	switch {
	case r.err != nil:
		return r.err // of yield or of the format
	case err != nil && context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case err != nil:
		return database.ReadError(err)
	case !r.ended:
		return fmt.Errorf("%w: the copy ends early", store.ErrCorrupt)
	}
	return nil
}

// copyReader is a writer for the bytes of a COPY. It calls yield for the rows in them.
type copyReader struct {
	yield func(*item.Item) error
	skip  func(it *item.Item, reason error)

	begun, ended bool
	rest         []byte // the beginning of a row whose end has not come yet
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

// take reads the header, a row or the trailer from data, and returns how many bytes it has
// used; 0 if a part is still to come.
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
	if err := item.CheckStored(&r.it); err != nil { // rows written past the triggers are not marked as bad
		r.skip(&r.it, err)
		return at, nil
	}
	r.watch.busy.Store(true)
	err := r.yield(&r.it)
	r.watch.busy.Store(false)
	return at, err
}

var errForm = errors.New("a column has another form")

// decodeItem reads itemColumns in PostgreSQL's binary format. The item shares their memory.
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

// float reads a float8. It returns NaN for NULL; CheckStored refuses NaN.
func float(raw []byte) float64 {
	if len(raw) == 0 {
		return math.NaN()
	}
	return math.Float64frombits(binary.BigEndian.Uint64(raw))
}

// unixMillis reads a timestamp, which PostgreSQL counts in microseconds since 2000, and
// returns it in Unix milliseconds. For a later time than RFC 3339 can express, and for
// infinity, it returns the last one that RFC 3339 can express.
func unixMillis(raw []byte) int64 {
	const epoch, last = 946_684_800_000, 253_402_300_799_999
	micros := int64(binary.BigEndian.Uint64(raw))
	millis := micros / 1000
	if micros%1000 < 0 {
		millis--
	}
	return min(millis+epoch, last)
}

// skip counts a row that is not a valid item, and logs it unless too many were logged.
func (s *Store) skip(collection string, it *item.Item, reason error) {
	s.stats.skippedRows.Add(1)
	log, untold := s.badRows.next()
	if untold > 0 {
		s.opt.Log.Warn("more rows in the database are no items and are not served", "rows", untold)
	}
	if log {
		s.opt.Log.Warn("a row in the database is no item and is not served", "collection", collection, "id", item.Shorten(it.ID), "reason", reason)
	}
}

// At most loggedRows bad rows are logged in logPeriod. The others are counted.
const (
	loggedRows = 100
	logPeriod  = 10 * time.Second
)

// rowLimiter limits how many bad rows are logged.
type rowLimiter struct {
	mu     sync.Mutex
	begun  time.Time // the period
	logged int       // in the period
	untold int       // rows of the period that were not logged
}

// next reports whether to log a row. At the beginning of a period it also returns how many
// rows of the last period were not logged.
func (n *rowLimiter) next() (log bool, untold int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); now.Sub(n.begun) >= logPeriod {
		untold = n.untold
		n.begun, n.logged, n.untold = now, 0, 0
	}
	if n.logged == loggedRows {
		n.untold++
		return false, untold
	}
	n.logged++
	return true, untold
}
