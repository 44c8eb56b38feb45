package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// recordSeparator comes before every record of a GeoJSON text sequence
// (RFC 8142).
const recordSeparator = 0x1e

// jsonBlanks is the white space of JSON.
const jsonBlanks = " \t\r\n"

// linesReader reads NDJSON and GeoJSON text sequences. If the stream begins with a record
// separator, each record ends at the next one and may have several lines. Otherwise each line is a
// record, so that one bad line costs one row.
type linesReader struct {
	src  *source
	info Info
	rec  ending
	dec  objectDecoder
}

func newLinesReader(src *source, opt Options, info Info) (Reader, error) {
	first, err := src.peek(jsonBlanks)
	if errors.Is(err, io.EOF) {
		return nil, errEmpty()
	}
	if err != nil {
		return nil, err
	}
	if first == '[' {
		if err := refuseArray(src); err != nil {
			return nil, err
		}
	}
	l := &linesReader{src: src, info: info, rec: src.lineEnd}
	if first == recordSeparator {
		l.rec = src.separator
		l.info.Format = GeoJSONSeq
	}
	l.dec.opt = opt
	return l, nil
}

func (l *linesReader) Info() Info { return l.info }

// Next implements Reader.
func (l *linesReader) Next(row *Row) error {
	for {
		rec, line, err := l.src.until(l.rec)
		if errors.Is(err, errTooLong) {
			return &RowError{Line: line, Field: "row", Reason: fmt.Sprintf("is longer than the limit of %d bytes", l.src.limit)}
		}
		if err != nil {
			return err
		}
		body := rec
		if n := len(rec); n == 0 || rec[0] != '{' || rec[n-1] != '}' { // rarely
			body = bytes.TrimLeft(rec, jsonBlanks+"\x1e")
			line += countLines(rec[:len(rec)-len(body)])
			if body = bytes.TrimRight(body, jsonBlanks); len(body) == 0 {
				continue // each step of the loop consumes input
			}
		}
		*row = Row{Line: line}
		if err := l.dec.featureOrPlain(body, row); err != nil {
			return rowError(line, row.Item.ID, err)
		}
		return nil
	}
}
