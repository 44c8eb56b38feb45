package api

import (
	"fmt"
	"net/http"
	"strconv"

	"nearby/collection"
	"nearby/index"
	"nearby/table"
)

// maxOrigins is how many origins a search may have.
const maxOrigins = 100

// origin is a place to search from.
type origin struct {
	Lat *float64 `json:"lat"`
	Lon *float64 `json:"lon"`
}

// answerOrigins answers with the k items that are nearest to any of several origins, in order of
// their distance from the nearest one. It is the index of that origin that an item names.
//
// An item that is among the k nearest of all is among the k nearest to its nearest origin: what is
// nearer to that origin is nearer to an origin.
func (s *Server) answerOrigins(w http.ResponseWriter, r *http.Request, c *collection.Collection, snap *collection.Snapshot, in *nearbyBatch, sel *selection, verify bool) error {
	l := &s.opt.Limits
	if len(in.Origins) < 1 || len(in.Origins) > maxOrigins {
		return badField("origins", "", fmt.Sprintf("must have 1 to %d places", maxOrigins), "")
	}
	// What is not about a place is checked as in a query of a batch.
	one := nearbyIn{Lat: new(float64), Lon: new(float64), K: in.K, Radius: in.Radius, Filter: in.Filter, Datetime: in.Datetime, Facets: in.Facets}
	asked, err := one.query("", l, c, snap)
	if err != nil {
		return err
	}
	s.limit(r.Context(), &asked.filter)
	places := make([]index.Position, len(in.Origins))
	for i, o := range in.Origins {
		if places[i].Lon, places[i].Lat, err = centreIn(o.Lon, o.Lat, fmt.Sprintf("origins[%d]", i)); err != nil {
			return err
		}
	}
	if sum := asked.K * len(places); sum > l.MaxBatchK {
		return newProblem(tooManyItems, fmt.Sprintf("%d origins with k=%d ask for %d items; a request may ask for at most %d. Send fewer origins, or a smaller k", len(places), asked.K, sum, l.MaxBatchK))
	}
	buf := s.buffer()
	defer s.release(buf)
	if verify {
		if asked.wants.any() {
			return notVerified("k=0 and facets")
		}
		snap = s.verify(r.Context(), buf, snap)
	}
	at := func(i int) index.Query {
		q := asked.Query
		q.Lon, q.Lat = places[i].Lon, places[i].Lat
		return q
	}
	n, bounded := counted{wanted: &asked.wants, matched: -1}, asked.MaxDistance < index.Everywhere
	switch {
	case !n.any():
	case !bounded: // wherever they are, the places do not matter
		n, err = s.count(snap, &asked.Query, &asked.wants, &asked.filter, refuseField)
	default:
		queries := make([]index.Query, len(places))
		for i := range places {
			queries[i] = at(i)
		}
		n, err = s.countAny(r.Context(), snap, queries, &asked.wants, &asked.filter, refuseField)
	}
	if err != nil {
		return err
	}
	m, complete := merged{proof: n.proof}, !bounded || n.matched == 0
	if asked.K > 0 {
		m, err = s.merge(r.Context(), buf, snap, len(places), func(i int, q *index.Query) *table.Filter {
			*q = at(i)
			q.K++ // one more, to know whether there is one
			return &asked.filter
		})
		if err != nil {
			return err
		}
		complete = m.nearest(asked.K, bounded)
	}
	err = s.appendMerged(buf, snap, &m, complete, &n, sel, func(b []byte, i int) []byte {
		return strconv.AppendInt(append(b, `"origin":`...), int64(i), 10)
	})
	if err != nil {
		return err
	}
	return s.sendMerged(w, r, buf)
}

// nearest keeps the first hit of each item, and k of these at most. It reports whether these are
// all that was asked for. bounded says that this is every item within a distance.
func (m *merged) nearest(k int, bounded bool) (complete bool) {
	seen := map[index.Ref]bool{}
	kept, more := m.hits[:0], false
	for _, h := range m.hits {
		switch {
		case seen[h.Ref]:
		case !m.proof.Exact && h.Distance >= m.proof.Radius: // a nearer item may not have been found
		case len(kept) == k:
			more = true
		default:
			seen[h.Ref] = true
			kept = append(kept, h)
		}
	}
	m.hits = kept
	complete = m.proof.Exact
	if len(kept) == k && k > 0 {
		m.proof.Radius = min(m.proof.Radius, kept[k-1].Distance)
		m.proof.Exact, complete = true, true
		if bounded {
			complete = m.within && !more
		}
	}
	return complete
}
