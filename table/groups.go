package table

import (
	"slices"
	"strings"

	"nearby/cql2"
	"nearby/value"
)

// Values returns the values of a queryable that items of the snapshot have, in an order that is
// always the same. ok is false if there are more than most, or if the queryable is of a type of
// numbers or times.
func (s *Snapshot) Values(property string, most int) (values []value.Value, ok bool) {
	i := s.schema.Queryables.Index(property)
	if i < 0 {
		return nil, true
	}
	c, ok := s.columns.queryable[i].(*dictionaryColumn)
	if !ok || c.dict.n > most {
		return nil, false
	}
	keys := make([]string, 0, c.dict.n)
	for _, key := range c.dict.all() {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, strings.Compare)
	for _, key := range keys {
		if v, ok := value.OfKey(key); ok {
			values = append(values, v)
		}
	}
	return values, true
}

// With returns a filter that demands what f does, and that a queryable has one of some values.
func (f *Filter) With(property string, values ...value.Value) *Filter {
	with := *f
	in := &cql2.In{Property: cql2.Property{Name: property}}
	for _, v := range values {
		in.Values = append(in.Values, cql2.Literal{Value: v})
	}
	var e cql2.Expr = in
	if f.expr != nil {
		e = &cql2.And{Of: []cql2.Expr{f.expr, e}}
	}
	with.Match(e)
	return &with
}
