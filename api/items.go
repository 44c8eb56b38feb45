package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"nearby/collection"
	"nearby/ingest"
	"nearby/item"
	"nearby/parameter"
	"nearby/table"
)

// appendItemURL appends the URL of an item.
func (s *Server) appendItemURL(b []byte, r *http.Request, c *collection.Collection, id string) []byte {
	return append(append(s.appendCollectionURL(b, r, c.Name()), "/items/"...), url.PathEscape(id)...)
}

// answerItem answers with one item of a snapshot.
func (s *Server) answerItem(w http.ResponseWriter, r *http.Request, c *collection.Collection, it *table.Item, status int) error {
	buf := s.buffer()
	defer s.release(buf)
	buf.appendFeature(it, -1, &selection{times: true})
	b := append(buf.b[:len(buf.b)-1], `,"links":[`+beginLink...)
	b = endLink(s.appendItemURL(b, r, c, it.ID()), len(b), "self", geoJSON)
	b = append(b, ","+beginLink...)
	b = endLink(s.appendCollectionURL(b, r, c.Name()), len(b), "collection", appJSON)
	buf.b = append(b, `]}`...)
	tag(w, c.At(it.Version()))
	lastModified(w, it.Updated)
	if status == http.StatusCreated {
		w.Header().Set("Location", string(s.appendItemURL(nil, r, c, it.ID())))
	}
	return write(w, geoJSON, status, buf.b)
}

func (s *Server) getItem(w http.ResponseWriter, r *http.Request) error {
	if err := checkParameters(r, parameter.View); err != nil {
		return err
	}
	id, err := pathParam(r, "itemId")
	if err != nil {
		return err
	}
	c, snap, err := s.read(w, r)
	if err != nil {
		return err
	}
	it, ok := snap.Get(id)
	if !ok {
		return noItem(c, id)
	}
	text := ""
	if v := c.At(it.Version()); v.Seq != 0 {
		text = makeTag(v)
	}
	if known, err := unchanged(w, r, text, it.Updated); known || err != nil {
		return err
	}
	return s.answerItem(w, r, c, &it, http.StatusOK)
}

// noItem returns the problem of an item that does not exist.
func noItem(c *collection.Collection, id string) error {
	return newProblem(itemNotFound, fmt.Sprintf("item %q does not exist in collection %q", item.Shorten(id), c.Name()))
}

// targetItem returns the collection and the id of an item that a request writes.
func (s *Server) targetItem(w http.ResponseWriter, r *http.Request) (*target, string, error) {
	id, err := pathParam(r, "itemId")
	if err != nil {
		return nil, "", err
	}
	t, err := s.targetItems(w, r)
	return t, id, err
}

// targetItems returns the collection whose items a request writes.
func (s *Server) targetItems(w http.ResponseWriter, r *http.Request) (*target, error) {
	t, err := s.target(w, r)
	if err != nil {
		return nil, err
	}
	return t, t.Writable()
}

// apply makes one write. If the write has a key, it is made at most once; repeated reports
// whether it was made before.
func (s *Server) apply(w http.ResponseWriter, r *http.Request, t *target, wr collection.Write, key *collection.IdempotencyKey) (res collection.Result, repeated bool, err error) {
	var results []collection.Result
	slotOf(r.Context()).idle(func() {
		if key == nil {
			results, err = t.Write(r.Context(), []collection.Write{wr})
		} else {
			results, repeated, err = t.WriteOnce(r.Context(), *key, []collection.Write{wr})
		}
	})
	if err != nil {
		return res, false, err
	}
	if res = results[0]; res.Err != nil {
		s.refused(w, r, t)
		return res, false, res.Err
	}
	s.applied(w, t, &res, repeated)
	return res, repeated, nil
}

// applied sets the headers of an answer to a write.
func (s *Server) applied(w http.ResponseWriter, t *target, res *collection.Result, repeated bool) {
	s.wrote(w, t.Collection, t.at, res.Seq)
	if res.Pending {
		pending(w, t.Collection)
	}
	if repeated {
		w.Header().Set(headerReplayed, "true")
	}
}

// writeOne makes one write and answers with the item.
func (s *Server) writeOne(w http.ResponseWriter, r *http.Request, t *target, wr collection.Write, key *collection.IdempotencyKey) error {
	res, _, err := s.apply(w, r, t, wr, key)
	if err != nil {
		return err
	}
	return s.answerWritten(w, r, t, wr, &res)
}

// answerWritten answers with an item as it was written.
func (s *Server) answerWritten(w http.ResponseWriter, r *http.Request, t *target, wr collection.Write, res *collection.Result) error {
	status := http.StatusOK
	if res.Created {
		status = http.StatusCreated
	}
	if table.UnreadTime(t.snapshot.Definition().Time, wr.Item.Properties) != nil {
		w.Header().Set(headerNote, "unread-time")
	}
	version := res.Seq
	if res.Pending || res.Replaced {
		version = 0 // a pending write gets a version when it is durable; a replaced one never does
	}
	it := table.NewItem(&item.Item{
		ID: res.ID, Lon: wr.Item.Lon, Lat: wr.Item.Lat, Properties: wr.Item.Properties,
		Created: res.Times.Created, Updated: res.Times.Updated, Seq: version,
	})
	return s.answerItem(w, r, t.Collection, &it, status)
}

func (s *Server) putItem(w http.ResponseWriter, r *http.Request) error {
	if err := checkParameters(r, 0); err != nil {
		return err
	}
	t, id, err := s.targetItem(w, r)
	if err != nil {
		return err
	}
	if _, err := featureType(r, geoJSON, appJSON); err != nil {
		return err
	}
	if err := item.CheckID(id); err != nil {
		return err
	}
	data, err := s.readAll(w, r, s.opt.Limits.MaxBodyBytes)
	if err != nil {
		return err
	}
	it, err := ingest.DecodeFeature(data)
	if err != nil {
		return decodeError(err)
	}
	if it.ID != "" && it.ID != id {
		return badField("id", item.Shorten(it.ID), "must be that of the path, "+strconv.Quote(item.Shorten(id))+", or left out", "")
	}
	it.ID = id
	wr := collection.Write{Action: collection.Upsert, Item: it}
	t.given.into(&wr, t.Epoch())
	return s.writeOne(w, r, t, wr, t.idempotencyKey(r, data))
}

// decodeError returns the error to answer with if a body is not a valid Feature. A body that is
// no JSON is a malformed body.
func decodeError(err error) error {
	var f *item.FieldError
	if errors.As(err, &f) && f.Field == "feature" {
		return newProblem(malformedBody, f.Error(), fault{Field: f.Field, Got: f.Got, Reason: f.Reason, Hint: f.Hint})
	}
	return err
}

func (s *Server) deleteItem(w http.ResponseWriter, r *http.Request) error {
	if err := checkParameters(r, 0); err != nil {
		return err
	}
	t, id, err := s.targetItem(w, r)
	if err != nil {
		return err
	}
	wr := collection.Write{Action: collection.Delete, Item: item.Item{ID: id}}
	t.given.into(&wr, t.Epoch())
	res, _, err := s.apply(w, r, t, wr, t.idempotencyKey(r, nil))
	if errors.Is(res.Err, collection.ErrNotFound) || res.Err != nil && item.CheckStoredID(id) != nil {
		return noItem(t.Collection, id) // no item has an id that is not valid
	} else if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
