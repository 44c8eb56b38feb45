package main

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"nearby/client"
	"nearby/ingest"
	"nearby/item"
)

// A batch is sent when it has this many rows or bytes.
const (
	batchRows  = 8000
	batchBytes = 4 << 20
)

type position struct{ lon, lat float64 }

// batch is a run of rows of one file on its way to the server, as one Feature
// a line.
type batch struct {
	body  []byte
	lines []int               // lines[i] is the line of the file that row i came from
	made  []bool              // made[i]: the id of row i is not of the file
	ids   map[uint64]struct{} // hashes of the ids
	at    []position          // of the rows that have one
	done  chan struct{}       // closed when the server has answered
}

func newBatch() *batch {
	return &batch{ids: make(map[uint64]struct{}, 256), done: make(chan struct{})}
}

// next returns an empty batch with room for as much as is in b.
func (b *batch) next() *batch {
	n := newBatch()
	n.body, n.lines, n.made = make([]byte, 0, cap(b.body)), make([]int, 0, cap(b.lines)), make([]bool, 0, cap(b.made))
	n.at = make([]position, 0, cap(b.at))
	n.ids = make(map[uint64]struct{}, len(b.ids))
	return n
}

func (b *batch) full() bool { return len(b.lines) >= batchRows || len(b.body) >= batchBytes }

var idSeed = maphash.MakeSeed()

// add appends one row, whose id may have been made up. Its properties are copied.
func (b *batch) add(row *ingest.Row, made bool) error {
	var err error
	it := &row.Item
	b.body = append(b.body, `{"type":"Feature","id":`...)
	if b.body, err = jsontext.AppendQuote(b.body, it.ID); err != nil {
		return err
	}
	if row.NoPosition {
		b.body = append(b.body, `,"geometry":null,"properties":`...)
	} else {
		b.body = append(b.body, `,"geometry":{"type":"Point","coordinates":[`...)
		b.body = strconv.AppendFloat(b.body, it.Lon, 'g', -1, 64)
		b.body = append(b.body, ',')
		b.body = strconv.AppendFloat(b.body, it.Lat, 'g', -1, 64)
		b.body = append(b.body, `]},"properties":`...)
		b.at = append(b.at, position{it.Lon, it.Lat})
	}
	if len(it.Properties) == 0 {
		b.body = append(b.body, "{}"...)
	} else {
		b.body = append(b.body, it.Properties...)
	}
	b.body = append(b.body, "}\n"...)
	b.lines, b.made = append(b.lines, row.Line), append(b.made, made)
	b.ids[maphash.String(idSeed, it.ID)] = struct{}{}
	return nil
}

// fault is what the server says of a row, at the row's place in the file.
func (b *batch) fault(file *input, e *client.Fault) fault {
	f := fault{file.name, file.place, *e}
	f.Line = 0
	if e.Line >= 1 && e.Line <= len(b.lines) {
		if f.Line = b.lines[e.Line-1]; b.made[e.Line-1] {
			f.ID = ""
		}
	}
	return f
}

// overlaps reports whether the batches may name a common id, so that the order in
// which they arrive matters.
func (b *batch) overlaps(other *batch) bool {
	small, large := b.ids, other.ids
	if len(small) > len(large) {
		small, large = large, small
	}
	for id := range small {
		if _, ok := large[id]; ok {
			return true
		}
	}
	return false
}

// maxRemembered bounds the memory of a rowIDs, to about 60 MB.
const maxRemembered = 1 << 21

// rowIDs makes ids for the rows of a file that has none, so that loading the
// file once more meets the same ids: a UUID (version 5) of the row's position
// and properties. Identical rows are counted, and the count tells them apart.
// Past maxRemembered distinct rows the row's number takes the count's place,
// which is as repeatable as long as the file's rows keep their order.
type rowIDs struct {
	seen map[uint64]uint32 // times that a row has come, by hash
	rows uint64
	buf  []byte
	max  int
}

func newRowIDs() *rowIDs { return &rowIDs{seen: map[uint64]uint32{}, max: maxRemembered} }

// rowNamespace is the namespace of these UUIDs, made up once.
var rowNamespace = uuid.MustParse("6f7a1c52-7d0e-4b3c-9a58-2f1f4be0c9d7")

func (r *rowIDs) next(it *item.Item) string {
	r.buf = binary.BigEndian.AppendUint64(r.buf[:0], math.Float64bits(it.Lon+0))
	r.buf = binary.BigEndian.AppendUint64(r.buf, math.Float64bits(it.Lat+0))
	r.buf = append(r.buf, it.Properties...)
	id := uuid.NewSHA1(rowNamespace, r.buf)
	key := binary.BigEndian.Uint64(id[:])
	r.rows++
	n, known := r.seen[key]
	count := uint64(n)
	if known || len(r.seen) < r.max {
		r.seen[key] = n + 1
	} else {
		count = 1<<32 + r.rows
	}
	if count > 0 {
		r.buf = binary.BigEndian.AppendUint64(r.buf[:0], count)
		id = uuid.NewSHA1(id, r.buf)
	}
	return id.String()
}
