package table

import (
	"fmt"
	"slices"
	"strings"

	"nearby/index"
)

// A snapshot can be watched: each of its answers is handed on, and can be compared with what a scan of
// all items finds. The answers of Nearest, Count, Within, Range and List are; those that are ordered by
// something else, or counted by value, are not.

// Watch is told of the answers that a watched snapshot gives. Its error becomes that of the call
// that has the answer.
type Watch func(*Answer) error

// Watched returns the same version, whose answers are told to a Watch.
func (s *Snapshot) Watched(to Watch) *Snapshot {
	return &Snapshot{state: s.state, watched: &watched{of: s, tell: to}}
}

// watched is what a watched snapshot has beside its state. Its methods answer from the snapshot
// that is watched.
type watched struct {
	of   *Snapshot
	tell Watch
}

func (w *watched) nearest(dst []index.Hit, q *index.Query, filter *Filter) ([]index.Hit, index.Proof, error) {
	hits, proof, err := w.of.Nearest(dst, q, filter)
	if err == nil && q.Filter == nil {
		err = w.tell(newAnswer(&nearestAnswer{askedOf(q), slices.Clone(hits[len(dst):]), proof}, filter))
	}
	return hits, proof, err
}

func (w *watched) count(q *index.Query, filter *Filter) (int, index.Proof, error) {
	n, proof, err := w.of.Count(q, filter)
	if err == nil && q.Filter == nil {
		err = w.tell(newAnswer(&countAnswer{q: askedOf(q), within: []float64{q.MaxDistance}, counts: []int{n}, exact: proof.Exact}, filter))
	}
	return n, proof, err
}

func (w *watched) within(q *index.Query, distances []float64, filter *Filter) ([]int, index.Proof, error) {
	counts, proof, err := w.of.Within(q, distances, filter)
	if err == nil && q.Filter == nil {
		err = w.tell(newAnswer(&countAnswer{q: askedOf(q), within: slices.Clone(distances), counts: slices.Clone(counts), exact: proof.Exact}, filter))
	}
	return counts, proof, err
}

func (w *watched) ranges(dst []index.Ref, q *index.RangeQuery, filter *Filter) ([]index.Ref, index.Proof, error) {
	refs, proof, err := w.of.Range(dst, q, filter)
	if err == nil && q.Filter == nil {
		a := &pageAnswer{area: q.Area, limit: q.Limit, refs: slices.Clone(refs[len(dst):]), keyOf: zKey}
		if q.After != nil {
			a.after = &rank{key: q.After.ZKey, id: q.After.ID}
		}
		if !proof.Exact {
			a.reached = &rank{key: proof.Reached.ZKey, id: proof.Reached.ID}
		}
		a.full = len(a.refs) == q.Limit // the next page begins after the last item
		err = w.tell(newAnswer(a, filter))
	}
	return refs, proof, err
}

func (w *watched) list(dst []index.Ref, after string, limit, budget int, filter *Filter) ([]index.Ref, string, error) {
	refs, reached, err := w.of.List(dst, after, limit, budget, filter)
	if err == nil {
		a := &pageAnswer{limit: limit, refs: slices.Clone(refs[len(dst):]), keyOf: idKey}
		if after != "" {
			a.after = &rank{key: uint64(hashID(after)), id: after}
		}
		if reached != "" {
			a.reached = &rank{key: uint64(hashID(reached)), id: reached}
		}
		err = w.tell(newAnswer(a, filter))
	}
	return refs, reached, err
}

// askedOf returns a query without what only the call that has it may use.
func askedOf(q *index.Query) index.Query {
	asked := *q
	asked.Fetch, asked.Sift, asked.Skip, asked.Trace = nil, nil, nil, nil
	if q.After != nil {
		after := *q.After
		asked.After = &after
	}
	return asked
}

// Answer is a question and what a snapshot has answered. It does not change, and keeps neither the
// snapshot nor memory of the call.
type Answer struct {
	given  given
	filter Filter
}

func newAnswer(given given, filter *Filter) *Answer {
	a := &Answer{given: given}
	if filter != nil {
		a.filter = *filter
		a.filter.stop = nil
	}
	return a
}

// String returns the question, as a person reads it in a log. A number is written so that it can be
// read back exactly.
func (a *Answer) String() string {
	var b strings.Builder
	b.WriteString(a.given.String())
	f := &a.filter
	if f.expr != nil {
		fmt.Fprintf(&b, " filter=%q", f.expr)
	}
	for name, text := range f.Added() {
		fmt.Fprintf(&b, " %q=%q", name, text)
	}
	if f.During != nil {
		fmt.Fprintf(&b, " datetime=%v", f.During)
	}
	if f.Except != "" {
		fmt.Fprintf(&b, " except=%q", f.Except)
	}
	return b.String()
}

// String returns the period as an interval.
func (p *Period) String() string {
	begin, end := "..", ".."
	if !p.openBegin {
		begin = p.begin.String()
	}
	if !p.openEnd {
		end = p.end.String()
	}
	return begin + "/" + end
}
