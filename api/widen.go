package api

import (
	"strconv"

	"nearby/collection"
	"nearby/index"
	"nearby/table"
)

// A search with at_least=n and a radius finds all items within the radius if these are n or more,
// and otherwise the n nearest, as k=n without a radius does. The answer says which.

// Reasons of faults.
const (
	widensNothing = "needs a radius"
	aboveK        = "must not be greater than k"
)

// atLeast reads at_least; 0: it was not given.
func (p *parameters) atLeast(q *index.Query, l *Limits) (least int, err error) {
	text, ok := p.values.lookup("at_least")
	if !ok {
		return 0, nil
	}
	least, err = p.integer("at_least", 0, l.MaxK, false)
	switch {
	case err != nil:
		return 0, err
	case q.MaxDistance == index.Everywhere:
		return 0, badParameter("at_least", text, widensNothing, "")
	case least > q.K:
		return 0, badParameter("at_least", text, aboveK, "")
	}
	return least, nil
}

// widened returns the question of the pages of a search that was widened. Their cursors are none of
// the pages within the radius.
func (q question) widened() question { return question(digest(q).of("widened")) }

// widens reports whether fewer than least items are within the radius of a query. If so, it widens
// the query. If the limit on compared points ends the search before that is known, the query stays
// as it is, and its answer says that it is not exact.
func (s *Server) widens(buf *buffer, snap *collection.Snapshot, q *index.Query, filter *table.Filter, least int) (bool, error) {
	try := *q
	try.K, try.After, try.Trace, try.Budget = least, nil, nil, s.opt.Limits.MaxCompared
	hits, proof, err := snap.Nearest(buf.hits[:0], &try, filter)
	buf.hits = hits[:0]
	if err != nil || len(hits) >= least || !proof.Exact {
		return false, err
	}
	widen(q, least)
	return true, nil
}

// widen makes a query one for the nearest items.
func widen(q *index.Query, least int) { q.K, q.MaxDistance = least, index.Everywhere }

// appendWidened says whether a search was widened.
func appendWidened(b []byte, widened bool) []byte {
	return strconv.AppendBool(append(b, `,"widened":`...), widened)
}
