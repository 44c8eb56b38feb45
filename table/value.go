package table

import "nearby/value"

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

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
