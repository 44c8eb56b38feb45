package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"nearby/collection"
	"nearby/index"
	"nearby/table"
)

// A merged answer is made of several searches: it has their items in one order, by distance and
// then by id. In each item it names the search that has found it.

// merged is a merged answer.
type merged struct {
	hits   []mergedHit
	proof  index.Proof
	within bool // each search has found all that its query asks for within its distance
}

// mergedHit is a hit and the number of the search that found it.
type mergedHit struct {
	index.Hit
	of int
}

// merge makes n searches and puts their hits in order. search sets the query of the i-th search,
// which must not have an After, and returns its filter. All searches together compare at most
// MaxCompared points, but for a search's last step.
func (s *Server) merge(ctx context.Context, buf *buffer, snap *collection.Snapshot, n int, search func(i int, q *index.Query) *table.Filter) (m merged, err error) {
	m.proof, m.within = index.Proof{Exact: true, Radius: index.Everywhere}, true
	left := s.opt.Limits.MaxCompared
	for i := range n {
		q := &buf.query
		*q = index.Query{}
		filter := search(i, q)
		q.Budget = max(1, left)
		var proof index.Proof
		if buf.hits, proof, err = snap.Nearest(buf.hits[:0], q, filter); err != nil {
			return m, err
		}
		for _, h := range buf.hits {
			m.hits = append(m.hits, mergedHit{h, i})
		}
		left -= proof.Entered + proof.Compared
		m.within = m.within && proof.Exact && len(buf.hits) < q.K
		m.proof.Exact = m.proof.Exact && proof.Exact
		m.proof.Radius = min(m.proof.Radius, proof.Radius)
		m.proof.Entered += proof.Entered
		m.proof.Compared += proof.Compared
		if ctx.Err() != nil {
			return m, newProblem(requestTimeout, fmt.Sprintf("%d of %d searches were made in the %v that a request may take", i+1, n, s.opt.Limits.Timeout))
		}
	}
	var a, b []byte
	slices.SortFunc(m.hits, func(x, y mergedHit) int {
		if x.Distance != y.Distance || x.Ref == y.Ref {
			return cmp.Or(cmp.Compare(x.Distance, y.Distance), cmp.Compare(x.of, y.of))
		}
		first, second := snap.Item(x.Ref), snap.Item(y.Ref)
		a, b = first.AppendID(a[:0]), second.AppendID(b[:0])
		return cmp.Or(slices.Compare(a, b), cmp.Compare(x.of, y.of))
	})
	return m, nil
}

// appendMerged writes a merged answer without its links and its closing brace. n is what was counted
// beside it, and member appends the member that names the i-th search.
func (s *Server) appendMerged(buf *buffer, snap *collection.Snapshot, m *merged, complete bool, n *counted, sel *selection, member func(b []byte, i int) []byte) error {
	before := len(buf.b)
	b := append(buf.b, `{"type":"FeatureCollection","features":[`...)
	for i := range m.hits {
		if i > 0 {
			b = append(b, ',')
		}
		it := snap.Item(m.hits[i].Ref)
		buf.b = b
		buf.appendFeature(&it, m.hits[i].Distance, sel)
		b = append(buf.b[:len(buf.b)-1], ',')
		b = append(member(b, m.hits[i].of), '}')
		if int64(len(b)-before) > s.opt.Limits.MaxAnswerBytes {
			reason := fmt.Sprintf("the answer has more than %d bytes", s.opt.Limits.MaxAnswerBytes)
			return newProblem(answerTooLarge, reason, fault{Reason: reason})
		}
	}
	b = append(b, `],"numberReturned":`...)
	b = strconv.AppendInt(b, int64(len(m.hits)), 10)
	if n.matched >= 0 {
		b = append(b, `,"numberMatched":`...)
		b = strconv.AppendInt(b, int64(n.matched), 10)
	}
	b = append(b, `,"complete":`...)
	b = strconv.AppendBool(b, complete)
	reason := ""
	if !m.proof.Exact {
		reason = fmt.Sprintf("the searches ended after %d points and cells; the answer has all items within the radius of the proof", s.opt.Limits.MaxCompared)
	}
	b = appendProof(b, &m.proof, nil, reason)
	buf.b = n.append(b)
	return nil
}

// sendMerged sends a merged answer that was written.
func (s *Server) sendMerged(w http.ResponseWriter, r *http.Request, buf *buffer) error {
	b := append(buf.appendVerified(buf.b), `,"links":[`+beginLink...)
	b = endLink(s.appendSelf(b, r), len(b), "self", geoJSON)
	buf.b = append(b, `]}`...)
	return s.writeWhole(w, geoJSON, buf.b)
}
