package ingest

import (
	"bytes"
	"fmt"
	"io"
)

// records splits a CSV stream into records of cells.
//
// encoding/csv is not used, because it reads a line of any length into memory, and after a stray
// quote it reads the rest of the file before it returns an error. Here the memory is limited, and
// one bad row costs one row:
//
//   - A quote opens a quoted cell only if it is the first byte of the cell. Anywhere else it
//     is text. The cell must end after the closing quote.
//   - A quote is stray if there is no closing quote at the end of the cell, within the limit, or
//     before the end of the file, or, with isRow, if a line comes before the closing quote that
//     is a row by itself. The record with the stray quote is rejected, and the line after the
//     quote is read as the next record.
//   - A record longer than the limit is skipped and not kept.
//   - Empty lines are not records.
type records struct {
	src    *source
	delim  byte
	quotes bool // quotes enclose cells
	// isRow reports whether a line is a row by itself if the quotes in it are text. Nil: lines
	// inside quotes are not checked. hint says what to do if such a line is part of the cell.
	isRow func(line []byte) bool
	hint  string
	cells [][]byte // cells of the last record, valid until next
	line  int      // on which the last record begins
}

// next reads one record. Its errors are those of Reader.Next.
func (t *records) next() error {
	s := t.src
	var (
		from   int  // the offset in the window at which the line begins
		quoted bool // the record has a quote
		open   bool // the offset from is inside quotes
		openAt int  // the offset of the last opening quote
		lines  int  // the line ends inside quotes so far
	)
	t.line = s.line
	for {
		end, size, _, ended := s.seek(s.lineEnd, from) // the length of the record up to this line, without and with its line end
		w := s.window()
		if !ended {
			if s.full() && open {
				return t.stray(openAt, fmt.Sprintf("is not closed within %d bytes", s.limit), twice)
			}
			if s.full() {
				s.skipPast(s.lineEnd)
				return t.longRow()
			}
			if err := s.failure(); err != nil {
				return err
			}
			if len(w) == 0 {
				return io.EOF
			}
			end, size = len(w), len(w)
		}
		if t.quotes && (open || bytes.IndexByte(w[from:end], '"') >= 0) {
			quoted = true
			inside, opened, badAt := open, openAt, 0
			open, openAt, badAt = t.scanQuotes(w[:end], from, open, openAt)
			if inside && t.isRow != nil && t.isRow(w[from:end]) && (open && openAt == opened || t.isRow(s.lineAt(opened))) {
				return t.stray(opened, fmt.Sprintf("is not closed before line %d, which is a row by itself", s.line+s.lines(from)), t.hint)
			}
			if badAt >= 0 && openAt < from {
				return t.stray(openAt, "is not closed at the end of a cell", twice)
			}
			if badAt >= 0 {
				s.skip(size)
				return &RowError{Line: t.line, Field: "row", Got: around(w[:end], badAt),
					Reason: "a closing quote must be followed by the delimiter or the end of the line", Hint: twice}
			}
		}
		if open {
			if !ended { // the stream has ended
				return t.stray(openAt, "is never closed", twice)
			}
			lines++
			from = size
			continue
		}
		if end > s.limit {
			s.skip(size)
			return t.longRow()
		}
		s.start += size
		s.line += lines
		if ended {
			s.line++
		}
		if end == 0 { // an empty line
			t.line = s.line
			from = 0
			continue
		}
		t.split(w[:end], quoted)
		return nil
	}
}

// twice is a hint for users whose cells contain quote marks.
const twice = "a quote inside quotes is written twice"

// stray returns the error of a record with a stray quote at an offset of the window, and skips the
// rest of the line that the quote is on.
func (t *records) stray(at int, why, hint string) error {
	s := t.src
	line := s.line + s.lines(at)
	got := around(s.lineAt(at), at-s.lineStart(at))
	s.skip(at)
	s.skipPast(s.lineEnd)
	return &RowError{Line: line, Field: "row", Got: got,
		Reason: fmt.Sprintf("the quote opened on line %d %s", line, why), Hint: hint}
}

// scanQuotes finds the quotes of w from offset from, at which a line begins. open says whether that
// is inside quotes, and openAt is the offset of the last opening quote. It returns both for the end
// of w. badAt is the offset of a closing quote that is not at the end of its cell, or -1.
func (t *records) scanQuotes(w []byte, from int, open bool, openAt int) (stillOpen bool, lastOpen, badAt int) {
	start := !open // whether w[i] is the first byte of a cell
	for i := from; i < len(w); i++ {
		switch {
		case open:
			j := bytes.IndexByte(w[i:], '"')
			if j < 0 {
				return true, openAt, -1
			}
			i += j
			switch rest := w[i+1:]; {
			case len(rest) > 0 && rest[0] == '"':
				i++ // a doubled quote
			case len(rest) == 0 || rest[0] == t.delim:
				open = false
			default:
				return false, openAt, i
			}
		case start && w[i] == '"':
			open, openAt, start = true, i, false
		default:
			start = w[i] == t.delim
		}
	}
	return open, openAt, -1
}

// split splits rec into t.cells. It unquotes quoted cells in place.
func (t *records) split(rec []byte, quoted bool) {
	if !quoted {
		t.cells = cut(t.cells[:0], rec, t.delim)
		return
	}
	t.cells = t.cells[:0]
	for {
		if len(rec) == 0 || rec[0] != '"' {
			i := bytes.IndexByte(rec, t.delim)
			if i < 0 {
				t.cells = append(t.cells, rec)
				return
			}
			t.cells = append(t.cells, rec[:i])
			rec = rec[i+1:]
			continue
		}
		cell, i := rec[1:1], 1
		for {
			j := bytes.IndexByte(rec[i:], '"')
			cell = append(cell, rec[i:i+j]...)
			i += j + 1
			if i == len(rec) || rec[i] != '"' {
				break
			}
			cell = append(cell, '"')
			i++
		}
		t.cells = append(t.cells, cell)
		if i == len(rec) {
			return
		}
		rec = rec[i+1:] // past the delimiter
	}
}

// cut appends the cells of rec. Quotes in rec are text.
func cut(cells [][]byte, rec []byte, delim byte) [][]byte {
	from := 0
	for i, c := range rec {
		if c == delim {
			cells = append(cells, rec[from:i])
			from = i + 1
		}
	}
	return append(cells, rec[from:])
}

func (t *records) longRow() error {
	return &RowError{Line: t.line, Field: "row", Reason: fmt.Sprintf("is longer than the limit of %d bytes", t.src.limit)}
}

// around returns the part of w from 20 bytes before offset at to 20 bytes after it.
func around(w []byte, at int) string {
	return string(bytes.ToValidUTF8(w[max(0, at-20):min(len(w), at+20)], []byte("\uFFFD")))
}
