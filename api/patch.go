package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/collection"
	"nearby/ingest"
	"nearby/item"
)

// patchTries bounds how often a patch is made anew because the item changed
// between reading and writing.
const patchTries = 16

func (s *Server) patchItem(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.parse(r, nil, nil); err != nil {
		return err
	}
	c, id, err := s.itemOf(r)
	if err != nil {
		return err
	}
	if _, err := featureType(r, mergePatchJSON, appJSON); err != nil {
		return err
	}
	patch, err := s.readAll(w, r, s.opt.Limits.MaxBodyBytes)
	if err != nil {
		return err
	}
	var given collection.Write
	if err := precondition(r, &given); err != nil {
		return err
	}
	for range patchTries {
		old, ok := c.Snapshot().Get(id)
		if !ok {
			if given.IfExists || given.IfSeq != 0 {
				return newProblem(http.StatusPreconditionFailed, "there is no such item")
			}
			return noItem(c, id)
		}
		if given.IfSeq != 0 && given.IfSeq != old.Seq {
			return newProblem(http.StatusPreconditionFailed, "the item was changed since")
		}
		buf := s.buffer()
		buf.appendFeature(&old, -1, &shape{})
		merged, err := mergePatch(buf.b, patch)
		s.release(buf)
		if err != nil {
			return err
		}
		it, err := ingest.DecodeFeature(merged)
		if err != nil {
			return decodeError(err)
		}
		if it.ID != id {
			return badField("id", item.Shorten(it.ID), "cannot be changed", "")
		}
		err = s.writeOne(w, r, c, collection.Write{Op: collection.Upsert, Item: it, IfSeq: old.Seq})
		if !errors.Is(err, collection.ErrPrecondition) {
			return err
		}
	}
	return newProblem(http.StatusTooManyRequests, "the item changes faster than it can be patched")
}

// mergePatch applies a JSON merge patch (RFC 7396). Members keep their order;
// those that the patch does not touch keep their bytes.
func mergePatch(target, patch []byte) ([]byte, error) {
	var p map[string]jsontext.Value
	if err := decodeJSON(patch, &p); err != nil {
		return nil, err
	}
	return merge(target, p, 0)
}

func merge(target []byte, patch map[string]jsontext.Value, depth int) ([]byte, error) {
	if depth > item.MaxPropertiesDepth {
		return nil, newProblem(http.StatusBadRequest, "the patch nests too deep")
	}
	out := []byte{'{'}
	add := func(name string, value []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = appendQuoted(out, []byte(name))
		out = append(append(out, ':'), value...)
	}
	resolve := func(old []byte, change jsontext.Value) ([]byte, error) {
		if change.Kind() != '{' {
			return change, nil
		}
		var inner map[string]jsontext.Value
		if err := json.Unmarshal(change, &inner); err != nil {
			return nil, newProblem(http.StatusBadRequest, "the patch is not valid JSON")
		}
		return merge(old, inner, depth+1)
	}
	seen := map[string]bool{}
	d := jsontext.NewDecoder(strings.NewReader(string(target)))
	if tok, err := d.ReadToken(); err == nil && tok.Kind() == '{' {
		for d.PeekKind() == '"' {
			tok, err := d.ReadToken()
			if err != nil {
				return nil, err
			}
			name := tok.String()
			value, err := d.ReadValue()
			if err != nil {
				return nil, err
			}
			change, touched := patch[name]
			seen[name] = true
			switch {
			case !touched:
				add(name, value)
			case change.Kind() != 'n':
				v, err := resolve(value, change)
				if err != nil {
					return nil, err
				}
				add(name, v)
			}
		}
	}
	names := make([]string, 0, len(patch))
	for name := range patch {
		if !seen[name] && patch[name].Kind() != 'n' {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		v, err := resolve(nil, patch[name])
		if err != nil {
			return nil, err
		}
		add(name, v)
	}
	return append(out, '}'), nil
}
