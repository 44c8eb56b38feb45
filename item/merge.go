package item

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// Merge applies a JSON merge patch (RFC 7396) to a JSON value and returns the outcome.
// Empty input stands for {}. Members keep their order, and those that the patch does
// not touch keep their bytes; new ones come last. The target must be valid; a patch
// that is not, or nests deeper than MaxPropertiesDepth, is a *FieldError.
func Merge(target, patch []byte) ([]byte, error) {
	fail := func(reason string) ([]byte, error) {
		return nil, &FieldError{Field: "patch", Got: Shorten(string(patch[:min(len(patch), 100)])), Reason: reason}
	}
	if len(bytes.TrimSpace(patch)) == 0 {
		patch = []byte("{}")
	}
	depth := 0
	d := jsontext.NewDecoder(bytes.NewBuffer(patch))
	for first := true; first || d.StackDepth() > 0; first = false {
		if _, err := d.ReadToken(); err != nil {
			return fail("must be valid JSON: " + jsonReason(err))
		}
		depth = max(depth, d.StackDepth())
	}
	if depth > MaxPropertiesDepth {
		return fail(fmt.Sprintf("must nest at most %d deep", MaxPropertiesDepth))
	}
	if len(bytes.TrimSpace(patch[d.InputOffset():])) > 0 {
		return fail("must be one JSON value with nothing after it")
	}
	return appendMerged(make([]byte, 0, len(target)+len(patch)), bytes.TrimSpace(target), bytes.TrimSpace(patch))
}

// appendMerged appends what a patch makes of a target.
func appendMerged(dst, target, patch []byte) ([]byte, error) {
	if patch[0] != '{' {
		return append(dst, patch...), nil
	}
	changes, err := members(patch)
	if err != nil {
		return nil, err
	}
	var old []member
	if len(target) > 0 && target[0] == '{' {
		if old, err = members(target); err != nil {
			return nil, err
		}
	}
	at := make(map[string]int, len(changes)) // a search for each member would be quadratic
	for i := range changes {
		at[changes[i].name] = i
	}
	begin := len(dst)
	dst = append(dst, '{')
	add := func(quoted, was, change []byte) (err error) {
		if len(dst) > begin+1 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, quoted...), ':')
		if change == nil {
			dst = append(dst, was...)
			return nil
		}
		dst, err = appendMerged(dst, was, change)
		return err
	}
	for i := range old {
		m := &old[i]
		var change []byte // nil: it stays
		if i, touched := at[m.name]; touched {
			change, changes[i].made = changes[i].value, true
		}
		if !isNull(change) {
			if err := add(m.quoted, m.value, change); err != nil {
				return nil, err
			}
		}
	}
	for i := range changes {
		if c := &changes[i]; !c.made && !isNull(c.value) {
			if err := add(c.quoted, nil, c.value); err != nil {
				return nil, err
			}
		}
	}
	return append(dst, '}'), nil
}

// isNull reports whether a JSON value is null.
func isNull(value []byte) bool { return len(value) > 0 && value[0] == 'n' }

// member is one of a JSON object.
type member struct {
	name          string
	quoted, value []byte // parts of the object
	made          bool   // it was applied
}

// members lists those of a JSON object.
func members(object []byte) ([]member, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(object))
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	// from returns the value that was just read.
	from := func(v jsontext.Value) []byte { end := int(d.InputOffset()); return object[end-len(v) : end] }
	var all []member
	for d.PeekKind() == '"' {
		v, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		m := member{quoted: from(v)}
		name, err := jsontext.AppendUnquote(nil, m.quoted)
		if err != nil {
			return nil, err
		}
		m.name = string(name)
		if v, err = d.ReadValue(); err != nil {
			return nil, err
		}
		m.value = from(v)
		all = append(all, m)
	}
	return all, nil
}
