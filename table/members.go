package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/go-json-experiment/json/jsontext"
)

// scanner goes through the members of an item's properties, in their order. Only the top level
// counts. That they are a JSON object was checked when they came in, so that it suffices to see
// where members begin and end.
type scanner struct {
	json []byte
	at   int   // of the { or the comma before the next member, or past the end
	err  error // why next returned false before the end

	name, nameEnd   int // where the name of the member lies, with its quotes
	value, valueEnd int
}

// next finds the next member. It returns false at the end and after an error.
func (s *scanner) next() bool {
	b, i := s.json, s.at
	if i == 0 {
		if len(b) == 0 {
			return false
		}
		if i = blanks(b, 0); i == len(b) || b[i] != '{' {
			return s.fail()
		}
	} else if b[i] == '}' {
		return false
	}
	if i = blanks(b, i+1); i < len(b) && b[i] == '}' {
		return false
	}
	s.name = i
	if s.nameEnd = stringEnd(b, i); s.nameEnd < 0 {
		return s.fail()
	}
	if i = blanks(b, s.nameEnd); i == len(b) || b[i] != ':' {
		return s.fail()
	}
	s.value = blanks(b, i+1)
	if s.valueEnd = valueEnd(b, s.value); s.valueEnd < 0 {
		return s.fail()
	}
	if i = blanks(b, s.valueEnd); i == len(b) || b[i] != ',' && b[i] != '}' {
		return s.fail()
	}
	s.at = i
	return true
}

func (s *scanner) fail() bool {
	s.err = errProperties
	return false
}

// members calls yield with the name and the value of each member of an item's properties. The
// name is valid until yield returns.
func members(properties []byte, yield func(name, value []byte) error) error {
	s := scanner{json: properties}
	for s.next() {
		name, err := unquoted(properties[s.name:s.nameEnd])
		if err != nil {
			return err
		}
		if err := yield(name, properties[s.value:s.valueEnd]); err != nil {
			return err
		}
	}
	return s.err
}

var errProperties = errors.New("an item's properties are no JSON object")

// blanks returns where b goes on from i after white space.
func blanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// stringEnd returns where the string ends whose quote is at i, or -1. It looks at eight bytes at once.
func stringEnd(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; i < len(b); {
		if i+8 <= len(b) {
			word := binary.LittleEndian.Uint64(b[i:])
			found := bytesOf(word, '"') | bytesOf(word, '\\')
			if found == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(found) / 8
		}
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
		i++
	}
	return -1
}

// bytesOf has the highest bit of the first byte of a word that is c, and of no byte before it.
func bytesOf(word uint64, c byte) uint64 {
	const ones, highest = 0x0101010101010101, 0x8080808080808080
	word ^= ones * uint64(c)
	return (word - ones) &^ word & highest
}

// valueEnd returns where the value ends that begins at i, or -1.
func valueEnd(b []byte, i int) int {
	if i < len(b) && b[i] == '"' {
		return stringEnd(b, i)
	}
	begin, depth := i, 0
	for i < len(b) {
		switch c := b[i]; {
		case c == '{' || c == '[':
			depth++
		case depth == 0:
			if c == ',' || c == '}' || c <= ' ' {
				if i == begin {
					return -1
				}
				return i
			}
		case c == '"':
			if i = stringEnd(b, i); i < 0 {
				return -1
			}
			continue
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}

// unquoted returns the text of a string, which is a part of it unless it has escapes.
func unquoted(quoted []byte) ([]byte, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1], nil
	}
	return jsontext.AppendUnquote(nil, quoted)
}
