package ingest

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"nearby/value"
)

// appendCell appends a cell as a JSON value, by the rule in the package comment. t is the type of the
// column. The cell must be valid UTF-8 and not empty.
func appendCell(dst, cell []byte, t value.Type) []byte {
	switch c := cell[0]; {
	case t == value.String:
	case t == value.Number || t == value.Integer:
		if _, ok := value.NumberOf(string(cell)); ok {
			return append(dst, cell...)
		}
	case t == value.Boolean && bytes.EqualFold(cell, []byte("true")):
		return append(dst, "true"...)
	case t == value.Boolean && bytes.EqualFold(cell, []byte("false")):
		return append(dst, "false"...)
	case c == '-' || (c >= '0' && c <= '9'):
		if plainNumber(cell) {
			return append(dst, cell...)
		}
	case c == 't' && string(cell) == "true", c == 'f' && string(cell) == "false":
		return append(dst, cell...)
	}
	return appendString(dst, cell)
}

// plainNumber reports whether cell is -?(0|[1-9][0-9]*)(\.[0-9]+)? with at most 15 digits before the
// point and, if there is a point, at most 17 in total.
func plainNumber(cell []byte) bool {
	const maxWhole, maxDigits = 15, 17
	i := 0
	if cell[0] == '-' {
		i++
	}
	whole := digits(cell[i:])
	if whole == 0 || whole > maxWhole || (whole > 1 && cell[i] == '0') {
		return false
	}
	i += whole
	if i == len(cell) {
		return true
	}
	if cell[i] != '.' {
		return false
	}
	fraction := digits(cell[i+1:])
	return fraction > 0 && i+1+fraction == len(cell) && whole+fraction <= maxDigits
}

// digits counts the leading digits of b.
func digits(b []byte) int {
	for i, c := range b {
		if c < '0' || c > '9' {
			return i
		}
	}
	return len(b)
}

// appendString appends s, which is valid UTF-8, as a JSON string.
func appendString(dst, s []byte) []byte {
	for _, c := range s {
		if c < 0x20 || c == '"' || c == '\\' {
			dst, _ = jsontext.AppendQuote(dst, s) // it fails only for invalid UTF-8
			return dst
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
