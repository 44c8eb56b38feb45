package ingest

import "errors"

// errEarly says that the stream ended inside a value.
var errEarly = errors.New("the stream ends inside a value")

// value gives the JSON value that the window starts with, by counting brackets
// outside strings; it does not look whether it is valid. A value that does not
// fit into the window is passed over and answered with errTooLong.
func (s *source) value() (raw []byte, line int, err error) {
	line = s.line
	var (
		depth             int
		inString, escaped bool
		long              bool
	)
	for i := 0; ; {
		w := s.window()
		end := -1
	scan:
		for ; i < len(w); i++ {
			b := w[i]
			if inString {
				switch {
				case escaped:
					escaped = false
				case b == '\\':
					escaped = true
				case b == '"':
					inString = false
					if depth == 0 {
						end = i + 1
						break scan
					}
				}
				continue
			}
			switch b {
			case '"':
				inString = true
			case '{', '[':
				depth++
			case '}', ']':
				if depth == 0 { // ends a bare number or word
					end = i
					break scan
				}
				if depth--; depth == 0 {
					end = i + 1
					break scan
				}
			case ',', ':', ' ', '\t', '\n', '\r':
				if depth == 0 {
					end = i
					break scan
				}
			}
		}
		if end >= 0 {
			s.skip(end)
			if long || end > s.limit {
				return nil, line, errTooLong
			}
			return w[:end], line, nil
		}
		if s.more() {
			continue
		}
		if s.full() {
			long = true
			s.skip(len(w))
			i = 0
			continue
		}
		if err := s.failure(); err != nil {
			return nil, line, err
		}
		return nil, line, errEarly
	}
}
