package api

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math"

	"nearby/index"
	"nearby/item"
)

// A cursor says where a page ended: a kind, a number (the distance's bits, or
// the Z-order key), the last id or none, and a checksum, so that a cursor of
// another request or a typing error is noticed.
const (
	cursorNearby = 'n'
	cursorList   = 'l'
	cursorBox    = 'b'
)

func makeCursor(kind byte, n uint64, id string) string {
	return string(appendCursor(nil, kind, n, id))
}

func appendCursor(b []byte, kind byte, n uint64, id string) []byte {
	start := len(b)
	b = append(append(b, kind), id...)
	b = binary.LittleEndian.AppendUint64(b, n)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
	end := len(b) // its text goes behind, then over it
	b = base64.RawURLEncoding.AppendEncode(b, b[start:end])
	return b[:start+copy(b[start:], b[end:])]
}

// cursor reads the parameter; ok is false if it was not given.
func (q *query) cursor(kind byte) (n uint64, id string, ok bool, err error) {
	text, ok := q.values.lookup("cursor")
	if !ok {
		return 0, "", false, nil
	}
	bad := badParameter("cursor", text, "is not one that an answer to this request gave", "")
	b, derr := base64.RawURLEncoding.DecodeString(text)
	if derr != nil || len(b) < 13 || len(b) > 13+item.MaxIDBytes || b[0] != kind {
		return 0, "", true, bad
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.ChecksumIEEE(body) != sum {
		return 0, "", true, bad
	}
	return binary.LittleEndian.Uint64(body[len(body)-8:]), string(body[1 : len(body)-8]), true, nil
}

func appendNearbyCursor(b []byte, distance float64, id string) []byte {
	return appendCursor(b, cursorNearby, math.Float64bits(distance), id)
}

// after reads a nearby cursor.
func (q *query) after() (*index.After, error) {
	n, id, ok, err := q.cursor(cursorNearby)
	if err != nil || !ok {
		return nil, err
	}
	d := math.Float64frombits(n)
	if !(d >= 0) {
		return nil, badParameter("cursor", q.values.Get("cursor"), "is not one that an answer to this request gave", "")
	}
	return &index.After{Distance: d, ID: id}, nil
}
