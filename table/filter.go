package table

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"nearby/area"
	"nearby/cql2"
)

// Filter is a condition on items. The zero value and a nil Filter keep all items. Callers pass on
// names and texts as they got them; value.Parse decides what a text stands for.
type Filter struct {
	// equal has, for each of some queryable properties, the values that it may have.
	equal      map[string][]string
	expr, rest cql2.Expr   // of Match: all of it, and what area does not say
	stop       func() bool // nil: never
	area       *area.Area  // where expr demands that an item is; nil: everywhere
	// During, when not nil, is when the time of an item must lie. It keeps everything
	// where the schema names no time property.
	During *Period
	// Except is the id of an item that is left out; "": there is none.
	Except string
}

// Add demands that a queryable property has a value, as it is written in a URL; see keys.
// Several values of one property are joined by "or", properties by "and".
func (f *Filter) Add(name, text string) {
	if f.equal == nil {
		f.equal = map[string][]string{}
	}
	f.equal[name] = append(f.equal[name], text)
}

// Match demands that a filter in CQL2 is true, which was checked with the queryables of the
// snapshot; see cql2.Check. A second one takes the place of the first.
func (f *Filter) Match(e cql2.Expr) {
	f.expr, f.rest, f.area = e, e, nil
	if in, ok := e.(*cql2.Intersects); ok && in.Area != nil {
		f.rest, f.area = nil, in.Area
	}
	all, ok := e.(*cql2.And)
	if !ok {
		return
	}
	rest := &cql2.And{}
	for _, part := range all.Of {
		if in, ok := part.(*cql2.Intersects); ok && in.Area != nil {
			f.area = f.area.And(in.Area)
		} else {
			rest.Of = append(rest.Of, part)
		}
	}
	if f.rest = rest; len(rest.Of) == 0 {
		f.rest = nil
	}
}

// Matches reports whether the filter has an expression of Match.
func (f *Filter) Matches() bool { return f.expr != nil }

// StopWhen has what the filter is asked for fail with ErrStopped once stop returns true: some
// predicates take long for an item, and there may be many items. A plan asks stop again and again,
// but not while it evaluates one predicate.
func (f *Filter) StopWhen(stop func() bool) { f.stop = stop }

// ErrStopped: a filter was stopped; see Filter.StopWhen.
var ErrStopped = errors.New("the evaluation of the filter was stopped")

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
func (s *Snapshot) Filters(f *Filter) bool { return f != nil && (f.expr != nil || s.beside(f)) }

// beside reports whether a filter may keep less than all items in its area.
func (s *Snapshot) beside(f *Filter) bool {
	return f != nil && (len(f.equal) > 0 || f.Except != "" || f.rest != nil || f.During != nil && s.schema.Time != "")
}

// within returns the part of an area that the filter leaves.
func (f *Filter) within(a *area.Area) *area.Area {
	if f == nil {
		return a
	}
	return f.area.And(a)
}

// ErrUnknownQueryable: a filter names a property that is not queryable.
var ErrUnknownQueryable = errors.New("not a queryable property")

// plan compiles the conditions of a filter, and expr in place of its expression. There must be one
// condition at least. The plan must be released.
func (s *Snapshot) plan(f *Filter, expr cql2.Expr) (*plan, error) {
	p := s.plans.Get().(*plan)
	p.snapshot, p.stop = s, f.stop
	for name, texts := range f.equal {
		i := s.schema.Queryables.Index(name)
		if i < 0 {
			p.release()
			return nil, fmt.Errorf("%q is %w; queryable are %s", name, ErrUnknownQueryable, strings.Join(s.schema.Queryables.Names(), ", "))
		}
		c := s.columns.queryable[i]
		p.chunks = max(p.chunks, c.chunks())
		p.every = append(p.every, c.equal(p, tested{plan: p, snapshot: s, column: c, queryable: s.schema.Queryables[i], want: cql2.True}, texts))
	}
	if f.During != nil && s.schema.Time != "" {
		p.during = during{unlisted{}, *f.During, &s.columns.times.values, s.Len()}
		p.every = append(p.every, &p.during)
	}
	if expr != nil {
		p.every = append(p.every, p.compile(expr, cql2.True))
	}
	if f.Except != "" {
		p.every = append(p.every, s.except(f.Except))
	}
	p.begin()
	return p, nil
}
