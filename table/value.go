package table

import (
	"bytes"

	"nearby/value"
)

// A column keeps a value as its key; see value.Value. A text in a filter has the keys of all
// values of the queryable's type that it stands for: where that is Any, the text 5 stands for
// the number and for the string, which a URL cannot tell apart.

// appendKey appends the key of a JSON value in compact form. Null, arrays and objects have
// none, nor has a value that does not fit the type.
func appendKey(dst []byte, t value.Type, json []byte) (key []byte, ok bool) {
	v, fits := value.Of(t, json)
	if !fits {
		return dst, false
	}
	return v.AppendKey(dst)
}

// keys calls yield with each key that a text of a filter stands for, and returns the memory of
// the keys, which is that of buf if it suffices.
func keys(buf []byte, t value.Type, text string, yield func(key []byte)) []byte {
	values, _ := value.Parse(t, text) // no value has a text that the type does not read
	for _, v := range values {
		key, ok := v.AppendKey(buf[:0])
		if buf = key; ok {
			yield(key)
		}
	}
	return buf
}

// Misfit says which property of an item has a value that does not fit the type that the
// newest schema gives it, whose column may still be being built. A value that the item has already,
// in the properties before, is no fault: the property may have got its type later. The error is an
// *item.FieldError; nil: there is none.
func (t *Table) Misfit(properties, before []byte) error {
	s := &t.schema
	if !s.Queryables.Typed() {
		return nil
	}
	var fault error
	err := members(properties, func(name, json []byte) error {
		i := s.Queryables.Index(viewString(name))
		if i < 0 {
			return nil
		}
		if _, fits := value.Of(s.Queryables[i].Type, json); !fits && !has(before, name, json) { // a fault costs more
			fault = value.Check("properties."+string(name), s.Queryables[i].Type, json)
		}
		return fault
	})
	if fault != nil {
		return fault
	}
	return err
}

// has reports whether properties have a member with a value, which is JSON in compact form.
func has(properties, name, json []byte) bool {
	found := false
	err := members(properties, func(n, value []byte) error {
		if bytes.Equal(n, name) {
			found = bytes.Equal(value, json)
		}
		return nil
	})
	return err == nil && found
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
