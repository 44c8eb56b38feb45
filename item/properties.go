package item

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxPropertiesDepth is how deep the properties of an item may nest; the object itself counts as 1. The
// function nearby.take_row in PostgreSQL has the same limit.
const MaxPropertiesDepth = 32

var mustNestLess = fmt.Sprintf("must nest at most %d deep", MaxPropertiesDepth)

// CompactProperties checks that raw is one JSON object within the limits
// (size, depth, unique member names, valid UTF-8, no NUL) and returns it
// without insignificant white space. Empty input and "null" give nil, which
// stands for {}. Numbers and strings are kept byte for byte.
func CompactProperties(raw []byte) ([]byte, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" || string(raw) == "{}" {
		return nil, nil
	}
	fail := func(reason string) ([]byte, error) {
		return nil, &FieldError{Field: "properties", Got: Shorten(string(raw)), Reason: reason}
	}
	if raw[0] != '{' {
		return fail("must be a JSON object")
	}
	// Without its white space raw may be shorter. But if it is far too long, it is not read.
	if len(raw) > 2*MaxPropertiesBytes {
		return fail(fmt.Sprintf("must have at most %d bytes, has %d", MaxPropertiesBytes, len(raw)))
	}
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	for {
		tok, err := d.ReadToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fail("must be valid JSON: " + jsonReason(err))
		}
		if d.StackDepth() > MaxPropertiesDepth {
			return fail(mustNestLess)
		}
		if tok.Kind() == '"' && bytes.IndexByte([]byte(tok.String()), 0) >= 0 {
			return fail("must not contain the NUL character")
		}
	}
	v := jsontext.Value(append([]byte(nil), raw...))
	if err := v.Compact(); err != nil {
		return fail("must be valid JSON: " + jsonReason(err))
	}
	if len(v) > MaxPropertiesBytes {
		return fail(fmt.Sprintf("must have at most %d bytes, has %d", MaxPropertiesBytes, len(v)))
	}
	if string(v) == "{}" {
		return nil, nil // raw was {} with white space inside
	}
	return v, nil
}

// tooDeep reports whether a JSON text nests deeper than properties may.
func tooDeep(text []byte) bool {
	// Nearly all texts have too few brackets to nest so deep.
	if bytes.Count(text, []byte("{"))+bytes.Count(text, []byte("[")) <= MaxPropertiesDepth {
		return false
	}
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted:
			if c == '\\' {
				i++
			}
			quoted = c != '"'
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			if depth++; depth > MaxPropertiesDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// jsonReason returns the text of an error of the decoder.
func jsonReason(err error) string {
	var se *jsontext.SyntacticError
	if errors.As(err, &se) && se.Err != nil {
		return fmt.Sprintf("%v at byte %d", se.Err, se.ByteOffset)
	}
	return err.Error()
}
