package ingest

import "errors"

// errEarly says that the stream ended inside a value.
var errEarly = errors.New("the stream ends inside a value")

// value reads the JSON value at the beginning of the window, and returns it with the line on which
// it begins. It counts brackets outside strings to find the end, and does not check whether the
// value is valid. If a value is longer than the limit, it skips the value and returns errTooLong.
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
				if depth == 0 { // the end of a number or a word
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
