package table

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"nearby/index"
)

// Filter is a condition on items. The zero value and a nil Filter keep all items. This file
// alone decides what a text of a filter means: callers pass on names and texts as they got
// them.
type Filter struct {
	// equal has, for each of some queryable properties, the values that it may have.
	equal map[string][]string
	// During, when not nil, is when the time of an item must lie. It keeps everything
	// where the schema names no time property.
	During *Period
}

// Add demands that a queryable property has a value, as it is written in a URL; see keys.
// Several values of one property are joined by "or", properties by "and".
func (f *Filter) Add(name, text string) {
	if f.equal == nil {
		f.equal = map[string][]string{}
	}
	f.equal[name] = append(f.equal[name], text)
}

// Added yields what was added, the names in no order.
func (f *Filter) Added() iter.Seq2[string, string] {
	return func(yield func(name, text string) bool) {
		for name, texts := range f.equal {
			for _, text := range texts {
				if !yield(name, text) {
					return
				}
			}
		}
	}
}

// Filters reports whether a filter may keep less than everything.
func (s *Snapshot) Filters(f *Filter) bool {
	return f != nil && (len(f.equal) > 0 || f.During != nil && s.schema.Time != "")
}

// ErrUnknownQueryable: a filter names a property that is not queryable.
var ErrUnknownQueryable = errors.New("not a queryable property")

// match compiles the filter for one snapshot. A nil function keeps everything.
func (s *Snapshot) match(f *Filter) (func(index.Ref) bool, error) {
	if !s.Filters(f) {
		return nil, nil
	}
	type condition struct {
		column *vector[uint32]
		any    []uint32
	}
	var conditions []condition
	for name, values := range f.equal {
		i := s.schema.Queryables.Index(name)
		if i < 0 {
			return nil, fmt.Errorf("%q is %w; queryable are %s", name, ErrUnknownQueryable, strings.Join(s.schema.Queryables.Names(), ", "))
		}
		c := condition{column: &s.columns[i].values}
		dict := &s.columns[i].dict
		for _, v := range values {
			keys(s.schema.Queryables[i].Type, v, func(key []byte) {
				if n, ok := dict.lookup(key); ok {
					c.any = append(c.any, n)
				}
			})
		}
		conditions = append(conditions, c)
	}
	equal := func(ref index.Ref) bool {
		for _, c := range conditions {
			if !slices.Contains(c.any, c.column.at(uint32(ref))) {
				return false
			}
		}
		return true
	}
	if f.During == nil || s.schema.Time == "" {
		return equal, nil
	}
	period, times := *f.During, &s.times.values
	return func(ref index.Ref) bool { return period.holds(times.at(uint32(ref))) && equal(ref) }, nil
}
