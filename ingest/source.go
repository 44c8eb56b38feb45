package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// source is a window on a stream: the unread bytes buf[start:end]. The buffer grows only if a row
// does not fit, up to limit bytes. source also counts lines. A line ends with LF, with CR LF, or with
// CR alone; one stream may have all three.
type source struct {
	r     io.Reader
	buf   []byte
	start int // buf[start-1], if there is one, is the last byte before the window
	end   int
	line  int   // the line of buf[start], from 1
	limit int   // how many bytes a row may have
	err   error // what ended the stream: io.EOF, or a failure

	lf, cr, rs mark
}

// mark has the next position of a byte in the buffer: buf[from:at] does not contain the byte. So a
// rare byte is not searched again for every line.
type mark struct{ from, at int }

const (
	firstWindow = 64 << 10
	// rowSlack is room for the line end of a row (two bytes) and for the byte before the row.
	rowSlack = 3
)

// errTooLong says that a row did not fit into the window and was skipped.
var errTooLong = errors.New("row too long")

func newSource(r io.Reader, limit int) *source {
	return &source{r: r, buf: make([]byte, min(firstWindow, limit+rowSlack)), line: 1, limit: limit}
}

// sourceOf returns a source whose window is text and whose stream has ended.
func sourceOf(text []byte) *source {
	return &source{buf: text, end: len(text), line: 1, limit: len(text), err: io.EOF}
}

// openSource returns a source that reads r. If r begins like gzip, and opt.Unpacked is false, it
// unpacks r. It skips a byte order mark.
func openSource(r io.Reader, opt Options) (src *source, zipped bool, err error) {
	if !opt.Unpacked {
		if r, zipped, err = Unpack(r); err != nil {
			return nil, false, err
		}
	}
	src = newSource(r, opt.MaxLineBytes)
	for len(src.window()) < 3 && src.more() {
	}
	if err := src.failure(); err != nil && len(src.window()) == 0 {
		return nil, false, err
	}
	if bytes.HasPrefix(src.window(), []byte("\xef\xbb\xbf")) {
		src.start += 3
	}
	return src, zipped, nil
}

// window returns the bytes of the window. They are valid until more is called.
func (s *source) window() []byte { return s.buf[s.start:s.end] }

// more reads at least one byte into the window. It reports false if the stream has ended or the
// window cannot grow.
func (s *source) more() bool {
	if s.err != nil {
		return false
	}
	if gone := s.start - 1; s.end == len(s.buf) && gone > 0 {
		s.end = copy(s.buf, s.buf[gone:s.end])
		s.start = 1
		for _, m := range []*mark{&s.lf, &s.cr, &s.rs} {
			m.from, m.at = m.from-gone, m.at-gone
		}
	}
	if s.end == len(s.buf) {
		if len(s.buf) >= s.limit+rowSlack {
			return false
		}
		grown := make([]byte, min(2*len(s.buf), s.limit+rowSlack))
		copy(grown, s.buf[:s.end])
		s.buf = grown
	}
	const emptyReads = 100 // as bufio allows
	for range emptyReads {
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		s.err = err
		if n > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// full reports, after more has returned false, whether the window cannot grow.
func (s *source) full() bool { return s.err == nil }

// failure returns the error that ended the stream, or nil if the stream has not ended or has ended
// with io.EOF.
func (s *source) failure() error {
	if s.err == nil || errors.Is(s.err, io.EOF) {
		return nil
	}
	return fmt.Errorf("reading after line %d: %w", s.line, s.err)
}

// skip removes the first n bytes of the window and counts their lines.
func (s *source) skip(n int) {
	s.line += s.lines(n)
	s.start += n
}

// lines counts the line ends in the first n bytes of the window. A CR LF counts as one, even if its
// CR is the byte before the window.
func (s *source) lines(n int) int {
	text := s.buf[s.start : s.start+n]
	count := countLines(text)
	if n > 0 && text[0] == '\n' && s.start > 0 && s.buf[s.start-1] == '\r' {
		count--
	}
	return count
}

// countLines counts the line ends in text.
func countLines(text []byte) int {
	n := bytes.Count(text, []byte("\n"))
	if bytes.IndexByte(text, '\r') >= 0 {
		n += bytes.Count(text, []byte("\r")) - bytes.Count(text, []byte("\r\n"))
	}
	return n
}

// cutLine returns the first line of text and what comes after its line end, and reports whether
// there is a line end.
func cutLine(text []byte) (line, rest []byte, ended bool) {
	end := bytes.IndexAny(text, "\r\n")
	if end < 0 {
		return text, nil, false
	}
	if rest, ok := bytes.CutPrefix(text[end:], []byte("\r\n")); ok {
		return text[:end], rest, true
	}
	return text[:end], text[end+1:], true
}

// lineStart returns the offset in the window at which the line with offset at begins.
func (s *source) lineStart(at int) int { return bytes.LastIndexAny(s.window()[:at], "\r\n") + 1 }

// lineAt returns the line of the window with offset at.
func (s *source) lineAt(at int) []byte {
	line, _, _ := cutLine(s.window()[s.lineStart(at):])
	return line
}

// next returns the offset in buf of the first b at or after offset from, or s.end. m is the mark of b.
func (s *source) next(b byte, m *mark, from int) int {
	if from < m.from || from > m.at {
		*m = mark{from, from}
	}
	if m.at < s.end && s.buf[m.at] != b {
		if i := bytes.IndexByte(s.buf[m.at:s.end], b); i >= 0 {
			m.at += i
		} else {
			m.at = s.end
		}
	}
	return m.at
}

// An ending finds the end of a row that begins at an offset in the window. It returns the offset of
// the end, the offset of the byte after the line end or separator, and how many lines end up to
// there. It reports false if the end is not in the window as a whole.
type ending func(from int) (end, after, lines int, ok bool)

// lineEnd is the ending of a line.
func (s *source) lineEnd(from int) (end, after, lines int, ok bool) {
	from += s.start
	lf, cr := s.next('\n', &s.lf, from), s.next('\r', &s.cr, from)
	switch {
	case lf < cr:
		return lf - s.start, lf + 1 - s.start, 1, true
	case cr == s.end, cr+1 == s.end && s.err == nil: // a LF may follow the CR
		return 0, 0, 0, false
	case lf == cr+1 && lf < s.end:
		return cr - s.start, lf + 1 - s.start, 1, true
	}
	return cr - s.start, cr + 1 - s.start, 1, true
}

// separator is the ending of a record of a text sequence.
func (s *source) separator(from int) (end, after, lines int, ok bool) {
	at := s.next(recordSeparator, &s.rs, s.start+from) - s.start
	if at == len(s.window()) {
		return 0, 0, 0, false // the lines are counted only when the end is in the window
	}
	return at, at + 1, s.lines(at) - s.lines(from), true
}

// seek reads until find succeeds. It reports false if the stream ends or the window cannot grow
// before.
func (s *source) seek(find ending, from int) (end, after, lines int, ok bool) {
	for {
		if end, after, lines, ok = find(from); ok {
			return end, after, lines, true
		}
		if !s.more() {
			return find(from) // at the end of the stream, a CR is a line end
		}
	}
}

// skipPast skips everything up to and including the next line end or separator, even if it is far
// away.
func (s *source) skipPast(find ending) {
	for {
		if _, after, _, ok := find(0); ok {
			s.skip(after)
			return
		}
		w := s.window()
		s.skip(len(bytes.TrimSuffix(w, []byte("\r")))) // a LF may follow the CR
		if !s.more() {
			s.skip(len(s.window()))
			return
		}
	}
}

// until returns the row before the next line end or separator, or before the end of the stream, and
// the line on which the row begins. If the row is longer than the limit, it skips the row and returns
// errTooLong.
func (s *source) until(find ending) (row []byte, line int, err error) {
	line = s.line
	end, after, lines, ok := s.seek(find, 0)
	if !ok {
		if s.full() {
			s.skipPast(find)
			return nil, line, errTooLong
		}
		if err := s.failure(); err != nil {
			return nil, line, err
		}
		if end = len(s.window()); end == 0 {
			return nil, line, io.EOF
		}
		after, lines = end, s.lines(end)
	}
	row = s.window()[:end]
	s.start += after
	if s.line += lines; end > s.limit {
		return nil, line, errTooLong
	}
	return row, line, nil
}

// peek skips blanks and returns the byte after them, which stays in the window. It returns io.EOF if
// there is none.
func (s *source) peek(blanks string) (byte, error) {
	for {
		w := s.window()
		rest := bytes.TrimLeft(w, blanks)
		s.skip(len(w) - len(rest))
		if len(rest) > 0 {
			return rest[0], nil
		}
		if !s.more() {
			if err := s.failure(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
	}
}
