package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// source is a window on a stream: the unread bytes buf[start:end], which grows
// only while a row does not fit, up to limit bytes. It knows the line number
// of the first unread byte. A line ends in LF, in CR LF, or in CR alone, each as it comes.
type source struct {
	r     io.Reader
	buf   []byte
	start int // buf[start-1], if there is one, is the byte that was read last
	end   int
	line  int   // physical line of buf[start], from 1
	limit int   // a row may have this many bytes
	err   error // what ended the stream: io.EOF, or a failure

	lf, cr, rs mark
}

// mark remembers where in a buffer a byte is next, so that a byte which is rare, or in no line
// at all, is not looked for again in every line: buf[from:at] has none.
type mark struct{ from, at int }

const (
	firstWindow = 64 << 10
	// rowSlack leaves room for a row's line end, for looking past it, and for the byte before.
	rowSlack = 3
)

// errTooLong says that a row did not fit into the window and was skipped.
var errTooLong = errors.New("row too long")

func newSource(r io.Reader, limit int) *source {
	return &source{r: r, buf: make([]byte, min(firstWindow, limit+rowSlack)), line: 1, limit: limit}
}

// sourceOf is the source of text that is there as a whole.
func sourceOf(text []byte) *source {
	return &source{buf: text, end: len(text), line: 1, limit: len(text), err: io.EOF}
}

// openSource makes the source of r, unpacked if it starts like gzip and may be.
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

// window is the unread part of what was read so far. It is valid until more.
func (s *source) window() []byte { return s.buf[s.start:s.end] }

// more reads at least one byte into the window. It reports false if the stream
// ended or the window is full.
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

// full reports, after more has failed, whether that was for want of room.
func (s *source) full() bool { return s.err == nil }

// failure is the error that ended the stream, unless that was its end.
func (s *source) failure() error {
	if s.err == nil || errors.Is(s.err, io.EOF) {
		return nil
	}
	return fmt.Errorf("reading after line %d: %w", s.line, s.err)
}

// skip drops n bytes of the window and counts their lines.
func (s *source) skip(n int) {
	s.line += s.lines(n)
	s.start += n
}

// lines counts the line ends in the next n bytes of the window. The LF of a CR LF is counted
// with its CR, also where that was read before.
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

// cutLine cuts text after its first line, if that has an end.
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

// lineStart is the offset in the window at which the line begins that offset at is on.
func (s *source) lineStart(at int) int { return bytes.LastIndexAny(s.window()[:at], "\r\n") + 1 }

// lineAt is the line of the window that offset at is on.
func (s *source) lineAt(at int) []byte {
	line, _, _ := cutLine(s.window()[s.lineStart(at):])
	return line
}

// next is the offset in buf of the first b from offset from on, or the end.
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

// An ending finds what ends a row that begins at an offset in the window: the offsets of the end
// and of what comes after it, and how many lines end up to there. It reports false if the window
// has none, or not all of it.
type ending func(from int) (end, after, lines int, ok bool)

// lineEnd is the ending of a line.
func (s *source) lineEnd(from int) (end, after, lines int, ok bool) {
	from += s.start
	lf, cr := s.next('\n', &s.lf, from), s.next('\r', &s.cr, from)
	switch {
	case lf < cr:
		return lf - s.start, lf + 1 - s.start, 1, true
	case cr == s.end, cr+1 == s.end && s.err == nil: // a LF may come
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
		return 0, 0, 0, false // its lines are counted once, when the end is there
	}
	return at, at + 1, s.lines(at) - s.lines(from), true
}

// seek reads on until the window has an ending. It reports false if there is none, or no room
// for it.
func (s *source) seek(find ending, from int) (end, after, lines int, ok bool) {
	for {
		if end, after, lines, ok = find(from); ok {
			return end, after, lines, true
		}
		if !s.more() {
			return find(from) // the end of the stream ends what a CR ends
		}
	}
}

// skipPast drops everything up to and including the next ending, however far
// that is.
func (s *source) skipPast(find ending) {
	for {
		if _, after, _, ok := find(0); ok {
			s.skip(after)
			return
		}
		w := s.window()
		s.skip(len(bytes.TrimSuffix(w, []byte("\r")))) // which may be an ending
		if !s.more() {
			s.skip(len(s.window()))
			return
		}
	}
}

// until gives what comes before the next ending, or before the end of the
// stream, and the line on which it starts. A row that is too long is skipped
// whole and answered with errTooLong.
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

// peek passes over blanks and gives the byte after them, without consuming it;
// io.EOF if there is none.
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
