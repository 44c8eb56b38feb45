package api

import (
	"fmt"
	"net/http"
	"strconv"

	"nearby/collection"
	"nearby/index"
)

func (s *Server) getNearby(w http.ResponseWriter, r *http.Request) error {
	c, err := s.collection(r)
	if err != nil {
		return err
	}
	snap := c.Snapshot()
	q, err := s.parse(r, takesNearby, snap.Definition().Queryables)
	if err != nil {
		return err
	}
	var iq index.Query
	if iq.Lon, iq.Lat, err = q.centre(); err != nil {
		return err
	}
	radius, hasRadius, err := q.number("radius")
	if err != nil {
		return err
	}
	iq.MaxDistance = index.Everywhere
	fallback := DefaultK
	if hasRadius {
		iq.MaxDistance = radius
		fallback = s.opt.Limits.MaxK // a radius alone asks for all within it
	}
	if iq.K, err = q.integer("k", fallback, s.opt.Limits.MaxK, false); err != nil {
		return err
	}
	if iq.After, err = q.after(); err != nil {
		return err
	}
	var sh shape
	if sh.names, err = q.names(); err != nil {
		return err
	}
	if sh.distanceProperty, err = q.text("distance_property", 128); err != nil {
		return err
	}
	explain, err := q.boolean("explain")
	if err != nil {
		return err
	}
	if explain {
		iq.Trace = new(index.Trace)
	}
	buf := s.buffer()
	defer s.release(buf)
	more, err := s.appendNearby(buf, snap, &iq, q.filter, &sh)
	if err != nil {
		return err
	}
	links := make([]link, 0, 2)
	links = append(links, link{Href: s.self(r), Rel: "self", Type: geoJSON})
	if more {
		last := buf.hits[len(buf.hits)-1]
		it := snap.Item(last.Ref)
		links = append(links, link{Href: s.next(r, nearbyCursor(last.Distance, it.ID())), Rel: "next", Type: geoJSON})
	}
	buf.b = append(buf.b, `,"links":`...)
	buf.b = appendLinks(buf.b, links...)
	buf.b = append(buf.b, '}')
	return write(w, geoJSON, http.StatusOK, buf.b)
}

// appendNearby searches and writes the answer but for its links and closing
// brace. more reports whether items may follow.
func (s *Server) appendNearby(buf *buffer, snap *collection.Snapshot, q *index.Query, filter collection.Filter, sh *shape) (more bool, err error) {
	q.Budget = s.opt.Limits.MaxCompared
	var proof index.Proof
	buf.hits, proof, err = snap.Nearest(buf.hits[:0], q, filter)
	if err != nil {
		return false, err
	}
	b := append(buf.b, `{"type":"FeatureCollection","features":[`...)
	for i, h := range buf.hits {
		if i > 0 {
			b = append(b, ',')
		}
		it := snap.Item(h.Ref)
		buf.b = b
		buf.appendFeature(&it, h.Distance, sh)
		b = buf.b
	}
	b = append(b, `],"numberReturned":`...)
	b = strconv.AppendInt(b, int64(len(buf.hits)), 10)
	b = append(b, `,"proof":{"exact":`...)
	b = strconv.AppendBool(b, proof.Exact)
	b = append(b, `,"radius":`...)
	b = appendNumber(b, proof.Radius)
	b = append(b, `,"entered":`...)
	b = strconv.AppendInt(b, int64(proof.Entered), 10)
	b = append(b, `,"compared":`...)
	b = strconv.AppendInt(b, int64(proof.Compared), 10)
	b = append(b, '}')
	if q.Trace != nil {
		b = appendTrace(b, q.Trace)
	}
	buf.b = b
	return len(buf.hits) > 0 && len(buf.hits) == q.K, nil
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
	return append(b, ']')
}

// nearbyBatch is the body of many queries.
type nearbyBatch struct {
	Queries []struct {
		Lat    *float64 `json:"lat"`
		Lon    *float64 `json:"lon"`
		K      *int     `json:"k"`
		Radius *float64 `json:"radius"`
	} `json:"queries"`
}

func (s *Server) postNearby(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.parse(r, nil, nil); err != nil {
		return err
	}
	c, err := s.collection(r)
	if err != nil {
		return err
	}
	var body nearbyBatch
	if err := s.readJSON(w, r, s.opt.Limits.MaxBatchBytes, &body, "application/json"); err != nil {
		return err
	}
	if len(body.Queries) == 0 {
		return badField("queries", "", "must have at least one query", "")
	}
	if len(body.Queries) > s.opt.Limits.MaxBatch {
		return newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("%d queries, at most %d are taken", len(body.Queries), s.opt.Limits.MaxBatch))
	}
	snap := c.Snapshot() // one version for all
	buf := s.buffer()
	defer s.release(buf)
	buf.b = append(buf.b, `{"results":[`...)
	for i := range body.Queries {
		in := &body.Queries[i]
		field := fmt.Sprintf("queries[%d]", i)
		q := index.Query{K: DefaultK, MaxDistance: index.Everywhere}
		switch {
		case in.Lat == nil || in.Lon == nil:
			return badField(field, "", "must have lat and lon", "")
		case *in.Lat < -90 || *in.Lat > 90:
			return badField(field+".lat", fmt.Sprint(*in.Lat), "must be from -90 to 90", swapped(*in.Lon, *in.Lat))
		case *in.Lon < -180 || *in.Lon > 180:
			return badField(field+".lon", fmt.Sprint(*in.Lon), "must be from -180 to 180", "")
		case in.Radius != nil && *in.Radius < 0:
			return badField(field+".radius", fmt.Sprint(*in.Radius), "must be at least 0 metres", "")
		case in.K != nil && (*in.K < 1 || *in.K > s.opt.Limits.MaxK):
			return badField(field+".k", fmt.Sprint(*in.K), fmt.Sprintf("must be from 1 to %d", s.opt.Limits.MaxK), "")
		}
		q.Lon, q.Lat = *in.Lon, *in.Lat
		if in.Radius != nil {
			q.MaxDistance, q.K = *in.Radius, s.opt.Limits.MaxK
		}
		if in.K != nil {
			q.K = *in.K
		}
		if i > 0 {
			buf.b = append(buf.b, ',')
		}
		if _, err := s.appendNearby(buf, snap, &q, nil, &shape{}); err != nil {
			return err
		}
		buf.b = append(buf.b, '}')
		if err := r.Context().Err(); err != nil {
			return err
		}
	}
	buf.b = append(buf.b, `]}`...)
	return write(w, "application/json", http.StatusOK, buf.b)
}

func swapped(lon, lat float64) string {
	if lat >= -180 && lat <= 180 && lon >= -90 && lon <= 90 {
		return "lat and lon may be swapped"
	}
	return ""
}
