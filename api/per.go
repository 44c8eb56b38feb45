package api

import (
	"fmt"
	"net/http"
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

// groups reads per: the name of a queryable and its values. ok is false if it was not given.
func (p *parameters) groups(snap *collection.Snapshot, q *index.Query, l *Limits) (property string, values []value.Value, ok bool, err error) {
	property, ok = p.values.lookup("per")
	if !ok {
		return "", nil, false, nil
	}
	of := snap.Queryables()
	at := of.Index(property)
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
		if values, ok = snap.Values(property, maxGroups); !ok {
			reason = fmt.Sprintf("must be a property with at most %d values; this one has more", maxGroups)
		}
	}
	if reason != "" {
		return "", nil, false, badParameter("per", property, reason, "")
	}
	for _, name := range []string{"at_least", "sortby", "explain", "facets", "rings"} {
		if v, both := p.values.lookup(name); both && v != "false" {
			return "", nil, false, badParameter(name, v, "must be left out if per is given", "")
		}
	}
	if q.K == 0 {
		return "", nil, false, badParameter("k", "0", "must be at least 1 if per is given", "")
	}
	if most := l.MaxBatchK / max(1, len(values)); q.K > most {
		return "", nil, false, badParameter("k", strconv.Itoa(q.K), fmt.Sprintf("must be at most %d: %s has %d values", most, property, len(values)), "")
	}
	return property, values, true, nil
}

// answerPer answers with the k items nearest to the centre of each value of a property.
func (s *Server) answerPer(w http.ResponseWriter, r *http.Request, buf *buffer, snap *collection.Snapshot, filter *table.Filter, property string, values []value.Value, sel *selection) error {
	asked := buf.query
	m, err := s.merge(r.Context(), buf, snap, len(values), func(i int, q *index.Query) *table.Filter {
		*q = asked
		return filter.With(property, values[i])
	})
	if err != nil {
		return err
	}
	if len(values) == 0 {
		m.proof.Radius = min(asked.MaxDistance, sphere.HalfCircumference)
	}
	return s.answerMerged(w, r, buf, snap, &m, m.proof.Exact, sel, func(b []byte, i int) []byte {
		return appendValue(append(b, `"per":`...), values[i])
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
