package collection

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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
// properties. Only the top level counts.
func extract(properties []byte, names []string, yield func(i int, key []byte)) error {
	if len(properties) == 0 || len(names) == 0 {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(properties))
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	var key []byte
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		i := slices.Index(names, name.String())
		kind := d.PeekKind()
		if i < 0 || kind == '{' || kind == '[' || kind == 'n' {
			if err := d.SkipValue(); err != nil {
				return err
			}
			continue
		}
		value, err := d.ReadToken()
		if err != nil {
			return err
		}
		switch kind {
		case '"':
			key = appendString(key[:0], value.String())
		case '0':
			v, ok := item.ParseNumber(value.String())
			if !ok {
				continue
			}
			key = appendNumber(key[:0], v)
		default:
			key = append(key[:0], value.String()...) // true or false
		}
		yield(i, key)
	}
	if _, err := d.ReadToken(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
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
