package table

import (
	"slices"

	"nearby/cql2"
	"nearby/index"
	"nearby/value"
)

// compile returns the condition that an expression is true, or that it is false: NOT is passed
// down to the predicates, since what is unknown is neither (OGC 21-065r2, section 6.2).
func (p *plan) compile(e cql2.Expr, want cql2.Truth) condition {
	switch e := e.(type) {
	case *cql2.And:
		return p.combine(e.Of, want, want == cql2.True)
	case *cql2.Or:
		return p.combine(e.Of, want, want == cql2.False)
	case *cql2.Not:
		return p.compile(e.Of, -want)
	case *cql2.Constant:
		return constant{e.Value == (want == cql2.True), p.snapshot.Len()}
	case *cql2.Intersects:
		return &inside{unlisted{}, e, want == cql2.True, p.snapshot}
	}
	return p.predicate(e.(cql2.Predicate), want)
}

func (p *plan) combine(of []cql2.Expr, want cql2.Truth, all bool) condition {
	parts := make([]condition, len(of))
	for i := range of {
		parts[i] = p.compile(of[i], want)
	}
	if all {
		return together(parts)
	}
	return &either{parts, p.snapshot.Len()}
}

// together returns the condition that demands all of some.
func together(parts []condition) condition {
	kept := parts[:0]
	for _, part := range parts {
		if !slices.ContainsFunc(kept, func(one condition) bool {
			r, ok := one.(*ranged)
			return ok && r.and(part)
		}) {
			kept = append(kept, part)
		}
	}
	if len(kept) == 1 {
		return kept[0]
	}
	return every(kept)
}

// predicate returns the condition that a predicate on a queryable has a truth.
func (p *plan) predicate(pred cql2.Predicate, want cql2.Truth) condition {
	s, name := p.snapshot, pred.Subject().Name
	i := s.schema.Queryables.Index(name)
	if i < 0 {
		return constant{false, s.Len()} // the queryable was removed after the filter was checked
	}
	c := s.columns.queryable[i]
	p.chunks = max(p.chunks, c.chunks())
	test := tested{unlisted{}, p, s, c, s.schema.Queryables[i], pred, want}
	if _, null := pred.(*cql2.IsNull); null {
		return &test // the column does not tell null from an array
	}
	return c.meets(test)
}

// tested demands that a predicate has a truth, and evaluates it for each item.
type tested struct {
	unlisted
	plan      *plan
	snapshot  *Snapshot
	column    column
	queryable value.Queryable
	pred      cql2.Predicate
	want      cql2.Truth
}

func (c *tested) holds(ref index.Ref) bool {
	_, null := c.pred.(*cql2.IsNull)
	if c.column.has(ref) == null {
		// IS NULL of a value that the column has: it is not null. Any other predicate on a value
		// that the column does not have: it is unknown.
		return null && c.want == cql2.False
	}
	if c.plan.stops() {
		return false
	}
	var v value.Value
	item := c.snapshot.records.item(ref)
	_ = members(item.Properties, func(name, json []byte) error { // a member that is not there is null
		if string(name) == c.queryable.Name {
			v, _ = value.Of(c.queryable.Type, json)
		}
		return nil
	})
	return c.pred.Match(v) == c.want
}

func (c *tested) most() (n int, exact bool) { return c.snapshot.Len(), false }

func (c *tested) narrow(s *chunkSet, at int) { s.narrow(at, c) }

// inside demands that the position of an item is in a geometry, or that it is not.
type inside struct {
	unlisted
	*cql2.Intersects
	want     bool
	snapshot *Snapshot
}

func (c *inside) holds(ref index.Ref) bool {
	lon, lat := c.snapshot.records.Position(ref)
	if c.Area != nil {
		return c.Area.Contains(lon, lat) == c.want
	}
	return cql2.Contains(c.Geometry, lon, lat) == c.want
}

func (c *inside) most() (n int, exact bool) { return c.snapshot.Len(), false }

func (c *inside) narrow(s *chunkSet, at int) { s.narrow(at, c) }

// constant is met by all items or by none.
type constant struct {
	value bool
	items int // of the snapshot
}

func (c constant) holds(index.Ref) bool { return c.value }

func (c constant) most() (n int, exact bool) {
	if c.value {
		return c.items, true
	}
	return 0, true
}

func (c constant) share() float64 {
	if c.value {
		return 1
	}
	return 0
}

func (c constant) list(dst []uint32) ([]uint32, bool) { return dst, !c.value }

func (c constant) narrow(s *chunkSet, _ int) {
	if !c.value {
		*s = chunkSet{}
	}
}

func (c constant) fetch([]index.Ref) uint64 { return 0 }

func (c constant) postings(dst []*posting, _ int) ([]*posting, bool) { return dst, !c.value }

// either demands one of several conditions.
type either struct {
	parts []condition
	items int // of the snapshot
}

func (c *either) holds(ref index.Ref) bool {
	return slices.ContainsFunc(c.parts, func(part condition) bool { return part.holds(ref) })
}

func (c *either) most() (n int, exact bool) {
	for _, part := range c.parts {
		of, _ := part.most()
		n += of
	}
	return min(n, c.items), n == 0
}

func (c *either) share() float64 {
	none := 1.0
	for _, part := range c.parts {
		none *= 1 - part.share()
	}
	return 1 - none
}

func (c *either) list(dst []uint32) ([]uint32, bool) {
	from := len(dst)
	for _, part := range c.parts {
		var ok bool
		if dst, ok = part.list(dst); !ok {
			return dst[:from], false
		}
	}
	slices.Sort(dst[from:])
	return dst[:from+len(slices.Compact(dst[from:]))], true
}

func (c *either) narrow(s *chunkSet, at int) {
	var any chunkSet
	for _, part := range c.parts {
		left := *s
		part.narrow(&left, at)
		any.or(&left)
	}
	*s = any
}

func (c *either) postings(dst []*posting, most int) ([]*posting, bool) {
	from := len(dst)
	for _, part := range c.parts {
		var ok bool
		if dst, ok = part.postings(dst, most); !ok {
			return dst[:from], false
		}
	}
	return dst, true
}

func (c *either) fetch(refs []index.Ref) (sum uint64) {
	for _, part := range c.parts {
		sum += part.fetch(refs)
	}
	return sum
}
