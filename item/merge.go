package item

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// Merge applies a JSON merge patch (RFC 7396) to a JSON value and returns the result. An empty target
// or patch stands for {}. Members keep their order, and those that the patch does not change keep their
// bytes. New members come last. The target must be valid. Merge fails with a *FieldError if the patch is
// not valid or nests deeper than MaxPropertiesDepth.
func Merge(target, patch []byte) ([]byte, error) { return NewTarget(target).Merge(patch) }

// Target is a JSON value to which merge patches are applied one after the other. Each object in it is
// parsed only once, and only if a patch changes it. So the time of a patch is about that of writing the
// result.
type Target struct{ root node }

// NewTarget returns a target that uses the memory of value.
func NewTarget(value []byte) *Target { return &Target{node{raw: bytes.TrimSpace(value)}} }

// Merge applies a patch to the target, as the function Merge does, and returns the result in new memory.
// The target keeps using the memory of the patch. After an error the target must not be used.
func (t *Target) Merge(patch []byte) ([]byte, error) {
	if len(bytes.TrimSpace(patch)) == 0 {
		patch = []byte("{}")
	}
	if err := checkPatch(patch); err != nil {
		return nil, err
	}
	if err := t.root.merge(bytes.TrimSpace(patch)); err != nil {
		return nil, err
	}
	return t.root.append(make([]byte, 0, t.root.size())), nil
}

// checkPatch fails if a patch is not valid.
func checkPatch(patch []byte) error {
	fail := func(reason string) error {
		return &FieldError{Field: "patch", Got: Shorten(string(patch[:min(len(patch), 100)])), Reason: reason}
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
	return nil
}

// node is a value of a target.
type node struct {
	raw     []byte // its JSON; nil: it is an object with these members
	members []member
}

// merge applies a valid patch.
func (n *node) merge(patch []byte) error {
	if patch[0] != '{' {
		*n = node{raw: patch}
		return nil
	}
	changes, err := members(patch)
	if err != nil {
		return err
	}
	if len(n.raw) > 0 && n.raw[0] == '{' {
		if n.members, err = members(n.raw); err != nil {
			return err
		}
	}
	n.raw = nil
	at := make(map[string]int, len(changes)) // without a map this would take quadratic time
	for i := range changes {
		at[changes[i].name] = i
	}
	kept := n.members[:0]
	for i := range n.members {
		m := &n.members[i]
		if i, touched := at[m.name]; touched {
			changes[i].made = true
			if changes[i].value.isNull() {
				continue
			}
			if err := m.value.merge(changes[i].value.raw); err != nil {
				return err
			}
		}
		kept = append(kept, *m)
	}
	for i := range changes {
		if c := &changes[i]; !c.made && !c.value.isNull() {
			kept = append(kept, member{name: c.name, quoted: c.quoted})
			if err := kept[len(kept)-1].value.merge(c.value.raw); err != nil { // merge removes members that are null
				return err
			}
		}
	}
	n.members = kept
	return nil
}

// size returns how many bytes append appends.
func (n *node) size() int {
	if n.raw != nil {
		return len(n.raw)
	}
	size := len("{}") + max(0, len(n.members)-1)
	for i := range n.members {
		size += len(n.members[i].quoted) + len(":") + n.members[i].value.size()
	}
	return size
}

func (n *node) append(dst []byte) []byte {
	if n.raw != nil {
		return append(dst, n.raw...)
	}
	dst = append(dst, '{')
	for i := range n.members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, n.members[i].quoted...), ':')
		dst = n.members[i].value.append(dst)
	}
	return append(dst, '}')
}

// isNull reports whether a value of a patch is null.
func (n *node) isNull() bool { return n.raw[0] == 'n' }

// member is a member of a JSON object.
type member struct {
	name   string
	quoted []byte // the name as JSON
	value  node
	made   bool // of a patch: it was applied
}

// members returns the members of a JSON object. They share its memory.
func members(object []byte) ([]member, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(object))
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	// from returns the value that was just read.
	from := func(v jsontext.Value) []byte { end := int(d.InputOffset()); return object[end-len(v) : end : end] }
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
		m.value.raw = from(v)
		all = append(all, m)
	}
	return all, nil
}
