package api

import (
	"fmt"
	"net/http"
	"strconv"

	"nearby/collection"
	"nearby/index"
	"nearby/parameter"
	"nearby/table"
)

// noRing is the reason of a fault: no item can be between the two distances.
const noRing = "must not be greater than radius"

// besideOrder is the reason of a fault.
const besideOrder = "cannot be combined with sortby or weight"

// maxTraceSteps is how many steps of a search explain=true shows.
const maxTraceSteps = 10_000

func (s *Server) getNearby(w http.ResponseWriter, r *http.Request) error {
	c, snap, err := s.read(w, r)
	if err != nil {
		return err
	}
	buf := s.buffer()
	defer s.release(buf)
	buf.to = w
	params := &buf.params
	if err := params.parse(r.URL.RawQuery, parameter.Nearby, snap.Queryables()); err != nil {
		return err
	}
	q := &buf.query
	if q.Lon, q.Lat, err = params.around(c, snap); err != nil {
		return err
	}
	radius, hasRadius, err := params.number("radius")
	if err != nil {
		return err
	}
	q.MaxDistance = index.Everywhere
	fallback := parameter.DefaultK
	if hasRadius {
		q.MaxDistance = radius
		fallback = s.opt.Limits.MaxK // a radius alone asks for all within it
	}
	if q.MinDistance, _, err = params.number("min_radius"); err != nil {
		return err
	}
	if q.MinDistance > q.MaxDistance {
		return badParameter("min_radius", params.values.Get("min_radius"), noRing, "")
	}
	if q.K, err = params.integer("k", fallback, s.opt.Limits.MaxK, false); err != nil {
		return err
	}
	wants, err := params.counting("k", q.K, snap.Queryables())
	if err != nil {
		return err
	}
	asked := params.question(c.Name())
	least, err := params.atLeast(q, &s.opt.Limits)
	if err != nil {
		return err
	}
	sorted, err := params.sorting(asked, snap.Queryables())
	if err != nil {
		return err
	}
	ranked, err := params.ranking(asked, snap.Queryables())
	if err != nil {
		return err
	}
	nearest := sorted == nil && ranked == nil // the order is that of the distances
	if !nearest {
		for _, name := range []string{"at_least", "per"} {
			if text, given := params.values.lookup(name); given {
				return badParameter(name, text, besideOrder, "")
			}
		}
	}
	widened := false
	if nearest {
		if asked, widened, err = params.resume(asked, q, least); err != nil {
			return err
		}
	}
	var sel selection
	if sel.names, err = params.names(); err != nil {
		return err
	}
	if sel.distanceProperty, err = params.text("distance_property", 128); err != nil {
		return err
	}
	if err := params.datetime(); err != nil {
		return err
	}
	if err := params.expression(snap.Queryables()); err != nil {
		return err
	}
	s.limit(r.Context(), &params.filter)
	if q.Area, err = params.intersects(); err != nil {
		return err
	}
	if sel.idProperty, err = params.text("id_property", 128); err != nil {
		return err
	}
	if sel.idProperty != "" && sel.idProperty == sel.distanceProperty {
		return badParameter("id_property", sel.idProperty, "must be another name than distance_property", "")
	}
	explain, err := params.boolean("explain")
	if err != nil {
		return err
	}
	verify, err := params.verifies()
	if err != nil {
		return err
	}
	grouped, err := params.grouping(snap, q, &s.opt.Limits)
	if err != nil {
		return err
	}
	text := ""
	switch {
	case explain: // no entity tag: another index of the same items takes other steps
		q.Trace = &index.Trace{Most: maxTraceSteps}
	case !verify: // which is asked to be done
		text = s.queryTag(c, snap, r, params)
	}
	if known, err := unchanged(w, r, text, 0); known || err != nil {
		return err
	}
	if params.heavy(q.K) {
		if err := slotOf(r.Context()).weigh(r.Context()); err != nil {
			return err
		}
	}
	if verify {
		snap = s.verify(r.Context(), buf, snap)
	}
	if grouped != nil {
		asked := *q
		if err := s.appendPer(r.Context(), buf, snap, &asked, &params.filter, grouped, &wants, &sel, refuseParameter); err != nil {
			return err
		}
		return s.sendMerged(w, r, buf)
	}
	if least > 0 && q.After == nil {
		if widened, err = s.widens(buf, snap, q, &params.filter, least); err != nil {
			return err
		}
		if widened {
			asked = asked.widened()
		}
	}
	var n counted
	if wants.any() {
		if n, err = s.count(snap, q, &wants, &params.filter, refuseParameter); err != nil {
			return err
		}
	}
	f := n.complete(q)
	if wants.alone == "" {
		f, err = s.find(buf, snap, q, &params.filter, sorted, ranked)
	}
	if err != nil {
		return err
	}
	if n.counts != nil {
		f.matched = n.matched
	}
	more := s.appendFound(buf, snap, q, &f, &sel)
	b := n.append(buf.b)
	if least > 0 {
		b = appendWidened(b, widened)
	}
	b = append(buf.appendVerified(b), `,"links":[`+beginLink...)
	b = endLink(s.appendSelf(b, r), len(b), "self", geoJSON)
	if more {
		b = append(b, ","+beginLink...)
		href := len(b)
		b = s.appendNext(b, r)
		if b, err = asked.appendFoundCursor(b, snap, buf, sorted, ranked); err != nil {
			return err
		}
		b = endLink(b, href, "next", geoJSON)
	}
	buf.b = append(b, `]}`...)
	return buf.send(w)
}

// find finds the items that a query asks for, and puts them into buf.hits. Their order is that of
// sorted or ranked, if one of them is not nil, else that of the distances.
func (s *Server) find(buf *buffer, snap *collection.Snapshot, q *index.Query, filter *table.Filter, sorted *sorting, ranked *ranking) (completeness, error) {
	switch {
	case sorted != nil:
		return s.searchSorted(buf, snap, q, sorted, filter)
	case ranked != nil:
		return s.searchScored(buf, snap, q, ranked, filter)
	}
	return s.search(buf, snap, q, filter)
}

// appendFoundCursor appends the cursor of the last of buf.hits, in the order of find.
func (q question) appendFoundCursor(b []byte, snap *collection.Snapshot, buf *buffer, sorted *sorting, ranked *ranking) ([]byte, error) {
	last := buf.hits[len(buf.hits)-1]
	switch {
	case sorted != nil:
		return q.appendSortCursor(b, sorted, snap, last)
	case ranked != nil:
		return q.appendNumberCursor(b, snap, last, buf.scores[len(buf.hits)-1]), nil
	}
	return q.appendNearbyCursor(b, snap, last), nil
}

// appendNearby answers a query of a batch and writes the answer without its closing brace. more
// reports whether there may be items after the last of buf.hits. The fields of its errors begin with
// at.
func (s *Server) appendNearby(buf *buffer, snap *collection.Snapshot, q *batchQuery, at string, sel *selection) (more bool, err error) {
	var n counted
	var f completeness
	if q.wants.any() {
		refuse := func(name, got, reason, hint string) error { return badField(at+name, got, reason, hint) }
		if n, err = s.count(snap, &q.Query, &q.wants, &q.filter, refuse); err != nil {
			return false, err
		}
	}
	if buf.hits, buf.scores = buf.hits[:0], buf.scores[:0]; q.wants.alone != "" {
		f = n.complete(&q.Query)
	} else if f, err = s.find(buf, snap, &q.Query, &q.filter, q.sorted, q.ranked); err != nil {
		return false, err
	}
	if n.counts != nil {
		f.matched = n.matched
	}
	more = s.appendFound(buf, snap, &q.Query, &f, sel)
	buf.b = n.append(buf.b)
	return more, nil
}

// appendFound writes what a search has found, without its links and its closing brace. more reports
// whether there may be items after the last of buf.hits.
func (s *Server) appendFound(buf *buffer, snap *collection.Snapshot, q *index.Query, f *completeness, sel *selection) (more bool) {
	reason := ""
	if !f.proof.Exact {
		within := "radius"
		if f.scored {
			within = "score"
		}
		reason = fmt.Sprintf("the search ended after %d points and cells; the answer has all items within the %s of the proof. Narrow the search, or follow the pages of a bbox", s.opt.Limits.MaxCompared, within)
	}
	buf.b = append(buf.b, `{"type":"FeatureCollection","features":[`...)
	buf.refs = buf.refs[:0]
	for _, h := range buf.hits {
		buf.refs = append(buf.refs, h.Ref)
	}
	if n := s.appendFeatures(buf, snap, sel); n < len(buf.hits) {
		buf.hits = buf.hits[:n]
		if f.more, f.complete, f.proof.Exact, f.proof.Radius = true, false, false, buf.hits[n-1].Distance; f.inOrder {
			f.proof.Radius = 0
		}
		if len(buf.scores) > 0 {
			f.within = buf.scores[n-1]
		}
		if reason = fmt.Sprintf("the answer ended at %d bytes; follow the next link", s.opt.Limits.MaxAnswerBytes); buf.late {
			reason = fmt.Sprintf("the answer ended because the client took longer than %v to read it; follow the next link", s.opt.Limits.Timeout)
		}
	}
	b := append(buf.b, `],"numberReturned":`...)
	b = strconv.AppendInt(b, int64(len(buf.hits)), 10)
	if f.matched >= 0 {
		b = append(b, `,"numberMatched":`...)
		b = strconv.AppendInt(b, int64(f.matched), 10)
	}
	b = append(b, `,"complete":`...)
	b = strconv.AppendBool(b, f.complete)
	var score *float64
	if f.scored {
		score = &f.within
	}
	b = appendProof(b, &f.proof, score, reason)
	if q.Trace != nil {
		b = appendTrace(b, q.Trace)
	}
	buf.b = b
	return f.more
}

// appendProof writes a proof. reason is why it is not exact; "": it is. If score is not nil, all items
// with a score below it are in the answer.
func appendProof(b []byte, proof *index.Proof, score *float64, reason string) []byte {
	b = append(b, `,"proof":{"exact":`...)
	b = strconv.AppendBool(b, proof.Exact)
	b = append(b, `,"radius":`...)
	b = appendNumber(b, proof.Radius)
	b = append(b, `,"entered":`...)
	b = strconv.AppendInt(b, int64(proof.Entered), 10)
	b = append(b, `,"compared":`...)
	b = strconv.AppendInt(b, int64(proof.Compared), 10)
	if score != nil {
		b = append(b, `,"score":`...)
		b = appendNumber(b, *score)
	}
	if reason != "" {
		b = append(b, `,"reason":`...)
		b = appendQuoted(b, []byte(reason))
	}
	return append(b, '}')
}

// maxCounted is how many points and cells are counted for numberMatched, so that an answer does
// not wait long for that number. maxCountedAll is the same for all queries of a request together.
const (
	maxCounted    = 100_000
	maxCountedAll = 1_000_000
)

// completeness is the result of a search beside its hits.
type completeness struct {
	proof    index.Proof
	more     bool // there may be items after the last hit
	complete bool // the hits are all items that the query asked for
	matched  int  // how many items are within the radius; -1: not known, or there is no radius
	inOrder  bool // the hits are in another order than that of their distances
	scored   bool // that of their scores, and those with scores below within are all there
	within   float64
}

// search finds the items that a query asks for, and puts them into buf.hits. With a radius it
// searches for one item more than k. So it knows whether an answer with k items is complete.
func (s *Server) search(buf *buffer, snap *collection.Snapshot, q *index.Query, filter *table.Filter) (f completeness, err error) {
	k, bounded := q.K, q.MaxDistance < index.Everywhere
	if bounded {
		q.K++
	}
	q.Budget = s.opt.Limits.MaxCompared
	buf.hits, f.proof, err = snap.Nearest(buf.hits[:0], q, filter)
	q.K = k
	if err != nil {
		return f, err
	}
	n := len(buf.hits)
	f.matched = -1
	switch {
	case !bounded:
		f.more, f.complete = n == k, f.proof.Exact
		return f, nil
	case n >= k && (n > k || !f.proof.Exact): // the k nearest; others may follow
		buf.hits = buf.hits[:k]
		f.more, f.proof.Exact, f.proof.Radius = true, true, buf.hits[k-1].Distance
	default:
		f.complete = f.proof.Exact
	}
	switch {
	case f.complete && q.After == nil:
		f.matched = n
	case (f.complete || n > k) && buf.counted < maxCountedAll:
		q.Budget = min(s.opt.Limits.MaxCompared, maxCounted, maxCountedAll-buf.counted)
		count, proof, err := snap.Count(q, filter)
		if err != nil {
			return f, err
		}
		if buf.counted += proof.Entered + proof.Compared; proof.Exact {
			f.matched = count
		}
	}
	return f, nil
}

func appendTrace(b []byte, t *index.Trace) []byte {
	b = append(b, `,"trace":[`...)
	for i := range t.Steps {
		st := &t.Steps[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"kind":"`...)
		b = append(b, st.Kind...)
		b = append(b, '"')
		if st.Name != "" {
			b = append(b, `,"name":`...)
			b = appendQuoted(b, []byte(st.Name))
		}
		b = append(b, `,"level":`...)
		b = strconv.AppendInt(b, int64(st.Level), 10)
		b = append(b, `,"bounds":[`...)
		for j, v := range [4]float64{st.Bounds.West, st.Bounds.South, st.Bounds.East, st.Bounds.North} {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendNumber(b, v)
		}
		b = append(b, `],"lower":`...)
		b = appendNumber(b, st.Lower)
		for _, m := range []struct {
			name string
			n    int
		}{{"ring", st.Ring}, {"cells", st.Cells}, {"points", st.Points}} {
			if m.n != 0 || (m.name == "points" && st.Kind != index.StepRing && st.Kind != index.StepNode) {
				b = append(b, `,"`...)
				b = append(b, m.name...)
				b = append(b, `":`...)
				b = strconv.AppendInt(b, int64(m.n), 10)
			}
		}
		b = append(b, '}')
	}
	return appendPlan(append(b, ']'), &t.Plan)
}

// appendPlan writes how a search or a count with a filter was answered.
func appendPlan(b []byte, plan *index.Plan) []byte {
	if plan.Way == "" {
		return b
	}
	b = append(append(append(b, `,"plan":{"way":"`...), plan.Way...), '"')
	if plan.Matches >= 0 {
		b = append(b, `,"matches":`...)
		b = strconv.AppendInt(b, int64(plan.Matches), 10)
	}
	if plan.Cells > 0 {
		b = append(b, `,"cells":`...)
		b = strconv.AppendInt(b, int64(plan.Cells), 10)
	}
	return append(b, '}')
}
