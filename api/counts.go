package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nearby/collection"
	"nearby/index"
	"nearby/item"
	"nearby/table"
	"nearby/value"
)

// A request can ask for numbers beside items, or for numbers alone, with k or limit 0: how many items
// match, how many of them have each value of a property, and how many are within each of some
// distances. They are about all items that match, whichever of them the answer has. So an answer
// has them on its first page only.

// Bounds of what a request may have counted.
const (
	maxFacets = 8
	maxRings  = 32
)

// wanted is what a request wants to be counted.
type wanted struct {
	alone  string // "k" or "limit", if that is 0: the answer has no items; else ""
	facets []table.Facet
	rings  []float64 // distances in metres, which increase
}

// any reports whether anything has to be counted.
func (c *wanted) any() bool { return c.alone != "" || len(c.facets) > 0 || len(c.rings) > 0 }

// refusal makes the problem of a parameter, or of the member of a body that has its name.
type refusal func(name, got, reason, hint string) error

func refuseParameter(name, got, reason, hint string) error {
	return badParameter(name, got, reason, hint)
}

// counting reads facets and rings, and what n, the value of alone, says.
func (p *parameters) counting(alone string, n int, queryables value.Queryables) (c wanted, err error) {
	if n == 0 {
		c.alone = alone
	}
	if text, ok := p.values.lookup("facets"); ok {
		if c.facets, err = facets(strings.Split(text, ","), queryables, refuseParameter); err != nil {
			return c, err
		}
	}
	if text, ok := p.values.lookup("rings"); ok {
		var distances []float64
		for part := range strings.SplitSeq(text, ",") {
			d, valid := item.ParseNumber(part)
			if !valid {
				return c, badParameter("rings", text, fmt.Sprintf("must be distances in metres, separated by commas; %q is no decimal number", item.Shorten(part)), inMetres(part))
			}
			distances = append(distances, d)
		}
		if c.rings, err = rings(distances, refuseParameter); err != nil {
			return c, err
		}
	}
	cursor, given := p.values.lookup("cursor")
	switch {
	case given && c.alone != "":
		return c, badParameter("cursor", cursor, noPageOf(alone), "")
	case given:
		return wanted{}, nil
	}
	return c, nil
}

// noPageOf is the reason of a fault: there is a cursor, but no items.
func noPageOf(alone string) string {
	return fmt.Sprintf("must be left out if %s is 0: all items are counted", alone)
}

// facets reads facets, each of which is the name of a queryable, or NAME:STEP.
func facets(texts []string, queryables value.Queryables, refuse refusal) (list []table.Facet, err error) {
	wrong := func(got, reason, hint string) ([]table.Facet, error) {
		return nil, refuse("facets", got, reason, hint)
	}
	if len(texts) > maxFacets {
		return wrong("", fmt.Sprintf("must have at most %d names", maxFacets), "")
	}
	for _, text := range texts {
		f := table.Facet{Name: text}
		at := queryables.Index(text)
		if colon := strings.LastIndexByte(text, ':'); at < 0 && colon >= 0 {
			step, ok := value.StepOf(text[colon+1:])
			if at = queryables.Index(text[:colon]); at >= 0 && !ok {
				return wrong(item.Shorten(text), fmt.Sprintf("must have a step after the colon of %s that is a number above 0, of at most 15 digits", item.Shorten(text[:colon])), "")
			}
			f.Name, f.Step = text[:colon], &step
		}
		if at < 0 {
			reason := "must have names of queryable properties; the collection has none"
			if len(queryables) > 0 {
				reason = fmt.Sprintf("must have names of queryable properties; %s is none, those are %s", item.Shorten(f.Name), item.List(queryables.Names()))
			}
			return wrong(item.Shorten(text), reason, meant(f.Name, queryables.Names()))
		}
		if slices.ContainsFunc(list, func(other table.Facet) bool { return other.Name == f.Name }) {
			return wrong(item.Shorten(text), fmt.Sprintf("names %s twice", item.Shorten(f.Name)), "")
		}
		if err := table.CheckFacet(queryables[at], f.Step != nil); err != nil {
			return nil, facetProblem(err, refuse)
		}
		list = append(list, f)
	}
	return list, nil
}

// facetProblem returns the problem of a facet that cannot be counted, and any other error as it is.
func facetProblem(err error, refuse refusal) error {
	f, ok := errors.AsType[*table.FacetError](err)
	if !ok {
		return err
	}
	return refuse("facets", item.Shorten(f.Name), fmt.Sprintf("cannot be counted: %s %s", item.Shorten(f.Name), f.Reason), f.Hint)
}

// rings checks the distances of rings.
func rings(distances []float64, refuse refusal) ([]float64, error) {
	if len(distances) < 1 || len(distances) > maxRings {
		return nil, refuse("rings", "", fmt.Sprintf("must have 1 to %d distances", maxRings), "")
	}
	for i, d := range distances {
		switch got := strconv.FormatFloat(d, 'f', -1, 64); {
		case d < 0:
			return nil, refuse("rings", got, "must be at least 0 metres each", "")
		case i > 0 && d <= distances[i-1]:
			return nil, refuse("rings", got, "must increase: each distance must be greater than the one before it", "")
		}
	}
	return distances, nil
}

// counted is what was counted.
type counted struct {
	*wanted
	matched int // items; -1: not counted
	counts  []table.Counts
	within  []int
	proof   index.Proof
	steps   []countStep // for explain
}

// countStep is what one count has cost, and how it was answered.
type countStep struct {
	of    string // the parameter that asked for it
	proof index.Proof
	plan  index.Plan
}

// spend adds what a count has cost, and refuses the parameter that asked for it if the limit on
// compared points ended it.
func (n *counted) spend(name string, proof index.Proof, budget int, refuse refusal) error {
	n.proof.Entered, n.proof.Compared = n.proof.Entered+proof.Entered, n.proof.Compared+proof.Compared
	if !proof.Exact {
		return refuse(name, "", fmt.Sprintf("cannot be counted: more than %d points and cells would have to be compared", budget),
			"a smaller radius, box or area leaves fewer to compare")
	}
	return nil
}

// fits refuses facets whose values are too long for an answer.
func (n *counted) fits(l *Limits, refuse refusal) error {
	if n.bytes() <= l.MaxAnswerBytes {
		return nil
	}
	return refuse("facets", "", fmt.Sprintf("have values that are too long: the answer has more than %d bytes", l.MaxAnswerBytes), "a property with shorter values can be counted")
}

// countAny counts what is wanted, which has no rings, of the items that any of some queries and a
// filter keep. q.K and q.After do not matter.
func (s *Server) countAny(ctx context.Context, snap *collection.Snapshot, queries []index.Query, c *wanted, filter *table.Filter, refuse refusal) (n counted, err error) {
	n.wanted, n.matched = c, -1
	name := cmp.Or(c.alone, "facets")
	set, left := snap.NewSet(), s.opt.Limits.MaxCompared
	for _, q := range queries {
		q.K, q.After, q.Trace, q.Budget = 0, nil, nil, max(1, left)
		proof, err := set.AddAll(&q, filter)
		if err == nil {
			err = n.spend(name, proof, s.opt.Limits.MaxCompared, refuse)
		}
		if err == nil && ctx.Err() != nil {
			err = s.slow()
		}
		if err != nil {
			return n, err
		}
		left -= proof.Entered + proof.Compared
	}
	return n, s.countSet(&n, set, refuse)
}

// countSet counts what is wanted of the items of a set.
func (s *Server) countSet(n *counted, set *table.Set, refuse refusal) (err error) {
	n.matched, n.proof.Exact = set.Len(), true
	if len(n.facets) == 0 {
		return nil
	}
	if n.counts, err = set.Facets(n.facets); err != nil {
		return facetProblem(err, refuse)
	}
	return n.fits(&s.opt.Limits, refuse)
}

// count counts what is wanted of the items that a query and a filter keep. q.K and q.After do not
// matter, and q.MaxDistance does not for rings.
func (s *Server) count(snap *collection.Snapshot, q *index.Query, c *wanted, filter *table.Filter, refuse refusal) (n counted, err error) {
	n.wanted, n.matched = c, -1
	all := *q
	all.K, all.After, all.Budget = 0, nil, s.opt.Limits.MaxCompared
	if q.Trace != nil {
		all.Trace = new(index.Trace)
	}
	spend := func(name string, proof index.Proof) error {
		if all.Trace != nil {
			n.steps = append(n.steps, countStep{name, proof, all.Trace.Plan})
			all.Trace.Plan = index.Plan{}
		}
		return n.spend(name, proof, all.Budget, refuse)
	}
	var proof index.Proof
	switch {
	case len(c.facets) > 0:
		if n.matched, n.counts, proof, err = snap.Facets(&all, c.facets, filter); err != nil {
			return n, facetProblem(err, refuse)
		}
		if err = spend("facets", proof); err == nil {
			err = n.fits(&s.opt.Limits, refuse)
		}
	case c.alone != "":
		if n.matched, proof, err = snap.Count(&all, filter); err == nil {
			err = spend(c.alone, proof)
		}
	}
	if err == nil && len(c.rings) > 0 {
		if n.within, proof, err = snap.Within(&all, c.rings, filter); err == nil {
			err = spend("rings", proof)
		}
	}
	n.proof.Exact = err == nil
	return n, err
}

// bytes returns how long the texts of the values are.
func (n *counted) bytes() (sum int64) {
	for i := range n.counts {
		for _, v := range n.counts[i].Values {
			sum += int64(len(v.Value.Text()))
		}
	}
	return sum
}

// complete returns what an answer without items says of itself.
func (n *counted) complete(q *index.Query) completeness {
	return completeness{proof: n.proof, complete: q.MaxDistance == index.Everywhere || n.matched == 0, matched: n.matched}
}

// append writes the counts by value, by step and by distance.
func (n *counted) append(b []byte) []byte {
	if n.counts != nil {
		b = append(b, `,"facets":{`...)
		for i := range n.counts {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendQuoted(b, []byte(n.facets[i].Name)), ':')
			b = appendCounts(b, &n.counts[i])
		}
		b = append(b, '}')
	}
	if n.within != nil {
		b = append(b, `,"rings":[`...)
		for i, count := range n.within {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendNumber(append(b, `{"radius":`...), n.rings[i])
			b = appendCount(b, "count", count)
		}
		b = append(b, ']')
	}
	for i, step := range n.steps {
		b = append(append(b, []string{`,"counts":[`, `,`}[min(i, 1)]...), `{"of":"`...)
		b = append(append(b, step.of...), `","entered":`...)
		b = strconv.AppendInt(b, int64(step.proof.Entered), 10)
		b = append(b, `,"compared":`...)
		b = append(appendPlan(strconv.AppendInt(b, int64(step.proof.Compared), 10), &step.plan), '}')
	}
	if len(n.steps) > 0 {
		b = append(b, ']')
	}
	return b
}

func appendCounts(b []byte, c *table.Counts) []byte {
	if c.Steps == nil {
		b = append(b, `{"values":[`...)
		for i, v := range c.Values {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(append(b, `{"value":`...), v.Value)
			b = appendCount(b, "count", v.Items)
		}
	} else {
		b = append(b, `{"steps":[`...)
		for i, step := range c.Steps {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, `{"from":`...), step.From.Text()...)
			b = append(append(b, `,"below":`...), step.Below.Text()...)
			b = appendCount(b, "count", step.Items)
		}
	}
	b = append(b, `],"others":`...)
	b = strconv.AppendInt(b, int64(c.Others), 10)
	return appendCount(b, "without", c.Without)
}

// appendCount writes a number as the last member of an object.
func appendCount(b []byte, name string, n int) []byte {
	b = append(append(append(b, `,"`...), name...), `":`...)
	return append(strconv.AppendInt(b, int64(n), 10), '}')
}
