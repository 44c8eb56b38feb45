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
	"nearby/store"
)

// patchTries bounds how often a patch is made anew because the item changed
// between reading and writing.
const patchTries = 16

func (s *Server) patchItem(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.parse(r, nil, nil); err != nil {
		return err
	}
	t, id, err := s.targetItem(w, r)
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
	if err := t.given.into(&given, t.Epoch()); err != nil {
		return err
	}
	key, err := once(r, patch)
	if err != nil {
		return err
	}
	if key != nil {
		// A patch that was made must not be made again of what it made: no writes,
		// the receipt alone.
		results, repeated, err := t.WriteOnce(r.Context(), *key, nil)
		if err != nil {
			return err
		}
		if repeated {
			return s.repeatPatch(w, r, t, &results[0])
		}
	}
	snap, sure := t.found, false
	for range patchTries {
		old, ok := snap.Get(id)
		if refused := refusePatch(t, &given, id, old.Seq, ok); refused != nil {
			if sure {
				return refused
			}
			// It counts only if it is so in the newest state.
			_, reading, err := s.opt.Catalog.Read(r.Context(), t.Name(), collection.Freshness{Strong: true})
			if err != nil {
				return err
			}
			s.tell(w, reading.At)
			snap, sure = reading.Snapshot, true
			continue
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
		wr := collection.Write{Op: collection.Upsert, Item: it, IfSeq: []uint64{old.Seq}}
		res, repeated, err := s.apply(w, r, t, wr, key)
		switch {
		case errors.Is(err, collection.ErrPrecondition): // it was changed meanwhile
			snap, sure = t.Snapshot(), false
		case err != nil:
			return err
		case repeated: // by who came first with the same key
			return s.repeatPatch(w, r, t, &res)
		default:
			return s.answerWritten(w, r, t, wr, &res)
		}
	}
	return newProblem(contended, "the item changes faster than it can be patched")
}

// refusePatch says why a patch cannot be made of what is there.
func refusePatch(t *target, given *collection.Write, id string, seq uint64, exists bool) error {
	switch {
	case !exists && (given.IfExists || given.IfSeq != nil):
		return newProblem(preconditionFailed, "there is no such item")
	case !exists:
		return noItem(t.Collection, id)
	case given.IfAbsent:
		return newProblem(preconditionFailed, "the item exists")
	case given.IfSeq != nil && !slices.Contains(given.IfSeq, seq):
		return newProblem(preconditionFailed, "the item was changed since")
	}
	return nil
}

// repeatPatch answers a patch that was made before. What it made of the item is known
// as long as the item was not written again.
func (s *Server) repeatPatch(w http.ResponseWriter, r *http.Request, t *target, res *collection.Result) error {
	made := store.Position{Epoch: t.Epoch(), Seq: store.Seq(res.Seq)}
	_, reading, err := s.opt.Catalog.Read(r.Context(), t.Name(), collection.Freshness{After: made, Wait: DefaultWait})
	if err != nil {
		return newProblem(outcomeUnknown, "the patch was made before, and what it made of the item cannot be shown yet")
	}
	s.applied(w, t, res, true)
	if it, ok := reading.Get(res.ID); ok && it.Seq == res.Seq && !res.Replaced {
		return s.answerItem(w, r, t.Collection, &it, http.StatusOK)
	}
	if !res.Replaced {
		tag(w, made)
	}
	w.Header().Set("Last-Modified", lastModified(res.Times.Updated))
	w.WriteHeader(http.StatusNoContent)
	return nil
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
		return nil, newProblem(invalidRequest, "the patch nests too deep")
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
			return nil, newProblem(malformedBody, "the patch is not valid JSON")
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
