package api

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"nearby/collection"
	"nearby/ingest"
	"nearby/item"
)

// etag is the version of an item as a strong validator.
func etag(seq uint64) string { return `"` + strconv.FormatUint(seq, 36) + `"` }

// appendItemURL appends where an item is.
func (s *Server) appendItemURL(b []byte, r *http.Request, c *collection.Collection, id string) []byte {
	return append(append(s.appendCollectionURL(b, r, c.Name()), "/items/"...), url.PathEscape(id)...)
}

// answerItem shows one item as it is in a snapshot.
func (s *Server) answerItem(w http.ResponseWriter, r *http.Request, c *collection.Collection, it *collection.Item, status int) error {
	buf := s.buffer()
	defer s.release(buf)
	buf.appendFeature(it, -1, &shape{times: true})
	b := append(buf.b[:len(buf.b)-1], `,"links":[`+beginLink...)
	b = endLink(s.appendItemURL(b, r, c, it.ID()), len(b), "self", geoJSON)
	b = append(b, ","+beginLink...)
	b = endLink(s.appendCollectionURL(b, r, c.Name()), len(b), "collection", appJSON)
	buf.b = append(b, `]}`...)
	w.Header().Set("ETag", etag(it.Seq))
	w.Header().Set("Last-Modified", time.UnixMilli(it.Updated).UTC().Format(http.TimeFormat))
	if status == http.StatusCreated {
		w.Header().Set("Location", string(s.appendItemURL(nil, r, c, it.ID())))
	}
	return write(w, geoJSON, status, buf.b)
}

func (s *Server) getItem(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.parse(r, takesFormat, nil); err != nil {
		return err
	}
	c, id, err := s.itemOf(r)
	if err != nil {
		return err
	}
	it, ok := c.Snapshot().Get(id)
	if !ok {
		return noItem(c, id)
	}
	if inm := r.Header.Get("If-None-Match"); inm != "" && (inm == "*" || slices.Contains(etags(inm), it.Seq)) {
		w.Header().Set("ETag", etag(it.Seq))
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return s.answerItem(w, r, c, &it, http.StatusOK)
}

// noItem is the answer about an item that is not there.
func noItem(c *collection.Collection, id string) error {
	return newProblem(http.StatusNotFound, "there is no item "+strconv.Quote(item.Shorten(id))+" in collection "+c.Name())
}

func (s *Server) itemOf(r *http.Request) (*collection.Collection, string, error) {
	c, err := s.collection(r)
	if err != nil {
		return nil, "", err
	}
	id, err := pathParam(r, "itemId")
	return c, id, err
}

// etags reads the versions of a list of validators; foreign ones read as 0.
func etags(header string) []uint64 {
	var all []uint64
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
		n, err := strconv.ParseUint(strings.Trim(part, `"`), 36, 64)
		if err != nil {
			n = 0
		}
		all = append(all, n)
	}
	return all
}

// precondition turns If-Match and If-None-Match into the write's conditions.
func precondition(r *http.Request, w *collection.Write) error {
	if h := r.Header.Get("If-Match"); h == "*" {
		w.IfExists = true
	} else if h != "" {
		versions := etags(h)
		if len(versions) != 1 {
			return badParameter("If-Match", h, "must be one entity tag or *", "")
		}
		if versions[0] == 0 || strings.HasPrefix(h, "W/") {
			return newProblem(http.StatusPreconditionFailed, "the item has no such version")
		}
		w.IfSeq = versions[0]
	}
	if h := r.Header.Get("If-None-Match"); h == "*" {
		w.IfAbsent = true
	} else if h != "" {
		return badParameter("If-None-Match", h, "must be * for a write", "")
	}
	return nil
}

// writeOne makes one write and shows the item.
func (s *Server) writeOne(w http.ResponseWriter, r *http.Request, c *collection.Collection, wr collection.Write) error {
	results, err := c.Write(r.Context(), []collection.Write{wr})
	if err != nil {
		return err
	}
	res := results[0]
	if res.Err != nil {
		return res.Err
	}
	status := http.StatusOK
	if res.Created {
		status = http.StatusCreated
	}
	it := collection.NewItem(&item.Item{
		ID: res.ID, Lon: wr.Item.Lon, Lat: wr.Item.Lat, Properties: wr.Item.Properties,
		Created: res.Times.Created, Updated: res.Times.Updated, Seq: res.Seq,
	})
	return s.answerItem(w, r, c, &it, status)
}

func (s *Server) putItem(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.parse(r, nil, nil); err != nil {
		return err
	}
	c, id, err := s.itemOf(r)
	if err != nil {
		return err
	}
	if _, err := featureType(r, geoJSON, appJSON); err != nil {
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
	wr := collection.Write{Op: collection.Upsert, Item: it}
	if err := precondition(r, &wr); err != nil {
		return err
	}
	return s.writeOne(w, r, c, wr)
}

// decodeError is 400 where the body is no JSON, and 422 where it says something
// that cannot be.
func decodeError(err error) error {
	var f *item.FieldError
	if errors.As(err, &f) && f.Field == "feature" {
		return newProblem(http.StatusBadRequest, f.Error(), fault{Field: f.Field, Got: f.Got, Reason: f.Reason, Hint: f.Hint})
	}
	return err
}

func (s *Server) deleteItem(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.parse(r, nil, nil); err != nil {
		return err
	}
	c, id, err := s.itemOf(r)
	if err != nil {
		return err
	}
	wr := collection.Write{Op: collection.Delete, Item: item.Item{ID: id}}
	if err := precondition(r, &wr); err != nil {
		return err
	}
	results, err := c.Write(r.Context(), []collection.Write{wr})
	if err != nil {
		return err
	}
	if err := results[0].Err; errors.Is(err, collection.ErrNotFound) || err != nil && item.CheckID(id) != nil {
		return noItem(c, id) // and none can have an id that is refused
	} else if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
