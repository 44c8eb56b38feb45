package api

import (
	"errors"
	"net/http"

	"nearby/catalog"
	"nearby/collection"
	"nearby/ingest"
	"nearby/item"
	"nearby/store"
)

// patchTypes are the content types of patches of items and of definitions.
var patchTypes = []string{mergePatchJSON, appJSON}

// headerPatch is the header that lists patchTypes (RFC 5789, section 3.1).
const headerPatch = "Accept-Patch"

func (s *Server) patchItem(w http.ResponseWriter, r *http.Request) error {
	if err := checkParameters(r, 0); err != nil {
		return err
	}
	t, id, err := s.targetItem(w, r)
	if err != nil {
		return err
	}
	if _, err := featureType(r, patchTypes...); err != nil {
		return err
	}
	if item.CheckStoredID(id) != nil {
		return noItem(t.Collection, id) // no item has an id that is not valid
	}
	patch, err := s.readAll(w, r, s.opt.Limits.MaxBodyBytes)
	if err != nil {
		return err
	}
	row, err := ingest.DecodePatch(patch)
	if err != nil {
		return decodeError(err)
	}
	if row.Item.ID != "" && row.Item.ID != id {
		return badField("id", item.Shorten(row.Item.ID), "cannot be changed", "")
	}
	row.Item.ID = id
	wr := collection.Write{Action: collection.Patch, Item: row.Item, NoPosition: row.NoPosition}
	t.given.into(&wr, t.Epoch())
	res, repeated, err := s.apply(w, r, t, wr, t.idempotencyKey(r, patch))
	switch {
	case errors.Is(res.Err, collection.ErrNotFound):
		return noItem(t.Collection, id)
	case err != nil:
		return err
	case repeated:
		return s.repeatPatch(w, r, t, &res)
	}
	wr.Item = *res.Merged
	return s.answerWritten(w, r, t, wr, &res)
}

// repeatPatch answers a patch that was made before. If the item was not written again since then,
// the answer has the item. Otherwise it has no body.
func (s *Server) repeatPatch(w http.ResponseWriter, r *http.Request, t *target, res *collection.Result) error {
	made := store.CommitID{Epoch: t.Epoch(), Seq: store.Seq(res.Seq)}
	_, reading, err := s.reach(r.Context(), t.Name(), catalog.Freshness{After: made, Wait: DefaultWait})
	if err != nil {
		return newProblem(outcomeUnknown, "the patch was made before, but the server cannot show the item yet")
	}
	s.applied(w, t, res, true)
	if it, ok := reading.Get(res.ID); ok && it.Seq == res.Seq && !res.Replaced {
		return s.answerItem(w, r, t.Collection, &it, http.StatusOK)
	}
	if !res.Replaced {
		tag(w, made)
	}
	lastModified(w, res.Times.Updated)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
