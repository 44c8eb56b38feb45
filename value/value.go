// Package value decides what the value of a property is, what a text of a filter stands for
// (Parse), and how two values compare. Filters, orders and counts ask it.
//
// Strings are compared byte by byte. Numbers are compared as the decimals that they are
// written as, of any size: 1, 1.0 and 1e0 are one number, and 9007199254740993 is not
// 9007199254740992. Dates and times are compared as instants; a date is the instant with
// which the day begins in UTC. A string is never a number: the postcode "01234" is not 1234.
package value

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"strings"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/item"
)

// Kind is what a value is.
type Kind uint8

// The kinds, in the order in which Compare sorts values of different kinds.
const (
	KindNull    Kind = iota // null, or no value
	KindBoolean             // true or false
	KindNumber              // a decimal
	KindTime                // a date or a date-time
	KindString              // a string
	KindOther               // an array or an object, which equals nothing
)

// Value is the value of a property. The zero value is null. Two values may be equal and
// differ in Go's ==; use Equal.
type Value struct {
	kind Kind
	yes  bool   // of a boolean
	text string // of a string; of a number and a time, as it is written; of any other, its JSON
	time Time
}

// Bool returns a boolean value.
func Bool(b bool) Value { return Value{kind: KindBoolean, yes: b} }

// Text returns the value of a string.
func Text(s string) Value { return Value{kind: KindString, text: s} }

// NumberOf returns the value of a number that is written as in JSON (RFC 8259, section 6),
// and false for any other text.
func NumberOf(text string) (Value, bool) {
	if !isNumber(text) {
		return Value{}, false
	}
	return Value{kind: KindNumber, text: text}, true
}

// TimeOf returns the value of a date or a date-time, and false for any other text.
func TimeOf(text string) (Value, bool) {
	t, ok := ParseTime(text)
	if !ok {
		return Value{}, false
	}
	return Value{kind: KindTime, text: text, time: t}, true
}

// Of returns the value that JSON in compact form says for a property of a type, and
// whether it fits the type. It is the value under Any where it does not. No JSON is null.
// The value shares the memory of json, which must not change.
func Of(t Type, json []byte) (v Value, fits bool) {
	if len(json) == 0 {
		return Value{}, true
	}
	switch json[0] {
	case 'n':
		return Value{}, true
	case 't', 'f':
		return Bool(json[0] == 't'), t == Any || t == Boolean
	case '{', '[':
		return Value{kind: KindOther, text: view(json)}, t == Any
	case '"':
		text, ok := unquote(json)
		if !ok {
			return Value{kind: KindOther, text: view(json)}, false
		}
		if t == DateTime {
			if v, ok := TimeOf(text); ok {
				return v, true
			}
		}
		return Text(text), t == Any || t == String
	}
	v, ok := NumberOf(view(json))
	if !ok {
		return Value{kind: KindOther, text: view(json)}, false
	}
	return v, t == Any || t == Number || t == Integer && v.IsInteger()
}

// Parse returns the values that a text outside JSON stands for, as in a URL: one value of
// the type, or an error that says what the text must be. For Integer that is any number: 4.5
// may be asked for, and equals no integer. Under Any, a text such as 5 or
// true stands for two: the string, and the number or the boolean. A boolean may also be 1
// or 0, which is how GDAL writes it.
func Parse(t Type, text string) ([]Value, error) {
	var v Value
	ok := t == Any || t == String
	switch {
	case ok:
		v = Text(text)
	case t == Boolean:
		v = Bool(text == "true" || text == "1")
		ok = v.yes || text == "false" || text == "0"
	case t == DateTime:
		v, ok = TimeOf(text)
	default:
		v, ok = NumberOf(text)
	}
	if !ok {
		return nil, &item.FieldError{Got: item.Shorten(text), Reason: must[t]}
	}
	values := []Value{v}
	if t == Any {
		if n, ok := NumberOf(text); ok {
			values = append(values, n)
		} else if text == "true" || text == "false" {
			values = append(values, Bool(text == "true"))
		}
	}
	return values, nil
}

// Kind returns what the value is.
func (v Value) Kind() Kind { return v.kind }

// Bool returns whether the value is true.
func (v Value) Bool() bool { return v.yes }

// Text returns the characters of a string, and a number or a time as it is written. Of an
// array or an object it is the JSON. It is empty for a boolean and for null.
func (v Value) Text() string { return v.text }

// Time returns the time of a value, if it is one.
func (v Value) Time() Time { return v.time }

// IsInteger reports whether the value is a number without a fraction.
func (v Value) IsInteger() bool {
	return v.kind == KindNumber && scan(v.text).integer()
}

// Float64 returns the float64 that is nearest to a number, an infinity if it is too large,
// or a time in seconds since 1970-01-01T00:00:00Z. It is monotone: a < b implies that it is
// not greater for a than for b. Two values that are short are equal if, and only if, their
// float64s are. A number is short if it has at most 15 significant digits and a float64 has
// its size; a time is short if it has no digits below the millisecond and is no leap second.
// It is 0 and false for other kinds.
func (v Value) Float64() (f float64, short bool) {
	switch v.kind {
	case KindNumber:
		return scan(v.text).float64(v.text)
	case KindTime:
		return v.time.Begin().float64()
	}
	return 0, false
}

// Compare returns -1, 0 or 1: how a and b are ordered. The order is total: values of
// different kinds are ordered by kind, and arrays and objects by their bytes. A filter
// compares values of one kind only.
func Compare(a, b Value) int {
	if a.kind != b.kind {
		return cmp.Compare(a.kind, b.kind)
	}
	switch a.kind {
	case KindBoolean:
		switch {
		case a.yes == b.yes:
			return 0
		case b.yes:
			return -1
		}
		return 1
	case KindNumber:
		return scan(a.text).compare(scan(b.text))
	case KindTime:
		if c := a.time.Begin().Compare(b.time.Begin()); c != 0 || !a.time.Rounded() {
			return c
		}
		return strings.Compare(belowNanosecond(a.text), belowNanosecond(b.text))
	}
	return strings.Compare(a.text, b.text)
}

// Equal reports whether both are the same string, number, boolean or instant.
func Equal(a, b Value) bool {
	return a.kind != KindNull && a.kind != KindOther && Compare(a, b) == 0
}

// AppendKey appends bytes that are the same for values that are Equal, and different for
// all others. Null, arrays and objects have none.
func (v Value) AppendKey(dst []byte) (key []byte, ok bool) {
	switch v.kind {
	case KindBoolean:
		if v.yes {
			return append(dst, "true"...), true
		}
		return append(dst, "false"...), true
	case KindNumber:
		return item.AppendDecimal(append(dst, 'n'), v.text)
	case KindString:
		return append(append(dst, 's'), v.text...), true
	case KindTime:
		i := v.time.Begin()
		dst = binary.BigEndian.AppendUint64(append(dst, 'i'), uint64(i.second))
		dst = binary.BigEndian.AppendUint32(dst, i.fraction)
		if v.time.Rounded() {
			dst = append(dst, belowNanosecond(v.text)...)
		}
		return dst, true
	}
	return dst, false
}

// OfKey returns a value that has a key, and false if none has. It shares the memory of the key.
// Of a time no more is known than the instant, so that its text is in UTC.
func OfKey(key string) (Value, bool) {
	switch {
	case key == "true" || key == "false":
		return Bool(key == "true"), true
	case key == "":
	case key[0] == 's':
		return Text(key[1:]), true
	case key[0] == 'n':
		return NumberOf(key[1:])
	case key[0] == 'i' && len(key) >= 13:
		i := Instant{int64(binary.BigEndian.Uint64([]byte(key[1:9]))), binary.BigEndian.Uint32([]byte(key[9:13]))}
		return Value{kind: KindTime, time: Time{i.second, i.fraction, AtInstant}, text: i.text(key[13:])}, true
	}
	return Value{}, false
}

// unquote returns the characters of a string of JSON, which is a part of it unless it has
// escapes.
func unquote(quoted []byte) (string, bool) {
	if len(quoted) >= 2 && bytes.IndexByte(quoted, '\\') < 0 {
		return view(quoted[1 : len(quoted)-1]), true
	}
	text, err := jsontext.AppendUnquote(nil, quoted)
	return view(text), err == nil
}

// view looks at bytes as a string without copying.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
