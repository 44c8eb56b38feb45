package item

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxPropertiesDepth is how deep the properties of an item may nest. nearby.take_row, in
// PostgreSQL, has the same bound.
const MaxPropertiesDepth = 32

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
	// Compaction only shrinks, but a body far over the limit need not be read.
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
			return fail(fmt.Sprintf("must nest at most %d deep", MaxPropertiesDepth))
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
		return nil, nil // it had white space inside
	}
	return v, nil
}

func jsonReason(err error) string {
	var se *jsontext.SyntacticError
	if errors.As(err, &se) && se.Err != nil {
		return fmt.Sprintf("%v at byte %d", se.Err, se.ByteOffset)
	}
	return err.Error()
}
