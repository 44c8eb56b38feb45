// Package terminal is how a program shows text to a person: on a terminal, which
// obeys control characters, or in a file or a pipe that may end at one.
package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Screen is an output of a program. What the program prints may hold text of files,
// of servers and of databases, and control characters in that could move the cursor of
// a terminal, colour it, or show letters in another order than they have. So each is
// written as an escape, such as \u001b, also to a pipe, which may end at a terminal. In
// JSON that means the same character.
type Screen struct{ W io.Writer }

// Write is part of io.Writer.
func (s *Screen) Write(p []byte) (int, error) {
	if clean(p) {
		return s.W.Write(p)
	}
	if _, err := s.W.Write(appendVisible(make([]byte, 0, len(p)+64), p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// clean reports whether p has nothing to escape, as far as its bytes tell: letters
// beyond ASCII may be what is to be escaped.
func clean(p []byte) bool {
	for _, b := range p {
		if b >= 0x7f || b < ' ' && b != '\n' && b != '\t' {
			return false
		}
	}
	return true
}

// appendVisible appends text to b with its control characters as escapes, line ends
// and tabs excepted.
func appendVisible(b, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '\n', r == '\t':
			b = append(b, byte(r))
		case r == utf8.RuneError && n == 1: // to an old terminal it may be a control character
			b = utf8.AppendRune(b, r)
		case Obeys(r):
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = append(b, text[:n]...)
		}
		text = text[n:]
	}
	return b
}

// Obeys reports whether a terminal may obey r rather than show it.
func Obeys(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f: // C0, DEL and C1
		return true
	case r == 0x2028, r == 0x2029: // line ends
		return true
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069: // the order of letters
		return true
	}
	return false
}

// OneLine is a value of a file or a server as it stands in a table or a line: it cannot
// begin another line or another cell.
func OneLine(s string) string {
	return strings.NewReplacer("\n", `\u000a`, "\t", `\u0009`).Replace(string(appendVisible(nil, []byte(s))))
}

// Complain prints an error of a program, each of those that were joined on a line of
// its own.
func Complain(w io.Writer, program string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		parts := joined.Unwrap()
		if err.Error() == errors.Join(parts...).Error() {
			for _, part := range parts {
				Complain(w, program, part)
			}
			return
		}
	}
	fmt.Fprintln(w, program+":", OneLine(plainWords.Replace(err.Error())))
}

// plainWords says in words of a program what ended it from outside.
var plainWords = strings.NewReplacer(
	context.Canceled.Error(), "interrupted",
	context.DeadlineExceeded.Error(), "it took too long")
