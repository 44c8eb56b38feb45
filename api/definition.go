package api

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/catalog"
	"nearby/collection"
	"nearby/item"
	"nearby/store"
	"nearby/table"
	"nearby/value"
)

// reached waits until the server is as new as a request demands, and returns the position that it
// has reached. The collection need not exist.
func (s *Server) reached(r *http.Request, name string) (store.CommitID, error) {
	f, err := freshness(r)
	if err != nil {
		return store.CommitID{}, err
	}
	_, reading, err := s.reach(r.Context(), name, f)
	if errors.Is(err, collection.ErrNotFound) {
		at, _, err := s.reachAll(r.Context(), f)
		return at, err
	}
	return reading.At, err
}

// definitionIn is the body of PUT and PATCH: a definition, and the members of a collection
// that are no part of it. The server ignores these. So a client can send back what it has read.
// Source, Created and Updated hide those of the Definition.
type definitionIn struct {
	collection.Definition
	Index      *table.IndexSpec `json:"index"` // nil: left out
	ID         jsontext.Value   `json:"id,omitzero"`
	ItemType   jsontext.Value   `json:"itemType,omitzero"`
	ItemCount  jsontext.Value   `json:"itemCount,omitzero"`
	CRS        jsontext.Value   `json:"crs,omitzero"`
	Extent     jsontext.Value   `json:"extent,omitzero"`
	Source     jsontext.Value   `json:"source,omitzero"`
	Created    jsontext.Value   `json:"created,omitzero"`
	Updated    jsontext.Value   `json:"updated,omitzero"`
	Statistics jsontext.Value   `json:"statistics,omitzero"`
	Links      jsontext.Value   `json:"links,omitzero"`
}

// decodeDefinition reads a body. The index may have the parameters of the registered kinds.
func (s *Server) decodeDefinition(data []byte) (in definitionIn, err error) {
	err = decodeJSON(data, &in, json.WithUnmarshalers(s.opt.Catalog.Kinds().Unmarshalers()))
	return in, err
}

// check refuses the body of another collection, another crs or itemType, and a null, which would
// remove a member that is no part of the definition.
func (in *definitionIn) check(name string) error {
	if id, err := jsontext.AppendUnquote(nil, in.ID); in.ID != nil && (err != nil || string(id) != name) {
		return badField("id", item.Shorten(string(in.ID)), "must be that of the path, "+strconv.Quote(item.Shorten(name))+", or left out", "")
	}
	// If another crs were ignored, metres would be read as degrees.
	var systems []string
	if err := json.Unmarshal(in.CRS, &systems); in.CRS != nil && in.CRS.Kind() != 'n' && (err != nil || !slices.Equal(systems, []string{crs84})) {
		return badField("crs", item.Shorten(string(in.CRS)), `must be ["`+crs84+`"], or left out`, "")
	}
	if kind, err := jsontext.AppendUnquote(nil, in.ItemType); in.ItemType != nil && in.ItemType.Kind() != 'n' && (err != nil || string(kind) != "feature") {
		return badField("itemType", item.Shorten(string(in.ItemType)), `must be "feature", or left out`, "")
	}
	for _, member := range []struct {
		name  string
		value jsontext.Value
	}{
		{"itemType", in.ItemType}, {"itemCount", in.ItemCount}, {"crs", in.CRS}, {"extent", in.Extent}, {"source", in.Source},
		{"created", in.Created}, {"updated", in.Updated}, {"statistics", in.Statistics}, {"links", in.Links},
	} {
		if member.value.Kind() == 'n' {
			return badField(member.name, "null", "comes from the server and cannot be removed", "")
		}
	}
	return nil
}

// definition returns the definition in a body. A member that is left out gets its default.
func (in *definitionIn) definition(name string) collection.Definition {
	def := in.Definition
	def.Name = name
	if in.Index != nil {
		def.Index = *in.Index
	}
	return def
}

// patchDefinition applies a JSON merge patch to a definition, in the form that PUT takes. The
// patch must be an object.
func (s *Server) patchDefinition(def collection.Definition, patch []byte) (collection.Definition, error) {
	// The object of queryables can be merged with, and a list takes its place.
	object := json.WithMarshalers(json.MarshalToFunc(func(enc *jsontext.Encoder, qs value.Queryables) error { return qs.MarshalObjectTo(enc) }))
	target, err := json.Marshal(&definitionIn{Definition: def, Index: &def.Index}, object)
	if err != nil {
		return def, err
	}
	merged, err := item.Merge(target, patch)
	if err != nil {
		return def, err
	}
	in, err := s.decodeDefinition(merged)
	if err != nil {
		return def, err
	}
	return in.definition(def.Name), nil
}

// collectionTarget is a collection that a request creates, changes or deletes.
type collectionTarget struct {
	name  string
	given preconditions
	after store.CommitID // the position that the request comes after
}

func (s *Server) targetCollection(r *http.Request) (c collectionTarget, err error) {
	if err = checkParameters(r, 0); err != nil {
		return c, err
	}
	if c.name, err = pathParam(r, "collectionId"); err != nil {
		return c, err
	}
	if r.Header[headerKey] != nil {
		return c, badParameter(headerKey, r.Header.Get(headerKey), "is for writes of items, not for a change of a collection", "send If-Match with the collection's ETag; a repeated change is then refused")
	}
	if c.given, err = preconditionsOf(r); err != nil {
		return c, err
	}
	c.after, err = s.reached(r, c.name)
	return c, err
}

// define changes the definition of a collection. edit makes the new definition of the newest
// one, if that meets the conditions of the request.
func (s *Server) define(w http.ResponseWriter, r *http.Request, c *collectionTarget, edit catalog.Edit) error {
	var made catalog.Made
	var err error
	slotOf(r.Context()).idle(func() {
		made, err = s.opt.Catalog.Define(r.Context(), c.name, func(old catalog.Defined) (collection.Definition, error) {
			if err := c.given.check(old); err != nil {
				return collection.Definition{}, err
			}
			return edit(old)
		})
	})
	if err != nil {
		return err
	}
	at := made.Version
	at.Seq = max(at.Seq, store.Seq(made.Snapshot.Seq()))
	s.wroteAt(w, c.after, at)
	out := s.show(r, made.Snapshot)
	text, err := collectionTag(made.Version, &out)
	if err != nil {
		return err
	}
	setTag(w, text)
	status := http.StatusOK
	if made.Created {
		status = http.StatusCreated
		w.Header().Set("Location", s.collectionURL(r, c.name))
	}
	return writeJSON(w, status, out)
}

func (s *Server) putCollection(w http.ResponseWriter, r *http.Request) error {
	c, err := s.targetCollection(r)
	if err != nil {
		return err
	}
	if err := collection.CheckName(c.name); err != nil {
		return err
	}
	if _, err := mediaType(r, appJSON); err != nil {
		return err
	}
	body, err := s.readAll(w, r, s.opt.Limits.MaxBodyBytes)
	if err != nil {
		return err
	}
	in, err := s.decodeDefinition(body)
	if err != nil {
		return err
	}
	if err := in.check(c.name); err != nil {
		return err
	}
	def := in.definition(c.name)
	return s.define(w, r, &c, func(catalog.Defined) (collection.Definition, error) { return def, nil })
}

func (s *Server) patchCollection(w http.ResponseWriter, r *http.Request) error {
	c, err := s.targetCollection(r)
	if err != nil {
		return err
	}
	kind, err := mediaType(r, patchTypes...)
	if err != nil {
		return err
	}
	patch, err := s.readAll(w, r, s.opt.Limits.MaxBodyBytes)
	if err != nil {
		return err
	}
	// A member that the patch removes must be a known one, too.
	in, err := s.decodeDefinition(patch)
	if err != nil {
		return err
	}
	if err := in.check(c.name); err != nil {
		return err
	}
	whole := kind == appJSON && in.Index != nil
	return s.define(w, r, &c, func(old catalog.Defined) (collection.Definition, error) {
		if old.Version.Seq == 0 {
			return old.Definition, collection.NotFound(c.name)
		}
		if whole { // the new index replaces the old one with all its parameters
			old.Index = table.IndexSpec{}
		}
		return s.patchDefinition(old.Definition, patch)
	})
}

func (s *Server) deleteCollection(w http.ResponseWriter, r *http.Request) error {
	c, err := s.targetCollection(r)
	if err != nil {
		return err
	}
	var allow func(catalog.Defined) error
	if c.given.any() {
		allow = func(old catalog.Defined) error { return c.given.check(old) }
	}
	slotOf(r.Context()).idle(func() { err = s.opt.Catalog.DropIf(r.Context(), c.name, allow) })
	if err != nil {
		return err
	}
	// The deletion is visible now, and no snapshot is left that has its position.
	if at, _, err := s.opt.Catalog.Now(r.Context(), catalog.Freshness{}); err == nil {
		s.tell(w, at)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
