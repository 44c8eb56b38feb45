package collection

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/index"
	"nearby/item"
)

// A column keeps the queryable property of the same place in the definition, of
// every item, as the number of its
// value, so that a filter compares numbers. Strings, numbers and booleans can
// be filtered on; null, arrays, objects and missing members match nothing.
//
// The values are numbered by a dictionary that only grows, so that it can be
// shared by all versions: a number given out later matches nothing in an older
// version. It is built anew when the collection is loaded.
type column struct {
	dict   *dictionary
	values vector[uint32] // by ref; 0: nothing to match
}

// dictionary numbers the values of one column, from 1. One writer, any readers.
type dictionary struct {
	numbers sync.Map // string -> uint32
	last    uint32
}

func (d *dictionary) lookup(key []byte) (uint32, bool) {
	if n, ok := d.numbers.Load(string(key)); ok {
		return n.(uint32), true
	}
	return 0, false
}

// number returns the value's number, a new one if need be.
func (d *dictionary) number(key []byte) uint32 {
	if n, ok := d.lookup(key); ok {
		return n
	}
	d.last++
	d.numbers.Store(string(key), d.last)
	return d.last
}

// The key of a value is its kind and its canonical text.
func appendString(dst []byte, s string) []byte { return append(append(dst, 's'), s...) }

func appendNumber(dst []byte, v float64) []byte {
	return strconv.AppendFloat(append(dst, 'n'), v, 'g', -1, 64)
}

// extract calls yield with the key of each queryable member of an item's
// properties. Only the top level counts. That they are a JSON object was checked
// when they came in, so that it suffices to see where members begin and end.
func extract(properties []byte, names []string, yield func(i int, key []byte)) error {
	if len(properties) == 0 || len(names) == 0 {
		return nil
	}
	b := properties
	i := blanks(b, 0)
	if i == len(b) || b[i] != '{' {
		return errProperties
	}
	var text, key []byte
	for {
		// Here is the { or a comma.
		if i = blanks(b, i+1); i < len(b) && b[i] == '}' {
			return nil
		}
		end := stringEnd(b, i)
		if end < 0 {
			return errProperties
		}
		name := b[i:end]
		if i = blanks(b, end); i == len(b) || b[i] != ':' {
			return errProperties
		}
		i = blanks(b, i+1)
		if end = valueEnd(b, i); end < 0 {
			return errProperties
		}
		value := b[i:end]
		if i = blanks(b, end); i == len(b) || b[i] != ',' && b[i] != '}' {
			return errProperties
		}
		var err error
		if text, err = unquoted(text, name); err != nil {
			return err
		}
		at := slices.IndexFunc(names, func(n string) bool { return n == string(text) })
		if at >= 0 {
			switch value[0] {
			case '"':
				if text, err = unquoted(text, value); err != nil {
					return err
				}
				yield(at, append(append(key[:0], 's'), text...))
			case 't', 'f':
				yield(at, value)
			case 'n', '{', '[':
			default:
				if v, ok := item.ParseNumber(string(value)); ok {
					key = appendNumber(key[:0], v)
					yield(at, key)
				}
			}
		}
		if b[i] == '}' {
			return nil
		}
	}
}

var errProperties = errors.New("collection: an item's properties are no JSON object")

// blanks returns where b goes on from i after white space.
func blanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// stringEnd returns where the string ends whose quote is at i, or -1.
func stringEnd(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// valueEnd returns where the value ends that begins at i, or -1.
func valueEnd(b []byte, i int) int {
	begin, depth := i, 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = stringEnd(b, i); i < 0 || depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		if depth <= 0 && (b[i] == ',' || b[i] == '}' || b[i] <= ' ') {
			if i == begin {
				return -1
			}
			return i
		}
		i++
	}
	return -1
}

// unquoted gives the text of a string; dst is room for one with escapes.
func unquoted(dst, quoted []byte) ([]byte, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return append(dst[:0], quoted[1:len(quoted)-1]...), nil
	}
	return jsontext.AppendUnquote(dst[:0], quoted)
}

// Filter is a condition on queryable properties: for each property, one of the
// values. Property names and values are as in a URL.
type Filter map[string][]string

// match compiles the filter for one snapshot. A nil function keeps everything.
func (s *Snapshot) match(f Filter) (func(index.Ref) bool, error) {
	if len(f) == 0 {
		return nil, nil
	}
	type condition struct {
		column *vector[uint32]
		any    []uint32
	}
	var conditions []condition
	for name, values := range f {
		i := slices.Index(s.def.Queryables, name)
		if i < 0 {
			return nil, fmt.Errorf("%w: %q; queryable are: %s", ErrUnknownQueryable, name, strings.Join(s.def.Queryables, ", "))
		}
		c := condition{column: &s.columns[i].values}
		dict := s.columns[i].dict
		for _, v := range values {
			// "5" may be meant as a string or as a number: both match.
			if n, ok := dict.lookup(appendString(nil, v)); ok {
				c.any = append(c.any, n)
			}
			if x, ok := item.ParseNumber(v); ok {
				if n, ok := dict.lookup(appendNumber(nil, x)); ok {
					c.any = append(c.any, n)
				}
			}
			if v == "true" || v == "false" {
				if n, ok := dict.lookup([]byte(v)); ok {
					c.any = append(c.any, n)
				}
			}
		}
		conditions = append(conditions, c)
	}
	return func(ref index.Ref) bool {
		for _, c := range conditions {
			if !slices.Contains(c.any, c.column.at(uint32(ref))) {
				return false
			}
		}
		return true
	}, nil
}
