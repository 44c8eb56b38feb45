package table

import "nearby/item"

// What a filter finds is decided here. A value has a key, and a text in a filter has the
// keys of all values that an answer may show as that text. So strings are compared byte
// by byte, and numbers by the decimal value that they are written as, of any size: 1, 1.0
// and 1e0 are one number, and 01234, which JSON has no number for, is none of them. The
// text 5 stands for the number and for the string, which a URL cannot tell apart.

// appendKey appends the key of a JSON value in compact form: its kind and its canonical
// text. Null, arrays and objects have none.
func appendKey(dst, value []byte) (key []byte, ok bool, err error) {
	switch value[0] {
	case '"':
		dst, err = appendUnquoted(append(dst, 's'), value)
		return dst, err == nil, err
	case 't', 'f':
		return append(dst, value...), true, nil
	case 'n', '{', '[':
		return dst, false, nil
	}
	dst, ok = item.AppendDecimal(append(dst, 'n'), viewString(value))
	return dst, ok, nil
}

// keys calls yield with each key that a text of a filter stands for.
func keys(text string, yield func(key []byte)) {
	yield(append([]byte{'s'}, text...))
	if key, ok := item.AppendDecimal([]byte{'n'}, text); ok {
		yield(key)
	}
	if text == "true" || text == "false" {
		yield([]byte(text))
	}
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
