package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearby/collection"
	"nearby/index"
	"nearby/item"
	"nearby/sphere"
	"nearby/table"
)

// Bounds of a search along a line.
const (
	maxLinePositions = 10_000
	maxWithin        = 100_000 // metres
)

// answerAlong answers with the items within a distance of a line, in the order of their places along
// it. The answer has pages, as that of a search for items. Facets count all items along the line, and a
// limit of 0 counts without items.
func (s *Server) answerAlong(w http.ResponseWriter, r *http.Request, c *collection.Collection, snap *collection.Snapshot, in *nearbyBatch) error {
	l := &s.opt.Limits
	line, id, err := lineOf(in.Line)
	switch {
	case err != nil:
		return err
	case in.Within == nil:
		return badField("within", "", "is missing: how far from the line items may be, in metres", "")
	case !(*in.Within >= 0 && *in.Within <= maxWithin):
		return badField("within", fmt.Sprint(*in.Within), fmt.Sprintf("must be from 0 to %d metres", maxWithin), "")
	}
	// All but the line is asked for as in a search for items.
	items := itemsSearch{Cursor: in.Cursor, Datetime: in.Datetime, Facets: in.Facets, Filter: in.Filter, Intersects: in.Intersects, Limit: in.Limit, Properties: in.Properties}
	params, page, err := items.parameters(l, snap.Queryables())
	if err != nil {
		return err
	}
	params.place = (id + digest(math.Float64bits(*in.Within))).of("line")
	asked := params.question(c.Name())
	after, err := params.sortPlace(asked, make([]table.SortKey, 1)) // the value is the place along the line
	if err != nil {
		return asField("", err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), l.Timeout)
	defer cancel()
	s.limit(ctx, &params.filter)
	q := table.LineQuery{
		Line: line, Within: *in.Within, K: page.limit + 1, Area: page.where, Budget: l.MaxCompared,
		Stop: func() bool { return ctx.Err() != nil },
	}
	if len(page.wants.facets) > 0 {
		q.All = snap.NewSet()
	}
	if after != nil {
		q.After = &table.LinePlace{Distance: after.Distance, ID: after.ID}
		q.After.Along, _ = after.Values[0].Float64()
	}
	hits, matched, proof, err := snap.Along(nil, &q, &params.filter)
	if err == nil && !proof.Exact {
		err = badField("within", "", fmt.Sprintf("the first items cannot be found: more than %d points and cells would have to be compared", l.MaxCompared),
			"a shorter line, or a smaller distance, leaves fewer to compare")
	}
	if err != nil {
		return err
	}
	n := counted{wanted: &page.wants, matched: matched}
	if q.All != nil {
		if err := s.countSet(&n, q.All, refuseField); err != nil {
			return err
		}
	}
	buf := s.buffer()
	defer s.release(buf)
	buf.to = w
	for _, h := range hits[:min(len(hits), page.limit)] {
		buf.hits, buf.along = append(buf.hits, h.Hit), append(buf.along, h.Along)
	}
	f := completeness{proof: proof, matched: matched, inOrder: true, more: len(hits) > page.limit}
	switch f.complete = !f.more; {
	case page.limit == 0:
		f.more = false
	case f.complete && after == nil:
		f.proof.Radius = *in.Within
	}
	more := s.appendFound(buf, snap, &index.Query{}, &f, &page.sel)
	b := append(n.append(buf.b), `,"links":[`+beginLink...)
	b = endLink(s.appendSelf(b, r), len(b), "self", geoJSON)
	if more {
		last := len(buf.hits) - 1
		b = s.beginMore(append(b, ','), r, geoJSON)
		b = asked.appendNumberCursor(b, snap, buf.hits[last], buf.along[last])
		b = append(b, endMore...)
	}
	buf.b = append(b, `]}`...)
	return buf.send(w)
}

// lineOf reads the line of a body, a GeoJSON LineString, and makes a digest of its positions. What
// lies between two positions is the shortest way.
func lineOf(in jsontext.Value) (line *sphere.Line, id digest, err error) {
	const path = "line"
	var geometry struct {
		Type        string         `json:"type"`
		Coordinates jsontext.Value `json:"coordinates"`
	}
	if json.Unmarshal(in, &geometry) != nil || geometry.Type != "LineString" {
		hint := ""
		if geometry.Type == "MultiLineString" {
			hint = "send a request for each of its lines"
		}
		return nil, 0, badField(path, item.Shorten(string(in)), "must be a GeoJSON geometry of the type LineString", hint)
	}
	var positions []position
	if err := json.Unmarshal(geometry.Coordinates, &positions); err != nil {
		at := jsontext.Pointer("/coordinates")
		if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
			at += semantic.JSONPointer
		}
		return nil, 0, badField(path+"."+memberPath(at), "", "must be positions, [longitude, latitude]", "")
	}
	if len(positions) > maxLinePositions {
		return nil, 0, badField(path, "", fmt.Sprintf("has %d positions: a line may have %d", len(positions), maxLinePositions), "")
	}
	vecs := make([]sphere.Vec, len(positions))
	for i, p := range positions {
		lon, err := item.CheckQuery(p[0], p[1])
		if f, bad := errors.AsType[*item.FieldError](err); bad {
			return nil, 0, badField(fmt.Sprintf("%s.coordinates[%d][%d]", path, i, map[string]int{"lon": 0, "lat": 1}[f.Field]), f.Got, f.Reason, f.Hint)
		}
		vecs[i] = sphere.FromDegrees(lon, p[1])
		id = (id + digest(math.Float64bits(p[0]))).of("lon")
		id = (id + digest(math.Float64bits(p[1]))).of("lat")
	}
	line, err = sphere.NewLine(vecs)
	if f, bad := errors.AsType[*sphere.LineError](err); bad {
		return nil, 0, badField(fmt.Sprintf("%s.coordinates[%d]", path, f.Position), "", notValid+err.Error(), "")
	}
	if line.Length() == 0 {
		return nil, 0, badField(path, "", "must have at least two different positions", "")
	}
	return line, id, nil
}
