package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// source is a window on a stream: the unread bytes buf[start:end], which grows
// only while a row does not fit, up to limit bytes. It knows the line number
// of the first unread byte.
type source struct {
	r     io.Reader
	buf   []byte
	start int
	end   int
	eol   byte  // what ends a line
	line  int   // physical line of buf[start], from 1
	limit int   // a row may have this many bytes
	err   error // what ended the stream: io.EOF, or a failure
}

const (
	firstWindow = 64 << 10
	// rowSlack leaves room for a row's line end and for looking past it.
	rowSlack = 2
)

// errTooLong says that a row did not fit into the window and was skipped.
var errTooLong = errors.New("row too long")

func newSource(r io.Reader, limit int) *source {
	return &source{r: r, buf: make([]byte, min(firstWindow, limit+rowSlack)), eol: '\n', line: 1, limit: limit}
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
	if s.end == len(s.buf) && s.start > 0 {
		s.end = copy(s.buf, s.buf[s.start:s.end])
		s.start = 0
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
	return fmt.Errorf("ingest: reading after line %d: %w", s.line, s.err)
}

// skip drops n bytes of the window and counts their lines.
func (s *source) skip(n int) {
	s.line += bytes.Count(s.buf[s.start:s.start+n], []byte{s.eol})
	s.start += n
}

// lineStart is the offset in the window at which the line begins that offset at is on.
func (s *source) lineStart(at int) int { return bytes.LastIndexByte(s.window()[:at], s.eol) + 1 }

// lineAt is the line of the window that offset at is on.
func (s *source) lineAt(at int) []byte {
	line, _, _ := bytes.Cut(s.window()[s.lineStart(at):], []byte{s.eol})
	return line
}

// skipPast drops everything up to and including the next delim, however far
// that is.
func (s *source) skipPast(delim byte) {
	for {
		w := s.window()
		if i := bytes.IndexByte(w, delim); i >= 0 {
			s.skip(i + 1)
			return
		}
		s.skip(len(w))
		if !s.more() {
			return
		}
	}
}

// until gives what comes before the next delim, or before the end of the
// stream, and the line on which it starts. A row that is too long is skipped
// whole and answered with errTooLong.
func (s *source) until(delim byte) (row []byte, line int, err error) {
	line = s.line
	for seen := 0; ; {
		w := s.window()
		i := bytes.IndexByte(w[seen:], delim)
		if i >= 0 {
			row = w[:seen+i]
			s.skip(seen + i + 1)
			if len(row) > s.limit {
				return nil, line, errTooLong
			}
			return row, line, nil
		}
		seen = len(w)
		if s.more() {
			continue
		}
		if s.full() {
			s.skipPast(delim)
			return nil, line, errTooLong
		}
		if err := s.failure(); err != nil {
			return nil, line, err
		}
		if seen == 0 {
			return nil, line, io.EOF
		}
		s.skip(seen)
		if seen > s.limit {
			return nil, line, errTooLong
		}
		return w, line, nil
	}
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
