package api

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"nearby/collection"
	"nearby/index"
	"nearby/item"
	"nearby/sphere"
	"nearby/table"
	"nearby/value"
)

// maxGroups is how many values the queryable of the parameter per may have.
const maxGroups = 100

// grouping is the queryable of per, and its values.
type grouping struct {
	property string
	values   []value.Value
}

// grouping reads per; nil: it was not given.
func (p *parameters) grouping(snap *collection.Snapshot, q *index.Query, l *Limits) (*grouping, error) {
	property, ok := p.values.lookup("per")
	if !ok {
		return nil, nil
	}
	for _, name := range []string{"at_least", "sortby", "explain"} {
		if v, both := p.values.lookup(name); both && v != "false" {
			return nil, badParameter(name, v, besidePer, "")
		}
	}
	return groupingBy(property, snap, q.K, l, refuseParameter)
}

// besidePer is the reason of a fault.
const besidePer = "must be left out if per is given"

// groupingBy returns the values of a queryable, each of which is asked for k items.
func groupingBy(property string, snap *collection.Snapshot, k int, l *Limits, refuse refusal) (*grouping, error) {
	g := &grouping{property: property}
	of := snap.Queryables()
	at, ok := of.Index(property), false
	var able []string
	for _, q := range of {
		if q.Type == value.Any || q.Type == value.String || q.Type == value.Boolean {
			able = append(able, q.Name)
		}
	}
	reason := ""
	switch {
	case at < 0:
		reason = "must be the name of a queryable property"
		if len(able) > 0 {
			reason += " with strings or booleans: " + item.List(able)
		}
	case !slices.Contains(able, property):
		reason = fmt.Sprintf("must be a property with strings or booleans; this one is of type %s", of[at].Type)
	default:
		if g.values, ok = snap.Values(property, maxGroups); !ok {
			reason = fmt.Sprintf("must be a property with at most %d values; this one has more", maxGroups)
		}
	}
	if reason != "" {
		return nil, refuse("per", item.Shorten(property), reason, "")
	}
	if k == 0 {
		return nil, refuse("k", "0", "must be at least 1 if per is given", "facets counts the items of each value, without per")
	}
	if most := l.MaxBatchK / max(1, len(g.values)); k > most {
		return nil, refuse("k", strconv.Itoa(k), fmt.Sprintf("must be at most %d: %s has %d values", most, property, len(g.values)), "")
	}
	return g, nil
}

// appendPer writes the answer with the k items nearest to the centre of each value of a property,
// without its links and its closing brace. What is counted are the items that have one of the values.
func (s *Server) appendPer(ctx context.Context, buf *buffer, snap *collection.Snapshot, asked *index.Query, filter *table.Filter, g *grouping, wants *wanted, sel *selection, refuse refusal) error {
	n := counted{wanted: wants, matched: -1}
	var err error
	switch {
	case !wants.any():
	case len(g.values) == 0: // and so no items
		n.within = make([]int, len(wants.rings))
		err = s.countSet(&n, snap.NewSet(), refuse)
	default:
		n, err = s.count(snap, asked, wants, filter.With(g.property, g.values...), refuse)
	}
	if err != nil {
		return err
	}
	m, err := s.merge(ctx, buf, snap, len(g.values), func(i int, q *index.Query) *table.Filter {
		*q = *asked
		return filter.With(g.property, g.values[i])
	})
	if err != nil {
		return err
	}
	if len(g.values) == 0 {
		m.proof.Radius = min(asked.MaxDistance, sphere.HalfCircumference)
	}
	return s.appendMerged(buf, snap, &m, m.proof.Exact, &n, sel, func(b []byte, i int) []byte {
		return appendValue(append(b, `"per":`...), g.values[i])
	})
}

// appendValue writes a string, a number or a boolean as JSON.
func appendValue(b []byte, v value.Value) []byte {
	switch v.Kind() {
	case value.KindBoolean:
		return strconv.AppendBool(b, v.Bool())
	case value.KindNumber:
		if f, short := v.Float64(); short {
			return appendNumber(b, f)
		}
		return append(b, v.Text()...)
	}
	return appendQuoted(b, []byte(v.Text()))
}
