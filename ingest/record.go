package ingest

import (
	"bytes"
	"fmt"
	"io"
)

// records splits a CSV stream into records of cells.
//
// encoding/csv would do for good files. It reads a line of any length into
// memory, and after a stray quote it has consumed the rest of the file before
// it says so; a loader that promises bounded memory and that one bad row costs
// one row needs both decided here:
//
//   - A quote means something only as the first byte of a cell; elsewhere it
//     is text. After the closing quote the cell must end.
//   - A quote that is not closed so is a stray one, and so is one that is not
//     closed within the limit, or before the file ends, or, with isRow, before a
//     line that is a row by itself. Its record is rejected, and reading goes on
//     with the line after the quote: what it seemed to enclose are rows.
//   - A record longer than the limit is skipped without being kept.
//   - Lines without any content are no records.
type records struct {
	src    *source
	delim  byte
	quotes bool // whether quotes mean anything
	// isRow reports whether a line, its quotes read as text, is a row by itself. Nil:
	// nobody knows, or nobody asks. hint says what to do if such a line is none.
	isRow func(line []byte) bool
	hint  string
	cells [][]byte // cells of the last record, valid until next
	line  int      // where the last record starts
}

// next reads one record. Its errors are as those of Reader.Next.
func (t *records) next() error {
	s := t.src
	var (
		from   int  // where in the window the line starts
		quoted bool // the record has a quote
		open   bool // the window up to from ends inside quotes
		openAt int  // offset of the quote last opened
		lines  int  // line ends inside quotes so far
	)
	t.line = s.line
	for {
		end, size, _, ended := s.seek(s.lineEnd, from) // of the record as far as this line, without and with its line end
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
			if !ended { // the stream did
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

// twice is a hint for who has a quote mark in a cell.
const twice = "a quote inside quotes is written twice"

// stray rejects the record whose quote at an offset of the window is one too many or one
// too few, and goes on after the line of that quote.
func (t *records) stray(at int, why, hint string) error {
	s := t.src
	line := s.line + s.lines(at)
	got := around(s.lineAt(at), at-s.lineStart(at))
	s.skip(at)
	s.skipPast(s.lineEnd)
	return &RowError{Line: line, Field: "row", Got: got,
		Reason: fmt.Sprintf("the quote opened on line %d %s", line, why), Hint: hint}
}

// scanQuotes follows the quotes of w from offset from, which is where a line
// starts. badAt is the offset of a byte that may not follow a closing quote,
// or -1.
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

// split cuts rec into t.cells; quoted cells are unquoted in place.
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

// cut appends the cells of rec, in which quotes are text.
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

// around is a piece of w that shows offset at.
func around(w []byte, at int) string {
	return string(bytes.ToValidUTF8(w[max(0, at-20):min(len(w), at+20)], []byte("\uFFFD")))
}
