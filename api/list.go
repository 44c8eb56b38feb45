package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"nearby/area"
	"nearby/collection"
	"nearby/index"
	"nearby/parameter"
	"nearby/table"
)

// itemsPage is what a request for a page of items asks for.
type itemsPage struct {
	limit int
	sel   selection
	where *area.Area // nil: everywhere
	wants wanted
	trace *index.Trace    // for explain; else nil
	order []table.SortKey // nil: that of the list, or of the area
}

// page reads the parameters of a page of items that need no collection.
func (p *parameters) page(l *Limits) (page itemsPage, err error) {
	if page.limit, err = p.integer("limit", parameter.DefaultLimit, l.MaxLimit, true); err != nil {
		return page, err
	}
	if page.sel.names, err = p.names(); err != nil {
		return page, err
	}
	if page.sel.idProperty, err = p.text("id_property", 128); err != nil {
		return page, err
	}
	if err := p.datetime(); err != nil {
		return page, err
	}
	box, boxed, err := p.box("bbox")
	if err != nil || !boxed {
		return page, err
	}
	page.where, err = area.Box(box.West, box.South, box.East, box.North)
	return page, err
}

func (s *Server) listItems(w http.ResponseWriter, r *http.Request) error {
	c, snap, err := s.read(w, r)
	if err != nil {
		return err
	}
	var params parameters
	if err := params.parse(r.URL.RawQuery, parameter.Items, snap.Queryables()); err != nil {
		return err
	}
	page, err := params.page(&s.opt.Limits)
	if err != nil {
		return err
	}
	if err := params.expression(snap.Queryables()); err != nil {
		return err
	}
	within, err := params.intersects()
	if err != nil {
		return err
	}
	page.where = page.where.And(within)
	if page.wants, err = params.counting("limit", page.limit, snap.Queryables()); err != nil {
		return err
	}
	if page.order, err = params.sortKeys(snap.Queryables(), false); err != nil {
		return err
	}
	explain, err := params.boolean("explain")
	if err != nil {
		return err
	}
	verify, err := params.verifies()
	if err != nil {
		return err
	}
	tag := ""
	switch {
	case explain: // no entity tag: another index of the same items counts in another way
		page.trace = new(index.Trace)
	case !verify: // which is asked to be done
		tag = s.queryTag(c, snap, r, &params)
	}
	if known, err := unchanged(w, r, tag, 0); known || err != nil {
		return err
	}
	if params.heavy(page.limit) {
		if err := slotOf(r.Context()).weigh(r.Context()); err != nil {
			return err
		}
	}
	buf := s.buffer()
	defer s.release(buf)
	buf.to = w
	if verify {
		snap = s.verify(r.Context(), buf, snap)
	}
	next, err := s.appendPage(r.Context(), buf, c, snap, &params, &page)
	if err != nil {
		return err
	}
	b := append(buf.b, beginLink...)
	b = endLink(s.appendSelf(b, r), len(b), "self", geoJSON)
	b = append(b, ","+beginLink...)
	b = endLink(s.appendCollectionURL(b, r, c.Name()), len(b), "collection", appJSON)
	if next != "" {
		b = append(b, ","+beginLink...)
		b = endLink(append(s.appendNext(b, r), next...), len(b), "next", geoJSON)
	}
	buf.b = append(b, `]}`...)
	return buf.send(w)
}

// appendPage finds a page of items and writes it, up to its links. next is the cursor of the next
// page; "": this is the last one.
func (s *Server) appendPage(ctx context.Context, buf *buffer, c *collection.Collection, snap *collection.Snapshot, params *parameters, page *itemsPage) (next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.opt.Limits.Timeout)
	s.limit(ctx, &params.filter)
	defer cancel()
	asked, placed := params.question(c.Name()), page.where != nil
	var sorted *sorting
	if page.order != nil {
		after, err := params.sortPlace(asked, page.order)
		if err != nil {
			return "", err
		}
		sorted = &sorting{page.order, after}
	}
	n := counted{matched: -1}
	if page.wants.any() {
		buf.query = index.Query{MaxDistance: index.Everywhere, Area: page.where, Trace: page.trace}
		if n, err = s.count(snap, &buf.query, &page.wants, &params.filter, refuseParameter); err != nil {
			return "", err
		}
	}
	more, matched := false, n.matched
	switch {
	case page.limit == 0:
	case sorted != nil:
		var all int
		if more, all, err = s.walkSorted(buf, snap, page, sorted, &params.filter); matched < 0 {
			matched = all
		}
	case placed:
		q := index.RangeQuery{Limit: page.limit, Area: page.where, After: new(index.RangeAfter)}
		if q.After.ZKey, q.After.ID, _, err = params.cursor(asked, cursorBox); err != nil {
			return "", err
		}
		next, err = s.walkBox(ctx, buf, snap, &q, &params.filter, asked)
	default:
		var after string
		if _, after, _, err = params.cursor(asked, cursorList); err != nil {
			return "", err
		}
		next, err = s.walkList(ctx, buf, snap, after, page.limit, &params.filter, asked)
	}
	if err == nil && matched < 0 {
		matched, err = s.matched(snap, page, params, len(buf.refs), next == "")
	}
	if err != nil {
		return "", err
	}
	buf.b = append(buf.b, `{"type":"FeatureCollection","features":[`...)
	if n := s.appendFeatures(buf, snap, &page.sel); n < len(buf.refs) {
		buf.refs = buf.refs[:n]
		if more = true; sorted == nil {
			next = asked.pageCursor(snap, placed, buf.refs[n-1])
		}
	}
	if sorted != nil && more {
		cursor, err := asked.appendSortCursor(nil, sorted, snap, index.Hit{Ref: buf.refs[len(buf.refs)-1]})
		if err != nil {
			return "", err
		}
		next = string(cursor)
	}
	b := append(buf.b, `],"numberReturned":`...)
	b = strconv.AppendInt(b, int64(len(buf.refs)), 10)
	if matched >= 0 {
		b = append(b, `,"numberMatched":`...)
		b = strconv.AppendInt(b, int64(matched), 10)
	}
	b = buf.appendVerified(n.append(b))
	b = append(b, `,"timeStamp":`...)
	b = appendTime(b, time.Now())
	buf.b = append(b, `,"links":[`...)
	return next, nil
}

// countedOfItem: for numberMatched of a page of items so many points and cells are counted for each item
// that the page may have. So the count takes less time than the page.
const countedOfItem = 5

// matched returns how many items match, on all pages, or -1 if that is not known. It is known where no
// filter and no area leaves any out. Otherwise it is counted for the first page, if that costs little:
// found is how many items that page has, and whole that these are all.
func (s *Server) matched(snap *collection.Snapshot, page *itemsPage, params *parameters, found int, whole bool) (int, error) {
	_, later := params.values.lookup("cursor")
	switch {
	case page.where == nil && !snap.Filters(&params.filter):
		return snap.Len(), nil
	case later:
		return -1, nil
	case whole:
		return found, nil
	}
	q := index.Query{MaxDistance: index.Everywhere, Area: page.where, Budget: min(s.opt.Limits.MaxCompared, countedOfItem*page.limit)}
	n, proof, err := snap.Count(&q, &params.filter)
	if err != nil || !proof.Exact {
		return -1, err
	}
	return n, nil
}

// pageCursor returns the cursor of a page that ends with the item last.
func (q question) pageCursor(snap *collection.Snapshot, boxed bool, last index.Ref) string {
	if !boxed {
		it := snap.Item(last)
		return q.cursor(cursorList, 0, it.ID())
	}
	after := snap.RangeAfter(last)
	return q.cursor(cursorBox, after.ZKey, after.ID)
}

// walkBox finds the items of a page in an area, and the cursor of the next page. It compares up
// to MaxCompared points. If it finds nothing among them, it goes on, because some clients take an
// empty page for the last one.
func (s *Server) walkBox(ctx context.Context, buf *buffer, snap *collection.Snapshot, q *index.RangeQuery, filter *table.Filter, asked question) (next string, err error) {
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
			return asked.pageCursor(snap, true, buf.refs[limit-1]), nil
		case proof.Exact:
			return "", nil
		case len(buf.refs) > 0:
			return asked.cursor(cursorBox, proof.Reached.ZKey, proof.Reached.ID), nil
		case ctx.Err() != nil:
			return "", s.slow()
		case proof.Reached == *q.After: // the budget did not suffice to reach the next point
			q.Budget *= 2
		}
		*q.After = proof.Reached
	}
}

// walkList is walkBox for all items, in the order of the list.
func (s *Server) walkList(ctx context.Context, buf *buffer, snap *collection.Snapshot, after string, limit int, filter *table.Filter, asked question) (next string, err error) {
	for {
		buf.refs, after, err = snap.List(buf.refs, after, limit, s.opt.Limits.MaxCompared, filter)
		switch {
		case err != nil || after == "":
			return "", err
		case len(buf.refs) > 0:
			return asked.cursor(cursorList, 0, after), nil
		case ctx.Err() != nil:
			return "", s.slow()
		}
	}
}

// slow returns the problem of a read that took too long.
func (s *Server) slow() error {
	return newProblem(requestTimeout,
		fmt.Sprintf("nothing was found in the %v that a request may take; a bbox, or a smaller one, narrows the search", s.opt.Limits.Timeout))
}
