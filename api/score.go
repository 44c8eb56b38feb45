package api

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"nearby/collection"
	"nearby/index"
	"nearby/item"
	"nearby/sphere"
	"nearby/table"
	"nearby/value"
)

// ranking is the score that weight asks for, and where the page begins.
type ranking struct {
	weights []table.Weight
	after   *table.ScorePlace // nil: with the first item
}

// maxWeight bounds a weight in metres.
const maxWeight = 1e9

// besideSortBy is the reason of a fault.
const besideSortBy = "cannot be combined with sortby"

// weights reads weights, each of which is PROPERTY:METRES.
func weights(parts []string, queryables value.Queryables, refuse refusal) (list []table.Weight, err error) {
	wrong := func(format string, args ...any) ([]table.Weight, error) {
		return nil, refuse("weight", item.Shorten(strings.Join(parts, ",")), fmt.Sprintf(format, args...), "")
	}
	var names []string
	for _, q := range queryables {
		if q.Type == value.Number || q.Type == value.Integer || q.Type == value.Any {
			names = append(names, q.Name)
		}
	}
	switch {
	case len(names) == 0:
		return wrong("cannot be used here: the collection has no queryables that can be numbers")
	case len(parts) == 0:
		return wrong("must have at least one weight")
	}
	for _, part := range parts {
		at := strings.LastIndexByte(part, ':')
		if at < 0 {
			return wrong("must be PROPERTY:METRES, or several of these separated by commas")
		}
		w := table.Weight{Name: part[:at]}
		if i := queryables.Index(w.Name); i < 0 || !slices.Contains(names, w.Name) {
			return wrong("must be PROPERTY:METRES; the property %q cannot have a weight, only %s", item.Shorten(w.Name), item.List(names))
		}
		var valid bool
		if w.Metres, valid = item.ParseNumber(part[at+1:]); !valid || w.Metres == 0 || math.Abs(w.Metres) > maxWeight {
			return wrong("must be PROPERTY:METRES; the metres of %s must be a decimal number from -1000000000 to 1000000000, and not 0", item.Shorten(w.Name))
		}
		for _, other := range list {
			if other.Name == w.Name {
				return wrong("names %s twice", item.Shorten(w.Name))
			}
		}
		if list = append(list, w); len(list) > table.MaxWeights {
			return wrong("must have at most %d weights", table.MaxWeights)
		}
	}
	return list, nil
}

// ranking reads weight and the cursor that goes with it; nil: it was not given.
func (p *parameters) ranking(asked question, queryables value.Queryables) (*ranking, error) {
	text, ok := p.values.lookup("weight")
	if !ok {
		return nil, nil
	}
	r := new(ranking)
	var err error
	if r.weights, err = weights(strings.Split(text, ","), queryables, refuseParameter); err != nil {
		return nil, err
	}
	if _, given := p.values.lookup("sortby"); given {
		return nil, badParameter("weight", text, besideSortBy, "")
	}
	return r, r.resume(p, asked)
}

// resume reads the cursor of a page in the order of the scores.
func (r *ranking) resume(p *parameters, asked question) error {
	// The place of an item is that of one whose only value is its score.
	place, err := p.sortPlace(asked, make([]table.SortKey, 1))
	if err != nil || place == nil {
		return err
	}
	score, _ := place.Values[0].Float64()
	r.after = &table.ScorePlace{Score: score, Distance: place.Distance, ID: place.ID}
	return nil
}

// appendNumberCursor appends the cursor of an item's place in an order by a number.
func (q question) appendNumberCursor(b []byte, snap *collection.Snapshot, last index.Hit, by float64) []byte {
	it := snap.Item(last.Ref)
	v, _ := value.NumberOf(strconv.FormatFloat(by, 'g', -1, 64))
	b, _ = q.appendPlace(b, &table.SortPlace{Values: []value.Value{v}, Distance: last.Distance, ID: it.ID()})
	return b
}

// searchScored is search in the order of scores. It also fills buf.scores.
func (s *Server) searchScored(buf *buffer, snap *collection.Snapshot, q *index.Query, by *ranking, filter *table.Filter) (f completeness, err error) {
	k, bounded := q.K, q.MaxDistance < index.Everywhere
	q.K, q.Budget = k+1, s.opt.Limits.MaxCompared
	hits, within, proof, err := snap.Scored(nil, q, by.weights, by.after, filter)
	q.K = k
	if err != nil {
		return f, err
	}
	buf.hits, buf.scores = buf.hits[:0], buf.scores[:0]
	for _, h := range hits[:min(k, len(hits))] {
		buf.hits, buf.scores = append(buf.hits, h.Hit), append(buf.scores, h.Score)
	}
	f.proof, f.matched, f.inOrder, f.scored, f.within = proof, -1, true, true, within
	if f.more = len(hits) > k; f.more { // the first k are known
		f.proof.Exact, f.within = true, buf.scores[k-1]
	}
	f.complete = f.proof.Exact && (!f.more || !bounded)
	if f.proof.Exact && !f.more && by.after == nil {
		f.proof.Radius = min(q.MaxDistance, sphere.HalfCircumference)
		if bounded {
			f.matched = len(hits)
		}
	}
	return f, nil
}
