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

// A cursor says where a page ended. It consists of a kind, the last id or none, a number (the
// bits of the distance, or the Z-order key), and a checksum. The checksum also covers the
// question. So the server notices a cursor of another question, and a typing error.
const (
	cursorNearby = 'n'
	cursorList   = 'l'
	cursorBox    = 'b'
)

// question is a digest of a query: of the parameters that decide which items match and in what
// order, but not of those that decide how many a page has or which properties it shows.
type question uint32

// question returns the digest of a query of a collection. It does not depend on the order of the
// parameters or on how a number is written.
func (p *parameters) question(collection string) question {
	d := digest(0).of(collection) + p.place
	for i := range p.values.given[:p.values.n] {
		a := &p.values.given[i]
		row := &parameter.Table[a.row]
		if !row.Question {
			continue
		}
		of := namesDigest[a.row]
		if f, err := strconv.ParseFloat(a.value, 64); err == nil && row.Kind == parameter.Number {
			d += (of + digest(math.Float64bits(f))).of("")
		} else {
			d += of.of(a.value)
		}
	}
	for name, text := range p.filter.Added() {
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
	end := len(b) // the text is written behind the bytes, then copied over them
	b = base64.RawURLEncoding.AppendEncode(b, b[start:end])
	return b[:start+copy(b[start:], b[end:])]
}

// cursor reads the parameter cursor; ok is false if it was not given.
func (p *parameters) cursor(asked question, kind byte) (n uint64, id string, ok bool, err error) {
	text, ok := p.values.lookup("cursor")
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

// badCursor returns the problem of a cursor that is not valid here.
func badCursor(text string) error {
	return badParameter("cursor", text, "does not come from an answer to this request",
		"use the next link without changes: a cursor belongs to the collection, the position, the area and the filter of its page")
}

// after reads the cursor of a nearby search; nil: it was not given.
func (p *parameters) after(asked question) (*index.After, error) {
	n, id, ok, err := p.cursor(asked, cursorNearby)
	if err != nil || !ok {
		return nil, err
	}
	d := math.Float64frombits(n)
	if !(d >= 0) {
		return nil, badCursor(p.values.Get("cursor"))
	}
	return &index.After{Distance: d, ID: id}, nil
}
