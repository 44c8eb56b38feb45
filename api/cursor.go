package api

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strconv"

	"nearby/index"
	"nearby/item"
	"nearby/parameter"
)

// A cursor says where a page ended: a kind, a number (the distance's bits, or
// the Z-order key), the last id or none, and a checksum. The checksum is over the question,
// too, so that a cursor of another question or a typing error is noticed.
const (
	cursorNearby = 'n'
	cursorList   = 'l'
	cursorBox    = 'b'
)

// question is a digest of what was asked, but for how much of it an answer shows.
type question uint32

// question returns that of a query of a collection. The order of the parameters does not
// matter, nor how a number is written.
func (q *query) question(collection string) question {
	d := digest(0).of(collection)
	for _, a := range q.values.given[:q.values.n] {
		row := parameter.Named(a.name)
		if !row.Question {
			continue
		}
		of := digest(0).of(a.name)
		if f, err := strconv.ParseFloat(a.value, 64); err == nil && row.Kind == parameter.Number {
			d += (of + digest(math.Float64bits(f))).of("")
		} else {
			d += of.of(a.value)
		}
	}
	for name, text := range q.filter.Added() {
		d += digest(0).of("=").of(name).of(text)
	}
	return question(d)
}

// cursor returns the cursor of a place in the answer.
func (q question) cursor(kind byte, n uint64, id string) string {
	return string(q.appendCursor(nil, kind, n, id))
}

func (q question) appendCursor(b []byte, kind byte, n uint64, id string) []byte {
	start := len(b)
	b = append(append(b, kind), id...)
	b = binary.LittleEndian.AppendUint64(b, n)
	b = binary.LittleEndian.AppendUint32(b, crc32.Update(uint32(q), crc32.IEEETable, b[start:]))
	end := len(b) // its text goes behind, then over it
	b = base64.RawURLEncoding.AppendEncode(b, b[start:end])
	return b[:start+copy(b[start:], b[end:])]
}

// cursor reads the parameter; ok is false if it was not given.
func (q *query) cursor(asked question, kind byte) (n uint64, id string, ok bool, err error) {
	text, ok := q.values.lookup("cursor")
	if !ok {
		return 0, "", false, nil
	}
	bad := badCursor(text)
	b, derr := base64.RawURLEncoding.DecodeString(text)
	if derr != nil || len(b) < 13 || len(b) > 13+item.MaxIDBytes || b[0] != kind {
		return 0, "", true, bad
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Update(uint32(asked), crc32.IEEETable, body) != sum {
		return 0, "", true, bad
	}
	return binary.LittleEndian.Uint64(body[len(body)-8:]), string(body[1 : len(body)-8]), true, nil
}

// badCursor refuses a cursor.
func badCursor(text string) error {
	return badParameter("cursor", text, "is not one that an answer to this request gave",
		"follow the next link as it is: a cursor belongs to the collection, the place, the area and the filter of its page")
}

// after reads a nearby cursor.
func (q *query) after(asked question) (*index.After, error) {
	n, id, ok, err := q.cursor(asked, cursorNearby)
	if err != nil || !ok {
		return nil, err
	}
	d := math.Float64frombits(n)
	if !(d >= 0) {
		return nil, badCursor(q.values.Get("cursor"))
	}
	return &index.After{Distance: d, ID: id}, nil
}
