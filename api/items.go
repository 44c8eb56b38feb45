package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/collection"
	"nearby/index"
	"nearby/ingest"
	"nearby/item"
)

func (s *Server) listItems(w http.ResponseWriter, r *http.Request) error {
	c, err := s.collection(r)
	if err != nil {
		return err
	}
	snap := c.Snapshot()
	q, err := s.parse(r, takesItems, snap.Definition().Queryables)
	if err != nil {
		return err
	}
	limit, err := q.integer("limit", DefaultLimit, s.opt.Limits.MaxLimit, true)
	if err != nil {
		return err
	}
	var sh shape
	if sh.names, err = q.names(); err != nil {
		return err
	}
	if err := q.datetime(); err != nil {
		return err
	}
	bound, boxed, err := q.bbox()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.opt.Limits.Timeout)
	defer cancel()
	buf := s.buffer()
	defer s.release(buf)
	var next string // cursor; "" at the end
	if boxed {
		rq := index.RangeQuery{Bound: bound, Limit: limit, After: new(index.RangeAfter)}
		if rq.After.ZKey, rq.After.ID, _, err = q.cursor(cursorBox); err != nil {
			return err
		}
		next, err = s.walkBox(ctx, buf, snap, &rq, q.filter)
	} else {
		var after string
		if _, after, _, err = q.cursor(cursorList); err != nil {
			return err
		}
		next, err = s.walkList(ctx, buf, snap, after, limit, q.filter)
	}
	if err != nil {
		return err
	}
	buf.b = append(buf.b, `{"type":"FeatureCollection","features":[`...)
	for i, ref := range buf.refs {
		it := snap.Item(ref)
		if !buf.add(i, &it, -1, &sh, s.opt.Limits.MaxAnswerBytes) {
			buf.refs = buf.refs[:i]
			next = pageCursor(snap, boxed, buf.refs[i-1])
			break
		}
	}
	b := append(buf.b, `],"numberReturned":`...)
	b = strconv.AppendInt(b, int64(len(buf.refs)), 10)
	if !boxed && len(q.filter) == 0 {
		b = append(b, `,"numberMatched":`...)
		b = strconv.AppendInt(b, int64(snap.Len()), 10)
	}
	b = append(b, `,"timeStamp":`...)
	b = appendTime(b, time.Now())
	b = append(b, `,"links":`...)
	links := []link{
		{Href: s.self(r), Rel: "self", Type: geoJSON},
		{Href: s.collectionURL(r, c.Name()), Rel: "collection", Type: appJSON},
	}
	if next != "" {
		links = append(links, link{Href: s.next(r, next), Rel: "next", Type: geoJSON})
	}
	b = appendLinks(b, links...)
	buf.b = append(b, '}')
	return write(w, geoJSON, http.StatusOK, buf.b)
}

// pageCursor says that a page ended with this item.
func pageCursor(snap *collection.Snapshot, boxed bool, last index.Ref) string {
	if !boxed {
		it := snap.Item(last)
		return makeCursor(cursorList, 0, it.ID())
	}
	after := snap.RangeAfter(last)
	return makeCursor(cursorBox, after.ZKey, after.ID)
}

// walkBox finds the items of a page in an area, and the cursor to go on from.
// It compares MaxCompared points, and goes on as often as nothing was found:
// some clients take an empty page for the last one.
func (s *Server) walkBox(ctx context.Context, buf *buffer, snap *collection.Snapshot, q *index.RangeQuery, filter collection.Filter) (next string, err error) {
	limit := q.Limit
	q.Limit++ // one more, to know whether there is one
	q.Budget = s.opt.Limits.MaxCompared
	for {
		var proof index.Proof
		buf.refs, proof, err = snap.Range(buf.refs, q, filter)
		switch {
		case err != nil:
			return "", err
		case len(buf.refs) > limit:
			buf.refs = buf.refs[:limit]
			return pageCursor(snap, true, buf.refs[limit-1]), nil
		case proof.Exact:
			return "", nil
		case len(buf.refs) > 0:
			return makeCursor(cursorBox, proof.Reached.ZKey, proof.Reached.ID), nil
		case ctx.Err() != nil:
			return "", s.slow()
		case proof.Reached == *q.After: // not enough to get as far as the next point
			q.Budget *= 2
		}
		*q.After = proof.Reached
	}
}

// walkList is walkBox in the order of the list.
func (s *Server) walkList(ctx context.Context, buf *buffer, snap *collection.Snapshot, after string, limit int, filter collection.Filter) (next string, err error) {
	for {
		buf.refs, after, err = snap.List(buf.refs, after, limit, s.opt.Limits.MaxCompared, filter)
		switch {
		case err != nil || after == "":
			return "", err
		case len(buf.refs) > 0:
			return makeCursor(cursorList, 0, after), nil
		case ctx.Err() != nil:
			return "", s.slow()
		}
	}
}

// slow is the answer to a read that took too long.
func (s *Server) slow() error {
	return newProblem(http.StatusServiceUnavailable,
		fmt.Sprintf("nothing was found in the %v that a request may take; a bbox, or a smaller one, narrows the search", s.opt.Limits.Timeout))
}

// etag is the version of an item as a strong validator.
func etag(seq uint64) string { return `"` + strconv.FormatUint(seq, 36) + `"` }

// itemURL is where an item is.
func (s *Server) itemURL(r *http.Request, c *collection.Collection, id string) string {
	return s.collectionURL(r, c.Name()) + "/items/" + url.PathEscape(id)
}

// answerItem shows one item as it is in a snapshot.
func (s *Server) answerItem(w http.ResponseWriter, r *http.Request, c *collection.Collection, it *collection.Item, status int) error {
	buf := s.buffer()
	defer s.release(buf)
	buf.appendFeature(it, -1, &shape{times: true})
	here := s.itemURL(r, c, it.ID())
	buf.b = append(buf.b[:len(buf.b)-1], `,"links":`...)
	buf.b = appendLinks(buf.b,
		link{Href: here, Rel: "self", Type: geoJSON},
		link{Href: s.collectionURL(r, c.Name()), Rel: "collection", Type: appJSON})
	buf.b = append(buf.b, '}')
	w.Header().Set("ETag", etag(it.Seq))
	w.Header().Set("Last-Modified", time.UnixMilli(it.Updated).UTC().Format(http.TimeFormat))
	if status == http.StatusCreated {
		w.Header().Set("Location", here)
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
		return newProblem(http.StatusNotFound, "there is no item "+strconv.Quote(item.Shorten(id))+" in collection "+c.Name())
	}
	if inm := r.Header.Get("If-None-Match"); inm != "" && (inm == "*" || slices.Contains(etags(inm), it.Seq)) {
		w.Header().Set("ETag", etag(it.Seq))
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return s.answerItem(w, r, c, &it, http.StatusOK)
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
	if results[0].Err != nil {
		if item.CheckID(id) != nil { // no item can have it
			return newProblem(http.StatusNotFound, "there is no such item")
		}
		return results[0].Err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

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
			return newProblem(http.StatusNotFound, "there is no item "+strconv.Quote(item.Shorten(id))+" in collection "+c.Name())
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
